"""Which block of a loop defines and reads which values, forward and backward; every printer of kernels builds on this.

A **block** is what one stage does with the units of one size, or with what is one number a row, which comes first; what there
is for each of a set has blocks of its own, the last of a stage. What a block reads and another has computed in the same step is
**cross-stage**; what the run backwards reads of a step is **saved** by the run forwards. What a stage reduces over units is
**gathered** by a block of the stage before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from carousel.equations.derivative import BackwardStage, Transposed, derive
from carousel.equations.loop import Equation, Group, Loop, LoopStage
from carousel.equations.notes import ROW, Expr, Size, symbols_in
from carousel.equations.stages import Reduction


class Place(NamedTuple):
    """A block: its stage, the size of its units, and whether it goes over each of the set that a step follows."""

    stage: int
    size: Size
    each: bool = False


class Outcome(NamedTuple):
    """One of the values that the run backwards stores for every step: ``value`` is the adjoint of ``symbol``.

    ``array``: "group" (adjoints of a group's sums) or "hoisted", and the number of the group or hoisted input; the value is
    the ``column``th of ``width`` vectors a row.
    """

    place: Place
    array: tuple[str, int]
    width: int
    column: int
    value: Expr


class Liveness:
    """The blocks that define and read each value of a loop and of its derivative. Raises NoDerivative where SymPy has none."""

    def __init__(self, loop: Loop):
        self.loop, self.derivative = loop, derive(loop)
        self.each = self.derivative.each
        self.states = {s.before: s for s in loop.states if s.size is not None}
        roots = dict.fromkeys(s.root for s in loop.sizes.values() if s is not None)
        self.rank = {root: k for k, root in enumerate(sorted(roots, key=lambda root: root is not ROW))}
        self.counts = {**loop.counts, **self.derivative.counts}
        # Values that follow from the step number alone, as expressions of it.
        self.plain: dict[Expr, Expr] = {}
        self._put_in: dict[Expr, Expr] = {}
        for symbol, expr in loop.definitions.items():
            if loop.sizes.get(symbol) is None:
                self.plain[symbol] = expr.subs(self.plain)
        # Vectors that dense weights multiply inside the loop.
        self.operands = tuple(dict.fromkeys(x for g in loop.groups for x in g.operands))
        # Of each symbol of a hoisted input: the number of the input, and its column.
        self.column = {s: (j, k) for j, symbols in enumerate(loop.hoisted) for k, s in enumerate(symbols)}
        # Of each hoisted input, the group whose adjoints are its gradient, number for number. Zeros say nothing of whose they
        # are: they may be of another number of units.
        adjoints = list(self.derivative.adjoints)
        self.shared = tuple(adjoints.index(e) if any(e) and e in adjoints else None for e in self.derivative.hoisted)
        # Of each state, whether something goes back to it without a product.
        self.passing = tuple(self.derivative.carried[s] != 0 for s in self.states)
        self.forward, self.backward = ForwardFlow(self), BackwardFlow(self)
        self.flows: dict[str, ForwardFlow | BackwardFlow] = {"forward": self.forward, "backward": self.backward}

    def put_in(self, expr: Expr) -> Expr:
        """Return an expression in which values that follow from the step number alone are put in."""
        if expr not in self._put_in:
            self._put_in[expr] = expr.subs(self.plain)
        return self._put_in[expr]

    def root(self, symbol: Expr) -> Size:
        """Return the size of a symbol."""
        found = self.derivative.sizes.get(symbol)
        assert found is not None, symbol
        return found.root

    def place(self, stage: int, symbol: Expr) -> Place:
        """Return the block of a stage that has a symbol's units."""
        return Place(stage, self.root(symbol), symbol in self.each)

    def row(self, symbol: Expr) -> bool:
        """Return whether a value is one number a row."""
        return self.derivative.sizes.get(symbol) is ROW

    def read(self) -> set[Expr]:
        """Return what the assignments and reductions of a step read."""
        found = {x for s in self.loop.stages for _, e in s.equations for x in e.free_symbols}
        return found | {r.operand for s in self.loop.stages for r in s.reductions}


class _Flow(ABC):
    """One direction of a loop."""

    def __init__(self, live: Liveness):
        self.live, self.loop, self.derivative = live, live.loop, live.derivative
        self.defined: dict[Expr, Place] = {}  # the block that computes each value

    @cached_property
    def places(self) -> list[Place]:
        """The blocks, in order."""
        return sorted(self._places(), key=lambda place: (place.stage, place.each, self.live.rank[place.size]))

    @cached_property
    def cross_stage(self) -> tuple[Expr, ...]:
        """Values of a step that another block of it reads."""
        summed = [r.operand for stage in self._stages for r in stage.reductions if r.kind == "together"]
        return tuple(dict.fromkeys(s for s in [*(s for p in self.places for s in self.reads(p)), *summed] if s in self.defined))

    @cached_property
    def shared_out(self) -> tuple[Expr, ...]:
        """Values, one number a row, of a step that a block which goes over each of a set reads, and of each that are summed."""
        read = {s for place in self.places if place.each for s in self.reads(place) if s not in self.live.each}
        read |= {r.operand for place in self.places for r in self.summed(place)}
        return tuple(s for s in self.cross_stage if s in read and self.live.row(s))

    def free(self, equations: list[Equation]) -> dict[Expr, None]:
        """Return the symbols in the right sides of equations, in order."""
        found: dict[Expr, None] = {}
        for _, expr in equations:
            found |= dict.fromkeys(symbols_in(self.live.put_in(expr)))
        return found

    def assigned(self, place: Place) -> list[Equation]:
        """Return a block's assignments, those that follow from the step number alone put in."""
        return [(s, self.live.put_in(e)) for s, e in self.equations(place)]

    def gathered(self, place: Place) -> list[Reduction]:
        """Return the reductions of the stage after a block's, for which the block gathers its units."""
        after = self._stages[place.stage + 1 : place.stage + 2]
        every = [r for stage in after for r in stage.reductions if r.kind != "together"]
        return [r for r in every if self.live.place(place.stage, r.operand) == place]

    def reduced(self, place: Place) -> list[Reduction]:
        """Return the reductions that a block has the results of: one of one number a row, or of units where they go by head."""
        return [r for r in self._known(place) if r.kind != "together"]

    def summed(self, place: Place) -> list[Reduction]:
        """Return the sums over a set that a block takes."""
        return [r for r in self._known(place) if r.kind == "together"]

    def _known(self, place: Place) -> list[Reduction]:
        return [r for r in self._stages[place.stage].reductions if self.defined[r.symbol] == place]

    def _define(self) -> None:
        """Note where reductions are known."""
        every = [(k, r) for k, stage in enumerate(self._stages) for r in stage.reductions]
        self.defined |= {r.symbol: self.live.place(k, r.symbol) for k, r in every}
        self._gathering = {self.live.place(k - 1, r.operand) for k, r in every if r.kind != "together"}

    @property
    @abstractmethod
    def _stages(self) -> Sequence[LoopStage | BackwardStage]: ...

    @abstractmethod
    def _places(self) -> set[Place]: ...

    @abstractmethod
    def equations(self, place: Place) -> list[Equation]:
        """Return a block's assignments."""

    @abstractmethod
    def reads(self, place: Place) -> list[Expr]:
        """Return the symbols that a block reads and does not define."""


class ForwardFlow(_Flow):
    """The run that computes outputs, and saves what the way back needs."""

    def __init__(self, live: Liveness):
        super().__init__(live)
        for k, stage in enumerate(self.loop.stages):
            for symbol in [s for g in stage.groups for s in g.symbols] + [s for s, _ in stage.equations]:
                if symbol not in live.plain:
                    self.defined[symbol] = live.place(k, symbol)
        self._define()

    @property
    def _stages(self) -> Sequence[LoopStage]:
        return self.loop.stages

    def home(self, before: Expr) -> Place:
        """Return the block that knows the new value of a state."""
        after = self.live.states[before].after
        if after in self.defined:
            return self.defined[after]
        size = self.live.root(before)  # a state that is handed the input or a parameter
        every = (p.stage for p in self.defined.values() if p == Place(p.stage, size))
        return Place(max(every, default=len(self.loop.stages) - 1), size)

    def _places(self) -> set[Place]:
        return {*self.defined.values(), *self._gathering, *(self.home(before) for before in self.live.states)}

    def equations(self, place: Place) -> list[Equation]:
        return [(s, e) for s, e in self.loop.stages[place.stage].equations if self.defined.get(s) == place]

    def reads(self, place: Place) -> list[Expr]:
        found = self.free(self.equations(place))
        found |= dict.fromkeys(s.after for before, s in self.live.states.items() if self.home(before) == place)
        found |= dict.fromkeys(r.operand for r in self.gathered(place))
        return [s for s in found if self.defined.get(s) != place]

    def groups(self, place: Place) -> list[tuple[int, Group]]:
        """Return the groups whose sums a block computes, with their numbers in the loop."""
        first = sum(len(s.groups) for s in self.loop.stages[: place.stage])
        every = enumerate(self.loop.stages[place.stage].groups, first)
        return [(g, group) for g, group in every if self.live.place(place.stage, group.symbols[0]) == place]


class BackwardFlow(_Flow):
    """The way back: gradients."""

    def __init__(self, live: Liveness):
        super().__init__(live)
        # Symbols of what arrives from the step after → the state that it arrives at.
        self.arriving = {symbol: before for before, symbol in self.derivative.arriving.items()}
        self.recomputed = dict(self.derivative.recomputed)
        for k, stage in enumerate(self.derivative.stages):
            for symbol in [p.symbol for p in stage.products] + [s for s, _ in stage.equations]:
                self.defined[symbol] = live.place(k, symbol)
        self._define()
        groups, hoisted = enumerate(self.loop.groups), enumerate(self.loop.hoisted)
        every = [(("group", g), x.symbols, self.derivative.adjoints[g]) for g, x in groups]
        every += [(("hoisted", j), x, self.derivative.hoisted[j]) for j, x in hoisted if live.shared[j] is None]
        self.outcomes = [
            Outcome(self.home(a, s), array, len(symbols), column, a)
            for array, symbols, adjoints in every
            for column, (s, a) in enumerate(zip(symbols, adjoints, strict=True))
        ]

    @property
    def _stages(self) -> Sequence[BackwardStage]:
        return self.derivative.stages

    def home(self, value: Expr, like: Expr) -> Place:
        """Return the block that stores a value: where it is computed; the first stage for what only arrives, or is zero."""
        return self.defined.get(value, self.live.place(0, like))

    def carrier(self, before: Expr) -> Place:
        """Return the block that overwrites what is carried: the last of its size, since all of them may read what arrived."""
        if self.loop.over_set:  # a member has a row of its own
            return self.home(self.derivative.carried[before], before)
        every = [*self.defined.values(), *(r.place for r in self.outcomes)]
        return max((p for p in every if p == self.live.place(p.stage, before)), default=self.live.place(0, before))

    def carried(self, place: Place) -> list[tuple[Expr, Expr]]:
        """Return the states that a block carries something back to, and what."""
        every = ((s, self.derivative.carried[s]) for s in self.live.states)
        return [(s, value) for s, value in every if value != 0 and self.carrier(s) == place]

    def vectors(self, place: Place) -> list[tuple[Expr, Expr]]:
        """Return the learned vectors to whose gradient a block adds something, and what."""
        return [(v, a) for v, a in self.derivative.vectors.items() if a != 0 and self.home(a, v) == place]

    def products(self, place: Place) -> list[Transposed]:
        """Return the products with transposed weights that a block computes."""
        return [p for p in self.derivative.stages[place.stage].products if self.defined[p.symbol] == place]

    def _places(self) -> set[Place]:
        vectors = (self.home(a, v) for v, a in self.derivative.vectors.items() if a != 0)
        own = {*self.defined.values(), *self._gathering, *(r.place for r in self.outcomes)}
        return own | {*map(self.carrier, self.live.states), *vectors}

    def equations(self, place: Place) -> list[Equation]:
        """Return a block's assignments, after those values of the forward step that it computes again."""
        own = [(s, e) for s, e in self.derivative.stages[place.stage].equations if self.defined[s] == place]
        again: dict[Expr, Expr] = {}

        def need(symbol: Expr) -> None:
            if symbol in self.recomputed and symbol not in again:
                for s in symbols_in(self.recomputed[symbol]):
                    need(s)
                again[symbol] = self.recomputed[symbol]

        for _, expr in own:
            for s in symbols_in(expr):
                need(s)
        return [*again.items(), *own]

    def reads(self, place: Place) -> list[Expr]:
        equations = self.equations(place)
        values = [r.value for r in self.outcomes if r.place == place]
        values += [a for _, a in [*self.vectors(place), *self.carried(place)]]
        found = self.free(equations) | dict.fromkeys(v for v in values if v != 0)
        found |= dict.fromkeys(r.operand for r in self.gathered(place))
        own = {s for s, _ in equations} | {p.symbol for p in self.products(place)} | {r.symbol for r in self._known(place)}
        return [s for s in found if s not in own]
