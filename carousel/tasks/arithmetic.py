"""Experiments 4 and 5: keep two marked numbers, and add or multiply them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carousel.tasks.problem import Batch, Problem, Random, ending, spread

FIRST = 10  # pairs among which the first mark falls


@dataclass(frozen=True)
class Marked(Problem):
    """Pairs of a value and a marker: 1 for the two that count, −1 for the first and the last pair, 0 elsewhere.

    The first mark falls on one of the first ten pairs, the second on one of the first T/2 − 1 others. A mark on the first
    pair does not show (its marker is −1), and its value counts as 0 in a sum, as 1 in a product. Adding: values in [−1, 1],
    target 0.5 + (X₁ + X₂)/4. Multiplying: values in [0, 1], target X₁·X₂. Length T to T + T/10; right within 0.04.
    """

    steps: int = 100
    multiply: bool = False
    symbols = False
    inputs = 2
    outputs = 1
    tolerance = 0.04

    @property
    def lag(self) -> int:  # type: ignore[override]
        return self.steps // 2

    def draw(self, random: Random, count: int) -> Batch:
        lengths = spread(random, self.steps, count)
        longest, rows = int(lengths.max()), np.arange(count)
        values = random.uniform(0.0 if self.multiply else -1.0, 1.0, size=(longest, count))
        one = random.integers(0, FIRST, size=count)
        two = random.integers(0, self.steps // 2 - 1, size=count)
        two += two >= one  # the pair that is marked already is passed over
        markers = np.zeros((longest, count))
        markers[one, rows] = markers[two, rows] = 1
        markers[0] = markers[lengths - 1, rows] = -1
        nothing = 1.0 if self.multiply else 0.0
        x = [np.where(at == 0, nothing, values[at, rows]) for at in (one, two)]
        target = x[0] * x[1] if self.multiply else 0.5 + (x[0] + x[1]) / 4
        inputs = np.stack([values, markers], axis=2).astype(np.float32)
        return Batch(ending(inputs, lengths), lengths, target.astype(np.float32)[:, None])
