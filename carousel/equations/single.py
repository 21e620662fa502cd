"""A cell of one unit: vectors are numbers, and a dense product is a product of two numbers.

It is a loop as any other, without products and sums over units, so its derivative follows as any other's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import sympy

from carousel.equations.cell import Cell
from carousel.equations.derivative import Derivative, derive
from carousel.equations.errors import EquationError
from carousel.equations.functions import detach
from carousel.equations.loop import Loop, loop
from carousel.equations.notes import Expr, Parameter, Product, Size, rebuild
from carousel.equations.printing import step
from carousel.equations.stages import Schedule, Stage
from carousel.equations.trace import Trace
from carousel.equations.units import OVER_UNITS, Count, Largest, total

ONE = Size("one")


@dataclass(frozen=True)
class Single:
    """A cell of one unit.

    Attributes:
        weights: the names of the numbers that are learned; a weight of a concatenation has one for each part, ``W.f[m]``.
        symbols: of these, in the same order.
        initial: where each starts: "uniform", or a number.
        loop: a step.
        derivative: a step backwards.
    """

    weights: tuple[str, ...]
    symbols: tuple[Expr, ...]
    initial: tuple[str | float, ...]
    loop: Loop
    derivative: Derivative


def single(cell: Cell) -> Single:
    """Return a cell of one unit, without noise.

    Raises:
        EquationError: a step follows several others, there are further inputs, or heads, which share no single unit.
        NoDerivative: SymPy knows no derivative of a function that the equations use.
    """
    if cell.before:
        raise EquationError("a step of this cell follows several, and one unit is shown along a chain")
    if cell.inputs:
        raise EquationError(f"this cell takes {', '.join(cell.inputs)} beside its input, and one number a step is fed here")
    if cell.heads > 1:
        raise EquationError(f"{cell.heads} heads cannot share one unit")
    return _Single(cell).make()


class _Single:
    def __init__(self, cell: Cell):
        self.cell, self.trace = cell, cell.quiet.trace
        self.parameters = {p.name: p for p in self.trace.parameters}
        self.weights: dict[str, tuple[Expr, str]] = {}  # symbols by name, and the parameter that each is of
        self.equations: list[tuple[Expr, Expr]] = []
        self.numbers: dict[Expr, Expr] = {}  # what stands for parameters that are no matrices
        for p in self.trace.parameters:
            if p.kind == "constant":
                self.numbers[p.symbol] = sympy.Float(float(cell.array(p.name, 1)[0]))
            elif p.kind == "rate":
                self.numbers[p.symbol] = sympy.Integer(0)
            elif not p.is_matrix:
                self.numbers[p.symbol] = self.learned(p.name, p)

    def make(self) -> Single:
        for symbol, expr in self.trace.equations:
            self.equations.append((symbol, self.plain(expr)))
        order = [p.name for p in self.trace.parameters]
        named = sorted(self.weights.items(), key=lambda each: order.index(each[1][1]))
        weights = [(name, symbol, of) for name, (symbol, of) in named if self.used(symbol)]
        trace = self.numbered([(name, symbol) for name, symbol, _ in weights])
        inside = Stage(equations=self.equations)
        made = loop(trace, Schedule((), (inside,), dict(trace.sizes), {}), self.cell.text)
        specs = {s.name: s.initial for s in self.cell.parameter_specs(1, 1, 1)}
        initial = tuple(specs[of] for _, _, of in weights)
        names, symbols = tuple(name for name, *_ in weights), tuple(symbol for _, symbol, _ in weights)
        return Single(names, symbols, initial, made, derive(made))

    def used(self, symbol: Expr) -> bool:
        return any(symbol in expr.free_symbols for _, expr in self.equations)

    def numbered(self, weights: Iterable[tuple[str, Expr]]) -> Trace:
        """Return the trace with every vector of one unit, and no products."""
        old, clocks = self.trace, {s.after for s in self.trace.states if s.size is None}
        states = tuple(s if s.size is None else replace(s, size=ONE) for s in old.states)
        sizes = {s: None if s in clocks else ONE for s, _ in self.equations}
        parameters = tuple(Parameter(name, "diagonal", symbol, ONE) for name, symbol in weights)
        return replace(
            old,
            input_size=ONE,
            states=states,
            equations=tuple(self.equations),
            parameters=parameters,
            products={},
            concatenations={},
            sizes=sizes,
        )

    def plain(self, expr: Expr) -> Expr:
        """Return an expression with products of two numbers, and functions over units taken over one."""
        if expr in self.trace.products:
            return self.product(self.trace.products[expr])
        if not expr.args:
            return self.numbers.get(expr, expr)
        args = [self.plain(x) for x in expr.args]
        if type(expr) not in OVER_UNITS:
            return rebuild(expr, args)
        made = _over_one(OVER_UNITS[type(expr)].definition(*args))
        if not made.has(sympy.Piecewise):
            return made
        symbol = sympy.Symbol(f"v{len(self.equations)}", real=True)  # SymPy would multiply it out in a condition
        self.equations.append((symbol, made))
        return symbol

    def product(self, product: Product) -> Expr:
        weight, part = product.weight, product.part
        of = weight.name.removesuffix(".T")
        learned = self.parameters.get(of, weight)
        shape = 1, len(learned.columns)
        if weight.kind == "matrix":
            number = self.cell.array(weight.name, *shape)[0][part]
            factor = sympy.Float(float(number))
        else:
            factor = self.weight(learned, part)
            if of in self.cell.masks and not self.cell.array(of, *shape)[0][part]:
                factor = sympy.Integer(0)
        return sympy.Mul(factor, self.plain(product.operand), evaluate=False)

    def weight(self, weight: Parameter, part: int) -> Expr:
        """Return the symbol of a dense weight's number, of several where it multiplies several vectors side by side."""
        name = weight.name
        if len(weight.columns) > 1:
            operands: dict[int, Expr] = {}
            for p in self.trace.products.values():
                if p.weight.name == name:
                    operands.setdefault(p.part, p.operand)
            read = [step(operands[k], self.trace.delays)[0] if operands[k].is_Symbol else "" for k in sorted(operands)]
            own = read[part]
            name = f"{name}[{own if own and read.count(own) == 1 else part}]"
        return self.learned(name, weight)

    def learned(self, name: str, of: Parameter) -> Expr:
        """Return the symbol of a number that is learned, by its name, and the parameter that it is of."""
        if name not in self.weights:
            self.weights[name] = sympy.Symbol(f"weight{len(self.weights)}", real=True), of.name
        return self.weights[name][0]


def _over_one(expr: Expr) -> Expr:
    """Return a definition over units for one unit, which is the sum and the largest; no error flows back from the largest."""
    if not expr.args:
        return expr
    args = [_over_one(x) for x in expr.args]
    if expr.func is Count:
        return sympy.Integer(1)
    if expr.func is total.symbol:
        return args[0]
    if expr.func is Largest:
        return detach(args[0])
    return rebuild(expr, args)
