"""Experiment 6: in which order did X and Y come?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carousel.tasks.problem import Batch, Problem, Random, ending, one_hot

SYMBOLS = "EabcdXYB"
PLACES = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}  # the first symbol's place is 1


@dataclass(frozen=True)
class TemporalOrder(Problem):
    """E, then letters a to d by chance, among them X or Y at two (6a) or three (6b) places, then B; 100 to 110 symbols.

    The class is the order of the X and Y, one output each, asked after the B; right within 0.3. Symbols by their place in
    "EabcdXYB"; the class counts in twos, X as 0, the first place first.
    """

    places: int = 2
    symbols = True
    inputs = len(SYMBOLS)
    tolerance = 0.3
    shortest: ClassVar[int] = 100
    longest: ClassVar[int] = 110
    lag = 100

    @property
    def outputs(self) -> int:  # type: ignore[override]
        return int(2**self.places)

    def draw(self, random: Random, count: int) -> Batch:
        lengths = random.integers(self.shortest, self.longest, size=count, endpoint=True)
        inputs = random.integers(SYMBOLS.index("a"), SYMBOLS.index("d"), size=(int(lengths.max()), count), endpoint=True)
        rows, kind = np.arange(count), np.zeros(count, np.int64)
        for begin, end in PLACES[self.places]:
            at, y = random.integers(begin, end, size=count, endpoint=True), random.integers(0, 2, size=count)
            inputs[at - 1, rows] = SYMBOLS.index("X") + y
            kind = 2 * kind + y
        inputs[0], inputs[lengths - 1, rows] = SYMBOLS.index("E"), SYMBOLS.index("B")
        return Batch(ending(inputs, lengths), lengths, one_hot(kind, self.outputs))
