"""Experiment 3: signal and noise on one line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carousel.tasks.problem import Batch, Problem, Random, ending, spread

VARIANCE, TARGET_VARIANCE = 0.2, 0.1


@dataclass(frozen=True)
class TwoSequences(Problem):
    """3a: the first N values are 1 (class 1) or −1 (class 2), all others Gaussian noise of variance 0.2; tell the class.

    The target after the last step is 1 or 0; right within 0.2. 3b, ``noisy``: the first N values carry the same noise. 3c,
    ``noisy_targets``: the target is 0.2 or 0.8 with Gaussian noise of variance 0.1; right within 0.1 of the clean one.
    Length T to T + T/10.
    """

    steps: int = 100
    n: int = 3
    noisy: bool = False
    noisy_targets: bool = False
    symbols = False
    inputs = 1
    outputs = 1

    @property
    def tolerance(self) -> float:  # type: ignore[override]
        return 0.1 if self.noisy_targets else 0.2

    @property
    def lag(self) -> int:  # type: ignore[override]
        return self.steps

    def draw(self, random: Random, count: int) -> Batch:
        lengths = spread(random, self.steps, count)
        first = random.integers(0, 2, size=count)  # 1: class 1
        values = random.normal(0, VARIANCE**0.5, size=(int(lengths.max()), count))
        signal = 2.0 * first - 1
        values[: self.n] = signal + values[: self.n] if self.noisy else signal
        clean = np.where(first == 1, 0.2, 0.8) if self.noisy_targets else first
        noise = random.normal(0, TARGET_VARIANCE**0.5, size=count) if self.noisy_targets else 0
        return Batch(
            ending(values[..., None].astype(np.float32), lengths),
            lengths,
            (clean + noise).astype(np.float32)[:, None],
            clean.astype(np.float32)[:, None] if self.noisy_targets else None,
        )
