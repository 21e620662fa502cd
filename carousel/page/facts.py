"""Facts of a model that the page shows before it reads a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carousel.drawing.svg import draw
from carousel.equations import Cell
from carousel.errors import InputError
from carousel.language.model import LanguageModel
from carousel.layers import Recurrent
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator
from carousel.translation.pyramid import Pyramid

WORDS, CHARACTERS, BYTES, NUMBERS, PREDICTIONS = 500, 20_000, 256 * 1024, 2_000_000, 50
# Of a page that is one file: the steps whose weights were kept; whether there are best weights; whether the run is trained now.
ALONE = {"kept": [], "best": True, "training": False}
MAP_WORDS = 100  # of a text whose words are all followed back through all before them


def facts(model: LanguageModel | Translator, vocabulary: Vocabulary, *, run: str, example: str) -> dict[str, Any]:
    """Return a model's facts, as JSON. Layers of a translator are those of the encoder or the decoder, whichever has more.

    Args:
        model: of the run.
        vocabulary: vocabulary of the texts that the model reads.
        run: the name of the run.
        example: the text that the page shows first.

    Raises:
        InputError: layers differ in size.
    """
    if isinstance(model, Translator):
        task, layer, layers = "translate", model.encoder, model.depth
    else:
        task, layer, layers = "read", model.recurrent, model.recurrent.num_layers
    check_alike(layer)
    of_cell = cell_facts(layer.cell, layer.units())
    # Fewer words of a large model: the page holds a number for every unit and word.
    most_words = max(2, min(WORDS, NUMBERS // (sum(of_cell["units"].values()) * layers * layer.directions)))
    return {
        "run": run,
        "task": task,
        **of_cell,
        "layers": layers,
        "directions": layer.directions,
        "parameters": model.count(),
        "vocabulary": {"kind": vocabulary.kind, "size": vocabulary.size, "unknown": vocabulary.unknown is not None},
        "svg": draw(layer.cell),
        "limits": {
            "words": most_words,
            "map": MAP_WORDS,
            "characters": CHARACTERS,
            "bytes": BYTES,
            "predictions": PREDICTIONS,
        },
        "example": example,
        **ALONE,
    }


def check_alike(layer: Recurrent | Pyramid) -> None:
    """Raise InputError for layers that differ in size: the page lists the units of each quantity once."""
    if not layer.alike:
        raise InputError("the page needs layers of one size, and these differ")


def cell_facts(cell: Cell, units: Mapping[str, int]) -> dict[str, Any]:
    """Return the facts of a cell whose quantities have so many units, by name."""
    there = {name: units[name] for name in cell.names if name in units}
    return {
        "cell": cell.name,
        "doc": cell.doc,
        "source": cell.citation,
        "equations": cell.text.splitlines(),
        "valves": [g for g in cell.gates if g in there],
        "states": [s for s in cell.states if s in there],
        "names": list(there),
        "units": there,
    }
