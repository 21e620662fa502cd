"""Back ends that run a cell's loop over whole sequences; each has the signature of ``reference.run``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from carousel.equations import Cell
from carousel.equations.derivative import NoDerivative
from carousel.kernels import reference
from carousel.kernels.cpu import operator
from carousel.kernels.cpu.compiler import CompileError, simd
from carousel.kernels.cpu.program import Program
from carousel.kernels.cpu.source import source as cpp

BACKENDS: dict[str, Callable[..., Any]] = {"reference": reference.run, "cpu": operator.run}

_chosen: ContextVar[str | None] = ContextVar("carousel_kernels", default=None)


def backend() -> str | None:
    """The back end that was chosen: ``use``'s, else $CAROUSEL_KERNELS; None leaves it to Carousel. Raises ValueError."""
    name = _chosen.get() or os.environ.get("CAROUSEL_KERNELS") or None
    if name is not None and name not in BACKENDS:
        raise ValueError(f"no kernels are called {name!r}; CAROUSEL_KERNELS may be {' or '.join(BACKENDS)}")
    return name


@contextmanager
def use(name: str) -> Iterator[None]:
    """Choose the back end within a ``with`` block: "reference" or "cpu"."""
    token = _chosen.set(name)
    try:
        backend()
        yield
    finally:
        _chosen.reset(token)


def run(cell: Cell, *args: Any, **kwargs: Any) -> Any:
    """``reference.run``'s work: by compiled kernels where there are some, else by the reference, saying so once.

    Raises CompileError where "cpu" was chosen and nothing compiles.
    """
    name = backend()
    try:
        return BACKENDS[name or "cpu"](cell, *args, **kwargs)
    except (CompileError, NoDerivative) as error:
        if name is not None:
            raise
        _say(str(error))
        return BACKENDS["reference"](cell, *args, **kwargs)


def source(cell: Cell) -> str:
    """The C++ of a cell's kernels. Raises NoDerivative where SymPy cannot derive its equations."""
    return cpp(Program(cell))


@cache
def _say(reason: str) -> None:
    warnings.warn(f"{reason}; going on without compiled kernels, slower", stacklevel=2)


__all__ = ["BACKENDS", "CompileError", "backend", "run", "simd", "source", "use"]
