"""Order a trace's work: products that leave the loop over time, and the order within a step.

An **accumulator** is a sum of dense products (and biases) of one equation: Σ W·x + b. A **reduction** is a sum or maximum over
the units of a vector. A **stage** is a set of accumulators and reductions whose operands are all known, then every pointwise
equation that they allow. Stages that need only the input are **outside** the loop: they run once for all steps. The others are
**inside** it; ``loop.py`` makes of these what back ends read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import sympy

from carousel.equations.before import Together
from carousel.equations.errors import EquationError
from carousel.equations.noise import NOISE, counted_within, defined, symbols
from carousel.equations.notes import ROW, Expr, Product, Size, rebuild, symbols_in
from carousel.equations.trace import Trace
from carousel.equations.units import OVER_UNITS, Count, Largest, total

Taken = tuple[str, Expr, int | None]  # a reduction: its kind, operand and heads


@dataclass(frozen=True)
class Accumulator:
    """``start`` + Σ weight @ operand + Σ bias, where start is an accumulator from outside the loop (or None).

    ``handed``: one from outside the loop is added to what is of each of a set, so what comes back to it is nobody's sum.
    """

    symbol: Expr
    products: tuple[Product, ...]
    biases: tuple[Expr, ...]
    start: Expr | None
    rows: Size
    handed: bool = False


@dataclass(frozen=True)
class Reduction:
    """``symbol``, one number a row, is the "sum" or the "max" of ``operand`` over its units, whose number is ``size``.

    With ``heads`` it is a vector of that size: each of so many heads' units have what their head has. A maximum hands no error
    back. Of the kind "together" it has the operand's size: the sum over the set of steps that a step follows, unit by unit.
    """

    symbol: Expr
    kind: str
    operand: Expr
    size: Size
    heads: int | None = None


@dataclass(eq=False)  # compared and hashed by identity, so that back ends can cache by it
class Stage:
    """Work that needs all units of its operands, then pointwise work: ``accumulators`` and ``reductions``, then ``equations``
    (symbol, expression), in order."""

    accumulators: list[Accumulator] = field(default_factory=list)
    reductions: list[Reduction] = field(default_factory=list)
    equations: list[tuple[Expr, Expr]] = field(default_factory=list)


@dataclass(frozen=True)
class Schedule:
    """The stages of a cell: stages that run once for all steps, outside the loop over time, and stages that run in each step.

    ``sizes``: the size of each symbol that has units; ROW for symbols that a reduction makes one number a row. ``counts``:
    symbols that stand for the number of units of a size.
    """

    outside: tuple[Stage, ...]
    inside: tuple[Stage, ...]
    sizes: dict[Expr, Size | None]
    counts: dict[Expr, Size]


def schedule(trace: Trace) -> Schedule:
    """Split a trace's equations into stages."""
    planner = _Planner(trace)
    plan, taken = planner.plan(), planner.taken_inside()
    return _Planner(trace, taken).plan() if taken else plan


class _Planner:
    """``inside``: reductions that need no state, by kind, operand and heads, and are taken inside the loop all the same."""

    def __init__(self, trace: Trace, inside: frozenset[Taken] = frozenset()):
        self.trace, self.inside = trace, inside
        self.draws = {d.number: d for d in trace.draws}
        self.biases = {p.symbol for p in trace.parameters if p.kind == "bias"}
        # Where a symbol is known: (inside the loop?, after which stage). Parameters and the input: from the start.
        self.known: dict[Expr, tuple[bool, int]] = {s.before: (True, 0) for s in trace.states}
        self.stages: dict[tuple[bool, int], Stage] = {(False, 0): Stage(), (True, 0): Stage()}
        self.made: dict[tuple[tuple[Expr, ...], tuple[Expr, ...], bool, Expr | None, bool], Expr] = {}
        self.reduced: dict[Taken, Expr] = {}
        self.counts: dict[Size, Expr] = {}
        self.given: dict[Expr, Expr] = {}  # a name for each expression that a reduction, or several of them, need
        self.sizes: dict[Expr, Size | None] = {p.symbol: p.rows for p in trace.parameters if not p.is_matrix}
        self.sizes |= {trace.input: trace.input_size} | {s.before: s.size for s in trace.states}
        self.sizes |= {x.symbol: x.size for x in trace.inputs}
        # Symbols that have a value for each of the set that a step follows.
        self.each = {s.before for s in trace.states if isinstance(trace.before, str)}

    def plan(self) -> Schedule:
        for target, expr in self.trace.equations:
            rewritten = self.split(expr)
            size = self.size(rewritten) if self.trace.sizes.get(target) is None else self.trace.sizes[target]
            rewritten = self.rows_named(rewritten, top=size is ROW)
            self.sizes[target] = {s.after: s.size for s in self.trace.states}.get(target, size)
            # A state's new value belongs to the step, even where it is only the input handed on.
            self.known[target] = self.assign(target, rewritten)
        self.share()
        ordered = sorted(self.stages.items())
        used = [(inside, s) for (inside, _), s in ordered if s.accumulators or s.reductions or s.equations]
        outside, inside = (tuple(s for where, s in used if where is wanted) for wanted in (False, True))
        return Schedule(outside, inside, self.sizes, {symbol: size for size, symbol in self.counts.items()})

    def assign(self, target: Expr, expr: Expr) -> tuple[bool, int]:
        """Add an equation to its stage; return which that is."""
        where = self.when(expr)
        self.stage(where).equations.append((target, counted_within(expr) if where[0] else expr))
        self.of_each(target, expr.free_symbols)
        return where

    def of_each(self, made: Expr, symbols: Iterable[Expr]) -> None:
        """Note that what is made of some symbols has a value for each of the set, if one of them has."""
        if not self.each.isdisjoint(symbols):
            self.each.add(made)

    def stage(self, where: tuple[bool, int]) -> Stage:
        return self.stages.setdefault(where, Stage())

    def when(self, expr: Expr) -> tuple[bool, int]:
        places = [self.known.get(s, (False, 0)) for s in expr.free_symbols]
        if not any(inside for inside, _ in places):
            return False, max((k for _, k in places), default=0)
        return True, max(k for inside, k in places if inside)

    def split(self, expr: Expr) -> Expr:
        """Return the expression with its dense sums replaced by accumulators, what goes over units by its definition."""
        if type(expr) in OVER_UNITS:
            return self.over_units(expr)
        if type(expr) is Together:
            return self.over_set(expr)
        if type(expr) in NOISE:
            return self.drawn(expr)
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
        """Return Σ products + Σ biases: products of the input alone outside the loop, the rest inside, starting from them; what
        is of each of a set is added to what is of the step."""
        groups: dict[tuple[bool, bool], list[Product]] = {}
        level: Counter[tuple[bool, bool]] = Counter()
        for p in products:
            operand = self.rows_named(self.split(p.operand))
            inside, known = self.when(operand)
            operand = counted_within(operand) if inside else operand
            kind = inside, not self.each.isdisjoint(operand.free_symbols)
            level[kind] = max(level[kind], known + 1)  # a sum waits for the last of its operands
            groups.setdefault(kind, []).append(Product(p.symbol, p.weight, operand, p.part, p.shown))
        start: Expr | None = None
        handed = any(each for _, each in groups)
        for (inside, each), group in sorted(groups.items()):
            where = inside, level[inside, each]
            if each and start is not None:
                return sympy.Add(start, self.make(where, group, [], None), evaluate=False)
            start = self.make(where, group, biases if start is None else [], start, handed=handed and not inside)
        return start

    def make(
        self, where: tuple[bool, int], products: list[Product], biases: list[Expr], start: Expr | None, *, handed: bool = False
    ) -> Expr:
        # The same products may begin elsewhere.
        key = (tuple(p.symbol for p in products), tuple(biases), where[0], start, handed)
        if key not in self.made:
            symbol = sympy.Symbol(f"a{len(self.made)}", real=True)
            rows = products[0].weight.rows
            self.stage(where).accumulators.append(Accumulator(symbol, tuple(products), tuple(biases), start, rows, handed))
            self.known[symbol], self.sizes[symbol] = where, rows
            self.of_each(symbol, {x for p in products for x in p.operand.free_symbols})
            self.made[key] = symbol
        return self.made[key]

    def share(self) -> None:
        """Give each product that several sums have a sum of its own, so that it is computed once."""
        places = [(where, a) for where in sorted(self.stages) for a in self.stages[where].accumulators]
        times = Counter((where[0], p.symbol) for where, a in places for p in a.products)
        for where, a in places:
            shared = [p for p in a.products if times[where[0], p.symbol] > 1]
            rest = [p for p in a.products if p not in shared]
            start = [] if a.start is None else [a.start]
            if not shared or not (rest or shared[1:] or start or a.biases):
                continue
            terms = [self.make(where, [p], [], None) for p in shared]
            terms += [self.make(where, rest, list(a.biases), a.start)] if rest else [*start, *a.biases]
            stage = self.stages[where]
            stage.accumulators.remove(a)
            stage.equations.insert(0, (a.symbol, sympy.Add(*terms, evaluate=False)))

    def drawn(self, expr: Expr) -> Expr:
        """Return a value of noise by its definition."""
        kind, made = NOISE[type(expr)], self.draws[int(expr.args[-1])]
        self.sizes |= dict.fromkeys(symbols(made.number).values(), made.size)
        return defined(kind, [self.split(x) for x in expr.args[: kind.operands]], made.number)

    def over_set(self, expr: Expr) -> Expr:
        """Return the sum over the set of steps that a step follows, as a reduction."""
        operand = self.name(self.rows_named(self.split(expr.args[0])))
        if operand not in self.each:  # SymPy has found that it is the same for all
            inside, known = self.when(operand)
            symbol, where = sympy.Symbol(f"u{len(self.given)}", real=True), (True, known if inside else 0)
            self.stage(where).equations.append((symbol, operand))
            self.known[symbol], self.sizes[symbol], self.given[expr] = where, self.size(operand), symbol
            self.each.add(symbol)
            operand = symbol
        taken = ("together", operand, None)
        if taken not in self.reduced:
            symbol, where = sympy.Symbol(f"r{len(self.reduced)}", real=True), (True, self.when(operand)[1] + 1)
            self.stage(where).reductions.append(Reduction(symbol, "together", operand, self.units(operand)))
            self.known[symbol], self.sizes[symbol] = where, self.units(operand)
            self.reduced[taken] = symbol
        return self.reduced[taken]

    # What goes over units.

    def over_units(self, expr: Expr) -> Expr:
        """Return a function over units by its definition: reductions, and what is computed with them."""
        first, *rest = (self.split(x) for x in expr.args)
        function = OVER_UNITS[type(expr)]
        heads = self.trace.heads if function.of_heads else None
        made = self.reduce(function.definition(self.name(self.rows_named(first, top=True)), *rest), heads)
        return self.name(made) if made.has(sympy.Piecewise) else made  # SymPy would multiply it out in a condition

    def reduce(self, expr: Expr, heads: int | None) -> Expr:
        """Return the expression with its sums, maxima and numbers of units replaced by their symbols."""
        if not expr.args:
            return expr
        args = [self.reduce(x, heads) for x in expr.args]
        if expr.func is Count:
            return self.count(self.units(args[0])) / (heads or 1)
        if expr.func in (Largest, total.symbol):
            return self.reduction("sum" if expr.func is total.symbol else "max", self.name(self.rows_named(args[0])), heads)
        return rebuild(expr, args)

    def reduction(self, kind: str, operand: Expr, heads: int | None) -> Expr:
        taken = (kind, operand, heads)
        if taken not in self.reduced:
            symbol = sympy.Symbol(f"r{len(self.reduced)}", real=True)
            inside, known = self.when(operand)
            if taken in self.inside:  # with the first that need a state
                inside, known = True, max(known if inside else 0, 1 if (True, 1) in self.stages else 0)
            size = self.units(operand)
            self.stage((inside, known + 1)).reductions.append(Reduction(symbol, kind, operand, size, heads))
            self.known[symbol], self.sizes[symbol] = (inside, known + 1), ROW if heads is None else size
            self.of_each(symbol, [operand])
            self.reduced[taken] = symbol
        return self.reduced[taken]

    def taken_inside(self) -> frozenset[Taken]:
        """Return the reductions of sums of the input that no product outside the loop waits for.

        Inside the loop they cost little, since the sums are at hand; outside, each would go through all steps in memory.
        """
        stages = [s for (inside, _), s in self.stages.items() if not inside]
        needs = {symbol: expr.free_symbols for s in stages for symbol, expr in s.equations}
        needs |= {r.symbol: {r.operand} for s in stages for r in s.reductions}
        sums = [a for s in stages for a in s.accumulators]
        needs |= {a.symbol: {x for p in a.products for x in p.operand.free_symbols} | {a.start} for a in sums}

        def all_of(symbols: set[Expr]) -> set[Expr]:
            found: set[Expr] = set()
            while symbols:
                found |= symbols
                symbols = {y for x in symbols for y in needs.get(x, ())} - found
            return found

        waited = all_of({x for a in sums for x in needs[a.symbol]})
        given = {self.trace.input, *(x.symbol for x in self.trace.inputs)}
        of_input = {a.symbol for a in sums if given & all_of({a.symbol})}
        found = [r for s in stages for r in s.reductions if r.symbol not in waited]
        return frozenset((r.kind, r.operand, r.heads) for r in found if of_input & all_of({r.operand}))

    def count(self, size: Size) -> Expr:
        return self.counts.setdefault(size.root, sympy.Symbol(f"n_{len(self.counts)}", real=True))

    def units(self, operand: Expr) -> Size:
        """Return the number of units that a reduction goes over. Raises EquationError where there are none."""
        size = self.size(operand)
        if size is None or size is ROW:
            raise EquationError(f"{operand} has no units to go over")
        return size.root

    def size(self, expr: Expr) -> Size | None:
        """Return the size of an expression's value: ROW for one number a row that a reduction has made."""
        sizes = [s for s in map(self.sizes.get, symbols_in(expr)) if s is not None]
        return next((s for s in sizes if s is not ROW), ROW if sizes else None)

    def name(self, expr: Expr) -> Expr:
        """Return a symbol for an expression, the one it has where it has one."""
        if expr.is_Symbol or expr.is_number:
            return expr
        if expr not in self.given:
            symbol = sympy.Symbol(f"u{len(self.given)}", real=True)
            self.known[symbol], self.sizes[symbol] = self.assign(symbol, expr), self.size(expr)
            self.given[expr] = symbol
        return self.given[expr]

    def rows_named(self, expr: Expr, *, top: bool = False) -> Expr:
        """Return the expression with what is one number a row named, so that it is computed once; ``top``: not the whole."""
        if not expr.args or (expr.is_Mul and len(expr.args) == 2 and expr.args[0] == -1 and expr.args[1].is_Symbol):
            return expr
        if not top and isinstance(expr, sympy.Expr) and self.size(expr) is ROW:
            return self.name(expr)
        args = [self.rows_named(x) for x in expr.args]
        rows = [x for x in args if isinstance(x, sympy.Expr) and x.free_symbols and self.size(x) in (ROW, None)]
        if (expr.is_Mul or expr.is_Add) and 1 < len(rows) < len(args) and ROW in map(self.size, rows):
            args = [*(x for x in args if x not in rows), self.name(expr.func(*rows, evaluate=False))]
        made = rebuild(expr, args)
        return made if top else self.given.get(made, made)
