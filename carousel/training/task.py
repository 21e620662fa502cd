"""The seam between the loop and whatever it trains: a task gives a model, its batches and the metric of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from carousel.layers import State
from carousel.training.processes import Share


class Trainable(nn.Module):
    """A model that the trainer can train.

    Called with a batch's ``arguments`` it returns the loss of all targets that count, summed, in nats, and the states
    after the last step (None: it has none).
    """

    kind: ClassVar[str] = "model"
    config: Any  # its ``cell`` names the cell

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    def count(self) -> int:
        """Return the number of parameters."""
        return sum(p.numel() for p in self.parameters())


@dataclass(frozen=True)
class Metric:
    """The measure that people read. ``name`` and ``unit`` (the targets, in the plural) become keys of ``metrics.jsonl``.

    Args:
        of: the metric's value, from a summed loss and the number of targets it was summed over.
        higher: whether a higher value is better. Training itself goes by the loss.
    """

    name: str
    unit: str
    of: Callable[[float, float], float]
    higher: bool = False

    def best(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the row of metrics whose value is best."""
        return (max if self.higher else min)(rows, key=lambda row: row[self.name])


class Batch(Protocol):
    """A step's material to learn from."""

    @property
    def targets(self) -> int:
        """The number of targets that count, in the rows of *all* processes."""
        ...

    @property
    def own_targets(self) -> int:
        """The number of targets that count, in the rows of this process."""
        ...

    def arguments(self, state: State | None, device: torch.device | str) -> tuple[Any, ...]:
        """Return the model's arguments; ``state`` is the one that the task carried on from the batch before."""
        ...


class Feed(Protocol):
    """The batches of a data set, which can be entered at any position. ``cut``: how many rows are shortened."""

    cut: int

    def __len__(self) -> int: ...

    def batches(self, epoch: int = 0, first: int = 0) -> Iterator[Any]:
        """Yield the batches of an epoch from the ``first``-th on."""
        ...


class Task(Protocol):
    """The subject of a run in a folder. It must be the same whenever it is made anew from that folder."""

    metric: Metric
    some_unused: bool  # whether not every step has a gradient for every parameter

    @property
    def model(self) -> Trainable:
        """The model, at first weights that were drawn from PyTorch's generator."""
        ...

    def has(self, name: str) -> bool:
        """Return whether there is a data set "train", "valid" or "test"."""
        ...

    def feed(self, name: str, seed: int | None = None) -> Feed:
        """Return the batches of a data set; with a seed in an order drawn from it, and cut as for training."""
        ...

    def carry(self, state: Any) -> State | None:
        """Return the state that goes on from one training batch to the next, of the states that the model returned."""
        ...


TaskMaker = Callable[[Path, Any, Share], Task]  # of a prepared folder, its configuration, and a process's share
