"""Linear recurrences among the carried values of a block; their steps can be computed in parallel.

A carried value is a state, or backwards the error that arrives at a state. If a step multiplies it by ``factor`` and adds
``added``, and neither depends on a carried value, then the step is a pair of numbers, and two consecutive steps are one pair
again: a parallel scan composes them. Errors follow such a recurrence if there is neither a product nor another state between
two steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sympy

from carousel.equations.loop import Equation
from carousel.equations.notes import Expr

Form = tuple[dict[Expr, Expr], Expr]  # the factor of each carried value, and the added term


class Recurrence(NamedTuple):
    """``symbol`` is ``factor`` · itself + ``added``, all three of the step before.

    ``cut``: 1 where the equations replace the value (by a clamp or a choice), so that even an infinite value ends there; else
    0, also where the factor happens to be zero.
    """

    symbol: Expr
    factor: Expr
    added: Expr
    cut: Expr


def recurrences(equations: list[Equation], following: dict[Expr, Expr]) -> tuple[Recurrence, ...] | None:
    """Return the recurrence of each carried value; None if one is not linear, or depends on another carried value.

    Args:
        equations: of a step, in order.
        following: the new value of each carried value after the step.
    """
    forms: dict[Expr, Form | None] = {s: ({s: sympy.S.One}, sympy.S.Zero) for s in following}
    for symbol, expr in equations:
        if not forms.keys().isdisjoint(expr.free_symbols):
            forms[symbol] = _form(expr, forms)
    found = []
    for symbol, value in following.items():
        form = _form(value, forms)
        if form is None or not form[0].keys() <= {symbol}:
            return None
        factor = form[0].get(symbol, sympy.S.Zero)
        found.append(Recurrence(symbol, factor, form[1], _cut(factor)))
    return tuple(found)


def needed(equations: list[Equation], wanted: Iterable[Expr]) -> list[Equation]:
    """Return the equations, in order, on which the expressions depend."""
    symbols = {s for expr in wanted for s in expr.free_symbols}
    found = []
    for symbol, expr in reversed(equations):
        if symbol in symbols:
            symbols |= expr.free_symbols
            found.append((symbol, expr))
    return found[::-1]


def _form(expr: Expr, forms: dict[Expr, Form | None]) -> Form | None:
    """Return an expression as a linear form of the carried values; None if it is not linear."""
    if forms.keys().isdisjoint(expr.free_symbols):
        return {}, expr
    if expr.is_Symbol:
        return forms[expr]
    if isinstance(expr, sympy.Piecewise):
        return _choice(expr, forms)
    parts = [_form(x, forms) for x in expr.args]
    known = [x for x in parts if x is not None]
    if len(known) < len(parts) or not (expr.is_Add or expr.is_Mul):
        return None
    if expr.is_Add:
        carried = {s for factors, _ in known for s in factors}
        return {s: sympy.Add(*(f[s] for f, _ in known if s in f)) for s in carried}, sympy.Add(*(added for _, added in known))
    (factors, added), *others = sorted(known, key=lambda form: not form[0])
    if any(f for f, _ in others):
        return None
    times = sympy.Mul(*(x for _, x in others))
    return {s: f * times for s, f in factors.items()}, added * times


def _choice(expr: Expr, forms: dict[Expr, Form | None]) -> Form | None:
    branches = [(_form(value, forms), condition) for value, condition in expr.args]
    if any(form is None or not forms.keys().isdisjoint(condition.free_symbols) for form, condition in branches):
        return None
    known = [(form, condition) for form, condition in branches if form is not None]
    carried = {s for (factors, _), _ in known for s in factors}
    chosen = {s: sympy.Piecewise(*((f.get(s, sympy.S.Zero), c) for (f, _), c in known)) for s in carried}
    return chosen, sympy.Piecewise(*((added, c) for (_, added), c in known))


def _cut(factor: Expr) -> Expr:
    if isinstance(factor, sympy.Piecewise):
        return sympy.Piecewise(*((_cut(value), condition) for value, condition in factor.args))
    return sympy.S.One if factor == 0 else sympy.S.Zero
