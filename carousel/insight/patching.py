"""Activation patching: what one run remembers is put into another one, unit by unit and word by word.

A and B read two texts that differ, and foretell different words. Units of a state or valve of B are held at A's values while
one word is read; the share of the difference between the two predictions that comes along is what these units carry there
(Vig et al. 2020; Meng et al. 2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel import kernels
from carousel.errors import InputError
from carousel.layers import Clamp

ROWS = 256  # patched runs that are read side by side
ENOUGH = 0.98  # of a share, for as much
GROUPS = 8
LEAST = 1e-3  # bits: below it two predictions are the same

Array = np.ndarray
Odds = Callable[[Sequence[Clamp], int], Tensor]  # clamps and rows of a batch → log-odds of each row, in bits
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Readings:
    """Two runs, and what is asked of the second while it is patched.

    Args:
        a: recorded values of A by name, of each layer (words, units).
        b: those of B.
        places: the words from the first that differs on, as (number in A, number in B).
        words: these words, as (A's, B's).
        answers: the words that A and B foretell.
        odds: of B under clamps the bits by which A's answer is likelier than B's.
        whole: the log-odds of A and B as they are, in bits.
        names: the valves and states.
    """

    a: Mapping[str, Any]
    b: Mapping[str, Any]
    places: tuple[tuple[int, int], ...]
    words: tuple[tuple[str, str], ...]
    answers: tuple[str, str]
    odds: Odds
    whole: tuple[float, float]
    names: tuple[str, ...]

    def clamp(self, name: str, layer: int, word: int, units: Sequence[int] | None = None) -> Clamp:
        """Return the clamp that puts A's values at a word of ``places`` into B there."""
        i, j = self.places[word]
        chosen = None if units is None else tuple(int(u) for u in units)
        values = self.a[name][layer][i : i + 1]
        values = values if chosen is None else values[:, list(chosen)]
        return Clamp(name, torch.tensor(values), chosen, j, j + 1, layer)

    def shares(self, patches: Sequence[Sequence[Clamp]], always: Sequence[Clamp] = ()) -> Array:
        """Return the share of the difference that each patch brings; ``always`` holds beside each."""
        found = []
        for begin in range(0, len(patches), ROWS):
            part = patches[begin : begin + ROWS]
            clamps = [_of_row(c, row) for row, each in enumerate(part) for c in each]
            with torch.no_grad(), kernels.use("reference"):  # each set of names would be compiled for itself
                odds = self.odds([*always, *clamps], len(part))
            found.append((odds.double().cpu().numpy() - self.whole[1]) / (self.whole[0] - self.whole[1]))
        return np.concatenate(found)


def _of_row(c: Clamp, row: int) -> Clamp:
    return Clamp(c.name, c.value, c.units, c.begin, c.end, c.layer, (row,))


@dataclass(frozen=True)
class Patching:
    """The effect of patches of A's values on B: shares of the difference of their log-odds, 0 as B, 1 as A.

    Attributes:
        words: the columns, from the first word that differs on, as (A's, B's).
        numbers: of these words in B.
        answers: what A and B foretell.
        odds: of A and B, bits by which A's answer is likelier than B's.
        quantities: valves and states with their layers, the rows of ``by_quantity``, (quantities, words): all units at a word.
        name, layer, word: the quantity whose units are told apart, and the column at which they were searched.
        units: in the order in which they were found, each the one that brings most beside those before it.
        curve: the share that the first one, two, three … of them bring.
        groups: of them, the rows of ``by_group``, (groups, words); the last but one are all others, the last all units.
    """

    words: tuple[tuple[str, str], ...]
    numbers: tuple[int, ...]
    answers: tuple[str, str]
    odds: tuple[float, float]
    quantities: tuple[tuple[str, int], ...]
    by_quantity: Array
    name: str
    layer: int
    word: int
    units: tuple[int, ...]
    curve: tuple[float, ...]
    groups: tuple[tuple[int, ...], ...]
    by_group: Array

    def enough(self, share: float = 0.9) -> int | None:
        """Return how many units bring that share; None where those that were found do not."""
        return next((k for k, s in enumerate(self.curve, 1) if s >= share), None)

    def labels(self) -> list[str]:
        """Return a name for each group: its units, or how many they are."""
        said = [" ".join(map(str, g)) for g in self.groups[:-2]]
        return [*said, f"the other {len(self.groups[-2])}", f"all {len(self.groups[-1])}"]

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        return {
            "a": [a for a, _ in self.words],
            "b": [b for _, b in self.words],
            "numbers": list(self.numbers),
            "answers": list(self.answers),
            "log_odds_bits": [round(x, 4) for x in self.odds],
            "quantities": [{"name": n, "layer": k} for n, k in self.quantities],
            "by_quantity": np.round(self.by_quantity, 4).tolist(),
            "name": self.name,
            "layer": self.layer,
            "word": self.word,
            "units": list(self.units),
            "curve": [round(s, 4) for s in self.curve],
            "groups": [list(g) for g in self.groups],
            "by_group": np.round(self.by_group, 4).tolist(),
        }


def patching(
    given: Readings,
    name: str,
    layer: int,
    *,
    word: int | None = None,
    most: int = 32,
    size: int | None = None,
    tick: Tick | None = None,
) -> Patching:
    """Patch B with A, and find the units that carry the difference.

    Args:
        given: the two runs.
        name: the state or valve whose units are told apart.
        layer: its layer.
        word: the column at which units are searched; by default the first at which all units together bring as much as
            anywhere, within a fiftieth.
        most: units to find; fewer where they bring what all bring, within a fiftieth.
        size: of the groups of units; by default such that there are eight of them.
        tick: told of progress.

    Raises:
        InputError: there is no such state or valve, or A and B foretell the answers alike.
    """
    if name not in given.a:
        raise InputError(f"this cell has nothing called {name!r}; it has {', '.join(given.a)}")
    if not np.isfinite(given.whole).all():
        raise InputError("the model's predictions are not finite; was it trained to the end?")
    if abs(given.whole[0] - given.whole[1]) < LEAST:
        raise InputError(
            f"both texts foretell {given.answers[0]!r} and {given.answers[1]!r} alike, so there is no difference to carry over"
        )
    columns = range(len(given.words))
    quantities = [(n, k) for n in given.names if n == name or _inside(given, n) for k in range(len(given.a[n]))]
    try:
        alone = given.shares([[given.clamp(name, layer, c)] for c in columns])
    except ValueError as error:  # it does not depend on the states
        raise InputError(str(error)) from None
    whole = given.shares([[given.clamp(n, k, c)] for n, k in quantities for c in columns]).reshape(len(quantities), -1)
    if word is None:
        word = int((alone >= ENOUGH * alone.max()).argmax())
    elif not 0 <= word < len(columns):
        raise InputError(
            f"there are words 0 to {len(columns) - 1} to patch at, counted from the first that differs, not {word}"
        )
    units, curve = _search(given, name, layer, word, min(1.0, float(alone[word])), most, tick)
    groups = _groups(units, given.a[name][layer].shape[1], size or math.ceil(len(units) / GROUPS))
    cells = [[given.clamp(name, layer, c, group)] for group in groups for c in columns]
    by_group = given.shares(cells).reshape(len(groups), -1)
    return Patching(
        given.words,
        tuple(j for _, j in given.places),
        given.answers,
        given.whole,
        tuple(quantities),
        whole,
        name,
        layer,
        word,
        tuple(units),
        tuple(curve),
        tuple(groups),
        by_group,
    )


def _inside(given: Readings, name: str) -> bool:
    """Return whether the loop computes a quantity, so that it can be patched."""
    try:
        given.shares([[given.clamp(name, 0, 0)]])
    except ValueError:
        return False
    return True


def _search(
    given: Readings, name: str, layer: int, word: int, whole: float, most: int, tick: Tick | None
) -> tuple[list[int], list[float]]:
    """Return units, each the one that brings most beside those before it, until they bring the whole, and the shares."""
    left = list(range(given.a[name][layer].shape[1]))
    units: list[int] = []
    curve: list[float] = []
    most = min(most, len(left))
    while len(units) < most and (not curve or curve[-1] < ENOUGH * whole):
        before = [given.clamp(name, layer, word, units)] if units else []
        shares = given.shares([[given.clamp(name, layer, word, [u])] for u in left], before)
        best = int(shares.argmax())
        units.append(left.pop(best))
        curve.append(float(shares[best]))
        if tick is not None:
            tick(len(units), most)
    if tick is not None:
        tick(most, most)
    return units, curve


def _groups(units: Sequence[int], of: int, size: int) -> list[tuple[int, ...]]:
    """Return the units in groups, then all others, then all."""
    others = tuple(u for u in range(of) if u not in set(units))
    return [*(tuple(units[k : k + size]) for k in range(0, len(units), size)), others, tuple(range(of))]
