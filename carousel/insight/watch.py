"""A language model's gates and memory while it reads a text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from carousel.errors import InputError
from carousel.language.model import LanguageModel
from carousel.layers import Clamps, Recurrent
from carousel.text.vocabulary import Vocabulary

ROWS_AT_ONCE = 256  # words whose logits are held at a time
SHUT, OPEN, STEADY = 0.1, 0.9, 0.1  # of a valve's mean over the words, and of its standard deviation


@dataclass(frozen=True)
class Watched:
    """A text of T words as a model has read it, the end of line where every model begins first.

    ``ids``: the words' token ids. ``surprisal``: bits of each word given those before it, None for the first.
    ``values``: every named quantity of the cell that has units, (layers, T, units), as it is once the word has been read, or
    where layers differ in size a list of (T, units); of which ``valves`` are logistic gates and ``states`` are carried on.
    ``predictions``: after each word the likeliest next ones, with their probabilities.
    ``chances``: (T, words) probabilities of the next word, where they were asked for.
    """

    words: tuple[str, ...]
    ids: tuple[int, ...]
    known: tuple[bool, ...]
    surprisal: tuple[float | None, ...]
    values: Mapping[str, Any]
    valves: tuple[str, ...]
    states: tuple[str, ...]
    predictions: tuple[tuple[tuple[str, float], ...], ...]
    chances: np.ndarray | None = None

    def chosen(self, names: Sequence[str] | None = None) -> list[str]:
        """Return these quantities, or the valves, then the states from the memory on. Raises InputError for others."""
        if names is None:
            return [*self.valves, *self.states[::-1]]
        for name in names:
            if name not in self.values:
                raise InputError(f"this cell has nothing called {name!r}; it has {', '.join(self.values)}")
        return list(names)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the values as arrays by name; of layers that differ in size one each: ``f_l0``, ``f_l1``."""
        found: dict[str, np.ndarray] = {}
        for name, each in self.values.items():
            found |= {f"{name}_l{k}": x for k, x in enumerate(each)} if isinstance(each, list) else {name: each}
        return found

    def as_dict(self, digits: int = 4) -> dict[str, Any]:
        """Return the values that JSON shows, rounded."""
        return {
            "words": list(self.words),
            "known": list(self.known),
            "surprisal": [None if s is None else round(s, digits) for s in self.surprisal],
            "valves": list(self.valves),
            "states": list(self.states),
            "values": {name: [np.round(x.astype(float), digits).tolist() for x in each] for name, each in self.values.items()},
            "predictions": [[[word, round(p, digits)] for word, p in each] for each in self.predictions],
        }


def watched_names(layer: Recurrent) -> list[str]:
    """Return the names that a layer can record: gates, states and the other quantities of its equations."""
    return [n for n in layer.cell.names if n in layer.units()]


def read(vocabulary: Vocabulary, text: str) -> tuple[list[str], list[int]]:
    """Return the words of a text as they stand in it, and their token ids, after the end of line that begins every text.

    Raises:
        InputError: the text is empty.
    """
    words, ids = [vocabulary.token(vocabulary.end)], [vocabulary.end]
    for line in text.strip().split("\n"):
        for word, number in vocabulary.pieces(line):
            words.append(word)
            ids.append(number)
    if len(ids) < 3:
        raise InputError("the text is empty; give some words to read")
    return words[:-1], ids[:-1]  # the last is the end of line that the text leaves open


def spans(vocabulary: Vocabulary, text: str) -> list[tuple[int, int] | None]:
    """Return where the words of ``read`` stand in the text, in characters; None for ends of lines."""
    places: list[tuple[int, int] | None] = [None]
    at = len(text) - len(text.lstrip())
    for line in text.strip().split("\n"):
        places += [*((at + begin, at + end) for begin, end in vocabulary.spans(line)), None]
        at += len(line) + 1
    return places[:-1]


@torch.no_grad()
def watch(
    model: LanguageModel,
    vocabulary: Vocabulary,
    text: str,
    *,
    clamps: Clamps | None = None,
    predictions: int = 8,
    chances: bool = False,
) -> Watched:
    """Read a text and write down all that happens. Row 11 of the mission: the second lecture's valves, live.

    Args:
        model: a language model.
        vocabulary: the model's.
        text: to read.
        clamps: valves to hold (``carousel.layers.Clamp``); step 0 reads the end of line, step k the text's k-th word.
        predictions: how many of the likeliest next words to give for each word.
        chances: give the probabilities of all words as well.

    Raises:
        InputError: for an empty text, or a clamp that the cell does not have.
    """
    words, ids = read(vocabulary, text)
    model.eval()
    x = torch.tensor(ids, device=model.device).unsqueeze(1)
    layer, names = model.recurrent, watched_names(model.recurrent)
    try:
        h, _, recorded = layer(model.embedding(x), resets=model.resets(x), record=names, clamp=clamps)
    except ValueError as error:
        raise InputError(str(error)) from None
    bits: list[float | None] = [None]
    likely: list[tuple[tuple[str, float], ...]] = []
    all_chances = []
    for begin in range(0, len(ids), ROWS_AT_ONCE):
        logs = log_softmax(_logits(model, h[begin : begin + ROWS_AT_ONCE, 0]), -1)
        after = ids[begin + 1 : begin + 1 + len(logs)]
        bits += (-logs[range(len(after)), after] / math.log(2)).tolist()
        top = logs.topk(min(predictions, logs.shape[1]))
        for ps, ns in zip(top.values.exp().tolist(), top.indices.tolist(), strict=True):
            likely.append(tuple((vocabulary.token(n), p) for n, p in zip(ns, ps, strict=True)))
        if chances:
            all_chances.append(logs.exp().cpu().numpy())
    return Watched(
        tuple(words),
        tuple(ids),
        tuple(n != vocabulary.unknown for n in ids),
        tuple(bits),
        {name: _of_row(each) for name, each in recorded.items()},
        tuple(g for g in layer.cell.gates if g in recorded),
        tuple(s for s in layer.cell.states if s in recorded),
        tuple(likely),
        np.concatenate(all_chances) if chances else None,
    )


def _of_row(recorded: Tensor | list[Tensor]) -> Any:
    """Return what was recorded of one row: (layers, T, units), or a list of (T, units)."""
    if isinstance(recorded, list):
        return [x[:, 0].cpu().numpy() for x in recorded]
    return recorded[:, :, 0].cpu().numpy()


def _logits(model: LanguageModel, h: Tensor) -> Tensor:
    return model.output(h, model.embedding.weight if model.config.tied else None).float()


@dataclass(frozen=True)
class Habits:
    """The habits of a valve's units over a text: numbers of units, and an order to show them in.

    A unit is shut where its mean is below 0.1, open where it is above 0.9, moving where its standard deviation is above
    0.1, and in between otherwise. ``order``: the ones that move most come first.
    """

    shut: tuple[int, ...]
    open: tuple[int, ...]
    moving: tuple[int, ...]
    order: tuple[int, ...]


def habits(values: np.ndarray) -> Habits:
    """Return which units of a valve or state, values (T, units), are shut, open or moving."""
    mean, spread = values.mean(0), values.std(0)
    moving = spread > STEADY
    return Habits(
        tuple(np.flatnonzero(~moving & (mean < SHUT)).tolist()),
        tuple(np.flatnonzero(~moving & (mean > OPEN)).tolist()),
        tuple(np.flatnonzero(moving).tolist()),
        tuple(np.argsort(-spread, kind="stable").tolist()),
    )
