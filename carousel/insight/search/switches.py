"""Units that switch on and off: on a span of words, and in the runs of tokens over which each stays on.

A unit is on where its value is at least the threshold, or, negative, at most minus the threshold: two *switches* a unit.
Values are compared as float16, as the states of a text are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from carousel.errors import InputError
from carousel.insight.search.states import LARGEST, States, in_halves

Off = Literal["both", "before", "after"]
OFF: tuple[Off, ...] = get_args(Off)
NEGATIVE = 0x8000  # the sign of a float16


@dataclass(frozen=True, order=True)
class Switch:
    """A unit that is on where its value, or (``sign`` −1) the value's opposite, is at least a threshold."""

    unit: int
    sign: int = 1

    def __str__(self) -> str:
        return f"{'−' if self.sign < 0 else ''}{self.unit}"


def half(threshold: float) -> int:
    """Return the least float16 that is not below a threshold, as a whole number. Raises InputError unless it is above zero."""
    if not 0 < threshold <= LARGEST:
        raise InputError(f"`threshold` must be above 0 and at most {LARGEST:,.0f}, not {threshold:g}")
    found = np.float16(threshold)
    if float(found) < threshold:
        found = np.nextafter(found, np.float16(np.inf))
    return int(found.view(np.int16))


def is_on(halves: np.ndarray, threshold: int, sign: int) -> np.ndarray:
    """Return where float16 values are on; values and threshold are their bits as whole numbers.

    The bits of positive values are ordered as the values are, and negative ones as their sizes.
    """
    if sign > 0:
        return np.asarray(halves >= threshold)
    return np.asarray(halves.view("<u2") >= NEGATIVE + threshold)


def switches(values: np.ndarray, begin: int, end: int, threshold: float, off: Off = "both") -> list[Switch]:
    """Return the switches that are on at every word of a span and off beside it.

    Args:
        values: of a text, (words, units).
        begin: the span's first word.
        end: the word after its last.
        threshold: from which a unit is on.
        off: the sides where it must be off, in the one word beside the span; where the text has none it need not.

    Raises:
        InputError: the text has no such span; the threshold is not above zero.
    """
    if not 0 <= begin < end <= len(values):
        raise InputError(f"words {begin} to {end - 1} are no span of the text, whose words are 0 to {len(values) - 1}")
    if off not in OFF:
        raise InputError(f"`off` may be {', '.join(OFF)}, not {off!r}")
    halves, least = in_halves(values).view("<i2"), half(threshold)
    beside = [k for k, side in ((begin - 1, "before"), (end, "after")) if off in (side, "both") and 0 <= k < len(values)]
    found = []
    for sign in (1, -1):
        on = is_on(halves, least, sign)
        found += [Switch(int(u), sign) for u in np.flatnonzero(on[begin:end].all(0) & ~on[beside].any(0))]
    return sorted(found)


def runs(states: States, switch: Switch, threshold: float, borders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the longest runs of tokens over which a switch is on: where each begins, and where it has ended, (runs,) each.

    Args:
        states: of the text.
        switch: of a unit.
        threshold: from which it is on.
        borders: tokens at which the model begins anew, which end a run.
    """
    on = is_on(states.unit(switch.unit), half(threshold), switch.sign)
    first, last = on.copy(), on.copy()
    first[1:] &= ~on[:-1]
    last[:-1] &= ~on[1:]
    inner = borders[borders > 0]
    first[inner], last[inner - 1] = on[inner], on[inner - 1]
    return np.flatnonzero(first), np.flatnonzero(last) + 1


@dataclass(frozen=True)
class Shared:
    """A place of the text, tokens [begin, end), and which of the switches do there as on the span, by their position."""

    begin: int
    end: int
    by: tuple[int, ...]


@dataclass(frozen=True)
class Places:
    """Places ranked, the best first, and how many there are by the number of switches that share them, most first."""

    best: tuple[Shared, ...]
    counts: dict[int, int]


def places(each: Sequence[tuple[np.ndarray, np.ndarray]], length: int, off: Off = "both", count: int = 10) -> Places:
    """Return the places that the runs of several switches share.

    Switches share a place where their runs begin and end together; with ``off`` before (after) where they begin (end)
    together, and the place is as long as all of them are on. The more switches share it the better; then, the less its length
    differs from the span's (with before and after: is shorter); then the text's order.

    Args:
        each: the runs of each switch, as ``runs`` gives them.
        length: of the span, in tokens.
        off: the sides on which runs end together.
        count: of the best places.
    """
    begins, ends = (np.concatenate([[], *(r[side] for r in each)]).astype(np.int64) for side in (0, 1))
    of = np.repeat(np.arange(len(each)), [len(r[0]) for r in each])
    key = {"both": begins * (int(ends.max(initial=0)) + 1) + ends, "before": begins, "after": ends}[off]
    order = np.argsort(key, kind="stable")  # which merges the runs of the switches, each in order already
    begins, ends, of, differs = begins[order], ends[order], of[order], np.diff(key[order]) != 0
    first = np.flatnonzero(np.concatenate([[True], differs])) if len(of) else np.zeros(0, np.int64)
    shared = np.diff(first, append=len(of))
    begin = np.maximum.reduceat(begins, first) if len(of) else begins
    end = np.minimum.reduceat(ends, first) if len(of) else ends
    short = np.abs(end - begin - length) if off == "both" else np.maximum(0, length - (end - begin))
    best = np.lexsort((begin, short, -shared))[:count]
    numbers, many = np.unique(shared, return_counts=True)
    return Places(
        tuple(
            Shared(int(begin[k]), int(end[k]), tuple(sorted(of[first[k] : first[k] + shared[k]].tolist())))
            for k in best.tolist()
        ),
        dict(zip(numbers[::-1].tolist(), many[::-1].tolist(), strict=True)),
    )
