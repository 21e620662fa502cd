"""Experiment 1: the embedded Reber grammar; and the same without ever beginning anew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from carousel.tasks.problem import Batch, Problem, Random, ending

SYMBOLS = "BTPSXVE"
# Each node's ways on: a symbol and the node that it leads to. Both are equally likely.
REBER: dict[int, tuple[tuple[str, int], ...]] = {
    0: (("B", 1),),
    1: (("T", 2), ("P", 3)),
    2: (("S", 2), ("X", 4)),
    3: (("T", 3), ("V", 5)),
    4: (("X", 3), ("S", 6)),
    5: (("P", 4), ("V", 6)),
    6: (("E", 7),),
    7: (),
}


@cache
def embedded() -> dict[int, tuple[tuple[str, int], ...]]:
    """Return the embedded grammar: B, then T or P, then a Reber string, then the same T or P, then E; it begins at node 0."""
    ways: dict[int, tuple[tuple[str, int], ...]] = {0: (("B", 1),), 1: (("T", 10), ("P", 20)), 2: (("E", 3),), 3: ()}
    for first, letter in ((10, "T"), (20, "P")):
        for node, on in REBER.items():
            ways[first + node] = tuple((s, first + to) for s, to in on) or ((letter, 2),)
    return ways


def string(random: Random) -> tuple[str, list[frozenset[str]]]:
    """Draw a string, and for each of its symbols but the last the symbols that may follow it."""
    ways, node = embedded(), 0
    symbols: list[str] = []
    after: list[frozenset[str]] = []
    while ways[node]:
        symbol, node = ways[node][random.integers(len(ways[node])) if len(ways[node]) > 1 else 0]
        symbols.append(symbol)
        after.append(frozenset(s for s, _ in ways[node]))
    return "".join(symbols), after[:-1]


def batch(strings: list[tuple[str, list[frozenset[str]]]]) -> Batch:
    """Return strings as symbols, every next one to be predicted."""
    lengths = np.array([len(s) - 1 for s, _ in strings])
    steps, count = int(lengths.max()), len(strings)
    inputs, targets = np.zeros((steps, count), np.int64), np.full((steps, count), -1, np.int64)
    allowed = np.zeros((steps, count, len(SYMBOLS)), bool)
    for k, (text, after) in enumerate(strings):
        symbols = [SYMBOLS.index(c) for c in text]
        inputs[: len(text) - 1, k], targets[: len(text) - 1, k] = symbols[:-1], symbols[1:]
        for t, ways in enumerate(after):
            allowed[t, k, [SYMBOLS.index(c) for c in ways]] = True
    return Batch(ending(inputs, lengths), lengths, targets, allowed=allowed)


class EmbeddedReber(Problem):
    """1: 256 strings to train on and 256 others to test on, all different; predict every next symbol.

    Right where after every symbol the most active outputs are exactly the symbols that the grammar allows.
    """

    symbols = True
    each = True
    inputs = outputs = len(SYMBOLS)
    lag = 9
    strings = 256

    def sets(self, random: Random) -> tuple[Batch, Batch]:
        """Draw the strings of training, and the strings of the test."""
        after_symbols: dict[str, list[frozenset[str]]] = {}
        while len(after_symbols) < 2 * self.strings:
            text, after = string(random)
            after_symbols.setdefault(text, after)
        pairs = list(after_symbols.items())
        order = random.permutation(len(pairs))  # those drawn late are longer, and belong to both sets alike
        shuffled = [pairs[k] for k in order]
        return batch(shuffled[: self.strings]), batch(shuffled[self.strings :])

    def draw(self, random: Random, count: int) -> Batch:
        return batch([string(random) for _ in range(count)])

    def wrong(self, outputs: np.ndarray, batch: Batch) -> np.ndarray:
        return misses(outputs, batch)


def most_active(outputs: np.ndarray, batch: Batch) -> np.ndarray:
    """Return whether at each step all allowed symbols are more active than all others, (T, B); true after the end."""
    assert batch.allowed is not None
    low = np.where(batch.allowed, outputs, np.inf).min(axis=2)
    high = np.where(batch.allowed, -np.inf, outputs).max(axis=2)
    return (low > high) | (batch.targets < 0)


def misses(outputs: np.ndarray, batch: Batch) -> np.ndarray:
    """Return in which sequences some allowed symbol is not among the most active ones, (B,)."""
    return np.asarray(~most_active(outputs, batch).all(axis=0))


@dataclass(frozen=True)
class ContinualReber(Problem):
    """Gers, Schmidhuber and Cummins 2000: embedded Reber strings one after the other, and nothing tells where one ends.

    A sequence is ``steps`` symbols of such a stream, which begins with a string. Right as in :class:`EmbeddedReber`.
    """

    steps: int = 300
    symbols = True
    each = True
    inputs = outputs = len(SYMBOLS)
    lag = 9

    def draw(self, random: Random, count: int) -> Batch:
        streams = [self._stream(random) for _ in range(count)]
        return Batch(
            np.stack([s[:-1] for s, _ in streams], axis=1),
            np.full(count, self.steps),
            np.stack([s[1:] for s, _ in streams], axis=1),
            allowed=np.stack([a for _, a in streams], axis=1),
        )

    def _stream(self, random: Random) -> tuple[np.ndarray, np.ndarray]:
        symbols: list[int] = []
        allowed: list[frozenset[str]] = []
        while len(symbols) <= self.steps:
            text, after = string(random)
            symbols += [SYMBOLS.index(c) for c in text]
            allowed += [*after, frozenset("B")]
        may = np.array([[c in ways for c in SYMBOLS] for ways in allowed[: self.steps]])
        return np.array(symbols[: self.steps + 1], np.int64), may

    def wrong(self, outputs: np.ndarray, batch: Batch) -> np.ndarray:
        return np.asarray(~most_active(outputs, batch).all(axis=0))
