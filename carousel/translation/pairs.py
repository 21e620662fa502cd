"""Pairs of sentences as batches: rows of about one length together, so that little is padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.kernels.alike import moved
from carousel.language.feeding import IGNORED
from carousel.layers import State
from carousel.text.encoded import EncodedText
from carousel.training.by_size import FeedBySize
from carousel.training.processes import Share


@dataclass(frozen=True)
class PairBatch:
    """Pairs side by side: ``source`` (S, B), of which a row's first ``lengths`` (B,) count; the decoder's inputs ``x`` and
    targets ``y`` (T, B), IGNORED beyond a row's end. ``targets`` counts the targets of *all* processes.
    """

    source: Tensor
    lengths: Tensor
    x: Tensor
    y: Tensor
    targets: int

    @property
    def own_targets(self) -> int:
        """The number of targets in these rows."""
        return int((self.y != IGNORED).sum())

    def arguments(self, state: State | None, device: torch.device | str) -> tuple[Any, ...]:
        """Return the translator's arguments; nothing is carried from batch to batch."""
        return moved(self.source, device), self.lengths, moved(self.x, device), moved(self.y, device)


class Pairs(FeedBySize[PairBatch]):
    """Two encoded texts, aligned line by line, as batches: pairs of about one length together.

    Args:
        source, target: corpora of as many lines.
        end: the token ids of ``<eos>`` in both.
        rows: of a batch; ``tokens``, where above 0, stands instead: rows times the longer side's tokens are at most that.
        longest: a pair is left out where a side has more tokens, or none; 0: no length is too long.
        share: this process's rows of each batch.
        seed: of the order.

    Raises:
        InputError: there are fewer pairs to train on than processes.
    """

    def __init__(
        self,
        source: EncodedText,
        target: EncodedText,
        end: tuple[int, int],
        rows: int,
        tokens: int = 0,
        longest: int = 0,
        share: Share | None = None,
        seed: int | None = None,
    ):
        self.sides, self.end = (source, target), end
        ends = [np.asarray(c.ends) for c in self.sides]
        self.begins = [np.concatenate([[0], e[:-1]]) for e in ends]
        self.lengths = [e - b for e, b in zip(ends, self.begins, strict=True)]
        shorter, longer = np.minimum(*self.lengths), np.maximum(*self.lengths)
        self.empty = int((shorter < 2).sum())
        self.long = int(((shorter > 1) & (longer > longest)).sum()) if longest else 0
        self.kept = np.flatnonzero((shorter > 1) & ((longer <= longest) | (not longest)))
        super().__init__(longer[self.kept], rows, share or Share(), seed, "pairs", most=tokens)

    def batch(self, chosen: np.ndarray, mine: np.ndarray) -> PairBatch:
        """Return the batch of the pairs ``mine``, among those ``chosen`` for all processes."""
        lines, own = self.kept[chosen], self.kept[mine]
        source, target = (self._padded(side, own, lines) for side in (0, 1))
        lengths = self.lengths[1][own]
        y = np.where(np.arange(len(target))[:, None] < lengths, target, IGNORED)
        x = np.concatenate([np.full((1, len(own)), self.end[1]), target[:-1]])
        targets = int(self.lengths[1][lines].sum())
        read = torch.from_numpy(self.lengths[0][own])
        return PairBatch(torch.from_numpy(source), read, torch.from_numpy(x), torch.from_numpy(y), targets)

    def _padded(self, side: int, mine: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        corpus, begins, lengths = self.sides[side], self.begins[side], self.lengths[side]
        padded = np.full((lengths[chosen].max(), len(mine)), self.end[side], np.int64)
        for column, line in enumerate(mine):
            padded[: lengths[line], column] = corpus.ids[begins[line] : begins[line] + lengths[line]]
        return padded
