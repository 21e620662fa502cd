"""Conjugate gradients with a diagonal preconditioner, ended as Martens (2010) ends them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

KEPT = 1.3  # an iterate is kept where this many times as many steps were taken


@dataclass(frozen=True)
class Iterate:
    """A point on the way: ``x``, the quadratic's ``value`` there, after so many ``steps``."""

    x: Tensor
    value: float
    steps: int


def conjugate_gradients(
    times: Callable[[Tensor], Tensor],
    b: Tensor,
    start: Tensor | None = None,
    *,
    diagonal: Tensor | None = None,
    most: int = 250,
    tolerance: float = 5e-4,
) -> list[Iterate]:
    """Minimise φ(x) = ½ xᵀ A x − bᵀ x; return iterates on the way, ever further apart, the last one last.

    It ends when the last k = max(10, i / 10) of i steps have lowered φ by less than k · tolerance · φ (Martens 2010, section
    4.4), or when nothing is left to gain.

    Args:
        times: the product A · x, A symmetric and positive definite.
        b: the right side, (n,).
        start: the first x; 0 by default.
        diagonal: of the preconditioner, positive, (n,).
        most: steps at most.
        tolerance: gain for each step, as a share of φ, below which it ends; 0: go on to the end.
    """
    x = torch.zeros_like(b) if start is None else start.clone()
    residual = b - times(x) if start is not None else b.clone()
    scaled = residual if diagonal is None else residual / diagonal
    direction, product = scaled.clone(), torch.dot(residual, scaled)
    values, kept, following = [_value(x, b, residual)], [Iterate(x, _value(x, b, residual), 0)], 1
    least = torch.finfo(b.dtype).eps ** 2 * float(torch.dot(b, b if diagonal is None else b / diagonal))
    for step in range(1, most + 1):
        if not float(product) > least:
            break
        turned = times(direction)
        curvature = torch.dot(direction, turned)
        if not float(curvature) > 0:  # rounding alone is left, or A is not positive
            break
        length = product / curvature
        x, residual = x + length * direction, residual - length * turned
        values.append(_value(x, b, residual))
        scaled = residual if diagonal is None else residual / diagonal
        before, product = product, torch.dot(residual, scaled)
        direction = scaled + product / before * direction
        ended = _ended(values, tolerance)
        if ended or step in (following, most):
            kept.append(Iterate(x, values[-1], step))
            following = max(step + 1, math.ceil(step * KEPT))
        if ended:
            break
    if kept[-1].steps < len(values) - 1:
        kept.append(Iterate(x, values[-1], len(values) - 1))
    return kept


def _value(x: Tensor, b: Tensor, residual: Tensor) -> float:
    return -0.5 * float(torch.dot(x, b + residual))


def _ended(values: list[float], tolerance: float) -> bool:
    step = len(values) - 1
    k = max(10, step // 10)
    return step > k and values[-1] < 0 and (values[-1] - values[-1 - k]) / values[-1] < k * tolerance
