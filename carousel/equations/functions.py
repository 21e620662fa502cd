"""The functions that equations may use, as SymPy functions that know their derivatives.

Those that SymPy has are SymPy's own (tanh, exp, log, Max, Min, Piecewise); those it lacks are defined here.
The functions users call on terms, with the same names, are at the end.
"""

from __future__ import annotations

from typing import Any

import sympy

from carousel.equations.errors import EquationError
from carousel.equations.terms import Term


class logistic(sympy.Function):
    """1 / (1 + exp(−x)): the lectures' σ of every gate, between 0 and 1."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return self * (1 - self)


class relu(sympy.Function):
    """max(0, x); its derivative is 0 where x ≤ 0, else 1 (also where x is not a number), as PyTorch has it."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return sympy.Piecewise((0, self <= 0), (1, True))


class detach(sympy.Function):
    """x, of which no error flows back: its derivative is zero."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return sympy.Integer(0)


FUNCTIONS: dict[str, Any] = {
    "logistic": logistic,
    "tanh": sympy.tanh,
    "relu": relu,
    "exp": sympy.exp,
    "log": sympy.log,
    "detach": detach,
    "maximum": sympy.Max,
    "minimum": sympy.Min,
}


def _apply(name: str, *operands: Any) -> Term:
    return Term.apply(lambda *x: FUNCTIONS[name](*x, evaluate=False), name, operands)


def logistic_(x: Term) -> Term:
    """Logistic function 1 / (1 + exp(−x)), per unit. A logistic that multiplies something is a gate."""
    return _apply("logistic", x)


def tanh(x: Term) -> Term:
    """Hyperbolic tangent, per unit."""
    return _apply("tanh", x)


def relu_(x: Term) -> Term:
    """max(0, x), per unit."""
    return _apply("relu", x)


def identity(x: Term) -> Term:
    """x itself: says that no squashing is meant, and lets the product of two dense terms pass."""
    return Term.apply(lambda y: y, "identity", (x,))


def detach_(x: Term) -> Term:
    """x itself, of which no error flows back (PyTorch's ``detach``): what truncates a gradient, as in the paper of 1997."""
    return _apply("detach", x)


def exp(x: Term) -> Term:
    """e to the power x, per unit (the gates of sLSTM)."""
    return _apply("exp", x)


def log(x: Term) -> Term:
    """Natural logarithm, per unit."""
    return _apply("log", x)


def maximum(x: Term, y: Term | float) -> Term:
    """The larger of two, per unit."""
    return _apply("maximum", x, y)


def minimum(x: Term, y: Term | float) -> Term:
    """The smaller of two, per unit."""
    return _apply("minimum", x, y)


def where(condition: Term, x: Term | float, y: Term | float) -> Term:
    """x where the condition holds (``t % c.T == 0``, ``h > 0``), else y, per unit.

    Raises EquationError for what is no condition, or one on what another ``where`` of the same step has chosen (SymPy would
    multiply them out).
    """
    if not isinstance(condition, Term) or not condition.expr.is_Relational:
        raise EquationError("where takes a condition on the equations' terms first, such as h > 0")
    if condition.expr.has(sympy.Piecewise):
        raise EquationError("a condition on what another where(…) of this step has chosen: compare a state or a sum instead")
    return Term.apply(lambda c, a, b: sympy.Piecewise((a, c), (b, True), evaluate=False), "where", (condition, x, y))
