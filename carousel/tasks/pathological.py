"""The pathological problems of Martens and Sutskever (2011), by their supplement's titles and the authors' later code.

In all of them what matters lies within the first half of T steps, at places that grow with T. Where lengths vary they are drawn
from T to T + T/10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carousel.tasks.problem import Batch, Problem, Random, ending, one_hot, spread

OPERATIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "add": np.add,
    "multiply": np.multiply,
    "xor": np.not_equal,
}
FIRST, SECOND = (0.01, 0.1), (0.1, 0.5)  # of T: where the two marks fall
SYMBOLS = "EabcdXYB"
PLACES = {2: ((0.01, 0.1), (0.4, 0.5)), 3: ((0.01, 0.1), (0.3, 0.4), (0.5, 0.6))}  # of T


def _places(random: Random, steps: int, between: tuple[float, float], count: int) -> np.ndarray:
    """Draw places, the first step's being 0; never the first step."""
    begin = max(1, round(between[0] * steps))
    return random.integers(begin, max(begin + 1, round(between[1] * steps)), size=count)


@dataclass(frozen=True)
class Operation(Problem):
    """Adding, multiplying, XOR: pairs of a value and a marker, 1 for the two that count, −1 at the first and last pair.

    Values are even in [0, 1], bits for XOR; the target after the last step is their sum, their product (right within
    0.04), or whether they differ, one logistic output.
    """

    steps: int = 100
    operation: str = "add"
    symbols = False
    inputs = 2
    outputs = 1

    @property
    def lag(self) -> int:  # type: ignore[override]
        return self.steps

    @property
    def squash(self) -> str:  # type: ignore[override]
        return "logistic" if self.operation == "xor" else "none"

    @property
    def tolerance(self) -> float:  # type: ignore[override]
        return 0.5 if self.operation == "xor" else 0.04

    def draw(self, random: Random, count: int) -> Batch:
        lengths, rows = spread(random, self.steps, count), np.arange(count)
        values = random.uniform(size=(int(lengths.max()), count))
        values = (values < 0.5).astype(float) if self.operation == "xor" else values
        markers = np.zeros(values.shape)
        one, two = (_places(random, self.steps, between, count) for between in (FIRST, SECOND))
        markers[one, rows] = markers[two, rows] = 1
        markers[0] = markers[lengths - 1, rows] = -1
        targets = OPERATIONS[self.operation](values[one, rows], values[two, rows])
        inputs = np.stack([values, markers], axis=2).astype(np.float32)
        return Batch(ending(inputs, lengths), lengths, targets.astype(np.float32)[:, None])


@dataclass(frozen=True)
class Ordered(Problem):
    """Temporal order: as experiment 6 of 1997, with T to T + T/10 symbols, X or Y at two or three places of its first part;
    right where the class has more than half of the probability."""

    steps: int = 100
    places: int = 2
    symbols = True
    inputs = len(SYMBOLS)
    squash = "softmax"

    @property
    def lag(self) -> int:  # type: ignore[override]
        return self.steps

    @property
    def outputs(self) -> int:  # type: ignore[override]
        return int(2**self.places)

    def draw(self, random: Random, count: int) -> Batch:
        lengths, rows, kind = spread(random, self.steps, count), np.arange(count), np.zeros(count, np.int64)
        inputs = random.integers(SYMBOLS.index("a"), SYMBOLS.index("d"), size=(int(lengths.max()), count), endpoint=True)
        for between in PLACES[self.places]:
            y = random.integers(0, 2, size=count)
            inputs[_places(random, self.steps, between, count), rows] = SYMBOLS.index("X") + y
            kind = 2 * kind + y
        inputs[0], inputs[lengths - 1, rows] = SYMBOLS.index("E"), SYMBOLS.index("B")
        return Batch(ending(inputs, lengths), lengths, one_hot(kind, self.outputs))


@dataclass(frozen=True)
class Permutation(Problem):
    """Random permutation: symbol 0 or 1, then T − 1 of the 98 others by chance; predict the next one at every step, and after
    the last step the first one. Only that is certain, and it alone says whether a sequence is right."""

    steps: int = 100
    symbols = True
    each = True
    squash = "softmax"
    inputs = outputs = 100

    @property
    def lag(self) -> int:  # type: ignore[override]
        return self.steps

    def draw(self, random: Random, count: int) -> Batch:
        inputs = random.integers(2, self.inputs, size=(self.steps, count))
        inputs[0] = random.integers(0, 2, size=count)
        return Batch(inputs, np.full(count, self.steps), np.roll(inputs, -1, axis=0))

    def wrong(self, outputs: np.ndarray, batch: Batch) -> np.ndarray:
        return outputs[-1].argmax(1) != batch.targets[-1]


@dataclass(frozen=True)
class Memorisation(Problem):
    """Noiseless memorisation: so many letters, blanks, a sign; say the letters again in the last steps, blank before. T steps.

    5 bits: five letters of two. 20 bits: ten letters of five. Symbols: letters, the blank, the sign. A batch whose size
    is a multiple of all possible sequences has each of them equally often. Wrong with one step that is.
    """

    steps: int = 100
    letters: int = 5
    of: int = 2
    symbols = True
    each = True
    squash = "softmax"
    MOST: ClassVar[int] = 1 << 10  # possible sequences that a batch may hold

    @property
    def lag(self) -> int:  # type: ignore[override]
        return self.steps

    @property
    def inputs(self) -> int:  # type: ignore[override]
        return self.of + 2

    @property
    def outputs(self) -> int:  # type: ignore[override]
        return self.of + 1

    @property
    def possible(self) -> int:
        """The number of different sequences."""
        return int(self.of**self.letters)

    def draw(self, random: Random, count: int) -> Batch:
        if count % self.possible == 0 and self.possible <= self.MOST:
            number = np.arange(count) % self.possible
            said = number // self.of ** np.arange(self.letters)[:, None] % self.of
        else:
            said = random.integers(0, self.of, size=(self.letters, count))
        inputs = np.full((self.steps, count), self.of, np.int64)
        targets = np.full((self.steps, count), self.of, np.int64)
        inputs[: self.letters], targets[-self.letters :] = said, said
        inputs[-self.letters - 1] = self.of + 1
        return Batch(inputs, np.full(count, self.steps), targets)

    def wrong(self, outputs: np.ndarray, batch: Batch) -> np.ndarray:
        return (outputs.argmax(2) != batch.targets).any(axis=0)
