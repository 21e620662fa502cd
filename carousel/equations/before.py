"""Steps that follow several others: what a state was at each of them, by name, or at the members of a set.

In a chain a step follows one step; in an image the one above and the one to the left; in a tree its children.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sympy

from carousel.equations.errors import EquationError
from carousel.equations.notes import Notes, Size
from carousel.equations.terms import Namespace, Term
from carousel.equations.units import node

Before = str | tuple[str, ...]  # the names of predecessors, in order; one name alone: of a set without order; (): a chain

Together = node("together", r"\sum {0}")


def checked(before: Any, taken: Collection[str]) -> Before:
    """Return the names of predecessors as a tuple, or the name of a set. Raises EquationError.

    Args:
        before: as ``cell`` takes them.
        taken: names of a cell's arguments.
    """
    if not isinstance(before, str):
        try:
            before = tuple(before)
        except TypeError:
            raise EquationError(f'before names what a step follows: ("up", "left"), not {before!r}') from None
    each = (before,) if isinstance(before, str) else before
    for name in each:
        if not isinstance(name, str) or not (name.isidentifier() and name.isalnum()):
            raise EquationError(f"a predecessor is called by letters and digits, such as left, not {name!r}")
        if name in ("t", "ago") or name in taken:
            raise EquationError(f"no predecessor can be called {name}, which is the name of something else")
    if len(set(each)) < len(each):
        raise EquationError(f"before names a predecessor twice: {', '.join(each)}")
    return before


def names(before: Before) -> tuple[str, ...]:
    """Return the names of predecessors."""
    return (before,) if isinstance(before, str) else before


def value_before(state: str, name: str) -> Any:
    """Return the symbol of a state's value at a predecessor."""
    return sympy.Symbol(f"{state}_{name}_tm1", real=True)


class Predecessors(Namespace):
    """A state as it comes in where a step follows several: ``h.up``, ``h.left``."""

    def __init__(self, notes: Notes, name: str, size: Size, before: Before):
        super().__init__(notes, name)
        self._size, self._before = size, before

    def __getattr__(self, name: str) -> Term:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in names(self._before):
            known = " or ".join(f"{self._name}.{n}" for n in names(self._before))
            raise EquationError(f"a step of this cell does not follow one called {name}: write {known}")
        symbol, of_set = value_before(self._name, name), isinstance(self._before, str)
        return Term(self._notes, symbol, self._size, each=of_set)

    def refusal(self) -> EquationError:
        """Return the error for a state that does not say at which predecessor."""
        known = " or ".join(f"{self._name}.{n}" for n in names(self._before))
        return EquationError(f"{self._name} is of several steps before this one: write {known}")


def together(x: Any) -> Term:
    """Return the sum over the set of steps that a step follows, zero where there are none: ``together(f * h.child)``.

    Raises:
        EquationError: for what is not of each of them.
    """
    found = Term.apply(lambda value: Together(value, evaluate=False), "together", (x,))
    if not found.each:
        raise EquationError(
            'together goes over the steps of a set, and this is no value of each: @cell(before="child"), together(h.child); '
            "the sum over the units of a vector is total(x)"
        )
    if found.size is None:
        raise EquationError("together takes vectors, and this is one number a row")
    found.each = False
    return found
