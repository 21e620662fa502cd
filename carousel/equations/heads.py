"""Heads: dense weights from states consist of blocks on the diagonal, so that each head's units see that head alone."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

from carousel.equations.errors import EquationError
from carousel.equations.notes import Parameter
from carousel.equations.trace import Trace
from carousel.equations.units import OVER_UNITS

BY_HEAD = tuple(symbol for symbol, f in OVER_UNITS.items() if f.of_heads)


def in_heads(trace: Trace, heads: Any, name: str | None = None) -> Trace:
    """Return the trace with so many heads, under another name where one is given.

    Raises:
        EquationError: a weight cannot be parted, or none is from a state.
    """
    heads = number(heads)
    recurrent = {p.name for p in trace.parameters if p.kind == "dense" and trace.from_state(p)}
    recurrent |= {p.name for p in trace.parameters if p.kind == "transposed" and p.name.removesuffix(".T") in recurrent}
    parted = {p.name: replace(p, heads=heads) for p in trace.parameters if p.name in recurrent}
    if heads > 1:
        if not parted and not any(expr.has(*BY_HEAD) for expr in trace.expressions):
            raise EquationError(f"heads part dense weights from states, and {trace.name} has none")
        for p in parted.values():
            _check(trace, p)
    return replace(
        trace,
        name=name or trace.name,
        heads=heads,
        parameters=tuple(parted.get(p.name, p) for p in trace.parameters),
        products={s: replace(p, weight=parted.get(p.weight.name, p.weight)) for s, p in trace.products.items()},
    )


def number(heads: Any) -> int:
    """Return a number of heads. Raises EquationError for what is none."""
    try:
        found = 0 if isinstance(heads, bool) else operator.index(heads)
    except TypeError:
        found = 0
    if not 0 < found < 2**31:
        raise EquationError(f"heads must be a whole number of at least 1, not {heads!r}")
    return found


def shared(cell: str, name: str, units: int, heads: int) -> int:
    """Return the units of a head. Raises ValueError where some are left over."""
    if units % heads:
        raise ValueError(f"cell {cell} has {heads} heads, and {name} has {units} units to share among them")
    return units // heads


def _check(trace: Trace, weight: Parameter) -> None:
    if len(weight.columns) > 1:
        raise EquationError(
            f"{weight.name} of {trace.name} multiplies a concatenation, which heads do not part: "
            f"give each of its vectors a weight of its own, as lstm-v2 does"
        )
    if any(trace.of_inputs(p) for p in trace.products.values() if p.weight.name == weight.name):
        raise EquationError(
            f"{weight.name} of {trace.name} multiplies the input and a state, "
            "and heads part weights from states alone: take two weights"
        )
