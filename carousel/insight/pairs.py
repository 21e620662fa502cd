"""Minimal pairs: two texts that differ in a word, and the effect of the difference on memory and predictions after it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from carousel.errors import InputError
from carousel.insight.watch import Watched, watch
from carousel.language.model import LanguageModel
from carousel.layers import Clamps
from carousel.text.vocabulary import Vocabulary

CARRIES = 0.5  # of a unit's greatest difference: below it, it carries the difference no more


@dataclass(frozen=True)
class Carrier:
    """A unit that keeps the difference: its greatest |a − b|, at which word, and for how many words it stays above half."""

    layer: int
    unit: int
    greatest: float
    at: int
    words: int


@dataclass(frozen=True)
class Pair:
    """Two readings side by side. ``places``: for each position of the comparison the word of either, as (a, b), of words that
    stand for each other; ``first``: the position where they differ first.

    ``differences``: by name a − b at each position, of each layer (positions, units). ``divergence``: bits, Jensen–Shannon,
    between the predictions after each position. ``surprise``: bits by which the next word is more surprising in b than in a,
    where it is the same word; None elsewhere.
    """

    a: Watched
    b: Watched
    places: tuple[tuple[int, int], ...]
    first: int
    differences: dict[str, Any]
    divergence: tuple[float, ...]
    surprise: tuple[float | None, ...]

    def chosen(self, name: str | None = None) -> str:
        """Return that state or valve; without a name the memory. Raises InputError where there is none of that name."""
        name = name or self.a.states[-1]
        if name not in self.differences:
            raise InputError(f"this cell has nothing called {name!r}; it has {', '.join(self.differences)}")
        return name

    def size(self, name: str) -> np.ndarray:
        """Return |a − b| of a state or valve, root mean square over units, (layers, positions)."""
        return np.stack([np.sqrt((x**2).mean(1)) for x in self.differences[name]])

    def carriers(self, name: str, count: int = 10) -> list[Carrier]:
        """Return the units with the greatest difference after the word."""
        after = [np.abs(x[self.first :]) for x in self.differences[name]]
        places = [(layer, unit) for layer, x in enumerate(after) for unit in range(x.shape[1])]
        carriers = []
        for place in np.argsort(-np.concatenate([x.max(0) for x in after]), kind="stable")[:count]:
            layer, unit = places[place]
            curve = after[layer][:, unit]
            at = int(curve.argmax())
            below = np.flatnonzero(curve[at:] < CARRIES * curve[at])
            carriers.append(
                Carrier(layer, unit, float(curve[at]), self.first + at, int(below[0]) if len(below) else len(curve) - at)
            )
        return carriers

    def as_dict(self, name: str) -> dict[str, Any]:
        """Return the values that JSON shows: words, sizes, carriers of one state, predictions."""
        return {
            "a": [self.a.words[i] for i, _ in self.places],
            "b": [self.b.words[j] for _, j in self.places],
            "first": self.first,
            "state": name,
            "difference": np.round(self.size(name), 5).tolist(),
            "divergence_bits": [round(d, 5) for d in self.divergence],
            "more_surprising_in_b_bits": [None if s is None else round(s, 4) for s in self.surprise],
            "carriers": [vars(c) for c in self.carriers(name)],
        }


def compare(
    model: LanguageModel,
    vocabulary: Vocabulary,
    a: str,
    b: str,
    *,
    clamps: Clamps | None = None,
    clamps_b: Clamps | None = None,
) -> Pair:
    """Read two texts and compare memory and predictions.

    Words are matched as ``difflib`` does; words without a partner are left out of the comparison. With the same text twice and
    clamps in the second it shows the effect of the clamps.

    Args:
        model: a language model.
        vocabulary: the model's.
        a: the first text.
        b: the second text.
        clamps: valves to hold in both readings.
        clamps_b: valves to hold in the second instead.

    Raises:
        InputError: the texts are the same and so are the clamps; or the longer text only goes on where the shorter one ends.
    """
    one = watch(model, vocabulary, a, clamps=clamps, chances=True)
    two = watch(model, vocabulary, b, clamps=clamps_b if clamps_b is not None else clamps, chances=True)
    if clamps_b is None and one.ids == two.ids and one.words != two.words:
        raise InputError("the two texts are the same to the model: it does not know the words in which they differ")
    places, first = match(one.words, two.words)
    if first is None and clamps_b is None:
        raise InputError("the two texts are the same; change a word in one of them")
    if first == len(places):
        raise InputError("the longer text only goes on where the shorter one ends, so there is nothing to compare")
    if first is None:
        first = 0
    i, j = (list(side) for side in zip(*places, strict=True))
    assert one.chances is not None and two.chances is not None  # asked for above
    surprise: list[float | None] = []
    for (p, q), (p_next, q_next) in zip(places, [*places[1:], (0, 0)], strict=True):
        x, y = one.surprisal[p_next], two.surprisal[q_next]
        same = (p_next, q_next) == (p + 1, q + 1) and one.words[p_next] == two.words[q_next]
        surprise.append(y - x if same and x is not None and y is not None else None)
    return Pair(
        one,
        two,
        tuple(places),
        first,
        {name: _less(each, two.values[name], i, j) for name, each in one.values.items()},
        tuple(_divergence(one.chances[p], two.chances[q]) for p, q in places),
        tuple(surprise),
    )


def _less(a: Any, b: Any, i: list[int], j: list[int]) -> Any:
    """Return a at words i less b at words j, by layer, as one array where both are."""
    if isinstance(a, list):
        return [x[i] - y[j] for x, y in zip(a, b, strict=True)]
    return a[:, i] - b[:, j]


def match(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[list[tuple[int, int]], int | None]:
    """Return the positions of words that stand for each other, and where the first differ."""
    places: list[tuple[int, int]] = []
    first = None
    for what, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if what != "equal" and first is None:
            first = len(places)
        places += zip(range(a0, a1), range(b0, b1), strict=False)
    return places, first


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / m), 0).sum() + np.where(q > 0, q * np.log2(q / m), 0).sum()
    return float(max(0.0, terms / 2))
