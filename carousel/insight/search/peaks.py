"""The tokens of a text after which a unit is highest or lowest, or the states are nearest to a given one: one a line."""

from __future__ import annotations

import numpy as np
import torch

from carousel.insight.search.states import States

AT_ONCE = 1 << 14  # tokens compared at a time: they stay in the cache, and PyTorch wakes no second thread for them
NEVER = np.iinfo(np.int32).min


def extremes(states: States, unit: int, sign: int, starts: np.ndarray, left_out: np.ndarray, count: int) -> np.ndarray:
    """Return the tokens after which a unit is highest (``sign`` 1) or lowest (−1) in their lines, the farthest first.

    Of equal values the first counts.

    Args:
        states: of the text.
        unit: its number.
        sign: which end.
        starts: where each line begins.
        left_out: tokens that do not count.
        count: of tokens at most.
    """
    halves = states.unit(unit).astype(np.int32)
    value = sign * np.where(halves < 0, -(halves & 0x7FFF), halves)  # ordered as the float16 are
    value[left_out] = NEVER
    best = np.maximum.reduceat(value, starts)
    lines = np.argsort(-best.astype(np.int64), kind="stable")[:count]
    lines = lines[best[lines] > NEVER]
    stops = np.append(starts[1:], len(value))
    return np.array([starts[k] + int(value[starts[k] : stops[k]].argmax()) for k in lines], np.int64)


def nearest(
    states: States, to: np.ndarray, starts: np.ndarray, left_out: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens after which the values are nearest to given ones in their lines, the nearest first, and distances.

    Distances are Euclidean. They are taken in single precision first; tokens that its error leaves in question are compared
    in double precision, so the answer is that of an exhaustive search in double precision.

    Args:
        states: of the text.
        to: values, (units,), as float16 has them.
        starts: where each line begins.
        left_out: tokens that do not count.
        count: of tokens at most.
    """
    rough = _rough(states, to)
    rough[left_out] = np.inf
    best = np.minimum.reduceat(rough, starts)
    count = min(count, int(np.isfinite(best).sum()))
    if not count:
        return np.zeros(0, np.int64), np.zeros(0)
    error = 4 * (len(to) + 8) * 2.0**-24  # of a sum of squares, relative, twice over
    bound = float(np.partition(best, count - 1)[count - 1]) * (1 + error)
    tokens = np.flatnonzero(rough <= bound)
    square = np.square(states.values(tokens) - to.astype(np.float64)).sum(1)
    line = np.searchsorted(starts, tokens, "right")
    order = np.lexsort((tokens, square))
    order = order[np.sort(np.unique(line[order], return_index=True)[1])][:count]  # the first of each line
    return tokens[order], np.sqrt(square[order])


def _rough(states: States, to: np.ndarray) -> np.ndarray:
    """Return squared distances, (tokens,), in single precision."""
    found = torch.zeros(states.facts.tokens)
    goal = to.astype(np.float32).tolist()
    difference = torch.empty(AT_ONCE)
    for begin, block in states.blocks():
        for first in range(0, block.shape[1], AT_ONCE):
            some = torch.from_numpy(block[:, first : first + AT_ONCE].view("<f2"))
            sums, rest = found[begin + first : begin + first + some.shape[1]], difference[: some.shape[1]]
            for values, x in zip(some, goal, strict=True):
                rest.copy_(values).sub_(x)
                sums.addcmul_(rest, rest)
    return found.numpy()
