"""Back ends that run a cell's schedule over whole sequences; each has the signature of ``reference.run``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from carousel.kernels import reference

BACKENDS: dict[str, Callable[..., Any]] = {"reference": reference.run}

_chosen: ContextVar[str | None] = ContextVar("carousel_kernels", default=None)


def backend() -> str:
    """The name of the back end in use: ``use``'s, else $CAROUSEL_KERNELS, else the reference. Raises ValueError."""
    name = _chosen.get() or os.environ.get("CAROUSEL_KERNELS") or "reference"
    if name not in BACKENDS:
        raise ValueError(f"no kernels are called {name!r}; CAROUSEL_KERNELS may be {' or '.join(BACKENDS)}")
    return name


@contextmanager
def use(name: str) -> Iterator[None]:
    """Choose the back end within a ``with`` block."""
    token = _chosen.set(name)
    try:
        backend()
        yield
    finally:
        _chosen.reset(token)


def run(*args: Any, **kwargs: Any) -> Any:
    """``reference.run``'s work by the back end in use."""
    return BACKENDS[backend()](*args, **kwargs)


__all__ = ["BACKENDS", "backend", "run", "use"]
