"""Pairs of sentences as batches: rows of about one length together, so that little is padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.errors import InputError
from carousel.language.feeding import IGNORED
from carousel.layers import State
from carousel.text.encoded import EncodedText
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
        return self.source.to(device), self.lengths, self.x.to(device), self.y.to(device)


class Pairs:
    """Two encoded texts, aligned line by line, as batches.

    Pairs of about the same length stand in a batch; each epoch draws anew, from ``seed``, which of them, and the order of
    the batches (None: the order of length). How many there are, and of what lengths, is the same in every epoch.

    Args:
        source, target: corpora of as many lines.
        end: the token ids of ``<eos>`` in both.
        rows: of a batch; ``tokens``, where above 0, stands instead: rows times the longer side's tokens are at most that.
        longest: a pair is left out where a side has more tokens, or none; 0: no length is too long.
        share: this process's rows of each batch.
        seed: of the order.

    Raises:
        InputError: there are fewer pairs to train on than processes. (Of held-out pairs, some processes then have none.)
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
        self.sides, self.end, self.seed, self.share = (source, target), end, seed, share or Share()
        ends = [np.asarray(c.ends) for c in self.sides]
        self.begins = [np.concatenate([[0], e[:-1]]) for e in ends]
        self.lengths = [e - b for e, b in zip(ends, self.begins, strict=True)]
        shorter, longer = np.minimum(*self.lengths), np.maximum(*self.lengths)
        self.empty = int((shorter < 2).sum())
        self.long = int(((shorter > 1) & (longer > longest)).sum()) if longest else 0
        self.kept = np.flatnonzero((shorter > 1) & ((longer <= longest) | (not longest)))
        self.key = longer[self.kept]
        self.rows, self.tokens = rows, tokens
        if seed is not None and self.share.of > max(1, len(self.kept)):
            raise InputError(
                f"{len(self.kept)} pairs are too few to train {self.share.of} processes; give more, or one process"
            )

    cut = 0

    @cached_property
    def cuts(self) -> list[tuple[int, int]]:
        """The places where the batches begin and stop among the pairs in order of length."""
        key, cuts, begin = np.sort(self.key), [], 0
        while begin < len(key):
            stop = begin + self.rows
            if self.tokens:
                # The last pair is the longest, and decides how many tokens all of them take.
                taken = key[begin : begin + self.tokens] * np.arange(1, len(key[begin : begin + self.tokens]) + 1)
                stop = begin + max(1, int(np.searchsorted(taken, self.tokens, side="right")))
            stop = max(stop, begin + self.share.of)
            if len(key) - stop < self.share.of:  # too few for another batch
                stop = len(key)
            cuts.append((begin, stop))
            begin = stop
        return cuts

    def __len__(self) -> int:
        return len(self.cuts)

    def batches(self, epoch: int = 0, first: int = 0) -> Iterator[PairBatch]:
        """Yield the batches of an epoch from the ``first``-th on."""
        if self.seed is None:
            order, turns = np.argsort(self.key, kind="stable"), np.arange(len(self))
        else:
            choose = np.random.default_rng([self.seed, epoch])
            order, turns = np.lexsort((choose.random(len(self.key)), self.key)), choose.permutation(len(self))
        for k in turns[first:]:
            begin, stop = self.cuts[k]
            if not len(range(stop - begin)[self.share.rows(stop - begin)]):
                continue  # held-out pairs are fewer than processes: this one has none
            yield self._batch(self.kept[order[begin:stop]])

    def _batch(self, chosen: np.ndarray) -> PairBatch:
        mine = chosen[self.share.rows(len(chosen))]
        source, target = (self._padded(side, mine, chosen) for side in (0, 1))
        lengths = self.lengths[1][mine]
        y = np.where(np.arange(len(target))[:, None] < lengths, target, IGNORED)
        x = np.concatenate([np.full((1, len(mine)), self.end[1]), target[:-1]])
        targets = int(self.lengths[1][chosen].sum())
        read = torch.from_numpy(self.lengths[0][mine])
        return PairBatch(torch.from_numpy(source), read, torch.from_numpy(x), torch.from_numpy(y), targets)

    def _padded(self, side: int, mine: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        corpus, begins, lengths = self.sides[side], self.begins[side], self.lengths[side]
        padded = np.full((lengths[chosen].max(), len(mine)), self.end[side], np.int64)
        for column, line in enumerate(mine):
            padded[: lengths[line], column] = corpus.ids[begins[line] : begins[line] + lengths[line]]
        return padded
