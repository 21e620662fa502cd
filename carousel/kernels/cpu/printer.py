"""SymPy expressions as C++ over vectors."""

from __future__ import annotations

import sympy
from sympy.printing.cxx import CXX17CodePrinter

from carousel.equations.words import Words


class Printer(Words, CXX17CodePrinter):
    """Expressions over vectors of T."""

    language, one = "cpp", "T(1)"

    def operand(self, x: sympy.Expr, expr: sympy.Expr) -> str:
        return f"all({self._print(x)})"

    def _print_Integer(self, expr: sympy.Integer) -> str:
        return f"T({int(expr)})"

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return f"T({expr.p}.0 / {expr.q}.0)"

    def _print_Float(self, expr: sympy.Float) -> str:
        return f"T({float(expr)!r})"

    def _print_NumberSymbol(self, expr: sympy.NumberSymbol) -> str:
        return f"T({float(expr)!r})"

    def _print_Pow(self, expr: sympy.Pow) -> str:
        base, exponent = expr.args
        if power := self.whole_power(expr):
            return power
        if abs(exponent) == sympy.Rational(1, 2):
            root = f"sqrt(all({self._print(base)}))"
            return root if exponent > 0 else f"({self.one} / {root})"
        return f"power(all({self._print(base)}), all({self._print(exponent)}))"

    def _print_Relational(self, expr: sympy.core.relational.Relational) -> str:
        return f"(all({self._print(expr.lhs)}) {expr.rel_op} {self._print(expr.rhs)})"

    def _print_Mod(self, expr: sympy.Mod) -> str:
        return f"modulo(all({self._print(expr.args[0])}), all({self._print(expr.args[1])}))"

    def _print_And(self, expr: sympy.And) -> str:
        return f"({' & '.join(self._print(x) for x in expr.args)})"

    def _print_Or(self, expr: sympy.Or) -> str:
        return f"({' | '.join(self._print(x) for x in expr.args)})"
