"""The inside of the loop over time as a list of small assignments, ready to be printed in any language or derived.

From a schedule: each dense sum is split into its product, which a back end computes as one stacked matrix product with
others of the same operands (a **group**), and what is added to it; each function's value gets a symbol of its own, so
that a derivative can be written with it. Reductions stay as they are: their operands are symbols.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import sympy

from carousel.equations.functions import FUNCTIONS
from carousel.equations.noise import COUNTED, PLACES, SEQUENCES, WORDS, counted_within, symbols
from carousel.equations.notes import ROW, Expr, Parameter, Product, Size, rebuild
from carousel.equations.stages import Accumulator, Reduction, Schedule
from carousel.equations.trace import State, Trace

Equation = tuple[Expr, Expr]  # a symbol, and its value


@dataclass(frozen=True)
class Group:
    """Dense products with the same operands: ``symbols[k]`` = Σ_j weight(k, j) @ ``operands[j]``."""

    symbols: tuple[Expr, ...]
    operands: tuple[Expr, ...]
    products: tuple[tuple[Product, ...], ...]  # of each symbol, one an operand
    size: Size  # of each symbol


@dataclass(frozen=True)
class Outer:
    """Sums that need the input alone: ``symbols[k]`` = weight(k) @ input + Σ ``biases[k]``, for all steps at once."""

    symbols: tuple[Expr, ...]
    products: tuple[Product, ...]
    biases: tuple[tuple[Expr, ...], ...]


@dataclass(eq=False)  # compared and hashed by identity, so that back ends can cache by it
class LoopStage:
    """Groups and reductions whose operands are known from stages before, then the assignments that they allow, in order."""

    groups: list[Group] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    reductions: list[Reduction] = field(default_factory=list)

    @property
    def operands(self) -> set[Expr]:
        """The vectors of which the stage needs all units."""
        return {x for g in self.groups for x in g.operands} | {r.operand for r in self.reductions}


@dataclass(frozen=True, eq=False)  # compared and hashed by identity, as stages are
class Loop:
    """The work of a step. ``name`` and ``about`` (the equations as text) say of which cell.

    ``hoisted`` are symbols with a value for every step from outside the loop, all of one outer product together; ``outer``'s
    come first. ``vectors`` are the same at every step. ``sizes`` has every symbol's size: ROW of one number a row, None of a
    number that the step number alone decides. ``counts`` stand for numbers of units. ``recorded`` are symbols of a step whose
    values are given back beside the first state's.
    """

    name: str
    about: str
    states: tuple[State, ...]
    clock: Expr | None
    outer: tuple[Outer, ...]
    hoisted: tuple[tuple[Expr, ...], ...]
    vectors: tuple[Expr, ...]
    constants: frozenset[Expr]  # vectors that are not learned
    stages: tuple[LoopStage, ...]
    sizes: dict[Expr, Size | None]
    input: Expr
    order: int = 0  # how many times it is a tangent
    recorded: tuple[Expr, ...] = ()
    counts: Mapping[Expr, Size] = field(default_factory=dict)
    words: frozenset[Expr] = frozenset()  # vectors of whole numbers that noise is drawn from

    @cached_property
    def edges(self) -> tuple[str, ...]:
        """The names of what a step follows; of a chain none."""
        return tuple(dict.fromkeys(s.edge for s in self.states if s.edge))

    @cached_property
    def over_set(self) -> bool:
        """Return whether a step follows a set of others, so that values of each have rows of their own."""
        return any(r.kind == "together" for s in self.stages for r in s.reductions)

    @cached_property
    def each(self) -> frozenset[Expr]:
        """The symbols that have a value for each of the set that a step follows."""
        found = {s.before for s in self.states if self.over_set}
        found |= {r.operand for stage in self.stages for r in stage.reductions if r.kind == "together"}
        for stage in self.stages:
            found |= {r.symbol for r in stage.reductions if r.kind != "together" and r.operand in found}
            found |= {s for g in stage.groups if not found.isdisjoint(g.operands) for s in g.symbols}
            for target, expr in stage.equations:
                if not found.isdisjoint(expr.free_symbols):
                    found.add(target)
        return frozenset(found)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of all stages, in order."""
        return tuple(g for s in self.stages for g in s.groups)

    @property
    def definitions(self) -> dict[Expr, Expr]:
        """The expression that each symbol of the step equals."""
        return {symbol: expr for s in self.stages for symbol, expr in s.equations}

    @property
    def draws(self) -> bool:
        """Return whether the loop itself draws noise."""
        return any(not COUNTED.isdisjoint(expr.free_symbols) for expr in self.definitions.values())

    @property
    def goes_over_units(self) -> bool:
        """Return whether a reduction, inside the loop or before it, makes one of the values: one number a row."""
        given = {s for symbols in self.hoisted for s in symbols} | {*self.vectors, *self.definitions}
        return any(s.reductions for s in self.stages) or any(self.sizes.get(s) is ROW for s in given)


def loop(trace: Trace, schedule: Schedule, about: str = "") -> Loop:
    """Return the inside of a cell's loop."""
    return replace(_Maker(trace, schedule).make(), about=about)


class _Maker:
    def __init__(self, trace: Trace, schedule: Schedule):
        self.trace, self.schedule = trace, schedule
        self.vectors = {p.symbol: p for p in trace.parameters if not p.is_matrix}
        self.sizes: dict[Expr, Size | None] = {s: p.rows for s, p in self.vectors.items()}
        self.sizes |= {trace.input: trace.input_size} | {s.before: s.size for s in trace.states}
        self.sizes |= schedule.sizes
        clocks = [s for s in trace.states if s.size is None]
        self.clock = clocks[0].before if clocks else None
        self.drawn = [s for d in trace.draws for s in symbols(d.number).values()]
        # Symbols from outside the loop: do they have rows?
        given = [trace.input, *(x.symbol for x in trace.inputs), PLACES, SEQUENCES]
        self.outside: dict[Expr, bool] = dict.fromkeys(given, True)
        self.stages: list[LoopStage] = []
        self.fresh = 0

    def make(self) -> Loop:
        found: list[tuple[Expr, ...]] = [(symbol,) for symbol in self.outside]
        sunk = self.sunk()
        plain: dict[tuple[Expr, ...], Outer] = {}
        for stage in self.schedule.outside:
            for accumulators in grouped(stage.accumulators):
                found.append(tuple(a.symbol for a in accumulators))
                self.outside |= dict.fromkeys(found[-1], True)
                if all(a.start is None and [p.operand for p in a.products] == [self.trace.input] for a in accumulators):
                    products = tuple(a.products[0] for a in accumulators)
                    plain[found[-1]] = Outer(found[-1], products, tuple(a.biases for a in accumulators))
                self.sizes |= {a.symbol: a.rows for a in accumulators}
            for r in stage.reductions:
                self.outside[r.symbol] = self.outside.get(r.operand, False)
                found.append((r.symbol,))
            for symbol, expr in stage.equations:
                self.outside[symbol] = any(self.outside.get(s, False) for s in expr.free_symbols)
                if symbol not in sunk:
                    found.append((symbol,))
        inside = self.schedule.inside
        first = [p.operand for s in inside[:1] for a in s.accumulators for p in a.products]
        if sunk or any(not x.is_Symbol for x in first) or any(_over_units(s.reductions) for s in inside[:1]):
            self.stages.append(LoopStage())  # work on the input and the states before the first product
        for symbol, expr in sunk.items():
            within = self.flat(counted_within(expr), self.stages[0], self.sizes.get(symbol), top=True)
            self.stages[0].equations.append((symbol, within))
        for stage in inside:
            made = LoopStage(reductions=list(stage.reductions))
            self.stages.append(made)
            for accumulators in grouped(stage.accumulators):
                made.groups.append(self.group(accumulators))
                for a, product in zip(accumulators, made.groups[-1].symbols, strict=True):
                    terms = [product, *([a.start] if a.start is not None else []), *a.biases]
                    self.sizes[a.symbol] = a.rows
                    made.equations.append((a.symbol, sympy.Add(*terms, evaluate=False) if terms[1:] else product))
            for symbol, expr in stage.equations:
                if self.clock is not None and symbol == self.trace.states[-1].after:
                    continue  # the step number goes on by itself
                made.equations.append((symbol, self.flat(expr, made, self.sizes.get(symbol), top=True)))
        used = {s for stage in self.stages for _, e in stage.equations for s in e.free_symbols}
        used |= {x for stage in self.stages for x in stage.operands}
        used |= {s.after for s in self.trace.states} | self.beside()
        hoisted = [symbols for symbols in found if any(s in used and self.outside[s] for s in symbols)]
        hoisted.sort(key=lambda symbols: symbols not in plain)
        fixed = [s for s, has_rows in self.outside.items() if not has_rows and s in used]
        drawn = [s for s in self.drawn if s in used]
        vectors = tuple([s for s in self.vectors if s in used] + fixed + drawn)
        given = {s for s, p in self.vectors.items() if not p.learned} | {*drawn}
        return Loop(
            name=self.trace.name,
            about="",
            states=self.trace.states,
            clock=self.clock,
            outer=tuple(plain[symbols] for symbols in hoisted if symbols in plain),
            hoisted=tuple(hoisted),
            vectors=vectors,
            constants=frozenset(given.intersection(vectors)),
            stages=tuple(_merged(self.stages)),
            sizes=self.sizes,
            input=self.trace.input,
            counts=self.schedule.counts,
            words=frozenset(symbols(d.number)[what] for d in self.trace.draws for what in WORDS).intersection(vectors),
        )

    def beside(self) -> set[Expr]:
        """Return the further inputs that stand beside what depends on a state in the operand of a product of the loop: nothing
        else in the loop may have their sizes, with which the columns of the weight are told apart.
        """
        columns = {c.root for s in self.stages for g in s.groups for ps in g.products for p in ps for c in p.weight.columns}
        known = {s.size.root for s in self.trace.states if s.size is not None} | {self.trace.input_size.root}
        return {x.symbol for x in self.trace.inputs if not x.is_number and x.size.root in columns - known}

    def sunk(self) -> dict[Expr, Expr]:
        """Return the pointwise equations that need no state but are computed in the loop: no product outside needs them, and
        numbers that are computed where they are used are neither written to memory nor read again.
        """
        stages, found = self.schedule.outside, {}
        sums = [a for stage in stages for a in stage.accumulators]
        equations = [e for stage in stages for e in stage.equations]
        waiting = {s for a in sums for p in a.products for s in p.operand.free_symbols} | {a.start for a in sums}
        waiting |= {r.operand for stage in stages for r in stage.reductions}
        with_rows = {self.trace.input, *(x.symbol for x in self.trace.inputs), *(a.symbol for a in sums)}
        for symbol, expr in equations:
            if with_rows & expr.free_symbols:
                with_rows.add(symbol)
        for symbol, expr in reversed(equations):
            alias = expr.is_Symbol and symbol not in {s.after for s in self.trace.states}  # another name for what is there
            number = self.sizes.get(symbol) in (ROW, None)
            if alias or number or symbol in waiting or symbol not in with_rows:
                waiting |= expr.free_symbols
            else:
                found[symbol] = expr
        return dict(reversed(found.items()))

    def group(self, accumulators: list[Accumulator]) -> Group:
        operands = []
        for product in accumulators[0].products:
            expr = product.operand
            if not expr.is_Symbol:
                size = product.weight.columns[product.part]
                before = self.stages[-2]
                expr = self.named(self.flat(expr, before, size), before, size)
            operands.append(expr)
        symbols = tuple(sympy.Symbol(str(a.symbol).replace("a", "p"), real=True) for a in accumulators)
        self.sizes |= {s: a.rows for s, a in zip(symbols, accumulators, strict=True)}
        return Group(symbols, tuple(operands), tuple(a.products for a in accumulators), accumulators[0].rows)

    def named(self, expr: Expr, stage: LoopStage, size: Size | None) -> Expr:
        """Return a symbol for an expression, the one it has where it has one."""
        if expr.is_Symbol or expr.is_number:
            return expr
        if expr.free_symbols <= self.schedule.counts.keys():
            size = None
        for symbol, known in stage.equations:
            if known == expr and _of_size(self.sizes.get(symbol), size):
                return symbol
        symbol = sympy.Symbol(f"x{self.fresh}", real=True)
        self.fresh += 1
        self.sizes[symbol] = size
        stage.equations.append((symbol, expr))
        return symbol

    def flat(self, expr: Expr, stage: LoopStage, size: Size | None, *, top: bool = False) -> Expr:
        """Return the expression with every function's value, but one at the top, named."""
        if not expr.args:
            return expr
        inner = rebuild(expr, [self.flat(a, stage, size) for a in expr.args])
        alone = type(inner) in FUNCTIONS or (inner.is_Pow and not inner.exp.is_positive)
        return self.named(inner, stage, size) if alone and not top else inner


def _of_size(known: Size | None, size: Size | None) -> bool:
    """Return whether a value, which may be one number a row, can stand for a vector of that size.

    What the step number alone decides occurs with vectors of several sizes.
    """
    return known is None or (size is not None and known.root is size.root)


def _over_units(reductions: list[Reduction]) -> bool:
    """Return whether any of the reductions goes over the units that a stage before has."""
    return any(r.kind != "together" for r in reductions)


def _merged(stages: list[LoopStage]) -> Iterator[LoopStage]:
    """Merge a stage without products into the next one, whose products and reductions, if it has any, need nothing of it."""
    waiting, first = LoopStage(), True
    for stage, after in zip(stages, [*stages, LoopStage()][1:], strict=True):
        made = LoopStage(stage.groups, waiting.equations + stage.equations, waiting.reductions + stage.reductions)
        defined = {s for s, _ in made.equations} | {r.symbol for r in made.reductions}
        waiting = LoopStage()
        over_units = _over_units(after.reductions) and (first or not after.operands)
        if not made.groups and stage is not stages[-1] and defined.isdisjoint(after.operands) and not over_units:
            waiting = made
        else:
            first = False  # what a stage reduces is taken over the units of a stage before
            yield made


def grouped(accumulators: list[Accumulator]) -> Iterator[list[Accumulator]]:
    """Yield accumulators of a stage that can be computed together: the same operands, the same number of units."""
    groups: dict[tuple[object, ...], list[Accumulator]] = {}
    for a in accumulators:
        groups.setdefault((a.rows.root, a.handed, *((p.operand, p.weight.heads) for p in a.products)), []).append(a)
    yield from groups.values()


def blocks(parameter: Parameter, part: int, lengths: dict[Size, int]) -> slice:
    """Return the columns of a concatenated weight that multiply one part of its operand."""
    widths = [lengths[c.root] for c in parameter.columns]
    return slice(sum(widths[:part]), sum(widths[: part + 1]))
