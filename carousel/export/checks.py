"""Models that no file can hold, refused in one line."""

from __future__ import annotations

from carousel.errors import InputError
from carousel.language.model import LanguageModel
from carousel.language.softmax import FullSoftmax
from carousel.layers import Recurrent


def check_sequence(layer: Recurrent) -> None:
    """Raise InputError for layers of a cell whose steps follow several."""
    if layer.cell.before:
        raise InputError(f"a step of cell {layer.cell.name} follows several, and an exported step follows one")


def check_steps(layer: Recurrent) -> None:
    """Raise InputError for layers that cannot be taken step by step."""
    check_sequence(layer)
    if layer.bidirectional:
        raise InputError("a layer that reads from both ends needs the whole sequence, so it has no step to export")


def check_output(model: LanguageModel, language: str) -> None:
    """Raise InputError for an output layer without a row for each token. ``language``: of the file, for the message."""
    if not isinstance(model.output, FullSoftmax):
        kind = model.config.softmax
        raise InputError(f"`softmax` {kind} cannot be exported to {language}; train with the full or the sampled output layer")
