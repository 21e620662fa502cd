"""Whole training steps in CUDA graphs: the processor launches one thing a step instead of some hundred kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ctypes import c_float
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_map, tree_unflatten

from carousel.training.descent import Descent, Step

Loss = Callable[..., tuple[Tensor, Any]]  # from a model's arguments to the summed loss, and the states after
Work = Callable[[], None]
BEFORE = 3  # steps of a shape that are taken as they come: kernels are compiled there, and the optimizer gets its memory
MOST = 4  # graphs, each of which keeps the memory of a step


def recorded(work: Work) -> Work:
    """Record what a function does on the card; return a function that does it again, in the same memory."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


class Graphed:
    """Steps of a descent, of which those of a shape that has come several times are replayed from a graph.

    The card holds a learning rate in single precision, so all steps have it so: a run that goes on, whose first steps are taken
    as they come, is the same.

    Args:
        descent: whose optimizer has kernels that read the learning rate from the card (``fused``).
        loss: of a batch; it must not read a number from the card, nor draw one on the processor.
        record: ``recorded``, or another that only notes the work and does not do it.
    """

    def __init__(self, descent: Descent, loss: Loss, record: Callable[[Work], Work] | None = None):
        self.descent, self.loss, self.record = descent, loss, record or recorded
        if (rates := descent.rates) is not None:
            descent.rates = lambda taken: [c_float(rate).value for rate in rates(taken)]
        self.graphs: dict[Any, _Graph] = {}
        self.seen: Counter[Any] = Counter()

    def step(self, arguments: tuple[Any, ...], targets: int) -> tuple[Step, Any]:
        """Take a step down the gradient of a loss over so many targets; return it, and the states after the batch."""
        leaves, form = tree_flatten(arguments)
        shape = self._shape(leaves, form)
        if shape not in self.graphs:
            self.seen[shape] += 1
            if shape is None or self.seen[shape] <= BEFORE or len(self.graphs) == MOST:
                loss, state = self.loss(*arguments)
                return self.descent.step(loss, targets), state
            self.graphs[shape] = _Graph(self, leaves, form)
        return self.graphs[shape].step(leaves, targets)

    def _shape(self, leaves: list[Any], form: TreeSpec) -> Any:
        """Return what must be equal for a graph to fit; None where arguments are not all tensors on the model's device."""
        device = self.descent.parameters[0].device
        if not all(isinstance(x, Tensor) and x.device == device for x in leaves):
            return None
        return str(form), tuple((tuple(x.shape), x.dtype) for x in leaves)


class _Graph:
    """The steps of one shape. A graph reads and writes the same memory each time: arguments are copied there, results away."""

    def __init__(self, owner: Graphed, leaves: list[Tensor], form: TreeSpec):
        self.descent, self.loss, self.form = owner.descent, owner.loss, form
        self.given = [x.detach().clone() for x in leaves]
        device = self.given[0].device
        self.factor = torch.zeros((), device=device)
        self.rates = [torch.zeros((), device=device) for _ in self.descent.optimizer.param_groups]
        self.results: tuple[Tensor, Tensor | None, Any]
        self.again = owner.record(self._work)

    def _work(self) -> None:
        descent, groups = self.descent, self.descent.optimizer.param_groups
        descent.optimizer.zero_grad(set_to_none=True)
        loss, state = self.loss(*tree_unflatten(self.given, self.form))
        (loss * self.factor).backward()
        norm = descent.clipped_norm()
        before = [(g["lr"], g["capturable"]) for g in groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"], group["capturable"] = rate, rate.device.type == "cuda"
        descent.optimizer.step()
        for group, (rate, capturable) in zip(groups, before, strict=True):
            group["lr"], group["capturable"] = rate, capturable
        self.results = loss.detach(), norm, tree_map(_detached, state)

    def step(self, leaves: list[Tensor], targets: int) -> tuple[Step, Any]:
        descent = self.descent
        for room, x in zip(self.given, leaves, strict=True):
            room.copy_(x)
        self.factor.fill_(descent.processes / targets)
        descent.set_rates()
        for room, group in zip(self.rates, descent.optimizer.param_groups, strict=True):
            room.fill_(group["lr"])
        self.again()
        descent.taken += 1
        loss, norm, state = tree_map(_copied, self.results)
        return Step(loss, norm, descent.clip), state


def _detached(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def _copied(x: Any) -> Any:
    return x.clone() if isinstance(x, Tensor) else x
