"""Variants of a loop: with quantities that are clamped, and with quantities whose value at every step is given back.

Both are loops of the same kind: they have derivatives and tangents as every loop has, and a back end runs them as they stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sympy

from carousel.equations.loop import Equation, Loop, LoopStage
from carousel.equations.terms import Expr
from carousel.equations.trace import symbol


def computed(loop: Loop, name: str) -> bool:
    """Return whether the loop itself computes a quantity that has units, so that it can be clamped there."""
    return symbol(name) in loop.definitions and loop.sizes.get(symbol(name)) is not None


def recorded(loop: Loop, names: Iterable[str]) -> Loop:
    """Return the loop with quantities, which it computes, given back at every step."""
    symbols = tuple(map(symbol, names))
    return replace(loop, name=f"{loop.name}-recorded", recorded=symbols) if symbols else loop


def clamped(loop: Loop, names: Iterable[str]) -> Loop:
    """Return the loop with quantities, which it computes, clamped.

    To each comes a hoisted input, the last of all in the order of the names: the value to hold, and whether it is held (above
    zero), side by side.
    """
    pairs = {s: (_of(s, "held"), _of(s, "where")) for s in map(symbol, names)}
    if not pairs:
        return loop
    sizes = dict(loop.sizes)
    for s, pair in pairs.items():
        sizes |= dict.fromkeys((*pair, _of(s, "free")), sizes[s])
    stages = tuple(LoopStage(s.groups, [e for q in s.equations for e in _held(q, pairs)], s.reductions) for s in loop.stages)
    hoisted = (*loop.hoisted, *pairs.values())
    return replace(loop, name=f"{loop.name}-clamped", hoisted=hoisted, stages=stages, sizes=sizes)


def _of(s: Expr, what: str) -> Expr:
    return sympy.Symbol(f"{s}_{what}", real=True)


def _held(equation: Equation, pairs: dict[Expr, tuple[Expr, Expr]]) -> list[Equation]:
    s, expr = equation
    if s not in pairs:
        return [equation]
    (held, where), free = pairs[s], _of(s, "free")
    return [(free, expr), (s, sympy.Piecewise((held, where > 0), (free, True), evaluate=False))]
