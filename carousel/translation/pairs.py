"""Pairs of sentences as batches: rows of about one length together, so that little is padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.kernels.alike import moved
from carousel.language.feeding import IGNORED
from carousel.layers import State
from carousel.text.encoded import EncodedText
from carousel.text.splitting import Splitting
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
        splits: of the tokens of both sides, drawn anew for each batch.

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
        splits: Sequence[Splitting] | None = None,
    ):
        self.sides, self.end, self.splits = (source, target), end, splits
        ends = [np.asarray(c.ends) for c in self.sides]
        self.begins = [np.concatenate([[0], e[:-1]]) for e in ends]
        self.lengths = [e - b for e, b in zip(ends, self.begins, strict=True)]
        shorter, longer = np.minimum(*self.lengths), np.maximum(*self.lengths)
        self.empty = int((shorter < 2).sum())
        self.long = int(((shorter > 1) & (longer > longest)).sum()) if longest else 0
        self.kept = np.flatnonzero((shorter > 1) & ((longer <= longest) | (not longest)))
        super().__init__(longer[self.kept], rows, share or Share(), seed, "pairs", most=tokens)

    def batch(self, chosen: np.ndarray, mine: np.ndarray, choose: np.random.Generator | None = None) -> PairBatch:
        """Return the batch of the pairs ``mine``, among those ``chosen`` for all processes."""
        lines, own = self.kept[chosen], np.isin(chosen, mine)
        (source, read, _), (target, lengths, targets) = (self._padded(side, lines, own, choose) for side in (0, 1))
        y = np.where(np.arange(len(target))[:, None] < lengths, target, IGNORED)
        x = np.concatenate([np.full((1, len(mine)), self.end[1]), target[:-1]])
        return PairBatch(torch.from_numpy(source), torch.from_numpy(read), torch.from_numpy(x), torch.from_numpy(y), targets)

    def _padded(
        self, side: int, lines: np.ndarray, own: np.ndarray, choose: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Return a side of a batch: the token ids of its ``own`` lines, padded to the longest of all, their lengths, and the
        number of tokens of all."""
        corpus, begins, lengths = self.sides[side], self.begins[side], self.lengths[side]
        each = [corpus.ids[begins[line] : begins[line] + lengths[line]] for line in lines]
        if self.splits and choose:
            each = self.splits[side].split(each, choose)
        counts = np.array([len(ids) for ids in each])
        padded = np.full((counts.max(), own.sum()), self.end[side], np.int64)
        for column, number in enumerate(np.flatnonzero(own)):
            padded[: counts[number], column] = each[number]
        return padded, counts[own], int(counts.sum())
