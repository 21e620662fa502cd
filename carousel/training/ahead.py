"""The next batch is prepared, and copied to a card beside the step before, which nobody has waited for yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from carousel.layers import State
from carousel.training.task import Batch

B = TypeVar("B", bound=Batch)


class Ahead:
    """Copies of batches to a device; those to a CUDA device run in a stream of their own."""

    def __init__(self, device: torch.device):
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def over(self, batches: Iterable[B], state: Callable[[], State | None]) -> Iterator[tuple[B, tuple[Any, ...]]]:
        """Yield each batch and the model's arguments, whose copies have begun.

        Args:
            batches: of one epoch.
            state: asked before each batch for the state that the batch before has left.
        """
        for batch in batches:
            with torch.cuda.stream(self.stream) if self.stream else nullcontext():
                arguments = batch.arguments(state(), self.device)
            yield batch, arguments

    def wait(self, arguments: tuple[Any, ...]) -> None:
        """Let the device's further work begin only when these copies are there; the processor goes on."""
        if self.stream is None:
            return
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self.stream)
        for x in tree_leaves(arguments):
            if isinstance(x, Tensor) and x.is_cuda:
                x.record_stream(current)  # their memory is the other stream's, which must not use it again before
