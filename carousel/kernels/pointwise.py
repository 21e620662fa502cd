"""Equations of one unit as Python functions of whole arrays: PyTorch's, or another library's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import sympy
import torch
from sympy.printing.pycode import PythonCodePrinter
from torch import Tensor

from carousel.equations.loop import Equation
from carousel.equations.notes import Expr
from carousel.equations.trace import STEP, symbol
from carousel.equations.words import Words
from carousel.kernels.noise import draw, draw_once

Values = dict[Any, Tensor]  # a symbol of the trace → its value
CLOCK = symbol(STEP, "tm1")


@cache
def pointwise(equations: tuple[Equation, ...]) -> Callable[[Values], Values]:
    """Make one Python function of assignments, each named quantity a variable."""
    return printed(equations, "torch", TORCH)


def printed(
    equations: tuple[Equation, ...], language: str, names: Mapping[str, Any]
) -> Callable[[dict[Any, Any]], dict[Any, Any]]:
    """Return ``pointwise`` for another library: in the words that ``Function`` has for ``language``, which use ``names``."""
    targets = [target for target, _ in equations]
    used = {s for _, expr in equations for s in expr.free_symbols} - set(targets)
    arguments = sorted(used, key=str)
    function = _lambdify(arguments, targets, list(equations), language, names)

    def compute(values: dict[Any, Any]) -> dict[Any, Any]:
        return dict(zip(targets, function(*(values[a] for a in arguments)), strict=True))

    return compute


@cache
def evaluate(expr: Expr) -> Callable[[Values], Tensor]:
    """Return an operand of a dense product, as a function of the values."""
    if expr.is_Symbol:
        return lambda values: values[expr]
    arguments = sorted(expr.free_symbols, key=str)
    function = _lambdify(arguments, [expr], [], "torch", TORCH)
    return lambda values: function(*(values[a] for a in arguments))[0]


def _lambdify(
    arguments: list[Expr], results: list[Expr], steps: list[Equation], language: str, names: Mapping[str, Any]
) -> Callable[..., list[Any]]:
    known = {"number": lambda value, like: value, **names}
    return sympy.lambdify(arguments, results, modules=[known], printer=_Printer(language), cse=lambda exprs: (steps, exprs))


def _number(value: float, like: Tensor) -> Tensor:
    """Return a number in the precision of ``like``: PyTorch alone would take single, or that of whole numbers."""
    return torch.full((), value, dtype=like.dtype, device=like.device)


TORCH: dict[str, Any] = {"torch": torch, "number": _number, "draw": draw, "draw_once": draw_once}


class _Printer(Words, PythonCodePrinter):
    """Python with a library's words where arrays need others than numbers."""

    def __init__(self, language: str):
        super().__init__({"fully_qualified_modules": False})
        self.language = language

    def operand(self, x: Expr, expr: Expr) -> str:
        """Print an operand; a number gets the precision of values other than the clock where PyTorch asks for a tensor."""
        text = self._print(x)
        choice = isinstance(expr, sympy.Piecewise)
        if not x.is_number or (choice and not all(value.is_number for value, _ in expr.args)):
            return text
        like = min(expr.free_symbols, key=lambda s: (s == CLOCK, str(s)))  # the clock's is not always the data's
        return f"number({text}, {like})"

    def _print_number(self, expr: Expr) -> str:
        text = repr(float(expr))  # all its digits; SymPy would print fifteen
        return text if text[-1].isdigit() else f"float('{text}')"

    _print_Float = _print_Infinity = _print_NegativeInfinity = _print_NaN = _print_number

    def _print_Pow(self, expr: sympy.Pow, rational: bool = False) -> str:
        return str(super()._print_Pow(expr, rational=True))  # SymPy would take a root of Python's numbers

    def _print_Mod(self, expr: sympy.Mod) -> str:
        return " % ".join(f"({self._print(x)})" for x in expr.args)

    def _print_And(self, expr: sympy.And) -> str:
        return " & ".join(f"({self._print(x)})" for x in expr.args)

    def _print_Or(self, expr: sympy.Or) -> str:
        return " | ".join(f"({self._print(x)})" for x in expr.args)

    def _print_Integer(self, expr: Expr) -> str:
        return str(int(expr)) if abs(int(expr)) < 2**53 else self._print_number(expr)  # beyond, PyTorch's whole numbers end
