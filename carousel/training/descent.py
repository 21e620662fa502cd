"""Steps down a gradient, shared by all training by gradient, whoever gives the batches and says when it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

B = TypeVar("B")


@dataclass(frozen=True)
class Step:
    """A step that was taken: the summed loss before it, its gradient's norm before clipping (0 where it was not
    measured), and whether it was clipped."""

    loss: float
    norm: float
    clipped: bool

    @property
    def not_finite(self) -> str | None:
        """The first of loss and gradient that is not finite, in words; None: both are."""
        return "the loss" if not math.isfinite(self.loss) else None if math.isfinite(self.norm) else "the gradient"


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
        norm = self._clipped_norm() if self.clip is not None else 0.0
        if self.rates is not None:
            for group, rate in zip(self.optimizer.param_groups, self.rates(self.taken), strict=True):
                group["lr"] = rate
        self.optimizer.step()
        self.taken += 1
        length = float(norm)
        return Step(loss.item(), length, length > (self.clip or math.inf))

    def _clipped_norm(self) -> Tensor:
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if self.clip:
            nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        return norm
