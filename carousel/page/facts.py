"""Facts of a model that the page shows before it reads a text."""

from __future__ import annotations

from typing import Any

from carousel.drawing.svg import draw
from carousel.layers import Recurrent
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator

WORDS, CHARACTERS, BYTES, NUMBERS, PREDICTIONS = 500, 20_000, 256 * 1024, 2_000_000, 50
MAP_WORDS = 100  # of a text whose words are all followed back through all before them


def facts(layer: Recurrent, vocabulary: Vocabulary, *, run: str, parameters: int, example: str) -> dict[str, Any]:
    """Return a language model's facts, as JSON.

    Args:
        layer: the layers that the page looks into.
        vocabulary: vocabulary of the texts that the model reads.
        run: the name of the run.
        parameters: number of the model's parameters.
        example: the text that the page shows first.
    """
    return _facts(layer, layer.num_layers, vocabulary, run=run, task="read", parameters=parameters, example=example)


def translator_facts(model: Translator, vocabulary: Vocabulary, *, run: str, example: str) -> dict[str, Any]:
    """Return a translator's facts; its layers are those of the encoder or the decoder, whichever has more."""
    parameters = model.count()
    return _facts(model.encoder, model.depth, vocabulary, run=run, task="translate", parameters=parameters, example=example)


def _facts(
    layer: Recurrent, layers: int, vocabulary: Vocabulary, *, run: str, task: str, parameters: int, example: str
) -> dict[str, Any]:
    cell, units = layer.cell, layer.units()
    units = {name: units[name] for name in cell.names if name in units}
    # Fewer words of a large model: the page holds a number for every unit and word.
    most_words = max(2, min(WORDS, NUMBERS // (sum(units.values()) * layers * layer.directions)))
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
        "layers": layers,
        "directions": layer.directions,
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
