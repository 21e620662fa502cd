"""Windows of series as batches: drawn anywhere for training, one for each place to forecast from otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.forecasting.scaling import Prepared
from carousel.kernels.alike import moved
from carousel.layers import State
from carousel.training.processes import Share

ROWS = 256  # of a batch that is not learnt from


@dataclass(frozen=True)
class WindowBatch:
    """A batch of windows, as ``Forecaster.forward`` takes it.

    Attributes:
        x: the inputs of each step, (T, B, columns).
        y: the values after each step, (T, B, horizon).
        counts: True where ``y`` is a target, (T, B, horizon).
        further: the cell's further inputs by name, (T, B, n) each.
        ends: last step of each window, (B,).
        targets: number of targets in the batch of *all* processes.
    """

    x: Tensor
    y: Tensor
    counts: Tensor
    further: dict[str, Tensor]
    ends: Tensor
    targets: int

    @property
    def own_targets(self) -> int:
        """The number of targets in these rows."""
        return int(self.counts.sum())

    def arguments(self, state: State | None, device: torch.device | str) -> tuple[Any, ...]:
        """Return the forecaster's arguments; nothing is carried from batch to batch."""
        further = {name: moved(v, device) for name, v in self.further.items()}
        return moved(self.x, device), moved(self.y, device), moved(self.counts, device), further


@dataclass(frozen=True)
class Windows:
    """Windows of ``length`` steps, that end where ``ends`` says or are drawn.

    In training, forecasts from all steps of a window count, as far as their targets lie before ``stop``; otherwise only the
    forecast from its last step.

    Args:
        prepared: the series.
        stop: for each series, the first step after the last target.
        length: steps of a window; fewer where a series has fewer.
        rows: of a batch.
        ends: (series, last step) of each window; empty where they are drawn.
        drawn: number of windows to draw in an epoch, all places being equally likely; 0: use ``ends``.
        share: this process's rows of each batch.
        seed: of the drawing.
    """

    prepared: Sequence[Prepared]
    stop: Sequence[int]
    length: int
    rows: int
    ends: Sequence[tuple[int, int]] = ()
    drawn: int = 0
    share: Share = field(default_factory=Share)
    seed: int = 0

    cut = 0

    def __len__(self) -> int:
        return -(-(self.drawn or len(self.ends)) // self.rows)

    def batches(self, epoch: int = 0, first: int = 0) -> Iterator[WindowBatch]:
        """Yield the batches of an epoch from the ``first``-th on."""
        chosen = self._drawn(epoch) if self.drawn else list(self.ends)
        for k in range(first, len(self)):
            rows = chosen[k * self.rows : (k + 1) * self.rows]
            if len(range(len(rows))[self.share.rows(len(rows))]):  # held-out windows may be fewer than processes
                yield self._batch(rows)

    def _drawn(self, epoch: int) -> list[tuple[int, int]]:
        """Return series and last step of windows, whole batches of them, drawn from seed and epoch."""
        # The last step to learn from is the one before the last target.
        first = np.array([min(p.first + self.length, n - 1) for p, n in zip(self.prepared, self.stop, strict=True)])
        places = np.array(self.stop) - first
        borders = np.concatenate([[0], np.cumsum(places)])
        numbers = np.random.default_rng([self.seed, epoch]).integers(borders[-1], size=len(self) * self.rows)
        which = np.searchsorted(borders, numbers, side="right") - 1
        ends = first[which] + numbers - borders[which] - 1
        return list(zip(which.tolist(), ends.tolist(), strict=True))

    def _batch(self, chosen: list[tuple[int, int]]) -> WindowBatch:
        mine = chosen[self.share.rows(len(chosen))]
        begins = [max(self.prepared[s].first, end + 1 - self.length) for s, end in chosen]
        steps = max(end + 1 - begin for (_, end), begin in zip(chosen, begins, strict=True))
        own = begins[self.share.rows(len(chosen))]
        like = self.prepared[0]
        x = np.zeros((steps, len(mine), like.inputs.shape[1]), np.float32)
        y = np.zeros((steps, len(mine), like.targets.shape[1]), np.float32)
        counts = np.zeros(y.shape, bool)
        further = {name: np.zeros((steps, len(mine), v.shape[1]), np.float32) for name, v in like.further.items()}
        for row, ((s, end), begin) in enumerate(zip(mine, own, strict=True)):
            p, stop, n = self.prepared[s], end + 1, end + 1 - begin
            x[:n, row] = p.inputs[begin:stop]
            y[:n, row] = p.targets[begin:stop]
            counts[:n, row] = self._counts(s, begin, stop)
            for name, v in further.items():
                v[:n, row] = p.further[name][begin:stop]
        total = sum(int(self._counts(s, b, e + 1).sum()) for (s, e), b in zip(chosen, begins, strict=True))
        ends = torch.tensor([end - begin for (_, end), begin in zip(mine, own, strict=True)])
        own_further = {name: torch.from_numpy(v) for name, v in further.items()}
        return WindowBatch(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(counts), own_further, ends, total)

    def _counts(self, s: int, begin: int, stop: int) -> np.ndarray:
        """Return True where a window's targets count, (steps, horizon)."""
        counts = self.prepared[s].counts[begin:stop]
        horizon = counts.shape[1]
        reach = np.arange(begin, stop)[:, None] + np.arange(1, horizon + 1) < self.stop[s]
        last = np.arange(begin, stop) == stop - 1
        return counts & reach & (last[:, None] | bool(self.drawn))
