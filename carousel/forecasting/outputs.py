"""Forms of a forecast: a point, quantiles, a mixture of Gaussians; each with its loss, its quantiles and its CRPS.

A model gives ``size`` raw numbers for each value to forecast, (…, size); targets are (…).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softplus

NARROWEST = 1e-3  # standard deviation of a component, in units of the series' scale
HALVINGS = 60  # of the interval in which a quantile lies


class Output(Protocol):
    """A form of a forecast.

    Attributes:
        size: numbers of the raw output.
        loss_name: the name, in ``metrics.jsonl``, of the mean loss of a value.
    """

    size: int
    loss_name: str

    @property
    def reach(self) -> tuple[float, float] | None:
        """The lowest and the highest level of which it tells a quantile; None where it tells none."""
        ...

    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each target, (…)."""
        ...

    def moved(self, raw: Tensor, by: Tensor) -> Tensor:
        """Return the raw numbers of the same forecasts moved ``by``, (…)."""
        ...

    def median(self, raw: Tensor) -> Tensor:
        """Return the median, or the one number of a point forecast, (…)."""
        ...

    def quantiles(self, raw: Tensor, levels: Sequence[float]) -> Tensor | None:
        """Return quantiles in order, (…, number of levels); None where the form has none."""
        ...

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return the continuous ranked probability score of each target, (…), in the target's unit."""
        ...


class Point:
    """A value alone. By its absolute error it is the median, by its squared error the mean.

    A point's CRPS is its absolute error.
    """

    size = 1
    reach = None

    def __init__(self, squared: bool = False):
        self.squared, self.loss_name = squared, "squared_error" if squared else "absolute_error"

    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return |ŷ − y|, or its square."""
        error = raw[..., 0] - target
        return error.square() if self.squared else error.abs()

    def moved(self, raw: Tensor, by: Tensor) -> Tensor:
        """Return the value, moved."""
        return raw + by.unsqueeze(-1)

    def median(self, raw: Tensor) -> Tensor:
        """Return the value."""
        return raw[..., 0]

    def quantiles(self, raw: Tensor, levels: Sequence[float]) -> None:
        """Return None: a point has none."""

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return |ŷ − y|."""
        return (raw[..., 0] - target).abs()


class Quantiles:
    """Quantiles at some levels, learnt by the pinball loss (Koenker and Bassett 1978).

    Learnt quantiles may cross; they are put in order when they are read (Chernozhukov et al. 2010).

    Args:
        levels: in order, between 0 and 1; 0.5 among them.
    """

    loss_name = "pinball"

    def __init__(self, levels: Sequence[float]):
        self.levels, self.size = tuple(levels), len(levels)
        self.middle, self.reach = self.levels.index(0.5), (self.levels[0], self.levels[-1])

    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return max(τ(y − q), (τ − 1)(y − q)), the mean over the levels τ."""
        levels = raw.new_tensor(self.levels)
        error = target.unsqueeze(-1) - raw
        return torch.maximum(levels * error, (levels - 1) * error).mean(-1)

    def moved(self, raw: Tensor, by: Tensor) -> Tensor:
        """Return all quantiles, moved."""
        return raw + by.unsqueeze(-1)

    def median(self, raw: Tensor) -> Tensor:
        """Return the quantile of level 0.5."""
        return raw.sort(-1).values[..., self.middle]

    def quantiles(self, raw: Tensor, levels: Sequence[float]) -> Tensor:
        """Return quantiles, linear between the learnt levels, and beyond them the outermost."""
        ordered, known = raw.sort(-1).values, torch.tensor(self.levels, dtype=torch.float64)
        wanted = torch.tensor(levels, dtype=torch.float64).clamp(self.levels[0], self.levels[-1])
        above = torch.searchsorted(known, wanted).clamp(1, max(1, self.size - 1))
        below = above - 1
        above = above.clamp(max=self.size - 1)
        span = (known[above] - known[below]).clamp(min=1e-12)
        share = ((wanted - known[below]) / span).clamp(0, 1).to(raw)
        return ordered[..., below] + share * (ordered[..., above] - ordered[..., below])

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return twice the pinball loss, the integral over all levels by the trapezoidal rule.

        The outermost quantiles stand for all levels beyond them.
        """
        ordered, levels = raw.sort(-1).values, raw.new_tensor((0.0, *self.levels, 1.0))
        error = target.unsqueeze(-1) - torch.cat([ordered[..., :1], ordered, ordered[..., -1:]], -1)
        pinball = torch.maximum(levels * error, (levels - 1) * error)
        return ((pinball[..., 1:] + pinball[..., :-1]) * levels.diff()).sum(-1)


class Mixture:
    """A mixture of Gaussians (Bishop 1994): for each component a logit, a mean and a raw width.

    Args:
        components: how many.
    """

    loss_name = "nats"
    reach = (0.0, 1.0)

    def __init__(self, components: int):
        self.components, self.size = components, 3 * components

    def parameters(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log weights, means and standard deviations, (…, components) each."""
        logits, means, widths = raw.chunk(3, -1)
        return log_softmax(logits, -1), means, softplus(widths) + NARROWEST

    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return −log p(y)."""
        log_weights, means, sigma = self.parameters(raw)
        z = (target.unsqueeze(-1) - means) / sigma
        return -torch.logsumexp(log_weights - sigma.log() - 0.5 * z.square() - 0.5 * math.log(2 * math.pi), -1)

    def moved(self, raw: Tensor, by: Tensor) -> Tensor:
        """Return the components with all means moved."""
        logits, means, widths = raw.chunk(3, -1)
        return torch.cat([logits, means + by.unsqueeze(-1), widths], -1)

    def median(self, raw: Tensor) -> Tensor:
        """Return the value with half of the probability below it."""
        return self.quantiles(raw, [0.5])[..., 0]

    def quantiles(self, raw: Tensor, levels: Sequence[float]) -> Tensor:
        """Return quantiles, found by halving the interval between the components' own."""
        log_weights, means, sigma = (p.double() for p in self.parameters(raw))
        wanted = torch.tensor(levels, dtype=torch.float64, device=raw.device)
        own = means.unsqueeze(-2) + sigma.unsqueeze(-2) * torch.special.ndtri(wanted).unsqueeze(-1)
        low, high = own.amin(-1), own.amax(-1)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            z = (middle.unsqueeze(-1) - means.unsqueeze(-2)) / sigma.unsqueeze(-2)
            below = (log_weights.exp().unsqueeze(-2) * torch.special.ndtr(z)).sum(-1) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return ((low + high) / 2).to(raw)

    def crps(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return Σ wᵢ A(y − μᵢ, σᵢ²) − ½ Σ wᵢ wⱼ A(μᵢ − μⱼ, σᵢ² + σⱼ²), which is exact (Grimit et al. 2006).

        A(m, v) is the expected size of a Gaussian of mean m and variance v.
        """
        log_weights, means, sigma = (p.double() for p in self.parameters(raw))
        weights, y = log_weights.exp(), target.double().unsqueeze(-1)
        to_target = (weights * expected_size(y - means, sigma.square())).sum(-1)
        apart = expected_size(
            means.unsqueeze(-1) - means.unsqueeze(-2), sigma.square().unsqueeze(-1) + sigma.square().unsqueeze(-2)
        )
        return (to_target - (weights.unsqueeze(-1) * weights.unsqueeze(-2) * apart).sum((-1, -2)) / 2).to(raw)


def expected_size(mean: Tensor, variance: Tensor) -> Tensor:
    """Return E|x| of Gaussians: 2 σ φ(μ/σ) + μ (2 Φ(μ/σ) − 1)."""
    sigma = variance.sqrt()
    z = mean / sigma
    return 2 * sigma * torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi) + mean * (2 * torch.special.ndtr(z) - 1)
