"""∂x_t/∂x_k: how much of any small change of the state at step k is left at step t (Pascanu et al. 2013, equation 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from carousel import kernels
from carousel.insight.gradients import _forward_only, _states, step
from carousel.layers import Recurrent

EXACT = 256  # numbers of a state up to which the whole matrix is carried back
TURNS = 30  # of the power iteration


def singular_values(
    layer: Recurrent, data: Tensor, *, lags: Sequence[int] | None = None, tick: Callable[[int, int], None] | None = None
) -> dict[int, float]:
    """Return the largest singular value of ∂x_t/∂x_k by t − k, t the last step; x_k all states of all layers together.

    States of up to 256 numbers: for every lag, from the product of the steps' Jacobians itself. Larger ones: by power
    iteration with products of the Jacobian and its transpose with vectors, at lags that double (or the ``lags`` given).

    Args:
        layer: recurrent layers in one direction.
        data: one sequence, (T, input_size).
        lags: which t − k to give, 1 … T − 1.
        tick: called with the lags done, and all of them.
    """
    layer = _forward_only(layer)
    x = data.detach().unsqueeze(1)
    states = _states(layer, x)
    size = sum(s.numel() for s in _vectors(layer, states[0]))
    if size <= EXACT:
        largest = _whole(layer, x, states, size, tick)
        return {k: v for k, v in largest.items() if lags is None or k in lags}
    longest = len(x) - 1
    chosen = list(lags) if lags is not None else sorted({2**j for j in range(20) if 2**j < longest} | {longest})
    largest = {}
    for done, lag in enumerate(chosen):
        largest[lag] = _power(layer, x[len(x) - lag :], states[len(x) - lag])
        if tick:
            tick(done + 1, len(chosen))
    return largest


def _vectors(layer: Recurrent, states: Sequence[Tensor]) -> list[Tensor]:
    return [s for s, state in zip(states, layer.cell.trace.states, strict=True) if state.size is not None]


def _whole(
    layer: Recurrent, x: Tensor, states: list[list[Tensor]], size: int, tick: Callable[[int, int], None] | None
) -> dict[int, float]:
    """Return all lags: each number of x_t is a row of a batch, whose gradients are the rows of the product."""
    rows = torch.eye(size, dtype=x.dtype, device=x.device)
    largest = {}
    for k in range(len(x) - 1, 0, -1):
        before = [s.detach().expand(-1, size, -1).contiguous().requires_grad_(s.is_floating_point()) for s in states[k]]
        after = _vectors(layer, step(layer, x[k].expand(size, -1), before))
        sizes = [s.shape[0] * s.shape[2] for s in after]
        given = [g.reshape(size, s.shape[0], -1).transpose(0, 1) for g, s in zip(rows.split(sizes, 1), after, strict=True)]
        leaves = _vectors(layer, before)
        gradients = torch.autograd.grad(after, leaves, given, allow_unused=True)
        flat = [
            (torch.zeros_like(b) if g is None else g).transpose(0, 1).reshape(size, -1)
            for g, b in zip(gradients, leaves, strict=True)
        ]
        rows = torch.cat(flat, 1)
        largest[len(x) - k] = _largest(rows)
        if tick:
            tick(len(x) - k, len(x) - 1)
    return largest


def _largest(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix.double(), 2)) if bool(matrix.isfinite().all()) else float("inf")


def _power(layer: Recurrent, x: Tensor, before: list[Tensor]) -> float:
    """Iterate v ← JᵀJ v through the reference, which can be derived forward and backward."""
    start = _vectors(layer, before)
    shapes = [s.shape for s in start]

    def chain(*vectors: Tensor) -> tuple[Tensor, ...]:
        given = iter(vectors)
        now = [next(given) if s.size is not None else b for s, b in zip(layer.cell.trace.states, before, strict=True)]
        with kernels.use("reference"):
            single = len(now) == 1
            _, after = layer(x.transpose(0, 1) if layer.batch_first else x, now[0] if single else tuple(now))
        return tuple(_vectors(layer, [after] if single else list(after)))

    generator = torch.Generator().manual_seed(0)
    v = [torch.randn(s, generator=generator).to(x) for s in shapes]
    back = torch.func.vjp(chain, *start)[1]
    largest = 0.0
    for _ in range(TURNS):
        length = _length(v)
        if not float(length) > 0:
            return 0.0
        v = [(a / length).to(x.dtype) for a in v]
        forward = torch.func.jvp(chain, tuple(start), tuple(v))[1]
        now = float(_length(forward))
        if abs(now - largest) <= 1e-4 * now:
            return now
        largest, v = now, list(back(tuple(forward)))
    return largest


def _length(vectors: Sequence[Tensor]) -> Tensor:
    return torch.cat([a.detach().double().flatten() for a in vectors]).norm()


def first_input_sensitivity(layer: Recurrent, data: Tensor, *, directions: int = 64) -> dict[str, np.ndarray]:
    """Return |∂x_t/∂e_1| of every unit at every step, by state (layers, T, units).

    Graves' picture of how long the first input is felt (Renshaw 2014, slide "gradients no longer vanish").

    Euclidean over the input's numbers: exact where it has no more than ``directions``, else estimated from so many
    random ones. ``data``: one sequence, (T, input_size).
    """
    layer = _forward_only(layer)
    layer.layout.check_even("the sensitivity to the first input")
    layer.eval()
    size = data.shape[1]
    exact = size <= directions
    generator = torch.Generator().manual_seed(0)
    tangents = torch.eye(size) if exact else torch.randn(directions, size, generator=generator) / directions**0.5
    tangents = tangents.to(data)
    rest = data[1:].unsqueeze(1).expand(-1, len(tangents), -1)
    names = [s.name for s in layer.cell.trace.states if s.size is not None]

    def states(first: Tensor) -> tuple[Tensor, ...]:
        x = torch.cat([first.unsqueeze(0), rest])
        _, _, recorded = layer(x.transpose(0, 1) if layer.batch_first else x, record=names)
        return tuple(recorded[n].transpose(1, 2) if layer.batch_first else recorded[n] for n in names)

    with kernels.use("reference"), torch.no_grad():
        changes = torch.func.jvp(states, (data[0].expand(len(tangents), -1).clone(),), (tangents,))[1]
    return {n: c.norm(dim=2).cpu().numpy() for n, c in zip(names, changes, strict=True)}
