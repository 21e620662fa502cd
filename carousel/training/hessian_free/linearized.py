"""A loss at one place of its parameters: its gradient, and products with its Gauss–Newton matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """A mean loss over B sequences, as a function of named parameters.

    Args:
        predict: from parameters to the model's outputs, before softmax or the like, and its hidden states, which structural
            damping holds back. It must be the same function each time: no dropout that is drawn anew.
        losses: from outputs to each sequence's loss (B,); convex in the outputs.
    """

    predict: Callable[[Parameters], tuple[Tensor, Sequence[Tensor]]]
    losses: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def value(self, parameters: Parameters) -> float:
        """Return the mean loss; infinite where it is no number."""
        value = float(self.losses(self.predict(parameters)[0]).mean())
        return value if value == value else float("inf")


class Linearized:
    """An objective at one place of its parameters. Vectors are flat: all parameters in order.

    The Gauss–Newton matrix is G = Jᵀ H J, with J = ∂outputs/∂parameters and H the mean loss's Hessian in the outputs. Where
    the states' Jacobian is Jₛ, structural damping adds ``structural`` · Jₛᵀ Jₛ / B: the curvature of half the squared distance
    between the hidden states before and after a step, summed over steps and units, its mean over the sequences (Martens
    and Sutskever 2011, section 3.2, who take the distance that matches tanh; the squared one suits every cell).

    J u is a run of the tangent loop, Jᵀ w one backwards; the run forwards that the latter needs is done once.

    Args:
        objective: the loss.
        parameters: where.
        structural: of structural damping; 0: none.
    """

    def __init__(self, objective: Objective, parameters: Mapping[str, Tensor], structural: float = 0.0):
        self.objective, self.structural = objective, structural
        self.place = {name: p.detach() for name, p in parameters.items()}
        self.leaves = {name: p.clone().requires_grad_() for name, p in self.place.items()}
        with torch.enable_grad():
            self.outputs, states = objective.predict(self.leaves)
            self.losses = objective.losses(self.outputs)
            self._leaf = self.outputs.detach().requires_grad_()
            mean = objective.losses(self._leaf).mean()
            (self._slope,) = torch.autograd.grad(mean, [self._leaf], create_graph=True)
        self.states = list(states) if structural else []
        self.loss = float(self.losses.detach().mean())

    def gradient(self) -> Tensor:
        """Return the gradient of the mean loss."""
        return self._pull([self.losses], [torch.full_like(self.losses, 1 / len(self.losses))])

    def squares(self, generator: torch.Generator, draws: int = 16) -> Tensor:
        """Estimate the mean of the sequences' squared gradients, Martens' diagonal, from so many random draws.

        A sum of gradients with random signs, squared, has that mean: every draw is one run backwards over all sequences rather
        than one for each.
        """
        total = torch.zeros_like(torch.cat([p.reshape(-1) for p in self.place.values()]))
        for _ in range(draws):
            signs = torch.randint(0, 2, self.losses.shape, generator=generator) * 2 - 1
            total += self._pull([self.losses], [signs.to(self.losses) / len(self.losses) ** 0.5]).square()
        return total / draws

    def times(self, direction: Tensor) -> Tensor:
        """Return (G + structural · Jₛᵀ Jₛ / B) · direction."""
        names, sizes = list(self.place), [p.numel() for p in self.place.values()]
        parts = zip(names, direction.split(sizes), strict=True)
        change = {name: x.view_as(self.place[name]) for name, x in parts}
        with forward_ad.dual_level():
            moving = {name: forward_ad.make_dual(p, change[name]) for name, p in self.place.items()}
            found = self.objective.predict(moving)
            outputs, *states = [_tangent(x) for x in (found[0], *(found[1] if self.structural else ()))]
        (bent,) = torch.autograd.grad([self._slope], [self._leaf], [outputs], retain_graph=True, materialize_grads=True)
        held = [self.structural / len(self.losses) * u for u in states]
        return self._pull([self.outputs, *self.states], [bent, *held])

    def _pull(self, results: list[Tensor], gradients: list[Tensor]) -> Tensor:
        leaves = list(self.leaves.values())
        found: Any = torch.autograd.grad(results, leaves, gradients, retain_graph=True, materialize_grads=True)
        return torch.cat([g.detach().reshape(-1) for g in found])


def _tangent(x: Tensor) -> Tensor:
    tangent: Tensor | None = forward_ad.unpack_dual(x).tangent
    return torch.zeros_like(x) if tangent is None else tangent
