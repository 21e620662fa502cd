"""The optimizer: a quadratic model of the loss, minimised by conjugate gradients, and how far it is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from carousel.training.hessian_free.conjugate_gradients import conjugate_gradients
from carousel.training.hessian_free.linearized import Linearized, Objective, Parameters

POWER = 0.75  # of the preconditioner
SHORTER, SHORTEST = 0.8, 60  # line search: each try, tries
ENOUGH = 1e-2  # of the gain that the gradient promises
POOR, GOOD, MORE = 0.25, 0.75, 1.5  # the model's share that came true; how damping follows it


@dataclass(frozen=True)
class Step:
    """A step that was taken: the mean loss ``before`` and ``after``, ``damping`` it was found with, ``ratio`` of the loss's
    change to the model's, the model's ``iterations``, and the ``length`` of the line search (0: no step was better)."""

    before: float
    after: float
    damping: float
    ratio: float
    iterations: int
    length: float


class HessianFree:
    """Hessian-free optimization (Martens 2010) with structural damping (Martens and Sutskever 2011).

    A step minimises q(δ) = gᵀδ + ½ δᵀ (G + λ I + μλ S) δ by conjugate gradients: g the gradient of the batch, G the
    Gauss–Newton matrix of ``curvature``, a part of it, and S structural damping (:class:`Linearized`). They begin where those
    of the last step ended, times ``memory``, and are preconditioned by Martens' diagonal, (mean of gᵢ² + λ)^¾. Of their
    iterates, going back, the first is taken before which the loss is no better; then a line search shortens it. λ is raised by
    half where less than a quarter of the promised gain came true, lowered by a third where more than three quarters did.

    The same arguments and batches give the same steps.

    Args:
        parameters: names and tensors that learn, as ``dict(model.named_parameters())``; they are changed in place.
        damping: λ to begin with.
        structural: μ.
        iterations: of conjugate gradients, at most.
        tolerance: of conjugate gradients.
        memory: of the last step.
        seed: of the preconditioner's signs.

    Example:
        >>> hf = HessianFree(dict(model.named_parameters()))
        >>> def predict(parameters):
        ...     return functional_call(model, parameters, (inputs,))  # outputs, (states,)
        >>> hf.step(Objective(predict, losses))
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        *,
        damping: float = 0.1,
        structural: float = 0.03,
        iterations: int = 300,
        tolerance: float = 5e-4,
        memory: float = 0.95,
        seed: int = 0,
    ):
        self.parameters = {name: p for name, p in parameters.items() if p.requires_grad}
        self.damping, self.structural = damping, structural
        self.iterations, self.tolerance, self.memory, self.seed = iterations, tolerance, memory, seed
        self.taken = 0
        self.last: Tensor | None = None

    def step(self, objective: Objective, curvature: Objective | None = None) -> Step:
        """Take a step.

        Args:
            objective: of the batch: gradient and line search.
            curvature: of the part of the batch that gives curvature and preconditioner; all of it by default.
        """
        here = Linearized(objective, self.parameters)
        gradient, before = here.gradient(), here.loss
        del here  # its graph is large
        found, model, iterations = self._minimised(gradient, curvature or objective, objective)
        slope = float(torch.dot(gradient, found))
        after, length, tried = self._value(objective, found), 1.0, 0
        ratio = (after - before) / model if model < 0 else 0.0
        while not after <= before + ENOUGH * length * min(slope, 0.0) and tried < SHORTEST:
            length, tried = length * SHORTER, tried + 1
            after = self._value(objective, length * found)
        damping = self.damping
        if not ratio >= POOR:
            self.damping *= MORE
        elif ratio > GOOD:
            self.damping /= MORE
        self.taken += 1
        if tried == SHORTEST:
            self.last = None  # it led nowhere
            return Step(before, before, damping, ratio, iterations, 0.0)
        with torch.no_grad():
            for name, p in self._moved(length * found).items():
                self.parameters[name].copy_(p)
        return Step(before, after, damping, ratio, iterations, length)

    def _minimised(self, gradient: Tensor, curvature: Objective, objective: Objective) -> tuple[Tensor, float, int]:
        """Return the iterate that is best for the loss, the model's value there, and the iterations of all."""
        curved = Linearized(curvature, self.parameters, self.structural * self.damping)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.taken)
        diagonal = (curved.squares(generator) + self.damping) ** POWER
        kept = conjugate_gradients(
            lambda x: curved.times(x) + self.damping * x,
            -gradient,
            None if self.last is None else self.memory * self.last,
            diagonal=diagonal,
            most=self.iterations,
            tolerance=self.tolerance,
        )
        self.last = kept[-1].x  # rather than the iterate that is taken, which may be an early one (Martens 2010, section 4.6)
        iterations, best = kept[-1].steps, kept.pop()
        value = self._value(objective, best.x)
        while len(kept) > 1 and (earlier := self._value(objective, kept[-1].x)) <= value:
            best, value = kept.pop(), earlier
        return best.x, best.value, iterations

    def _moved(self, change: Tensor) -> Parameters:
        parts = change.split([p.numel() for p in self.parameters.values()])
        return {n: p.detach() + x.view_as(p) for (n, p), x in zip(self.parameters.items(), parts, strict=True)}

    def _value(self, objective: Objective, change: Tensor) -> float:
        return objective.value(self._moved(change))

    def state_dict(self) -> dict[str, Any]:
        """Return what a later step depends on, besides the parameters."""
        return {"damping": self.damping, "taken": self.taken, "last": self.last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state that ``state_dict`` returned."""
        self.damping, self.taken, self.last = state["damping"], state["taken"], state["last"]
