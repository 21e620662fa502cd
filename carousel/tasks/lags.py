"""Experiment 2: one symbol to be kept while many others pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carousel.tasks.problem import Batch, Problem, Random, ending, one_hot


@dataclass(frozen=True)
class LongLag(Problem):
    """2a, and with ``random`` 2b: y or x, then p − 1 other symbols, then the first again; predict every next symbol.

    In 2a the symbols between are a₁ … a₍p₋₁₎ in order, so that there are two sequences; in 2b any of them in any order, and
    only the error at the end counts. Symbols: a₁ … a₍p₋₁₎ are 0 … p − 2, x is p − 1, y is p. Right within 0.25.
    """

    p: int = 100
    random: bool = False
    symbols = True
    each = True
    tolerance = 0.25

    @property
    def direct(self) -> bool:  # type: ignore[override]
        return not self.random

    @property
    def only_end(self) -> bool:  # type: ignore[override]
        return self.random

    @property
    def inputs(self) -> int:  # type: ignore[override]
        return self.p + 1

    @property
    def outputs(self) -> int:  # type: ignore[override]
        return self.p + 1

    @property
    def lag(self) -> int:  # type: ignore[override]
        return self.p

    def draw(self, random: Random, count: int) -> Batch:
        between = (
            random.integers(0, self.p - 1, size=(self.p - 1, count))
            if self.random
            else np.broadcast_to(np.arange(self.p - 1)[:, None], (self.p - 1, count))
        )
        kept = random.integers(self.p - 1, self.p, size=(1, count), endpoint=True)
        whole = np.concatenate([kept, between, kept]).astype(np.int64)
        return Batch(whole[:-1], np.full(count, self.p), whole[1:])

    def errors(self, outputs: np.ndarray, batch: Batch) -> np.ndarray:
        errors = super().errors(outputs, batch)
        if self.only_end:
            errors[:-1] = 0
        return errors


@dataclass(frozen=True)
class VeryLongLag(Problem):
    """2c: b, then x or y, then q or more of p distractors, then e; after it predict the x or y.

    After q distractors each further symbol is e with probability 1/10, otherwise another distractor. Symbols: a₁ … aₚ are
    0 … p − 1, e is p, b is p + 1, x is p + 2, y is p + 3. Two outputs, for x and y, asked only at the end; right within 0.2.
    """

    q: int = 1000
    p: int = 1000
    symbols = True
    outputs = 2
    tolerance = 0.2

    @property
    def inputs(self) -> int:  # type: ignore[override]
        return self.p + 4

    @property
    def lag(self) -> int:  # type: ignore[override]
        return self.q

    def draw(self, random: Random, count: int) -> Batch:
        more = random.geometric(0.1, size=count) - 1  # distractors before the e comes
        lengths = self.q + more + 3
        kept = random.integers(0, 2, size=count)
        inputs = random.integers(0, self.p, size=(int(lengths.max()), count))
        inputs[0], inputs[1] = self.p + 1, self.p + 2 + kept
        inputs[lengths - 1, np.arange(count)] = self.p
        return Batch(ending(inputs, lengths), lengths, one_hot(kept, 2))
