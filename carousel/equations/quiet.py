"""A cell without its noise: zoneout as its expectation, dropout as nothing. Evaluation, streams and exports run it."""

from __future__ import annotations

from dataclasses import replace

import sympy

from carousel.equations.noise import NOISE
from carousel.equations.notes import Expr, Parameter, rebuild
from carousel.equations.trace import Trace


def quiet(trace: Trace) -> tuple[Trace, dict[str, str]]:
    """Return the trace without noise, and the letters of the rate that each of its parameters of kind "rate" stands for.

    A rate that is used with vectors of several sizes becomes a parameter for each.
    """
    return _Quiet(trace).make()


class _Quiet:
    def __init__(self, trace: Trace):
        self.trace = trace
        self.draws = {d.number: d for d in trace.draws}
        self.taken = {p.name for p in trace.parameters}
        self.rates = {(p.letters, p.rows.root): p for p in trace.parameters if p.kind == "rate"}
        self.of = {p.name: p.letters for p in self.rates.values()}
        self.names: dict[Expr, Expr] = {}  # what has become another name for a quantity, and that quantity

    def make(self) -> tuple[Trace, dict[str, str]]:
        trace = self.trace
        equations = tuple((s, self.named(s, self.without(expr))) for s, expr in trace.equations)
        products = {s: replace(p, operand=self.without(p.operand)) for s, p in trace.products.items()}
        found = {s for expr in (*(e for _, e in equations), *(p.operand for p in products.values())) for s in expr.free_symbols}
        every = [p for p in trace.parameters if p.kind != "rate"] + list(self.rates.values())
        parameters = tuple(p for p in every if p.kind != "rate" or p.symbol in found)
        concatenations = {s: tuple(self.without(x) for x in parts) for s, parts in trace.concatenations.items()}
        made = replace(
            trace, equations=equations, products=products, parameters=parameters, concatenations=concatenations, draws=()
        )
        return made, {p.name: self.of[p.name] for p in parameters if p.kind == "rate"}

    def without(self, expr: Expr) -> Expr:
        """Return an expression with what is drawn by its value in evaluation."""
        if not expr.args:
            return self.names.get(expr, expr)
        args = [self.without(x) for x in expr.args]
        if type(expr) not in NOISE:
            return rebuild(expr, args)
        *operands, _, number = args
        return NOISE[type(expr)].expected(*operands, self.rate(int(number)).symbol)

    def named(self, symbol: Expr, expr: Expr) -> Expr:
        if expr.is_Symbol and symbol not in {s.after for s in self.trace.states}:
            self.names[symbol] = expr
        return expr

    def rate(self, number: int) -> Parameter:
        draw = self.draws[number]
        letters, size = draw.rate.letters, draw.size.root
        if (letters, size) not in self.rates:
            k = next(k for k in range(2, 3 + len(self.taken)) if f"p.{letters}_{k}" not in self.taken)
            symbol = sympy.Symbol(f"p_{letters}_{k}", real=True)
            self.rates[letters, size] = made = Parameter(f"p.{letters}_{k}", "rate", symbol, size)
            self.taken.add(made.name)
            self.of[made.name] = letters
        return self.rates[letters, size]
