"""SymPy expressions as Triton over tiles of rows and units, in float32."""

from __future__ import annotations

import sympy
from sympy.printing.pycode import PythonCodePrinter


class Printer(PythonCodePrinter):
    """Expressions; functions are those of ``runtime``, written so that NaN goes where the reference sends it."""

    def __init__(self) -> None:
        names = {n: n for n in ("logistic", "relu", "detach")}
        super().__init__({"fully_qualified_modules": False, "user_functions": names})

    def _print_Integer(self, expr: sympy.Integer) -> str:
        return f"{int(expr)}.0"

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return repr(expr.p / expr.q)

    def _print_Float(self, expr: sympy.Float) -> str:
        return repr(float(expr))

    _print_NumberSymbol = _print_Half = _print_Float

    def _print_Pow(self, expr: sympy.Pow, rational: bool = False) -> str:
        base, exponent = expr.args
        if exponent.is_Integer and 0 < abs(int(exponent)) <= 4:
            product = "*".join([self.parenthesize(base, 60)] * abs(int(exponent)))
            return f"({product})" if exponent > 0 else f"(1.0/({product}))"
        return f"power({self._print(base)}, {self._print(exponent)})"

    def _print_Piecewise(self, expr: sympy.Piecewise) -> str:
        *branches, (last, _) = expr.args
        text = self._print(last)
        for value, condition in reversed(branches):
            text = f"tl.where({self._print(condition)}, {self._print(value)}, {text})"
        return text

    def _print_Relational(self, expr: sympy.core.relational.Relational) -> str:
        return f"({self._print(expr.lhs)} {expr.rel_op} {self._print(expr.rhs)})"

    def _print_And(self, expr: sympy.And) -> str:
        return f"({' & '.join(self._print(x) for x in expr.args)})"

    def _print_Or(self, expr: sympy.Or) -> str:
        return f"({' | '.join(self._print(x) for x in expr.args)})"

    def _print_Not(self, expr: sympy.Not) -> str:
        return f"({self._print(expr.args[0])} == 0)"

    def _print_Mod(self, expr: sympy.Mod) -> str:
        return self._call("modulo", expr.args)

    def _print_Max(self, expr: sympy.Max) -> str:
        return self._fold("maximum", expr.args)

    def _print_Min(self, expr: sympy.Min) -> str:
        return self._fold("minimum", expr.args)

    def _print_named(self, expr: sympy.Function) -> str:
        return self._call(type(expr).__name__, expr.args)

    _print_logistic = _print_relu = _print_detach = _print_tanh = _print_exp = _print_log = _print_named

    def _call(self, name: str, arguments: tuple[sympy.Expr, ...]) -> str:
        return f"{name}({', '.join(self._print(x) for x in arguments)})"

    def _fold(self, name: str, arguments: tuple[sympy.Expr, ...]) -> str:
        text = self._print(arguments[0])
        for x in arguments[1:]:
            text = f"{name}({text}, {self._print(x)})"
        return text
