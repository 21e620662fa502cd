"""The functions of equations beside mpmath and PyTorch: what they are to give over the whole range of a type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath
import numpy as np
import torch
from mpmath import mp, mpf
from torch import Tensor
from torch.nn import functional

from carousel.equations import Cell, cell
from carousel.equations.functions import FUNCTIONS


def _sigma(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x)) if x > 0 else mpmath.exp(x) / (1 + mpmath.exp(x))


def _normal(x: Any) -> Any:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def _bent(x: Any) -> Any:
    return 2 * mpmath.sqrt(2 / mpmath.pi) * (x + mpf("0.044715") * x**3)


def _bent_slope(x: Any) -> Any:
    s = _sigma(_bent(x))
    return s + x * s * _sigma(-_bent(x)) * 2 * mpmath.sqrt(2 / mpmath.pi) * (1 + 3 * mpf("0.044715") * x**2)


@dataclass(frozen=True)
class Exact:
    """A function and its slope in as many digits as wanted, and PyTorch's own of tensors."""

    value: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    torch: Callable[[Tensor], Tensor]
    least: float = -np.inf  # of its operands
    most: float = np.inf
    of_one: int = 0  # the slope is a difference from one, times that power of x at most, and as exact as this is
    nan_slope: bool = True  # False: PyTorch's slope where x is no number differs from one length of tensors to another


EXACT = {
    "logistic": Exact(_sigma, lambda x: _sigma(x) * _sigma(-x), torch.sigmoid, of_one=1),
    "tanh": Exact(mpmath.tanh, lambda x: mpmath.sech(x) ** 2, torch.tanh, of_one=1),
    "relu": Exact(lambda x: max(x, 0), lambda x: int(x > 0), torch.relu),
    "exp": Exact(mpmath.exp, mpmath.exp, torch.exp),
    "log": Exact(mpmath.log, lambda x: 1 / x, torch.log, least=0),
    "absolute": Exact(abs, mpmath.sign, torch.abs),
    "softplus": Exact(lambda x: mpmath.log1p(mpmath.exp(x)), _sigma, functional.softplus),
    "silu": Exact(lambda x: x * _sigma(x), lambda x: _sigma(x) * (1 + x * _sigma(-x)), functional.silu, of_one=1),
    "gelu": Exact(lambda x: x * _normal(x), lambda x: _normal(x) + x * mpmath.npdf(x), functional.gelu),
    "gelu_tanh": Exact(
        lambda x: x * _sigma(_bent(x)),
        _bent_slope,
        lambda x: functional.gelu(x, approximate="tanh"),
        least=-1e6,
        most=1e6,
        of_one=3,  # beyond, PyTorch's slope and ours may be no number, as x cubed is infinite
    ),
    "elu": Exact(
        lambda x: x if x > 0 else mpmath.expm1(x), lambda x: 1 if x > 0 else mpmath.exp(x), functional.elu, nan_slope=False
    ),
    "softsign": Exact(lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2, functional.softsign),
    "hard_sigmoid": Exact(
        lambda x: min(max(x + 3, 0), 6) / mpf(6),
        lambda x: mpf(abs(x) < 3) / 6,
        lambda x: functional.relu6(x + 3) / 6,
        nan_slope=False,
    ),
    "hard_tanh": Exact(lambda x: min(max(x, -1), 1), lambda x: int(abs(x) < 1), functional.hardtanh, nan_slope=False),
    "sin": Exact(mpmath.sin, mpmath.cos, torch.sin),
    "cos": Exact(mpmath.cos, lambda x: -mpmath.sin(x), torch.cos),
    "sqrt": Exact(mpmath.sqrt, lambda x: 1 / (2 * mpmath.sqrt(x)), torch.sqrt, least=0),
    "sign": Exact(mpmath.sign, lambda x: 0, torch.sign),
    "erf": Exact(mpmath.erf, lambda x: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x), torch.erf),
    "erfc": Exact(mpmath.erfc, lambda x: -2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x), torch.special.erfc),
    "clip": Exact(lambda x: min(max(x, -1), 2), lambda x: int(-1 <= x <= 2), lambda x: torch.clip(x, -1, 2)),
}
NEW = list(EXACT)[6:]


@cache
def cell_of(name: str) -> Cell:
    """A cell of which a step is the function of its state, unit by unit."""
    function = next(f for f in FUNCTIONS.values() if f.name == name)
    more = (-1, 2) if name == "clip" else ()

    def one(e, h):  # type: ignore[no-untyped-def]
        h = function(h, *more)
        return h

    return cell(name=f"only-{name}".replace("_", "-"))(one)


def points(name: str, dtype: torch.dtype) -> Tensor:
    """Numbers of every size that the function takes, near zero and near its kinks among them."""
    chance, info = np.random.default_rng(0), torch.finfo(dtype)
    least, most = np.log10(info.smallest_normal), np.log10(info.max)
    sizes = [
        10 ** chance.uniform(least, most - 1, 120),
        10 ** chance.uniform(-9, 1, 120),
        chance.uniform(0, 10, 120),
        chance.uniform(0, 110, 80),
        chance.uniform(0, 800, 80),
        [
            info.smallest_normal / 8,
            1e-10,
            1 / 3,
            1,
            2,
            3,
            np.pi,
            np.pi / 2,
            6.5,
            20.5,
            40,
            100,
            355,
            1000,
            8191,
            8193,
            1e6,
            1e7,
        ],
    ]
    x = torch.tensor(np.concatenate(sizes), dtype=dtype)
    x = torch.cat([x, -x, x[-18:] * (1 - info.eps), -x[-18:] * (1 + info.eps)])
    return x[(x > EXACT[name].least) & (x < EXACT[name].most)]


def special(dtype: torch.dtype) -> Tensor:
    """What is no number, not finite, or zero of either sign."""
    return torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0], dtype=dtype)


@cache
def _bounds(name: str, dtype: torch.dtype) -> list[tuple[float, float, float, float]]:
    """Of each point: value, slope, and how far off each may be.

    Some units in the last place, of the result or of the operand, whichever says more; and the smallest numbers.
    """
    exact, found = EXACT[name], []
    eps, tiny = torch.finfo(dtype).eps, 2 * torch.finfo(dtype).smallest_normal
    with mp.workdps(40):
        for number in points(name, dtype).tolist():
            x = mpf(number)
            near = abs(x) < 2000 or name in ("sin", "cos", "softsign")
            y, slope = (exact.value(x), exact.slope(x)) if near else _far(exact, number)
            bend = (exact.slope(x * (1 + mpf(eps))) - exact.slope(x * (1 - mpf(eps)))) / 2 if near else 0
            found.append((y, slope, 4 * eps * (abs(y) + abs(x * slope)) + tiny, 6 * eps * abs(slope) + 6 * abs(bend) + tiny))
    return [tuple(map(float, each)) for each in found]  # type: ignore[misc]


def _far(exact: Exact, number: float) -> tuple[float, float]:
    """Value and slope by PyTorch, where both are those of a line."""
    x = torch.tensor(number, dtype=torch.float64, requires_grad=True)
    y = exact.torch(x)
    return float(y.detach()), float(torch.autograd.grad(y, x)[0])


def check(name: str, apply: Callable[[Tensor], tuple[Tensor, Tensor]], dtype: torch.dtype, *, of_one: int = 0) -> None:
    """Compare a back end's values and slopes over the whole range with exact ones, and what is special with PyTorch's.

    Args:
        name: of the function.
        apply: from operands to values and slopes.
        dtype: of the operands.
        of_one: slopes may be as inexact as such a difference.
    """
    of_one = max(of_one, EXACT[name].of_one)
    x, most = points(name, dtype), torch.finfo(dtype).max
    for number, value, slope, (y, s, off, slope_off) in zip(
        *map(Tensor.tolist, (x, *apply(x))), _bounds(name, dtype), strict=True
    ):
        told = f"{name}({number!r}) is {value!r}, not {y!r}; its slope {slope!r}, not {s!r}"
        assert abs(value - y) <= off or (abs(y) > most and abs(value) == np.inf), told
        slope_off += 4 * torch.finfo(dtype).eps * (1 + abs(value)) ** of_one if of_one else 0
        assert abs(slope - s) <= slope_off or (abs(s) > most and abs(slope) == np.inf), told
    x = special(torch.float64).requires_grad_()
    wanted = EXACT[name].torch(x)
    (slopes,) = torch.autograd.grad(wanted.sum(), x) if name != "sign" else (torch.zeros(len(x)),)
    values, found = apply(special(dtype))
    torch.testing.assert_close(values.double(), wanted.detach(), rtol=1e-6, atol=1e-37, equal_nan=True)
    if name not in ("tanh", "relu", "logistic"):  # whose zeros have no sign, and which end in the smallest numbers
        assert torch.equal(values.signbit() & (values == 0), wanted.signbit() & (wanted == 0)), f"{name}: signs of zero"
    some = slice(0 if EXACT[name].nan_slope else 1, None)
    torch.testing.assert_close(found.double()[some], slopes.double()[some], rtol=1e-6, atol=1e-37, equal_nan=True)
