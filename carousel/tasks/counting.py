"""Two problems that came later: to copy, and to count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carousel.tasks.problem import Batch, Problem, Random, ending
from carousel.tasks.reber import misses


@dataclass(frozen=True)
class Copy(Problem):
    """Copy memory (Arjovsky, Shah and Bengio 2016, section 4.1): ten letters of eight, T − 1 blanks, a sign; then say the ten.

    Symbols: letters 0 to 7, the blank 8, the sign 9; T + 20 steps, of which the last ten are asked (before them nothing is, so
    that the blanks cannot be learned instead). Right where each letter's output is within 0.5.
    """

    steps: int = 100
    symbols = True
    each = True
    inputs = 10
    outputs = 8
    letters = 10

    @property
    def lag(self) -> int:  # type: ignore[override]
        return self.steps + self.letters

    def draw(self, random: Random, count: int) -> Batch:
        said = random.integers(0, self.outputs, size=(self.letters, count))
        inputs = np.full((self.steps + 2 * self.letters, count), 8, np.int64)
        inputs[: self.letters], inputs[self.steps + self.letters - 1] = said, 9
        targets = np.full(inputs.shape, -1, np.int64)
        targets[-self.letters :] = said
        return Batch(inputs, np.full(count, len(inputs)), targets)


@dataclass(frozen=True)
class Counting(Problem):
    """aⁿbⁿcⁿ (Gers and Schmidhuber 2001): a sign, n times a, b and c, the sign again; predict every next symbol.

    n is drawn evenly from ``low`` to ``high``. Symbols: the sign 0, a 1, b 2, c 3. While n is not known a or b may
    follow an a; after that all is certain. Right as in :class:`~carousel.tasks.reber.EmbeddedReber`.
    """

    low: int = 1
    high: int = 10
    symbols = True
    each = True
    inputs = outputs = 4

    @property
    def lag(self) -> int:  # type: ignore[override]
        return 2 * self.high

    def draw(self, random: Random, count: int) -> Batch:
        n = random.integers(self.low, self.high, size=count, endpoint=True)
        lengths = 3 * n + 1
        step = np.arange(3 * int(n.max()) + 2)[:, None]
        whole = np.where((step == 0) | (step > 3 * n), 0, 1 + (step - 1) // n)
        targets = np.where(step[:-1] < lengths, whole[1:], -1)
        allowed = np.eye(4, dtype=bool)[np.where(targets < 0, 0, targets)]
        first = (step[:-1] >= 1) & (step[:-1] <= n)  # after an a: another, or the first b
        allowed[..., 1] |= first
        allowed[..., 2] |= first
        return Batch(ending(whole[:-1], lengths), lengths, targets, allowed=allowed)

    def wrong(self, outputs: np.ndarray, batch: Batch) -> np.ndarray:
        return misses(outputs, batch)
