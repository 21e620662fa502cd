"""Batches of rows that are examples of their own: those of about one size stand together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from carousel.errors import InputError
from carousel.training.processes import Share

Made = TypeVar("Made")


class FeedBySize(ABC, Generic[Made]):
    """Rows in batches, by size; each epoch draws the order of the batches anew from ``seed`` (None: the order of size).

    How many batches there are, and of how many rows, is the same in every epoch.

    Args:
        sizes: of the rows, (N,).
        rows: of a batch.
        share: this process's rows of each batch.
        seed: of the order.
        called: the word for rows, in the plural.
        most: where above 0, it stands instead of ``rows``: rows times the largest size are at most that.
        blur: share by which sizes are drawn larger or smaller in each epoch, so that other rows meet; 0: rows of one size alone
            change places.

    Raises:
        InputError: there are fewer rows to train on than processes. (Of held-out rows, some processes then have none.)
    """

    cut = 0

    def __init__(
        self, sizes: np.ndarray, rows: int, share: Share, seed: int | None, called: str, *, most: int = 0, blur: float = 0.0
    ):
        self.sizes, self.rows, self.share, self.seed, self.most, self.blur = sizes, rows, share, seed, most, blur
        if seed is not None and share.of > max(1, len(sizes)):
            raise InputError(f"{len(sizes)} {called} are too few for {share.of} processes; give more, or one process")

    @cached_property
    def cuts(self) -> list[tuple[int, int]]:
        """The places where the batches begin and stop among the rows in order of size."""
        sizes, cuts, begin = np.sort(self.sizes), [], 0
        while begin < len(sizes):
            stop = begin + self.rows
            if self.most:
                # The last row is the largest, and decides how much room all of them take.
                taken = sizes[begin : begin + self.most] * np.arange(1, len(sizes[begin : begin + self.most]) + 1)
                stop = begin + max(1, int(np.searchsorted(taken, self.most, side="right")))
            stop = max(stop, begin + self.share.of)
            if len(sizes) - stop < self.share.of:  # too few for another batch
                stop = len(sizes)
            cuts.append((begin, stop))
            begin = stop
        return cuts

    def __len__(self) -> int:
        return len(self.cuts)

    def batches(self, epoch: int = 0, first: int = 0) -> Iterator[Made]:
        """Yield the batches of an epoch from the ``first``-th on."""
        order, turns = np.argsort(self.sizes, kind="stable"), np.arange(len(self))
        if self.seed is not None:
            choose = np.random.default_rng([self.seed, epoch])
            order, turns = self._order(choose), choose.permutation(len(self))
        for k in turns[first:]:
            chosen = order[slice(*self.cuts[k])]
            mine = chosen[self.share.rows(len(chosen))]
            if len(mine):  # else held-out rows are fewer than processes: this one has none
                yield self.batch(chosen, mine)

    def _order(self, choose: np.random.Generator) -> np.ndarray:
        if self.blur:
            blurred = self.sizes * choose.uniform(1 - self.blur, 1 + self.blur, len(self.sizes))
            return np.argsort(blurred, kind="stable")
        return np.lexsort((choose.random(len(self.sizes)), self.sizes))

    @abstractmethod
    def batch(self, chosen: np.ndarray, mine: np.ndarray) -> Made:
        """Return the batch of the rows ``mine`` of this process, among those ``chosen`` for all."""
