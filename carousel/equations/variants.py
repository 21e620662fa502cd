"""Variants of a loop: with quantities that are clamped, or given back at every step, and with numbers of a row as vectors.

All are loops of the same kind: they have derivatives and tangents as every loop has, and a back end runs them as they stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sympy

from carousel.equations.loop import Equation, Loop, LoopStage
from carousel.equations.notes import ROW, Expr, Size, rebuild
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


def numbers(loop: Loop) -> dict[Expr, tuple[Size, ...]]:
    """Return the hoisted inputs that are one number a row, with the sizes of the vectors whose equations read them."""
    found: dict[Expr, dict[Size, None]] = {s: {} for symbols in loop.hoisted for s in symbols if loop.sizes[s] is ROW}
    for target, expr in loop.definitions.items():
        if (size := loop.sizes.get(target)) is not None:
            for s in found.keys() & expr.free_symbols:
                found[s][size.root] = None
    return {s: tuple(sizes) for s, sizes in found.items()}


def widened(loop: Loop) -> Loop:
    """Return the loop with each hoisted number of a row as vectors, one of each size that it meets, as ``numbers`` has them.

    No error is then summed up over units in the loop, if nothing else in it is one number a row.
    """
    met = numbers(loop)
    wide = {(s, size): _of(s, f"wide{k}") for s, sizes in met.items() for k, size in enumerate(sizes)}

    def read(expr: Expr, size: Size | None) -> Expr:
        if not expr.args:
            return expr if size is None else wide.get((expr, size.root), expr)
        return rebuild(expr, [read(x, size) for x in expr.args])

    stages = tuple(
        LoopStage(s.groups, [(x, read(expr, loop.sizes.get(x))) for x, expr in s.equations], s.reductions) for s in loop.stages
    )
    hoisted = [
        each
        for symbols in loop.hoisted
        for each in ([(wide[symbols[0], size],) for size in met[symbols[0]]] if symbols[0] in met else [symbols])
    ]
    sizes = {s: size for s, size in loop.sizes.items() if s not in met} | {x: size for (_, size), x in wide.items()}
    return replace(loop, name=f"{loop.name}-wide", hoisted=tuple(hoisted), stages=stages, sizes=sizes)
