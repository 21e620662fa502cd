"""The derivative of a loop: its steps backwards, as assignments and products of the same kind.

Reverse accumulation over the assignments of a step, each derived by SymPy and written with the values that the step
itself has computed (the derivative of y = logistic(x) is y·(1 − y)). What multiplies dense weights waits for a product
with the transposed weight: of the same step where the operand was computed in it, of the next step where it is a state.
A sum over units hands its adjoint to every unit; one number a row, which every unit reads, receives a sum over units. In the
same way a sum over a set hands its adjoint to each member, and a value of the step, which each member reads, receives a sum
over the set.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import sympy

from carousel.equations.functions import FUNCTIONS, tamed
from carousel.equations.loop import Equation, Loop
from carousel.equations.noise import COUNTED
from carousel.equations.notes import ROW, Expr, Size, rebuild, symbols_in
from carousel.equations.stages import Reduction


class NoDerivative(Exception):
    """SymPy knows no derivative of a function that the equations use."""


@dataclass(frozen=True)
class Transposed:
    """``symbol`` = Wᵀ @ (adjoints of the forward group number ``group``), W its weight of operand number ``operand``.

    ``later``: the operand is a state, so the adjoints come from the step after this one.
    """

    symbol: Expr
    group: int
    operand: int
    size: Size | None
    later: bool


@dataclass
class BackwardStage:
    """Products and reductions of what stages before have computed, then assignments."""

    products: list[Transposed] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    reductions: list[Reduction] = field(default_factory=list)


@dataclass(frozen=True)
class Derivative:
    """A step backwards.

    ``adjoints``: of each forward group's symbols. ``hoisted``: of each hoisted symbol. ``vectors``: of each learned vector,
    to be summed over rows and steps. ``carried``: of each state before the step, without the part that goes through products.
    ``arriving``: the symbol of the error that is carried back to each state from the step after, ``given`` of the error that
    the loop's result gives the first state at this step, and ``recorded`` of the error that each recorded value is given.
    ``saved``: the values of the forward step that are needed and not worth computing again; ``recomputed``: how the others
    follow from them. ``counts`` stand for numbers of units, the loop's among them. ``each``: symbols, forward and backward,
    that have a value for each of the set that a step follows.
    """

    stages: tuple[BackwardStage, ...]
    adjoints: tuple[tuple[Expr, ...], ...]
    hoisted: tuple[tuple[Expr, ...], ...]
    vectors: dict[Expr, Expr]
    carried: dict[Expr, Expr]
    arriving: dict[Expr, Expr]
    given: Expr
    recorded: tuple[Expr, ...]
    saved: tuple[Expr, ...]
    recomputed: tuple[Equation, ...]
    sizes: dict[Expr, Size | None]
    counts: dict[Expr, Size]
    each: frozenset[Expr]


def derive(loop: Loop) -> Derivative:
    """Return the backward loop. Raises NoDerivative where SymPy has none."""
    return _Deriver(loop).derive()


class _Deriver:
    def __init__(self, loop: Loop):
        self.loop = loop
        self.bars: dict[Expr, list[Expr]] = defaultdict(list)  # contributions to each symbol's adjoint
        self.spread: dict[Expr, list[tuple[Expr, Size]]] = defaultdict(list)  # of each unit, to what is one number a row
        self.members: dict[Expr, list[tuple[Expr, Size]]] = defaultdict(list)  # of each of a set, to what is the step's
        self.each = set(loop.each)
        self.reduced: dict[Expr, Expr] = {}  # the sum over units of each expression that has one
        self.counts = {size.root: symbol for symbol, size in loop.counts.items()}
        self.level: dict[Expr, int] = {}  # the backward stage in which a symbol is known
        self.stages = [BackwardStage()]
        self.sizes = dict(loop.sizes)
        self.forward = loop.definitions
        self.again: list[Equation] = []
        self.learned = {s for s in loop.vectors if s not in loop.constants}

    def derive(self) -> Derivative:
        loop = self.loop
        arriving, given = {}, _symbol(loop.states[0].after, "given")
        before = {s.before: s for s in loop.states if s.size is not None}
        for state in before.values():
            back = f"back_{state.edge}" if state.edge else "back"
            arriving[state.before] = self.known(_symbol(state.after, back), state.size, 0)
            self.bars[state.after].append(arriving[state.before])
        self.bars[loop.states[0].after].append(self.known(given, loop.states[0].size, 0))
        recorded = tuple(self.known(_symbol(s, "given"), self.sizes[s], 0, each=s in self.each) for s in loop.recorded)
        for s, bar in zip(loop.recorded, recorded, strict=True):
            self.bars[s].append(bar)
        groups = loop.groups
        for number, group in enumerate(groups):  # errors that come back through products from the step after
            for k, operand in enumerate(group.operands):
                if operand in before:
                    q = self.product(number, k, before[operand].size, 0, later=True)
                    self.bars[before[operand].after].append(q)

        adjoints: list[tuple[Expr, ...]] = [()] * len(groups)
        first = [sum(len(s.groups) for s in loop.stages[:k]) for k in range(len(loop.stages))]
        numbered = [(range(n, n + len(stage.groups)), stage) for n, stage in zip(first, loop.stages, strict=True)]
        for numbers, stage in reversed(numbered):
            for symbol, expr in reversed(stage.equations):
                self.through(symbol, expr)
            for number in reversed(numbers):
                adjoints[number] = tuple(self.outcome(s) for s in groups[number].symbols)
                ready = max(self.level.get(b, 0) for b in adjoints[number])
                for k, operand in enumerate(groups[number].operands):
                    if operand not in before and not self.from_outside(operand):
                        q = self.product(number, k, self.sizes[operand], ready + 1, later=False)
                        self.bars[operand].append(q)
            for r in reversed(stage.reductions):
                if r.kind != "max":
                    self.bars[r.operand].append(self.adjoint(r.symbol) if r.heads is None else self.over_heads(r))
        hoisted = tuple(tuple(self.outcome(s) for s in symbols) for symbols in loop.hoisted)
        vectors = {s: self.outcome(s) for s in loop.vectors if s in self.learned}
        carried = {s: self.outcome(s) for s in before}
        results = {e for es in (*adjoints, *hoisted, vectors.values(), carried.values()) for e in es}
        self.prune(results)
        saved = self.choose()
        return Derivative(
            stages=tuple(self.stages),
            adjoints=tuple(adjoints),
            hoisted=hoisted,
            vectors=vectors,
            carried=carried,
            arriving=arriving,
            given=given,
            recorded=recorded,
            saved=saved,
            recomputed=tuple(self.again),
            sizes=self.sizes,
            counts={symbol: size for size, symbol in self.counts.items()},
            each=frozenset(self.each),
        )

    def from_outside(self, symbol: Expr) -> bool:
        return any(symbol in symbols for symbols in self.loop.hoisted)

    def known(self, symbol: Expr, size: Size | None, level: int, *, each: bool = False) -> Expr:
        self.sizes[symbol], self.level[symbol] = size, level
        self.each |= {symbol} if each else set()
        return symbol

    def product(self, group: int, operand: int, size: Size | None, level: int, *, later: bool) -> Expr:
        each = not later and self.loop.groups[group].operands[operand] in self.each
        symbol = self.known(sympy.Symbol(f"q{group}_{operand}", real=True), size, level, each=each)
        self.stage(level).products.append(Transposed(symbol, group, operand, size, later))
        return symbol

    def stage(self, level: int) -> BackwardStage:
        while len(self.stages) <= level:
            self.stages.append(BackwardStage())
        return self.stages[level]

    def adjoint(self, symbol: Expr) -> Expr:
        """Return the sum of all that has come back to a symbol, as a symbol (or zero).

        It is one number a row where it is the same for all units.
        """
        members = self.members.pop(symbol, [])
        if members and symbol in self.learned and not self.bars.get(symbol):
            return self.named(symbol, sympy.Add(*(part for part, _ in members)), each=True)  # summed over rows in any case
        self.from_set(symbol, members)
        parts = [p for p in self.bars.pop(symbol, []) if p != 0]
        parts += [p for p in self.over_units(self.spread.pop(symbol, [])) if p != 0]
        if len(parts) == 1 and parts[0].is_Symbol:
            self.bars[symbol] = parts
            return parts[0]
        return self.named(symbol, sympy.Add(*parts))

    def outcome(self, symbol: Expr) -> Expr:
        """Return the adjoint of a symbol with the symbol's own size."""
        found = self.adjoint(symbol)
        of_row = self.sizes[symbol] is not ROW is self.sizes.get(found, ROW)
        of_step = symbol in self.each and found not in self.each
        return self.named(symbol, found) if found != 0 and (of_row or of_step) else found

    def named(self, symbol: Expr, total: Expr, *, each: bool = False) -> Expr:
        """Make a symbol of the sum of all that has come back to one."""
        if total == 0:
            return total
        level = self.ready(total)
        made = self.known(_symbol(symbol, "bar"), self.sizes.get(symbol), level, each=each or symbol in self.each)
        self.stage(level).equations.append((made, total))
        self.bars[symbol] = [made]
        return made

    def ready(self, expr: Expr) -> int:
        return max((self.level.get(s, 0) for s in expr.free_symbols), default=0)

    def over_units(self, contributions: list[tuple[Expr, Size]]) -> list[Expr]:
        """Return Σ over units of contributions, of which each has a size.

        Factors that are one number a row stand before the sum, so that it can be taken before they are known.
        """
        sums: dict[tuple[Size, Expr], list[Expr]] = defaultdict(list)
        for expr, size in contributions:
            for term in sympy.Add.make_args(expr):
                row, units = self.parted(term)
                sums[size.root, row].append(units)
        return [row * self.sum(sympy.Add(*parts), size) for (size, row), parts in sums.items()]

    def from_set(self, symbol: Expr, members: list[tuple[Expr, Size]]) -> None:
        """Add to what comes back to a value of the step what each of the set hands it, of each size the sum over the set."""
        sums: dict[Size, list[Expr]] = defaultdict(list)
        for part, size in members:
            sums[size.root].append(part)
        for size, parts in sums.items():
            if (total := sympy.Add(*parts)) == 0:
                continue
            level, number = self.ready(total), len(self.reduced)
            operand = self.known(sympy.Symbol(f"s{number}_over", real=True), size, level, each=True)
            self.stage(level).equations.append((operand, total))
            found = self.reduced[operand] = self.known(sympy.Symbol(f"s{number}_sum", real=True), size, level + 1)
            self.stage(level + 1).reductions.append(Reduction(found, "together", operand, size))
            if self.sizes[symbol] is ROW and size is not ROW:
                self.spread[symbol].append((found, size))
            else:
                self.bars[symbol].append(found)

    def over_heads(self, r: Reduction) -> Expr:
        """Return what a sum over each head's units hands to every unit: the same sum of what has come back to it."""
        bar = self.outcome(r.symbol)
        if bar == 0:
            return bar
        level = self.level[bar] + 1
        made = self.known(_symbol(r.symbol, "spread"), r.size, level, each=bar in self.each)
        self.stage(level).reductions.append(Reduction(made, r.kind, bar, r.size, r.heads))
        return made

    def parted(self, term: Expr) -> tuple[Expr, Expr]:
        """Return a product as one number a row times what differs from unit to unit."""
        factors = sympy.Mul.make_args(term)
        units = [x for x in factors if any(self.sizes.get(s) not in (ROW, None) for s in x.free_symbols)]
        return sympy.Mul(*(x for x in factors if x not in units)), sympy.Mul(*units)

    def linear(self, expr: Expr, size: Size) -> Expr | None:
        """Return Σ over units where it follows from sums that the loop has taken and the number of units; else None."""
        taken = {
            r.operand: r.symbol for stage in self.loop.stages for r in stage.reductions if r.kind == "sum" and r.heads is None
        }
        count = self.counts.setdefault(size, sympy.Symbol(f"n_{len(self.counts)}", real=True))
        found = []
        for row, units in map(self.parted, sympy.Add.make_args(expr)):
            if units != 1 and units not in taken:
                return None
            found.append(row * (count if units == 1 else taken[units]))
        return sympy.Add(*found)

    def sum(self, expr: Expr, size: Size) -> Expr:
        """Return Σ over the units of that size of an expression."""
        known = self.linear(expr, size)
        if known is not None:
            return known
        if expr not in self.reduced:
            level, number = self.ready(expr), len(self.reduced)
            each = not self.each.isdisjoint(expr.free_symbols)
            operand = self.known(sympy.Symbol(f"s{number}_over", real=True), size, level, each=each)
            self.stage(level).equations.append((operand, expr))
            self.reduced[expr] = self.known(sympy.Symbol(f"s{number}_sum", real=True), ROW, level + 1, each=each)
            self.stage(level + 1).reductions.append(Reduction(self.reduced[expr], "sum", operand, size))
        return self.reduced[expr]

    def through(self, symbol: Expr, expr: Expr) -> None:
        """Hand the adjoint of ``symbol`` = ``expr`` on to the symbols in ``expr``."""
        bar = self.adjoint(symbol)
        if bar == 0:
            return
        for s in symbols_in(expr):
            if s in self.loop.constants or s == self.loop.clock or s in self.loop.counts or s in COUNTED:
                continue
            part, size = times(bar, partial(symbol, expr, s)), self.sizes[symbol]
            if symbol in self.each and s not in self.each and self.sizes[s] is not None and size is not None:
                self.members[s].append((part, size))
            elif self.sizes[s] is ROW and size is not None and size is not ROW:
                self.spread[s].append((part, size))
            else:
                self.bars[s].append(part)

    def prune(self, results: set[Expr]) -> None:
        """Leave out every value that no result needs; assign in the order of needs."""
        wanted = {s for e in results for s in getattr(e, "free_symbols", ())}
        for stage in reversed(self.stages):
            needed = []
            for symbol, expr in reversed(stage.equations):
                if symbol in wanted:
                    wanted |= expr.free_symbols
                    needed.append((symbol, expr))
            stage.equations = needed[::-1]
            stage.reductions = [r for r in stage.reductions if r.symbol in wanted]
            wanted |= {r.operand for r in stage.reductions}
            stage.products = [p for p in stage.products if p.symbol in wanted]

    def choose(self) -> tuple[Expr, ...]:
        """Choose the values of the forward step to save: needed ones that only a function or a product gives.

        Sums and products of saved ones are computed again.
        """
        saved: list[Expr] = []
        again: list[Equation] = self.again

        def need(symbol: Expr) -> None:
            expr = self.forward.get(symbol)
            if symbol in saved or symbol in {s for s, _ in again}:
                return
            if expr is not None and self.sizes.get(symbol) is None:
                return  # the step number or numbers of units decide it
            row = self.sizes.get(symbol) is ROW  # it takes no room
            drawn = expr is not None and not COUNTED.isdisjoint(expr.free_symbols)  # a choice, by counting
            function = not drawn and (type(expr) in FUNCTIONS or (expr is not None and expr.is_Pow))
            if expr is not None and not function and not row and self.cheap(expr):
                for s in symbols_in(expr):
                    need(s)
                again.append((symbol, expr))
            elif symbol not in (*self.loop.vectors, self.loop.clock, *self.counts.values(), *COUNTED, *self.level):
                saved.append(symbol)

        for stage in self.stages:
            for _, expr in stage.equations:
                for s in symbols_in(expr):
                    need(s)
        return tuple(saved)

    def cheap(self, expr: Expr) -> bool:
        """Return whether all that the expression needs is worth having: no sums of products, which only a product gives."""
        sums = {p for g in self.loop.groups for p in g.symbols}
        return all(
            s not in sums and (s not in self.forward or self.forward[s].free_symbols.isdisjoint(sums))
            for s in expr.free_symbols
        )


def _symbol(of: Expr, what: str) -> Expr:
    return sympy.Symbol(f"{of}_{what}", real=True)


def partial(symbol: Expr, expr: Expr, s: Expr) -> Expr:
    """Return ∂expr/∂s, written with ``symbol`` where expr itself occurs in it. Raises NoDerivative where SymPy has none."""
    if isinstance(expr, sympy.Piecewise):
        return sympy.Piecewise(*((partial(e, e, s), c) for e, c in expr.args))
    known = _swapped(expr, sympy.Mod, _Remainder) if expr.has(sympy.Mod) else expr
    found = known.diff(s)
    if type(expr) in FUNCTIONS or expr.is_Pow:
        found = found.subs(known, symbol)
    if found.has(_Remainder):
        found = _swapped(found, _Remainder, sympy.Mod)
    if found.atoms(sympy.Derivative, sympy.Subs):
        raise NoDerivative(f"no derivative of {expr} is known")
    return tamed(found)


class _Remainder(sympy.Function):
    """A remainder that has a derivative, unlike SymPy's: of its divisor as well, by whole quotients."""

    def fdiff(self, argindex: int = 1) -> Expr:
        a, b = self.args
        return sympy.Integer(1) if argindex == 1 else (self - a) / b


def _swapped(expr: Expr, old: Any, new: Any) -> Expr:
    """Return the expression with another class for the nodes of one."""
    args = [_swapped(x, old, new) for x in expr.args]
    return new(*args, evaluate=False) if isinstance(expr, old) else rebuild(expr, args)


def times(change: Expr, factor: Expr) -> Expr:
    """Return change · factor; nothing, rather than zero times something infinite, where a branch was not taken."""
    if isinstance(factor, sympy.Piecewise):
        return sympy.Piecewise(*((times(change, e), c) for e, c in factor.args))
    return change * factor
