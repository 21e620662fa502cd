"""Back ends that run a cell's loop over whole sequences; each has the signature of ``reference.run``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.derivative import NoDerivative
from carousel.kernels import reference, segments, triton
from carousel.kernels.alike import alike
from carousel.kernels.cpu import operator, stepping
from carousel.kernels.cpu.compiler import CompileError, simd
from carousel.kernels.cpu.program import Program
from carousel.kernels.cpu.registry import register, registered
from carousel.kernels.cpu.source import source as cpp
from carousel.kernels.inputs import loop_of

BACKENDS: dict[str, Callable[..., Any]] = {"reference": reference.run, "cpu": operator.run, "triton": triton.run}

_chosen: ContextVar[str | None] = ContextVar("carousel_kernels", default=None)


def backend() -> str | None:
    """The back end that was chosen: ``use``'s, else $CAROUSEL_KERNELS; None leaves it to Carousel. Raises ValueError."""
    name = _chosen.get() or os.environ.get("CAROUSEL_KERNELS") or None
    if name is not None and name not in BACKENDS:
        raise ValueError(f"no kernels are called {name!r}; CAROUSEL_KERNELS may be {' or '.join(BACKENDS)}")
    return name


@contextmanager
def use(name: str) -> Iterator[None]:
    """Choose the back end within a ``with`` block: "reference", "cpu" or "triton"."""
    token = _chosen.set(name)
    try:
        backend()
        yield
    finally:
        _chosen.reset(token)


def run(
    cell: Cell,
    data: Tensor,
    batch_sizes: Sequence[int],
    before: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    *,
    reverse: bool = False,
    resets: Tensor | None = None,
    initial: Mapping[str, Tensor] | None = None,
    record: Sequence[str] = (),
    clamp: reference.Clamp | None = None,
    checkpoint: int = 0,
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """``reference.run``'s work: by compiled kernels where there are some, else by the reference, saying so once.

    ``checkpoint``: keep only the states between segments of that many steps, and run each again on the way back; 0: keep
    what each step needs. The reference alone clamps. Raises CompileError where "cpu" was chosen and nothing compiles.
    """
    if clamp:
        return reference.run(
            cell,
            data,
            batch_sizes,
            before,
            parameters,
            reverse=reverse,
            resets=resets,
            initial=initial,
            record=record,
            clamp=clamp,
        )
    if 0 < checkpoint < len(batch_sizes) and torch.is_grad_enabled() and not record:
        return segments.run(
            run, checkpoint, cell, data, batch_sizes, before, parameters, reverse=reverse, resets=resets, initial=initial
        )
    if torch.compiler.is_compiling() and not record:
        starts = list(initial.values()) if initial is not None else []
        found = _in_graph(
            cell.key, data, list(batch_sizes), list(before.values()), list(parameters.values()), reverse, resets, starts
        )
        return found[0], dict(zip(before, found[1:], strict=True)), {}
    return _choose(cell, data, batch_sizes, before, parameters, reverse=reverse, resets=resets, initial=initial, record=record)


def _choose(
    cell: Cell,
    data: Tensor,
    batch_sizes: Sequence[int],
    before: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    **kwargs: Any,
) -> Any:
    name = backend()
    like = next(iter(parameters.values()), data)
    states = [before[s.name].dtype for s in cell.trace.states if s.size is not None]
    if data.dtype is not like.dtype or data.device != like.device or any(t is not data.dtype for t in states):
        alike(cell, data, before, parameters)
    try:
        return BACKENDS[name or ("triton" if data.is_cuda else "cpu")](cell, data, batch_sizes, before, parameters, **kwargs)
    except (CompileError, NoDerivative, triton.Missing) as error:
        if name is not None:
            raise
        _say(str(error))
        return BACKENDS["reference"](cell, data, batch_sizes, before, parameters, **kwargs)


@torch.compiler.allow_in_graph
def _in_graph(
    key: str,
    data: Tensor,
    batch_sizes: list[int],
    before: list[Tensor],
    parameters: list[Tensor],
    reverse: bool,
    resets: Tensor | None,
    initial: list[Tensor],
) -> tuple[Tensor, ...]:
    """``run`` for torch.compile, which looks no further: all that it needs to know are tensors and numbers."""
    cell = registered(key)
    names = [p.name for p in cell.trace.parameters if p.kind != "constant"]
    states = dict(zip(cell.states, before, strict=True))
    starts = dict(zip(cell.states, initial, strict=True)) if initial else None
    given = dict(zip(names, parameters, strict=True))
    output, after, _ = _choose(cell, data, batch_sizes, states, given, reverse=reverse, resets=resets, initial=starts)
    return (output, *(after[n] for n in cell.states))


def steppers(
    cell: Cell, layers: Sequence[tuple[int, Mapping[str, Tensor], Mapping[str, Tensor]]]
) -> list[stepping.Stepper] | None:
    """For each layer's input size, states and parameters what runs it step by step; None where only the reference can."""
    first = next(iter(layers[0][1].values()))
    if backend() == "reference" or not operator.usable(cell, first) or not stepping.steppable(cell):
        return None
    try:
        return [stepping.Stepper(cell, size, before, parameters) for size, before, parameters in layers]
    except (CompileError, NoDerivative) as error:
        _say(str(error))
        return None


def explain(cell: Cell, data: Tensor, rows: int, sizes: tuple[int, int, int]) -> str:
    """How a layer's loop would run over ``rows`` rows of such data; ``sizes``: of the input, the states, the projection."""
    name = backend() or ("triton" if data.is_cuda else "cpu")
    if name == "triton" and triton.available():
        return triton.explain(cell, data, rows, sizes)
    if name == "cpu" and operator.usable(cell, data):
        return "cpu: a compiled loop"
    return "reference: PyTorch operations, one after the other"


def source(cell: Cell) -> str:
    """The C++ of a cell's kernels. Raises NoDerivative where SymPy cannot derive its equations."""
    return cpp(Program(loop_of(cell)))


@cache
def _say(reason: str) -> None:
    warnings.warn(f"{reason}; going on without compiled kernels, slower", stacklevel=2)


__all__ = ["BACKENDS", "CompileError", "backend", "explain", "register", "run", "simd", "source", "steppers", "use"]
