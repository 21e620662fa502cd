"""Optimizers by their names, and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from carousel.training.config import TrainConfig

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


def optimizer(name: str, parameters: Iterable[Any], rate: float, **options: Any) -> torch.optim.Optimizer:
    """Return an optimizer of OPTIMIZERS, each step one compiled kernel (``fused``).

    Args:
        name: of OPTIMIZERS.
        parameters: tensors, or groups of them as PyTorch's optimizers take.
        rate: the learning rate to begin with.
        **options: PyTorch's optimizer's own.
    """
    return OPTIMIZERS[name](parameters, **{"lr": rate, "fused": True, **options})


def configured(training: TrainConfig, parameters: Iterable[Any]) -> torch.optim.Optimizer:
    """Return the optimizer that a configuration asks for."""
    momentum = {"momentum": training.momentum} if training.optimizer == "sgd" else {}
    return optimizer(training.optimizer, parameters, training.lr, weight_decay=training.weight_decay, **momentum)


def rate(training: TrainConfig, step: int, steps: int, decays: int) -> float:
    """Return the learning rate of a step: warm-up, then the schedule.

    "one-cycle" is Smith and Topin 2017 with the numbers of PyTorch's ``OneCycleLR``, whose momentum stands still: from lr / 25
    up to lr, and down to lr / 250 000, both along half a cosine.

    Args:
        training: the run's configuration.
        step: steps taken before it.
        steps: of the whole run.
        decays: validations so far that were no better, each of which lowers the rate on the "plateau" schedule.
    """
    if training.schedule == "one-cycle":
        top = max(0.3 * steps - 1, 1e-9)
        share = step / top if step <= top else (step - top) / max(steps - 1 - top, 1e-9)
        begin, end = (1 / 25, 1.0) if step <= top else (1.0, 1 / 25e4)
        return training.lr * (end + (begin - end) / 2 * (1 + math.cos(math.pi * min(share, 1.0))))
    warm = training.lr * min(1.0, (step + 1) / max(1, training.warmup))
    if training.schedule == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * step / steps))
    if training.schedule == "linear":
        return warm * (1 - step / steps)
    if training.schedule == "epochs":  # Zaremba et al. 2014
        return warm * training.decay ** max(0, step * training.epochs // steps + 1 - training.decay_after)
    return warm * training.decay**decays if training.schedule == "plateau" else warm
