"""A small network trained on batches that are made as it goes: what the claims on made-up sequences share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from carousel.insight.claims.claim import Tick
from carousel.layers import Recurrent, State

CLIP = 1.0


class Network(nn.Module):
    """One recurrent layer with a linear output. Called as the layer, it gives (T, B, outputs) and the states."""

    def __init__(self, cell: str, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.layer = Recurrent(cell, inputs, hidden)
        self.output = nn.Linear(self.layer.output_size, outputs)

    def forward(self, x: Tensor, hx: State | None = None, resets: Tensor | None = None) -> tuple[Tensor, Any]:
        """x (T, B, inputs)."""
        m, hx = self.layer(x, hx, resets=resets)
        return self.output(m), hx


def train(network: Network, loss: Callable[[int], Tensor], steps: int, rate: float, tick: Tick) -> None:
    """Adam with a cosine; ``loss`` of the k-th step."""
    optimizer = torch.optim.Adam(network.parameters(), rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for k in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss(k).backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        if k % 20 == 0:
            tick(k, steps)
