"""The processes of one training run: one, or as many as ``torchrun`` started."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Share:
    """The rows that this process works on: every ``of``-th part of a batch, ``part`` counted from 0."""

    part: int = 0
    of: int = 1

    def rows(self, total: int) -> slice:
        """Return this process's rows of ``total``."""
        return slice(total * self.part // self.of, total * (self.part + 1) // self.of)


class Processes:
    """Which part of the work is this process's, and the little that processes tell each other."""

    def __init__(self) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0")) if self.count > 1 else 0
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0")) if self.count > 1 else 0  # among those of this machine
        if self.count > 1 and not distributed.is_initialized():
            nccl = torch.cuda.is_available() and distributed.is_nccl_available()
            distributed.init_process_group("cpu:gloo,cuda:nccl" if nccl else "gloo")

    @property
    def first(self) -> bool:
        """The process that writes files and speaks."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        """This process's share of every batch."""
        return Share(self.rank, self.count)

    def wrap(self, model: nn.Module, *, some_unused: bool) -> nn.Module:
        """Return the model, its gradients averaged over all processes; ``some_unused``: not every step has one for all."""
        if self.count == 1:
            return model
        return nn.parallel.DistributedDataParallel(model, find_unused_parameters=some_unused)

    def add(self, values: list[float]) -> list[float]:
        """Return each number, summed over all processes."""
        if self.count == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(total)
        return total.tolist()

    def gather(self, value: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, in the first process; an empty list elsewhere. Shapes must be equal."""
        if self.count == 1:
            return [value]
        parts = [torch.empty_like(value) for _ in range(self.count)] if self.first else None
        distributed.gather(value.contiguous(), parts)
        return parts or []

    def wait(self) -> None:
        """Wait until all have come this far."""
        self.add([0.0])  # PyTorch's barrier would take a card, which may be none of this process's

    def close(self) -> None:
        """Leave the group."""
        if self.count > 1 and distributed.is_initialized():
            self.wait()  # whoever leaves first would take the others' connections along
            distributed.destroy_process_group()
