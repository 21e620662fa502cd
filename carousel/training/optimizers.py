"""Optimizers by their names, and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from carousel.errors import InputError
from carousel.layers import CellLayer
from carousel.training.config import TrainConfig

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "rprop": torch.optim.Rprop,
}
FUSED = ("adamw", "adam", "sgd")  # of which PyTorch has one compiled kernel a step


def optimizer(name: str, parameters: Iterable[Any], rate: float, **options: Any) -> torch.optim.Optimizer:
    """Return an optimizer of OPTIMIZERS, each step one compiled kernel where PyTorch has it (``fused``).

    Args:
        name: of OPTIMIZERS.
        parameters: tensors, or groups of them as PyTorch's optimizers take.
        rate: the learning rate to begin with.
        **options: PyTorch's optimizer's own.
    """
    return OPTIMIZERS[name](parameters, **{"lr": rate, **({"fused": True} if name in FUSED else {}), **options})


def configured(training: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of a model's parameters that a configuration asks for.

    Raises InputError for muon where PyTorch lacks it.
    """
    name = training.optimizer
    if name == "muon":
        return Muon(model, training.lr, training.weight_decay)
    options: dict[str, Any] = {} if name == "rprop" else {"weight_decay": training.weight_decay}  # a decay has no sign to go by
    if name in ("sgd", "rmsprop"):
        options["momentum"] = training.momentum
    return optimizer(name, list(model.parameters()), training.lr, **options)


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for the recurrent layers' dense weights, AdamW for all other parameters, with one rate.

    Muon's update is scaled to the usual size of AdamW's (Liu et al. 2025). Embedding and output layer are tables of words
    rather than maps, and blocks of heads are no matrices: AdamW takes them.

    Args:
        model: the model that learns.
        rate: the learning rate to begin with.
        weight_decay: weight decay of both.

    Raises:
        InputError: this PyTorch lacks Muon.
    """

    def __init__(self, model: nn.Module, rate: float, weight_decay: float):
        if not hasattr(torch.optim, "Muon"):
            raise InputError(f"`optimizer` muon comes with PyTorch 2.9, and this is {torch.__version__}; take adamw")
        layers = [m for m in model.modules() if isinstance(m, CellLayer)]
        groups = [layer.parameter_groups() for layer in layers]
        matrices = [p for group in groups for kind in ("recurrent", "input") for p in group[kind] if p.dim() == 2]
        known = {id(p) for p in matrices}
        others = [p for p in model.parameters() if id(p) not in known]
        how: dict[str, Any] = {"lr": rate, "weight_decay": weight_decay}
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **how))
        if others:
            self.parts.append(torch.optim.AdamW(others, fused=True, **how))
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let both parts work on this optimizer's groups and state, which a checkpoint saves."""
        groups = iter(self.param_groups)
        for part in self.parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            part.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state that ``state_dict`` returned."""
        super().load_state_dict(state_dict)
        self._share()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # nothing here gives a closure
        """Take a step with the parameters' gradients."""
        for part in self.parts:
            part.step()


def rate(training: TrainConfig, step: int, steps: int, decays: int) -> float:
    """Return the learning rate of a step: warm-up, then the schedule.

    "one-cycle" is the policy of Smith and Topin (2017) with the numbers of PyTorch's ``OneCycleLR`` and without its cycle of
    momentum: up from lr / 25 to lr, and down to lr / 250 000, each along half a cosine.

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
