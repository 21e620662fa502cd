"""SymPy expressions as C99 of one unit, in single precision."""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy.printing.c import C99CodePrinter

from carousel.equations.functions import Function
from carousel.equations.notes import Expr
from carousel.equations.words import Words


class Printer(Words, C99CodePrinter):
    """Expressions of one unit.

    Args:
        name: returns the C text of a symbol.
    """

    language, one = "c", "1.0f"

    def __init__(self, name: Callable[[Expr], str]):
        super().__init__()
        self.name = name

    def words(self, known: Function) -> str | None:
        """Return the function's words in C; SymPy's are called as in ``math.h``, with the f of single precision."""
        return known.c or (None if known.own else f"{known.name}f")

    def _print_Symbol(self, expr: Expr) -> str:
        return self.name(expr)

    def number(self, value: float) -> str:
        """Return a number as the language writes it."""
        return self._number(float(value))

    def _number(self, value: float) -> str:
        text = repr(value)
        return f"{text}f" if any(mark in text for mark in ".en") else f"{text}.0f"

    def _print_Integer(self, expr: sympy.Integer) -> str:
        return self._number(float(int(expr)))

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return f"({self._number(float(expr.p))} / {self._number(float(expr.q))})"

    def _print_Float(self, expr: sympy.Float) -> str:
        return self._number(float(expr))

    def _print_NumberSymbol(self, expr: sympy.NumberSymbol) -> str:
        return self._number(float(expr))

    def _print_Infinity(self, expr: Expr) -> str:
        return "INFINITY"

    def _print_NegativeInfinity(self, expr: Expr) -> str:
        return "(-INFINITY)"

    def _print_NaN(self, expr: Expr) -> str:
        return "NAN"

    def _print_Pow(self, expr: sympy.Pow) -> str:
        base, exponent = expr.args
        if power := self.whole_power(expr):
            return power
        if abs(exponent) == sympy.Rational(1, 2):
            root = self.root(self._print(base))
            return root if exponent > 0 else f"({self.one} / {root})"
        return self.power(self._print(base), self._print(exponent))

    def root(self, base: str) -> str:
        """Return the square root of an expression, given as text."""
        return f"sqrtf({base})"

    def power(self, base: str, exponent: str) -> str:
        """Return one expression to the power of another, both given as text."""
        return f"powf({base}, {exponent})"

    def _print_Relational(self, expr: sympy.core.relational.Relational) -> str:
        return f"({self._print(expr.lhs)} {expr.rel_op} {self._print(expr.rhs)})"

    def _print_Mod(self, expr: sympy.Mod) -> str:
        return f"modulo({self._print(expr.args[0])}, {self._print(expr.args[1])})"
