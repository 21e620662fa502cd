"""Order a trace's work: products that leave the loop over time, and the order within a step.

An **accumulator** is a sum of dense products (and biases) of one equation: Σ W·x + b. A **stage** is a set of
accumulators whose operands are all known, then every pointwise equation that they allow. Stages that need only the
input are **outside** the loop: they run once for all steps. The others are **inside** it; ``loop.py`` makes of these what back
ends read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy

from carousel.equations.terms import Expr, Product, Size, rebuild
from carousel.equations.trace import Trace


@dataclass(frozen=True)
class Accumulator:
    """``start`` + Σ weight @ operand + Σ bias, where start is an accumulator from outside the loop (or None)."""

    symbol: Expr
    products: tuple[Product, ...]
    biases: tuple[Expr, ...]
    start: Expr | None
    rows: Size


@dataclass(eq=False)  # compared and hashed by identity, so that back ends can cache by it
class Stage:
    """Dense work, then pointwise work: ``accumulators`` then ``equations`` (symbol, expression), in order."""

    accumulators: list[Accumulator] = field(default_factory=list)
    equations: list[tuple[Expr, Expr]] = field(default_factory=list)


@dataclass(frozen=True)
class Schedule:
    """All of a cell's work: the stages outside the loop over time, and the ones inside."""

    outside: tuple[Stage, ...]
    inside: tuple[Stage, ...]


def schedule(trace: Trace) -> Schedule:
    """Split a trace's equations into stages."""
    return _Planner(trace).plan()


class _Planner:
    def __init__(self, trace: Trace):
        self.trace = trace
        self.biases = {p.symbol for p in trace.parameters if p.kind == "bias"}
        # Where a symbol is known: (inside the loop?, after which stage). Parameters and the input: from the start.
        self.known: dict[Expr, tuple[bool, int]] = {s.before: (True, 0) for s in trace.states}
        self.stages: dict[tuple[bool, int], Stage] = {(False, 0): Stage(), (True, 0): Stage()}
        self.made: dict[tuple[tuple[Expr, ...], tuple[Expr, ...], bool, Expr | None], Expr] = {}

    def plan(self) -> Schedule:
        for target, expr in self.trace.equations:
            rewritten = self.split(expr)
            # A state's new value belongs to the step, even where it is only the input handed on.
            where = self.when(rewritten)
            self.known[target] = where
            self.stage(where).equations.append((target, rewritten))
        ordered = sorted(self.stages.items())
        outside = [s for (inside, _), s in ordered if not inside and (s.accumulators or s.equations)]
        inside = [s for (inside, _), s in ordered if inside and (s.accumulators or s.equations)]
        return Schedule(tuple(outside), tuple(inside))

    def stage(self, where: tuple[bool, int]) -> Stage:
        return self.stages.setdefault(where, Stage())

    def when(self, expr: Expr) -> tuple[bool, int]:
        places = [self.known.get(s, (False, 0)) for s in expr.free_symbols]
        if not any(inside for inside, _ in places):
            return False, max((k for _, k in places), default=0)
        return True, max(k for inside, k in places if inside)

    def split(self, expr: Expr) -> Expr:
        """Return the expression with its dense sums replaced by accumulators."""
        if expr in self.trace.products:
            return self.accumulate([self.trace.products[expr]], [])
        if not expr.args:
            return expr
        if expr.is_Add:
            products = [self.trace.products[a] for a in expr.args if a in self.trace.products]
            if products:
                biases = [a for a in expr.args if a in self.biases]
                rest = [self.split(a) for a in expr.args if a not in self.trace.products and a not in self.biases]
                total = self.accumulate(products, biases)
                return sympy.Add(total, *rest, evaluate=False) if rest else total
        args = [self.split(a) for a in expr.args]
        return rebuild(expr, args)

    def accumulate(self, products: list[Product], biases: list[Expr]) -> Expr:
        """Return Σ products + Σ biases: products of the input alone outside the loop, the rest inside, starting from them."""
        groups: dict[bool, list[Product]] = {}
        level = {False: 0, True: 0}
        for p in products:
            operand = self.split(p.operand)
            inside, known = self.when(operand)
            level[inside] = max(level[inside], known + 1)  # a sum waits for the last of its operands
            groups.setdefault(inside, []).append(Product(p.symbol, p.weight, operand, p.part, p.shown))
        start: Expr | None = None
        for inside, group in sorted(groups.items()):
            start = self.make((inside, level[inside]), group, biases if start is None else [], start)
        return start

    def make(self, where: tuple[bool, int], products: list[Product], biases: list[Expr], start: Expr | None) -> Expr:
        key = (tuple(p.symbol for p in products), tuple(biases), where[0], start)  # the same products may begin elsewhere
        if key not in self.made:
            symbol = sympy.Symbol(f"a{len(self.made)}", real=True)
            rows = products[0].weight.rows
            self.stage(where).accumulators.append(Accumulator(symbol, tuple(products), tuple(biases), start, rows))
            self.known[symbol] = where
            self.made[key] = symbol
        return self.made[key]
