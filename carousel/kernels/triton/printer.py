"""SymPy expressions as Triton over tiles of rows and units, in float32."""

from __future__ import annotations

import sympy
from sympy.printing.pycode import PythonCodePrinter

from carousel.equations.words import Words


class Printer(Words, PythonCodePrinter):
    """Expressions; functions are Triton's, or those of ``runtime``, where NaN goes where the reference sends it."""

    language, one = "triton", "1.0"

    def __init__(self) -> None:
        super().__init__({"fully_qualified_modules": False})

    def _print_Integer(self, expr: sympy.Integer) -> str:
        return f"{int(expr)}.0"

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return repr(expr.p / expr.q)

    def _print_Float(self, expr: sympy.Float) -> str:
        return repr(float(expr))

    _print_NumberSymbol = _print_Half = _print_Float

    def _print_Pow(self, expr: sympy.Pow, rational: bool = False) -> str:
        base, exponent = expr.args
        if power := self.whole_power(expr):
            return power
        return f"power({self._print(base)}, {self._print(exponent)})"

    def _print_Relational(self, expr: sympy.core.relational.Relational) -> str:
        return f"({self._print(expr.lhs)} {expr.rel_op} {self._print(expr.rhs)})"

    def _print_And(self, expr: sympy.And) -> str:
        return f"({' & '.join(self._print(x) for x in expr.args)})"

    def _print_Or(self, expr: sympy.Or) -> str:
        return f"({' | '.join(self._print(x) for x in expr.args)})"

    def _print_Not(self, expr: sympy.Not) -> str:
        return f"({self._print(expr.args[0])} == 0)"

    def _print_Mod(self, expr: sympy.Mod) -> str:
        return f"modulo({', '.join(map(self._print, expr.args))})"
