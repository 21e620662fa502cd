"""The lecture's theory of a layer, before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import sympy
import torch

from carousel.equations import Cell
from carousel.equations.functions import FUNCTIONS, tamed
from carousel.equations.loop import loop
from carousel.equations.notes import Expr
from carousel.kernels.pointwise import evaluate
from carousel.layers import Recurrent

SCALES = {"small": 0.5, "one": 1.0, "large": 4.0}  # largest singular values of recurrent weights


def bound(layer: Recurrent, number: int = 0) -> float | None:
    """Return λ₁ of W_rec times the bound of |σ′| of one layer: |∂x_t/∂x_k| is at most this to the power t − k.

    For cells x = σ(W_rec x + …) alone; None for others, whose gates such a bound does not cover. Renshaw 2014, slide
    "gradients vanish or explode"; Pascanu et al. 2013, section 2.2: it is the largest singular value that counts.

    Args:
        layer: recurrent layers.
        number: of the layer, from 0.
    """
    plain = _plain(layer.cell.quiet)
    if plain is None:
        return None
    weight, steepest = plain
    return steepest * largest_singular_value(layer, weight, number)


def largest_singular_value(layer: Recurrent, weight: str, number: int = 0) -> float:
    """Return the largest singular value of a dense weight that multiplies one vector."""
    matrix = layer.parameter(weight, number).detach().double()
    if weight in layer.cell.masks:
        matrix = matrix * torch.as_tensor(layer.cell.array(weight, *matrix.shape), dtype=matrix.dtype)
    return float(torch.linalg.matrix_norm(matrix, 2).max())  # of several heads that of one of them


@cache
def _plain(cell: Cell) -> tuple[str, float] | None:
    """Return the recurrent weight and the bound of |σ′| of a cell with one state and nothing but σ round its sums."""
    inside = loop(cell.trace, cell.schedule)
    groups = inside.groups
    if len(inside.states) != 1 or len(groups) != 1 or len(groups[0].symbols) != 1 or len(groups[0].operands) != 1:
        return None
    (state,), (group,) = inside.states, groups
    value = inside.definitions[state.after]
    known = FUNCTIONS.get(type(value))
    if group.operands[0] != state.before or known is None or known.slope is None:
        return None
    sum_ = inside.definitions.get(value.args[0], value.args[0])
    if not group.products[0][0].weight.learned:
        return None
    if sympy.diff(sum_, group.symbols[0]) != 1 or state.before in sum_.free_symbols:
        return None
    return group.products[0][0].weight.name, known.slope


@cache
def memory_path(cell: Cell) -> tuple[str, Expr] | None:
    """Return the state that is carried on unit by unit, and the factor of one step along it: the carousel.

    In v1 the memory h is multiplied with 1, in v2 with f_t: so much is left of an error that goes no other way than along the
    pipe. None for cells without such a state. Renshaw 2014, slide "constant error carousel".
    """
    inside = loop(cell.trace, cell.schedule)
    values = {s.before: s for s in inside.states if s.size is not None}
    for state in values.values():
        after = inside.definitions.get(state.after)
        if after is None or state.before not in after.free_symbols:
            continue
        factor = tamed(sympy.diff(after, state.before))
        if factor != 0:
            return state.name, factor
    return None


def carousel(layer: Recurrent, recorded: Mapping[str, Sequence[np.ndarray]], steps: int, number: int = 0) -> np.ndarray | None:
    """Return the rest of an error that the memory's own path leaves, by t − k, (steps,), t the last step.

    It is the products of ``memory_path``'s factors, as root mean square over rows and units; None where a cell has no such
    path, or one that the gates do not tell. ``recorded``: gates by name, of each layer (steps, B, units).
    """
    path = memory_path(layer.cell.quiet)
    if path is None:
        return None
    _, factor = path
    arguments = sorted(factor.free_symbols, key=str)
    if any(str(a)[:-2] not in recorded for a in arguments):
        return None
    values = {a: torch.as_tensor(recorded[str(a)[:-2]][number].astype(float)) for a in arguments}
    factors = np.asarray(evaluate(factor)(values), dtype=float)
    if factors.ndim == 0:
        factors = np.full((steps, 1, 1), float(factors))
    products = np.cumprod(factors[::-1], axis=0)[:-1]  # lag 1 is the last step's factor alone
    rest = np.sqrt((products**2).mean(axis=(1, 2)))
    return np.concatenate([[1.0], rest])


@torch.no_grad()
def rescale(layer: Recurrent, scale: float) -> None:
    """Give every dense weight that multiplies one state alone this largest singular value."""
    for number in range(layer.num_layers):
        for p in layer.cell.trace.parameters:
            if p.kind == "dense" and len(p.columns) == 1 and layer.cell.from_state(p):
                size = largest_singular_value(layer, p.name, number)
                layer.parameter(p.name, number).mul_(scale / size)
