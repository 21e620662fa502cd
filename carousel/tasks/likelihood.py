"""Learners by likelihood, of whole batches: Hessian-free optimization, and AdamW beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from carousel.tasks.learners import LONGEST, Gradient, Learner, tensors
from carousel.tasks.network import Sparse
from carousel.tasks.problem import Batch, Problem
from carousel.training.descent import Descent
from carousel.training.hessian_free import HessianFree, Objective
from carousel.training.optimizers import optimizer

CURVED = 3  # a batch's sequences divided by those that give curvature
LEAST = 32  # of the latter, where there are as many


def losses(problem: Problem, z: Tensor, targets: Tensor) -> Tensor:
    """Return each sequence's loss, the mean over its steps that are asked: cross-entropy, or half the squared error."""
    if problem.each:
        entropy = nn.functional.cross_entropy(z.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none")
        return entropy.view_as(targets).sum(0) / (targets >= 0).sum(0)
    if problem.squash == "softmax":
        return nn.functional.cross_entropy(z, targets, reduction="none")
    if problem.squash == "logistic":
        return nn.functional.binary_cross_entropy_with_logits(z, targets, reduction="none").sum(1)
    return (z - targets).square().sum(1) / 2


def adamw(network: nn.Module, problem: Problem, rate: float) -> Gradient:
    """Return AdamW (Loshchilov and Hutter 2019), gradients clipped."""
    descent = Descent(network.parameters(), optimizer("adamw", list(network.parameters()), rate), clip=LONGEST)

    def loss(z: Tensor, targets: Tensor) -> Tensor:
        return losses(problem, z, targets).mean()

    return Gradient(network, problem.each, problem.squash, loss, descent, settles=False)


class Newton(Learner):
    """Hessian-free optimization: a batch is a step, its first third gives the curvature."""

    network: Sparse

    def __init__(self, network: Sparse, problem: Problem, **options: Any):
        super().__init__(network, problem.each, problem.squash)
        self.problem = problem
        self.optimizer = HessianFree(dict(network.named_parameters()), **options)

    def learn(self, batch: Batch) -> np.ndarray:
        before = self.answer(batch)
        part = batch.rows(0, min(len(batch), max(LEAST, len(batch) // CURVED)))
        self.optimizer.step(self._objective(batch), self._objective(part))
        return before

    def _objective(self, batch: Batch) -> Objective:
        inputs, lengths, targets = tensors(batch, self.each)
        share = float((targets >= 0).sum() / len(batch)) ** -0.5 if self.each else 1.0  # losses are means over steps, too
        watched = _Watched(self.network)

        def predict(parameters: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
            given = {f"network.{name}": p for name, p in parameters.items()}
            z, states = torch.func.functional_call(watched, given, (inputs, lengths))
            return z, [s * share for s in states]

        return Objective(predict, lambda z: losses(self.problem, z, targets))


class _Watched(nn.Module):
    """A network whose call gives its states as well."""

    def __init__(self, network: Sparse):
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, lengths: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        return self.network.watched(inputs, lengths)
