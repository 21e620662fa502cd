"""Comparison of a model's gradients with finite differences of its loss, on a batch, in double precision."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from carousel.errors import InputError
from carousel.training.task import Batch, Trainable

STEPS = (1e-2, 1e-3, 1e-4)  # widths of the differences; a function with kinks needs the small ones
ROUNDING = 4.0  # times the loss's last place: the error of a difference by rounding; smaller slopes count as this large
TOLERANCE = 1e-6
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Checked:
    """The comparison of a parameter's gradient with finite differences.

    Attributes:
        name: of the parameter.
        shape: of the parameter.
        error: the worst relative error over all directions and entries, infinite where a slope is no finite number.
        at: the place of that error: "direction 2", or the entry's indices, "[0, 3]".
        gradient: the slope there by the gradient.
        difference: the slope there by finite differences.
    """

    name: str
    shape: tuple[int, ...]
    error: float
    at: str
    gradient: float
    difference: float

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        return {**asdict(self), "shape": list(self.shape)}


def check_gradients(
    model: Trainable,
    batch: Batch,
    *,
    directions: int = 3,
    entries: int = 3,
    patterns: tuple[str, ...] = (),
    seed: int = 1,
    tick: Tick | None = None,
) -> list[Checked]:
    """Compare the slope of the loss by the gradient with the slope by finite differences, for each parameter.

    A copy of the model is checked, in double precision and in evaluation mode: without dropout and noise. Differences are
    central and of fourth order; of three widths the first that agrees counts, else the best. The error is relative to the
    larger slope, or to the smallest slope that rounding cannot falsify, if that is larger.

    Args:
        model: the model to check.
        batch: a batch of its task; states begin anew.
        directions: number of random directions for each parameter, of length 1.
        entries: number of single entries for each parameter: the one with the largest gradient, and others at random.
        patterns: patterns of ``fnmatch`` for the names of the parameters to check; by default all.
        seed: of directions and entries.
        tick: called with the number of parameters done, and of all.

    Returns:
        A comparison for each parameter, the worst first.

    Raises:
        InputError: no parameter's name fits a pattern, or the loss is not finite.
    """
    model = copy.deepcopy(model).double().eval()
    arguments = [_double(a) for a in batch.arguments(None, model.device)]
    chosen = {n: p for n, p in model.named_parameters() if not patterns or any(fnmatchcase(n, x) for x in patterns)}
    if not chosen:
        raise InputError(
            f"no parameter is called {' or '.join(patterns)}; there are {', '.join(dict(model.named_parameters()))}"
        )

    def loss() -> Tensor:
        return model(*arguments)[0]

    value = loss()
    if not value.isfinite():
        raise InputError("the loss on this batch is not finite, so that its gradient cannot be checked")
    found = torch.autograd.grad(value, list(chosen.values()), allow_unused=True)
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for done, ((name, p), gradient) in enumerate(zip(chosen.items(), found, strict=True), 1):
        slope = torch.zeros_like(p) if gradient is None else gradient
        rows.append(_check(name, p, slope, loss, directions, entries, generator, abs(value.item())))
        if tick:
            tick(done, len(chosen))
    return sorted(rows, key=lambda row: -row.error)


@torch.no_grad()
def _check(
    name: str,
    p: Tensor,
    gradient: Tensor,
    loss: Callable[[], Tensor],
    directions: int,
    entries: int,
    generator: torch.Generator,
    size: float,
) -> Checked:
    tried: list[tuple[str, Tensor]] = []
    for k in range(directions):
        direction = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        tried.append((f"direction {k + 1}", direction / direction.norm().clamp(min=1e-300)))
    places = {int(gradient.abs().argmax()): None} if entries and p.numel() else {}
    places |= dict.fromkeys(torch.randint(max(1, p.numel()), (max(0, entries - 1),), generator=generator).tolist())
    for place in places if entries else ():
        unit = torch.zeros(p.numel(), dtype=torch.float64)
        unit[place] = 1.0
        index = ", ".join(str(int(i)) for i in torch.unravel_index(torch.tensor(place), p.shape))
        tried.append((f"[{index}]", unit.reshape(p.shape)))
    worst = Checked(name, tuple(p.shape), -1.0, "", 0.0, 0.0)
    for at, direction in tried:
        promised = float((gradient * direction.to(gradient)).sum())
        error, difference = _closest(p, direction.to(p), loss, promised, size)
        if error > worst.error:
            worst = Checked(name, tuple(p.shape), error, at, promised, difference)
    return worst


def _closest(p: Tensor, direction: Tensor, loss: Callable[[], Tensor], promised: float, size: float) -> tuple[float, float]:
    """Return the relative error and the slope of the finite difference that agrees best."""
    before, tried = p.clone(), []
    for step in STEPS:
        values = []
        for times in (-2, -1, 1, 2):
            p.copy_(before + times * step * direction)
            values.append(loss().item())
        p.copy_(before)
        difference = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        least = ROUNDING * torch.finfo(torch.float64).eps * max(size, 1.0) / step / TOLERANCE
        large = max(abs(difference), abs(promised), least)
        error = abs(difference - promised) / large if math.isfinite(difference - promised) else math.inf
        tried.append((error, difference))
        if error < TOLERANCE / 10:  # the other widths are for functions that this one does not suit
            break
    return min(tried)


def _double(argument: Any) -> Any:
    """Return an argument of a model with its numbers in double precision."""
    if isinstance(argument, Tensor):
        return argument.double() if argument.is_floating_point() else argument
    if isinstance(argument, Mapping):
        return {name: _double(value) for name, value in argument.items()}
    return argument
