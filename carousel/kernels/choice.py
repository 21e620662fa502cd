"""Which back end runs a call: the first that supports it, or the one asked for by name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.derivative import NoDerivative
from carousel.kernels.alike import alike, check_numbers
from carousel.kernels.backend import Backend, Call, Result, Stepper, Unavailable
from carousel.kernels.cpu.backend import Cpu
from carousel.kernels.portable import Portable
from carousel.kernels.reference import Reference
from carousel.kernels.triton.backend import Triton

# In the order of preference. The reference, which supports every call, is the last.
BACKENDS: dict[str, Backend] = {b.name: b for b in (Triton(), Cpu(), Portable(), Reference())}

_asked_for: ContextVar[str | None] = ContextVar("carousel_kernels", default=None)


def backend() -> str | None:
    """Return the name of the back end that was asked for: ``use``'s, else $CAROUSEL_KERNELS; None leaves it to Carousel.

    Raises:
        ValueError: for a name that no back end has.
    """
    name = _asked_for.get() or os.environ.get("CAROUSEL_KERNELS") or None
    if name is not None and name not in BACKENDS:
        raise ValueError(f"no kernels are called {name!r}; CAROUSEL_KERNELS may be {' or '.join(BACKENDS)}")
    return name


@contextmanager
def use(name: str) -> Iterator[None]:
    """Ask for a back end within a ``with`` block: "reference", "cpu", "triton" or "portable"."""
    token = _asked_for.set(name)
    try:
        backend()
        yield
    finally:
        _asked_for.reset(token)


def check_environment() -> None:
    """Raise ValueError for settings of the environment that mean nothing to any back end."""
    backend()
    for each in BACKENDS.values():
        try:
            each.configured()
        except Unavailable:
            continue  # its calls go elsewhere


def candidates(name: str | None) -> list[Backend]:
    """Return the back ends that may run a call, in order: all, or the one asked for by name and the last."""
    every = list(BACKENDS.values())
    if name is None:
        return [b for b in every if not b.asked_for]
    return [BACKENDS[name], *(b for b in every[-1:] if b.name != name)]


def run(call: Call) -> Result:
    """Run a call by the first back end that supports it.

    Raises:
        ValueError: for tensors that do not fit.
        TypeError: for an input that is no tensor.
        Unavailable, NoDerivative: where the back end was asked for by name; else another one runs, saying so once.
    """
    name = backend()
    chosen = candidates(name)
    for each in chosen:
        if (found := each.again(call)) is not None:
            return found
    like = next(iter(call.parameters.values()), call.data)
    states = [call.before[s.name].dtype for s in call.cell.trace.states if s.size is not None]
    given = (call.data, *call.inputs.values())
    for x in given:
        if not isinstance(x, Tensor):
            raise TypeError(f"an input is a tensor, (rows of all steps, units), not {type(x).__name__}")
    for what, x in (*(("an input", x) for x in given), *((f"state {name}", x) for name, x in call.before.items())):
        if not x.dim():
            raise ValueError(f"{what} of cell {call.cell.name} has shape (), expected 2 dimensions: (rows, units)")
    if any(x.dtype is not like.dtype or x.device != like.device for x in given) or any(t is not like.dtype for t in states):
        alike(call.cell, call.data, call.before, call.parameters, call.inputs)
    check_numbers(call.cell, call.before, call.initial)
    for each in chosen:
        try:
            if each.name == name:
                each.configured()
            if each.supports(call):
                return each.run(call)
        except (Unavailable, NoDerivative) as error:
            if name is not None:
                raise
            _say(str(error))
    raise ValueError(f"no back end runs cell {call.cell.name}")  # the reference supports every call


def steppers(
    cell: Cell,
    layers: Sequence[tuple[int, Mapping[str, Tensor], Mapping[str, Tensor]]],
    products: torch.dtype | None = None,
) -> list[Stepper] | None:
    """Return for each layer's input size, states and parameters a stepper; None where calls of one step are the way to go.

    ``products``: as ``Backend.stepper``'s.
    """
    for each in candidates(backend()):
        try:
            found = [each.stepper(cell, size, before, parameters, products) for size, before, parameters in layers]
        except (Unavailable, NoDerivative) as error:
            _say(str(error))
            continue
        steppers = [s for s in found if s is not None]
        if len(steppers) == len(layers):
            return steppers
    return None


def explain(cell: Cell, data: Tensor, rows: int, sizes: tuple[int, ...]) -> str:
    """Return how a layer's loop would run; arguments as those of ``Backend.explain``."""
    found = (each.explain(cell, data, rows, sizes) for each in candidates(backend()))
    return next(text for text in found if text is not None)


def source(cell: Cell, device: torch.device | str = "cpu") -> str:
    """Return the code of a cell's kernels for a device. Raises NoDerivative where SymPy cannot derive its equations."""
    found = (each.source(cell, torch.device(device)) for each in BACKENDS.values())
    return next((text for text in found if text is not None), "")


@cache
def _say(reason: str) -> None:
    warnings.warn(f"{reason}; going on without compiled kernels, slower", stacklevel=2)
