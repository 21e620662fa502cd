"""The neural cache (Grave, Joulin and Usunier 2017): tokens that were read lately are likelier to come again.

Step i keeps hᵢ, the input of the output layer, with the token xᵢ₊₁ that followed. At step t

    p_cache(w) ∝ Σᵢ 1{w = xᵢ₊₁} exp(θ hₜ · hᵢ)        p(w) = (1 − λ) p_vocabulary(w) + λ p_cache(w)

over the last ``size`` steps i < t. While the cache is empty, p is the model's own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class NeuralCache:
    """The cache of one text.

    Args:
        size: number of steps that it keeps.
        theta: θ; a larger one asks for more similar steps.
        weight: λ, the share of the cache.
    """

    def __init__(self, size: int, theta: float, weight: float):
        self.size, self.theta, self.weight = size, theta, weight
        self.keys, self.tokens = torch.empty(0), torch.empty(0, dtype=torch.long)

    def __call__(self, logs: Tensor, h: Tensor, y: Tensor) -> Tensor:
        """Return log p of each target with the cache's share, (T,); then keep the steps.

        Args:
            logs: log p_vocabulary of each target, (T,).
            h: the inputs of the output layer, (T, size).
            y: the targets, (T,).
        """
        before, steps = len(self.tokens), len(y)
        keys = torch.cat([self.keys, h]) if before else h
        tokens = torch.cat([self.tokens, y])
        age = torch.arange(before, before + steps).unsqueeze(1) - torch.arange(before + steps)
        kept = (age > 0) & (age <= self.size)
        alike = (self.theta * (h @ keys.t())).to(logs.dtype).masked_fill(~kept, -torch.inf)
        right = alike.masked_fill(tokens != y.unsqueeze(1), -torch.inf)
        share = right.logsumexp(1) - alike.logsumexp(1)
        self.keys, self.tokens = keys[-self.size :], tokens[-self.size :]
        mixed = torch.logaddexp(math.log1p(-self.weight) + logs, math.log(self.weight) + share)
        return torch.where(kept.any(1), mixed, logs)
