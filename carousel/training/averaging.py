"""The mean of the weights along training, which is validated and kept in place of the last weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from carousel.training.config import TrainConfig


class Average:
    """The mean of a model's weights, exponential or of all steps since it began.

    "ema" begins with the first step; the past's share is smaller in the first steps (n / (n + 9), n counted from 1), so that
    first weights are soon forgotten. "nt-asgd" is the non-monotonically triggered mean of Merity, Keskar and Socher (2017):
    it begins once validation is worse than the best of all but the last ``average_after`` epochs.

    Args:
        training: the run's configuration, which names the mean.
        model: the model with the weights.
    """

    def __init__(self, training: TrainConfig, model: nn.Module):
        self.training, self.named = training, dict(model.named_parameters())
        self.mean: dict[str, Tensor] = {}

    def begin(self) -> None:
        """Begin the mean with the weights as they are."""
        self.mean = {name: p.detach().clone() for name, p in self.named.items()}

    @torch.no_grad()
    def add(self, steps: int) -> None:
        """Take in the weights after a step.

        Args:
            steps: number of steps in the mean, this one included.
        """
        share = 1 / steps
        if self.training.average == "ema":
            share = 1 - min(self.training.average_decay, (steps - 1) / (steps + 8))
        for name, mean in self.mean.items():
            mean.lerp_(self.named[name], share)

    def due(self, loss: float, before: Sequence[float]) -> bool:
        """Return whether the mean begins after a validation with this loss. ``before``: the losses of earlier validations."""
        if self.training.average != "nt-asgd" or self.mean:
            return False
        back = self.training.average_after
        return len(before) > back and loss > min(before[: len(before) - back])

    @contextmanager
    @torch.no_grad()
    def in_place(self) -> Iterator[None]:
        """Give the model the mean of the weights, where there is one, as long as the context lasts."""
        own = {name: p.detach().clone() for name, p in self.named.items()} if self.mean else {}
        try:
            for name, mean in self.mean.items():
                self.named[name].copy_(mean)
            yield
        finally:
            for name, value in own.items():
                self.named[name].copy_(value)

    def load(self, mean: Mapping[str, Tensor]) -> None:
        """Go on with a saved mean, empty before it begins. Raises KeyError or RuntimeError for a mean of another model."""
        self.mean = {name: p.detach().clone() for name, p in self.named.items()} if mean else {}
        for name, value in self.mean.items():
            value.copy_(mean[name])
