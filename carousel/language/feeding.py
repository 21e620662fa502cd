"""Two ways to feed text to a model: a continuous stream, or a sentence a row.

Both give batches of inputs x and targets y, (T, B) each, where y is what follows x; ``IGNORED`` marks padding, which
never counts. Every token of the text is a target exactly once; the first is predicted from ``<eos>``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.kernels.alike import moved
from carousel.layers import State
from carousel.text.encoded import EncodedText
from carousel.training.processes import Share

IGNORED = -100  # torch.nn.functional.cross_entropy's own


@dataclass(frozen=True)
class Batch:
    """Inputs and targets (T, B); ``targets`` counts the targets of *all* processes, ``fresh`` asks for a new state."""

    x: Tensor
    y: Tensor
    targets: int
    fresh: bool

    @property
    def own_targets(self) -> int:
        """The number of targets in these rows."""
        return int((self.y != IGNORED).sum())

    def arguments(self, state: State | None, device: torch.device | str) -> tuple[Any, ...]:
        """Return the model's arguments; ``state`` is the one that the batch before has left."""
        return moved(self.x, device), None if self.fresh else state, moved(self.y, device)


class Stream:
    """The text cut into ``rows`` long pieces that are read side by side, ``length`` tokens at a time.

    The state is carried from one batch to the next; back-propagation ends at the batch's border. With a seed ``vary``, each
    epoch draws its borders anew.
    """

    cut = 0

    def __init__(
        self, corpus: EncodedText, end: int, rows: int, length: int, share: Share | None = None, vary: int | None = None
    ):
        self.corpus, self.end, self.length, self.vary = corpus, end, length, vary
        self.rows = min(rows, len(corpus))
        self.share = share or Share()
        self.row_length = -(-len(corpus) // self.rows)

    def __len__(self) -> int:
        if self.vary is None:
            return -(-self.row_length // self.length)
        return max(1, round(self.row_length / (0.975 * self.length)))  # one length in twenty is half

    def borders(self, epoch: int) -> list[int]:
        """Return where the batches of an epoch begin in a row, and where the last one ends.

        Lengths that vary are Merity, Keskar and Socher's (2017): a normal deviate of 5 around ``length``, or once in twenty
        around its half, and 5 at least. They are stretched a little, so that all epochs have equally many batches.
        """
        n, count = self.row_length, len(self)
        if self.vary is None:
            return [min(k * self.length, n) for k in range(count + 1)]
        random = np.random.default_rng([self.vary, epoch])
        around = np.where(random.random(count) < 0.95, self.length, self.length / 2)
        lengths = np.maximum(5, random.normal(around, 5).astype(int))
        ends = np.round(np.cumsum(lengths) * (n / lengths.sum())).astype(int)
        return [0, *ends.tolist()]

    def batches(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from the ``first``-th on."""
        ids, n, borders = self.corpus.ids, self.row_length, self.borders(epoch)
        mine = range(self.rows)[self.share.rows(self.rows)]
        for k in range(first, len(self)):
            begin, stop = borders[k], borders[k + 1]
            x = np.full((stop - begin, len(mine)), self.end, np.int64)
            y = np.full((stop - begin, len(mine)), IGNORED, np.int64)
            for column, row in enumerate(mine):
                at = row * n + begin
                piece = ids[at : min(row * n + stop, len(ids))]
                y[: len(piece), column] = piece
                before = ids[at - 1] if 0 < at <= len(ids) else self.end
                x[: len(piece), column] = np.concatenate([[before], piece[:-1]])[: len(piece)]
            total = sum(max(0, min(r * n + stop, len(ids)) - (r * n + begin)) for r in range(self.rows))
            yield Batch(torch.from_numpy(x), torch.from_numpy(y), total, fresh=k == 0)


class Sentences:
    """One sentence a row, padded to the longest in its batch and cut at ``length`` tokens (0: never).

    Sentences come in an order drawn anew each epoch from ``seed`` (None: in the text's order). Empty lines are left out.
    """

    def __init__(
        self, corpus: EncodedText, end: int, rows: int, length: int = 0, share: Share | None = None, seed: int | None = None
    ):
        self.corpus, self.end, self.rows, self.length, self.seed = corpus, end, rows, length, seed
        self.share = share or Share()
        ends = np.asarray(corpus.ends)
        self.begins = np.concatenate([[0], ends[:-1]])
        self.lengths = ends - self.begins
        self.kept = np.flatnonzero(self.lengths > 1)
        self.cut = int((self.lengths > length).sum()) if length else 0

    def __len__(self) -> int:
        return -(-len(self.kept) // self.rows)

    def batches(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from the ``first``-th on."""
        order = self.kept if self.seed is None else np.random.default_rng([self.seed, epoch]).permutation(self.kept)
        for k in range(first, len(self)):
            chosen = order[k * self.rows : (k + 1) * self.rows]
            lengths = np.minimum(self.lengths[chosen], self.length or self.lengths[chosen].max())
            mine = self.share.rows(len(chosen))
            x = np.full((lengths.max(), len(chosen[mine])), self.end, np.int64)
            y = np.full_like(x, IGNORED)
            for column, (sentence, n) in enumerate(zip(chosen[mine], lengths[mine], strict=True)):
                begin = self.begins[sentence]
                y[:n, column] = self.corpus.ids[begin : begin + n]
                x[1:n, column] = y[: n - 1, column]
            yield Batch(torch.from_numpy(x), torch.from_numpy(y), int(lengths.sum()), fresh=True)


def feed(
    kind: str, corpus: EncodedText, end: int, rows: int, length: int, share: Share, seed: int | None, vary: bool = False
) -> Stream | Sentences:
    """Return the feed called "stream" or "sentences"; the arguments are its own. ``vary``: draw the lengths of a stream."""
    if kind == "stream":
        return Stream(corpus, end, rows, length, share, seed if vary else None)
    return Sentences(corpus, end, rows, length, share, seed)
