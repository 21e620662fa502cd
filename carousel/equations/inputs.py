"""What a cell says of its further inputs, checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from carousel.equations.errors import EquationError

Inputs = Mapping[str, int | str | None]  # by name: 1, what has as many units, or None

# The arguments that a layer's call has for all cells.
TAKEN = ("self", "input", "hx", "resets", "record", "clamp")


def check(inputs: Inputs, arguments: Sequence[str], states: Sequence[str], spaces: Collection[str]) -> None:
    """Raise EquationError for inputs that a cell with these arguments, states and namespaces cannot have."""
    known = ["e", *states]
    for name, like in inputs.items():
        if name in ("e", "t", *spaces):
            raise EquationError(f"no further input can be called {name}, which has a meaning in every cell")
        if name in TAKEN:
            raise EquationError(f"no input can be called {name}, which is an argument of a layer's call: layer(x, {name}=…)")
        if name not in arguments:
            raise EquationError(f"inputs names {name!r}, which is no argument of the function: ({', '.join(arguments)})")
        if not _is_kind(like, known):
            raise EquationError(
                f"the input {name} has 1 number a row, as many units as {' or '.join(known)}, or None (a size of its own), "
                f"not {like!r}"
            )
        known += [] if like == 1 else [name]


def _is_kind(like: Any, known: Sequence[str]) -> bool:
    return like is None or (type(like) is int and like == 1) or (isinstance(like, str) and like in known)
