"""Facts of a model that the page shows before it reads a text."""

from __future__ import annotations

from typing import Any

from carousel.drawing.svg import draw
from carousel.layers import Recurrent
from carousel.text.vocabulary import Vocabulary

WORDS, CHARACTERS, BYTES, NUMBERS, PREDICTIONS = 500, 20_000, 256 * 1024, 2_000_000, 50
MAP_WORDS = 100  # of a text whose words are all followed back through all before them


def facts(layer: Recurrent, vocabulary: Vocabulary, *, run: str, task: str, parameters: int, example: str) -> dict[str, Any]:
    """Return a model's facts, as JSON.

    Args:
        layer: the layers that the page looks into.
        vocabulary: vocabulary of the texts that the model reads.
        run: the name of the run.
        task: "read" or "translate".
        parameters: number of the model's parameters.
        example: the text that the page shows first.
    """
    cell, units = layer.cell, layer.units()
    units = {name: units[name] for name in cell.names if name in units}
    # Fewer words of a large model: the page holds a number for every unit and word.
    most_words = max(2, min(WORDS, NUMBERS // (sum(units.values()) * layer.num_layers)))
    return {
        "run": run,
        "task": task,
        "cell": cell.name,
        "doc": cell.doc,
        "source": cell.citation,
        "equations": cell.text.splitlines(),
        "valves": [g for g in cell.gates if g in units],
        "states": [s for s in cell.states if s in units],
        "names": list(units),
        "units": units,
        "layers": layer.num_layers,
        "parameters": parameters,
        "vocabulary": {"kind": vocabulary.kind, "size": vocabulary.size, "unknown": vocabulary.unknown is not None},
        "svg": draw(cell),
        "limits": {
            "words": most_words,
            "map": MAP_WORDS,
            "characters": CHARACTERS,
            "bytes": BYTES,
            "predictions": PREDICTIONS,
        },
        "example": example,
    }
