"""Steps down a gradient, shared by all training by gradient, whoever gives the batches and says when it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor, nn

B = TypeVar("B")


class Step:
    """A step that was taken. Its numbers are read from the device where they are asked for, which waits for the device.

    Args:
        loss: summed, before the step.
        norm: of the gradient, before clipping; None: it was not measured.
        clip: the largest norm that a gradient may have; 0 or None: any.
    """

    def __init__(self, loss: Tensor, norm: Tensor | None, clip: float | None):
        self._loss, self._norm, self._clip = loss.detach(), norm, clip

    @cached_property
    def loss(self) -> float:
        """The summed loss before the step."""
        return self._loss.item()

    @cached_property
    def norm(self) -> float:
        """The gradient's norm before clipping, 0 where it was not measured."""
        return 0.0 if self._norm is None else float(self._norm)

    @property
    def clipped(self) -> bool:
        """Return whether the gradient was clipped."""
        return self.norm > (self._clip or math.inf)

    @property
    def not_finite(self) -> str | None:
        """The first of loss and gradient that is not finite, in words; None: both are."""
        return not_finite(self.loss, self.norm)


def not_finite(loss: float, norm: float) -> str | None:
    """Return the first of a loss and the norm of its gradient that is not finite, in words; None where both are finite."""
    return "the loss" if not math.isfinite(loss) else None if math.isfinite(norm) else "the gradient"


class Descent:
    """An optimizer at work on a model. It refuses nothing: the caller looks at each :class:`Step`.

    Args:
        parameters: the tensors that learn.
        optimizer: of the same parameters.
        clip: the largest norm of a gradient; longer ones are scaled down to it. 0: none is; None: nor is the norm measured,
            which takes a twentieth of a millisecond.
        rates: from the number of steps taken so far, of this descent, to the learning rate of each of the optimizer's
            groups; None: the optimizer's own stand.
        processes: that share each batch, whose gradients ``DistributedDataParallel`` averages.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        *,
        clip: float | None = None,
        rates: Callable[[int], Sequence[float]] | None = None,
        processes: int = 1,
    ):
        self.parameters, self.optimizer, self.clip = list(parameters), optimizer, clip
        self.rates, self.processes, self.taken = rates, processes, 0

    def over(self, batches: Iterable[B], loss: Callable[[B], tuple[Tensor, int]]) -> Iterator[tuple[B, Step]]:
        """Take a step for each batch, and yield both. ``loss`` gives the arguments of :meth:`step`."""
        for batch in batches:
            yield batch, self.step(*loss(batch))

    def step(self, loss: Tensor, targets: int = 1) -> Step:
        """Go down the gradient of a loss that was summed over so many targets, of all processes, divided by their number."""
        self.optimizer.zero_grad(set_to_none=True)
        (loss * (self.processes / targets)).backward()
        norm = self.clipped_norm()
        self.set_rates()
        self.optimizer.step()
        self.taken += 1
        return Step(loss, norm, self.clip)

    def set_rates(self) -> None:
        """Give the optimizer the learning rates of the next step."""
        if self.rates is not None:
            for group, rate in zip(self.optimizer.param_groups, self.rates(self.taken), strict=True):
                group["lr"] = rate

    def clipped_norm(self) -> Tensor | None:
        """Clip the gradient, and return its norm before; None where it is not measured."""
        if self.clip is None:
            return None
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if self.clip:
            nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        return norm
