"""The problem of a task: sequences, and whether an answer is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

Random = np.random.Generator


@dataclass(frozen=True)
class Batch:
    """B sequences side by side, the shorter ones padded at their end with zeros.

    ``inputs``: symbols (T, B), or numbers (T, B, inputs). ``lengths``: steps of each, (B,). ``targets``: where only the end
    counts, each output's target after the last step, (B, outputs); where every step counts, the right symbol after
    it, (T, B), −1 where none is asked. ``clean``: the targets without their noise, where they have some. ``allowed``: (T, B,
    outputs), the symbols that may follow each step, where a task asks for all of them.
    """

    inputs: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray
    clean: np.ndarray | None = None
    allowed: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def rows(self, begin: int, end: int) -> Batch:
        """Return some of the sequences, cut to the longest of them."""
        lengths = self.lengths[begin:end]
        steps = int(lengths.max())
        targets = self.targets[:steps, begin:end] if self.targets.dtype == np.int64 else self.targets[begin:end]
        return Batch(
            self.inputs[:steps, begin:end],
            lengths,
            targets,
            None if self.clean is None else self.clean[begin:end],
            None if self.allowed is None else self.allowed[:steps, begin:end],
        )


class Problem:
    """A source of sequences.

    ``inputs``, ``outputs``: how many symbols or numbers; ``symbols``: whether inputs are symbols; ``each``: whether every
    step has a target, the next symbol; ``lag``: steps between the input that matters and the answer, for first weights;
    ``tolerance``: an output may be that far off; ``direct``: the paper's network lets outputs hear the input, too;
    ``only_end``: of every step's error only the last counts; ``squash``: what the outputs of a learner by likelihood pass
    ("none", "logistic", "softmax"), those by squared error pass none.
    """

    inputs: int
    outputs: int
    symbols: bool
    lag: int
    each: ClassVar[bool] = False
    tolerance: ClassVar[float] = 0.5
    direct: bool = False
    only_end: bool = False
    squash: ClassVar[str] = "none"

    def draw(self, random: Random, count: int) -> Batch:
        """Draw so many sequences, independent of one another. The same generator in the same state gives the same ones."""
        raise NotImplementedError

    def errors(self, outputs: np.ndarray, batch: Batch) -> np.ndarray:
        """Return how far off each output is: (B, outputs), or (T, B, outputs) where every step counts; 0 where none is."""
        if not self.each:
            return np.abs(outputs - (batch.targets if batch.clean is None else batch.clean))
        asked = batch.targets >= 0
        right = np.eye(self.outputs, dtype=np.float32)[np.where(asked, batch.targets, 0)]
        return np.where(asked[..., None], np.abs(outputs - right), 0)

    def wrong(self, outputs: np.ndarray, batch: Batch) -> np.ndarray:
        """Return which sequences are answered wrongly, (B,): an output is off by ``tolerance`` or more."""
        errors = self.errors(outputs, batch)
        return (errors.max(axis=(0, 2)) if self.each else errors.max(axis=1)) >= self.tolerance


def ending(sequences: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return sequences (T, B) or (T, B, ·) with zeros after the end of each."""
    after = np.arange(len(sequences))[:, None] >= lengths
    return np.where(after.reshape(*after.shape, *[1] * (sequences.ndim - 2)), np.zeros((), sequences.dtype), sequences)


def spread(random: Random, minimum: int, count: int) -> np.ndarray:
    """Draw lengths evenly between T and T + T/10, both included."""
    return random.integers(minimum, minimum + minimum // 10, size=count, endpoint=True)


def one_hot(classes: np.ndarray, count: int) -> np.ndarray:
    """Return classes (B,) as targets (B, count)."""
    return np.eye(count, dtype=np.float32)[classes]
