"""A small network, trained on batches that are drawn as it goes: shared by the claims on generated sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from carousel.errors import TrainingError
from carousel.insight.claims.claim import Tick
from carousel.layers import Recurrent, State
from carousel.training.descent import Descent
from carousel.training.optimizers import optimizer

CLIP = 1.0


class Network(nn.Module):
    """One recurrent layer with a linear output."""

    def __init__(self, cell: str, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.layer = Recurrent(cell, inputs, hidden)
        self.output = nn.Linear(self.layer.output_size, outputs)

    def forward(self, x: Tensor, hx: State | None = None, resets: Tensor | None = None) -> tuple[Tensor, Any]:
        """Return outputs (T, B, outputs) of x (T, B, inputs), and the states after the last step."""
        m, hx = self.layer(x, hx, resets=resets)
        return self.output(m), hx


def train(network: Network, loss: Callable[[int], Tensor], steps: int, rate: float, tick: Tick) -> None:
    """Train with Adam, its rate falling along a cosine; ``loss`` is asked for the mean loss of the k-th step.

    Raises:
        TrainingError: a loss or its gradient is not finite.
    """
    adam = optimizer("adam", network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for k, step in Descent(network.parameters(), adam, clip=CLIP).over(range(steps), lambda k: (loss(k), 1)):
        if step.not_finite:
            raise TrainingError(f"{step.not_finite} is not finite at step {k + 1}")
        schedule.step()
        if k % 20 == 0:
            tick(k, steps)
