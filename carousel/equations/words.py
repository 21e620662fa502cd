"""The words of a language for the table's functions, for printers of SymPy to write them."""

from __future__ import annotations

from functools import reduce
from typing import Any

import sympy
from sympy.printing.precedence import PRECEDENCE

from carousel.equations.functions import FUNCTIONS, Function
from carousel.equations.notes import Expr


class Words:
    """The printers' common part: mixed into one of SymPy's, it writes functions as the table says for its ``language``."""

    language: str = ""  # a field of Function; empty: by their names
    one: str = ""  # the number, in printers that write out whole powers

    def _print(self, expr: Expr, **options: Any) -> str:
        known = FUNCTIONS.get(type(expr))
        words = self.words(known) if known else None
        printer: Any = super()  # SymPy's
        if known is None or (words is None and not known.own):
            return printer._print(expr, **options)
        if words is None:
            return printer.parenthesize(known.definition(*expr.args), PRECEDENCE["Func"], strict=True)
        text = self._call(words, expr, known.operands)
        return f"{text}^{{{options['exp']}}}" if "exp" in options else text  # LaTeX's power of a function

    def parenthesize(self, item: Expr, level: int, *more: Any, **options: Any) -> str:
        """Print as SymPy does, but a remainder that is multiplied in parentheses: SymPy leaves them out of some products."""
        printer: Any = super()
        if isinstance(item, sympy.Mod) and level > PRECEDENCE["Relational"] and self.language != "latex":
            return f"({self._print(item)})"
        return str(printer.parenthesize(item, level, *more, **options))

    def words(self, known: Function) -> str | None:
        """Return the language's words for a function."""
        return getattr(known, self.language)

    def _call(self, words: str, expr: Expr, operands: int) -> str:
        def call(*texts: str) -> str:
            return words.format(*texts) if "{" in words else f"{words}({', '.join(texts)})"

        if not isinstance(expr, sympy.Piecewise):
            texts = [self.operand(x, expr) for x in expr.args]
            return reduce(call, texts) if len(texts) > operands else call(*texts)  # SymPy's Max may have more than two
        *branches, (last, _) = expr.args
        text = self.operand(last, expr)
        for value, condition in reversed(branches):
            text = call(self._print(condition), self.operand(value, expr), text)
        return text

    def operand(self, x: Expr, expr: Expr) -> str:
        """Print one operand of a function's value."""
        return self._print(x)

    def whole_power(self, expr: Expr) -> str | None:
        """Return a power with a small whole exponent as a product, or one divided by a product; None for any other."""
        base, exponent = expr.args
        if not exponent.is_Integer or not 0 < abs(int(exponent)) <= 4:
            return None
        product = " * ".join([self.parenthesize(base, PRECEDENCE["Pow"])] * abs(int(exponent)))
        return f"({product})" if exponent > 0 else f"({self.one} / ({product}))"
