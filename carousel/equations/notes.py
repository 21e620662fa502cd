"""The notes that are taken while a cell's function is traced: sizes, parameters, products, inputs and what is drawn.

Sizes are unknowns that the equations join; two that cannot be one are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import sympy

from carousel.equations.errors import EquationError

Expr = Any  # SymPy ships no types: an expression, a symbol or a condition


@lru_cache(4096)
def symbols_in(expr: Expr) -> tuple[Expr, ...]:
    """Return the symbols that an expression reads, by name; each expression is asked many times."""
    return tuple(sorted(expr.free_symbols, key=str))


def rebuild(expr: Expr, args: list[Expr]) -> Expr:
    """Return the same node over other arguments, unevaluated, so that the slide's order stays."""
    if tuple(args) == expr.args:
        return expr
    plain = isinstance(expr, sympy.functions.elementary.piecewise.ExprCondPair)  # the one node without the option
    return expr.func(*args) if plain else expr.func(*args, evaluate=False)


class Size:
    """An unknown vector length. Lengths that the equations join share one ``root``."""

    def __init__(self, letter: str, *, of_input: str = "", has_rows: bool = False):
        self.letter = letter
        self.of_input = of_input  # the input whose size it is, which the caller of a layer chooses
        self.has_rows = has_rows  # the rows of a weight or a bias, which the hidden size decides
        self._parent: Size | None = None

    @property
    def root(self) -> Size:
        return self if self._parent is None else self._parent.root

    def join(self, other: Size) -> None:
        """Make both one length; refuse where that would tie the hidden size to an input's, or two inputs' to each other."""
        a, b = self.root, other.root
        if a is b:
            return
        if a.of_input and b.of_input:
            one, other_one = sorted((a.of_input, b.of_input), key=lambda n: n == "e")
            raise EquationError(
                f"sizes that cannot agree: '{one}' and '{other_one}' are inputs of any sizes; say where they have one: "
                f'@cell(inputs={{"{one}": "{other_one}"}})'
            )
        if (a.of_input and b.has_rows) or (b.of_input and a.has_rows):
            inner, name = (b, a.of_input) if a.of_input else (a, b.of_input)
            said = '@cell(input_size="h")' if name == "e" else f'@cell(inputs={{"{name}": "h"}})'
            whose = "the input" if name == "e" else "the layer is given"
            raise EquationError(
                f"sizes that cannot agree: '{inner.letter}' has as many units as the hidden state, '{name}' as many as {whose}"
                f"; bring {name} to that size with a dense weight, such as W.h{name} @ {name}, or say that it has the size of "
                f"a state: {said}"
            )
        b._parent = a
        a.of_input = a.of_input or b.of_input
        a.has_rows |= b.has_rows


ROW = Size("row")  # of one number a row, such as a mean over units: its length is one


@dataclass(frozen=True)
class Parameter:
    """One named array of a cell: ``W.ie`` (dense), ``w.ih`` (diagonal), ``b.i`` (bias), ``c.T`` (a constant), ``c.A`` (a
    constant matrix), ``W.hh.T`` (a dense weight transposed) or ``p.h`` (a rate of noise, which the layer gives)."""

    name: str
    kind: str  # "dense", "diagonal", "bias", "constant", "matrix", "transposed", "rate"
    symbol: Expr
    rows: Size
    columns: tuple[Size, ...] = ()  # of matrices only; several where the operand is a concatenation
    heads: int = 1  # blocks on the diagonal, of which a dense weight, or one transposed, consists

    @property
    def learned(self) -> bool:
        """Return whether a layer has the parameter; all others are given, or computed from learned ones."""
        return self.kind in ("dense", "diagonal", "bias")

    @property
    def is_matrix(self) -> bool:
        """Return whether it multiplies with @."""
        return self.kind in ("dense", "matrix", "transposed")

    @property
    def letters(self) -> str:
        """The part after the dot: ``ie`` of ``W.ie``."""
        return self.name.split(".", 1)[1]


@dataclass(frozen=True)
class Draw:
    """One use of noise, by its number in the cell: what is drawn for the units of a vector of that ``size``.

    ``once``: the same for all steps of a sequence.
    """

    number: int
    rate: Parameter
    size: Size
    once: bool = False


@dataclass(frozen=True)
class Product:
    """A dense weight times a vector. ``part`` counts the block of columns where the operand is a concatenation."""

    symbol: Expr
    weight: Parameter
    operand: Expr
    part: int = 0
    shown: bool = True  # a concatenation's first part prints the whole of it, the others nothing
    beside: tuple[Expr, ...] = ()  # all parts of the concatenation


@dataclass(frozen=True)
class Input:
    """A further input of each step. ``like``: 1 of one number a row (``size`` is ROW), the name of what has as many units, or
    None, where the layer is given its size."""

    name: str
    like: int | str | None
    symbol: Expr
    size: Size

    @property
    def is_number(self) -> bool:
        """Return whether it is one number a row."""
        return self.size is ROW


@dataclass
class Notes:
    """The record that a trace keeps while the function runs."""

    sizes: dict[str, Size]
    constants: frozenset[str]
    matrices: frozenset[str] = frozenset()  # of the constants
    inputs: dict[str, Input] = field(default_factory=dict)  # the further ones
    parameters: dict[str, Parameter] = field(default_factory=dict)
    products: dict[Expr, Product] = field(default_factory=dict)
    concatenations: dict[Expr, tuple[Expr, ...]] = field(default_factory=dict)
    draws: dict[int, Draw] = field(default_factory=dict)
    written: dict[Expr, int] = field(default_factory=dict)  # when each expression was first written: the slide's order
    delays: dict[str, int] = field(default_factory=dict)  # of the input and of states, by letter: the most steps back
    before: str | tuple[str, ...] = ()  # what a step follows, as a trace has it

    def parameter(self, namespace: str, letters: str) -> Parameter:
        name = f"{namespace}.{letters}"
        if name in self.parameters:
            return self.parameters[name]
        of_c = "matrix" if letters in self.matrices else "constant"
        kind = {"W": "dense", "w": "diagonal", "b": "bias", "c": of_c, "p": "rate"}[namespace]
        if kind == "constant" and letters not in self.constants:
            known = sorted(self.constants | self.matrices)
            raise EquationError(f"{name} is not among the constants of @cell(constants=…, matrices=…): {known}")
        if kind == "rate":  # of as many units as what it is used with, whatever its letters are
            return self.enter(Parameter(name, kind, _symbol("p", letters), Size(letters)))
        # "into a from b": the rows have a's size if a is the input or a state, else a size of their own.
        given = namespace == "c"
        into = letters if letters in self.sizes or kind == "bias" or given else letters[0]
        if not given and into in self.inputs and self.inputs[into].is_number:
            raise EquationError(f"{name} reads 'into {into}', but {into} is an input, one number a row: rename one of them")
        rows = self.sizes.setdefault(into, Size(into, has_rows=not given))
        if not rows.root.of_input and rows.root is not self.sizes["e"].root and not given:
            rows.root.has_rows = True
        return self.enter(Parameter(name, kind, _symbol(namespace, letters), rows))

    def enter(self, parameter: Parameter) -> Parameter:
        """Note a parameter. Raises EquationError where another one has its symbol."""
        for other in self.parameters.values():
            if other.name.replace(".", "_") == parameter.name.replace(".", "_") and other.name != parameter.name:
                raise EquationError(f"{parameter.name} and {other.name} cannot be told apart: give one of them other letters")
        self.parameters[parameter.name] = parameter
        return parameter


def _symbol(namespace: str, letters: str) -> Expr:
    """Return a parameter's symbol. What is derived from it adds to its name after a single underscore (``w_h_bar``), so that
    none is that of another parameter (``w.h_bar``)."""
    return sympy.Symbol(f"{namespace}_{letters.replace('_', '__')}", real=True)
