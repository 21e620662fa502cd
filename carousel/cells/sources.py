"""The text of every cell, as one would type it; a cell that is read from it is the same."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from carousel.cells.catalogue import catalogue
from carousel.equations import Cell, EquationError
from carousel.equations.retyped import retyped
from carousel.equations.typed import typed


@cache
def functions() -> Mapping[str, Callable[..., Any]]:
    """Return the functions of the cells' constants, masks and matrices by name, one without by that of its cell."""
    found: dict[str, Callable[..., Any]] = {}
    for cell in (entry.cell for entry in catalogue()):
        given: dict[str, Callable[..., Any]] = {**cell.constants, **cell.masks, **cell.matrices}
        for letters, f in given.items():
            name = f"{cell.name}_{letters}".replace("-", "_").replace(".", "_")
            found[f.__name__ if f.__name__.isidentifier() else name] = f
    return found


@cache
def source(cell: Cell) -> str:
    """Return a cell's definition: that in its file where it can stand alone, else one that is made of its equations.

    Raises:
        EquationError: the cell is not of the catalogue, and has functions without a name.
    """
    with_own = getattr(cell, "function", None)
    if with_own is not None:
        text = textwrap.dedent(inspect.getsource(with_own))
        try:
            if typed(text, functions()).key == cell.key:
                return text
        except EquationError:
            pass  # it calls a function of its file, say
    return retyped(cell, functions())
