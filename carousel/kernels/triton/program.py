"""A cell's loop as arrays and blocks, forward and backward; its Triton is printed from this.

Blocks are those of ``liveness``. Arrays are named by an underscore, which no quantity of a
cell begins with, a letter and their symbol:

==== =========================================================================================================
E    hoisted inputs, (rows of all steps, width)
X    operands of products, and S states in float32, both of every step: the value *before* it where it is a state
K    values saved for the run backwards, of every step
L    values that a later block of the step reads, one a row
F I  final states; those that a reset returns to
A    adjoints of a group's sums, of every step; B those of hoisted inputs, where they are others
C    what is carried back to a state, in float32; D the same of every step, for the gradient of initial states
V    sums of a learned vector's gradient, one a row
W Y  stacked dense weights of a group's operand; vectors
P    what cuBLAS makes of a product, one a row
==== =========================================================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Generic, TypeVar

from carousel.equations.loop import Equation, Loop
from carousel.equations.noise import COUNTED, PLACE
from carousel.equations.notes import Expr, Size
from carousel.kernels.interface import Described, interface_of
from carousel.kernels.liveness import BackwardFlow, ForwardFlow, Liveness, Place

Flow = TypeVar("Flow", ForwardFlow, BackwardFlow)
Write = tuple[str, Expr, str, int, int]  # kind, value, array, width, column


class Unsupported(Exception):
    """A loop that has no kernels here; another back end runs it."""


@dataclass(frozen=True)
class TileProduct:
    """``symbols[k]`` += ``array`` (rows, ``depth``) @ weight ``weight``, whose rows are units or, transposed, columns."""

    symbols: tuple[Expr, ...]
    array: str
    depth: str
    weight: str
    group: int
    transposed: bool = False
    later: bool = False  # of the rows of the step after
    width: int = 1  # sums of the forward group
    each: str = ""  # units of each vector of the operand

    @property
    def padded(self) -> str:
        """``each``, as a power of two."""
        return self.each.replace("N_", "PAD_", 1)


@dataclass
class TileBlock:
    """One stage's work on the units of one size: ``reads`` are (symbol, kind of place, array, width, column)."""

    stage: int
    size: str
    products: list[TileProduct] = field(default_factory=list)
    reads: list[tuple[Expr, str, str, int, int]] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)


class TritonProgram:
    """Both directions of a loop; ``mixed``: products are of another type than the states.

    Raises NoDerivative where SymPy has none, Unsupported for operands that come from outside the loop, and for recorded values.
    """

    def __init__(self, loop: Loop, mixed: bool):
        if loop.edges:
            raise Unsupported(f"a step of {loop.name} follows several")
        if loop.goes_over_units:
            raise Unsupported(f"{loop.name} goes over the units of a step")
        self.loop, self.mixed, self.live, self.interface = loop, mixed, Liveness(loop), interface_of(loop)
        self.states, back = self.live.states, self.live.derivative
        self._letters = {root: f"{root.letter}{k}" for root, k in self.live.rank.items()}
        self._size: dict[Expr, str] = {}
        self.operands = self.live.operands
        if any(x in self.live.column or x in loop.vectors for x in self.operands) or not loop.stages:
            raise Unsupported(f"{loop.name} multiplies what does not depend on its states")
        if loop.recorded:
            raise Unsupported(f"{loop.name} gives back more than its output")
        self.saved = tuple(x for x in back.saved if x not in self.live.column)
        self.read_states = tuple(s for s in self.states if s in self.live.read() | set(back.saved))
        self.forward = _Forward(self, self.live.forward).blocks()
        self.backward = _Backward(self, self.live.backward).blocks()
        # Of each size, its name here and in the interface.
        self.sizes = {f"N_{self._letters[root]}": self.interface.names[root] for root in self.live.rank}
        # Arrays of every step, which a run writes and a run backwards may read: whether they are in single precision, and
        # their symbol; first those that are there also where nothing is saved.
        self.steps: dict[str, tuple[bool, Expr]] = {name("X", x): (False, x) for x in self.operands}
        for state in self.read_states:
            array = self.state_array(state)
            self.steps.setdefault(array, (array.startswith("_S"), state))
        self.saved_arrays = {self.saved_array(x): (False, x) for x in self.saved if self.saved_array(x) not in self.steps}
        # Sums of the input that the run backwards reads.
        self.sums = tuple(j for j, o in enumerate(loop.outer) if set(o.symbols) & set(back.saved))
        rows = ("rows",)
        self.described = (
            *(Described(a, (rows, (self.of(x),)), single) for a, (single, x) in {**self.steps, **self.saved_arrays}.items()),
            *(
                Described(f"_E_{j}", (rows, (self.of(loop.outer[j].symbols[0]),) * len(loop.outer[j].symbols)))
                for j in self.sums
            ),
        )

    def units(self, length: Callable[[Size], int]) -> dict[str, int]:
        """Return the number behind each size's name, padded."""
        return padded({f"N_{letter}": length(root) for root, letter in self._letters.items()})

    def lengths(self, known: dict[str, int]) -> dict[str, int]:
        """Return the same from the lengths of the interface's sizes."""
        return padded({here: known[there] for here, there in self.sizes.items() if there in known})

    def of(self, symbol: Expr) -> str:
        """Return the interface's name of a symbol's size."""
        return self.interface.names[self.live.root(symbol)]

    def letter(self, root: Size) -> str:
        """Return the name of the number of units of a size."""
        return f"N_{self._letters[root]}"

    def size(self, symbol: Expr) -> str:
        """Return the name of the number of units of a symbol."""
        if symbol not in self._size:  # asked at every call
            self._size[symbol] = self.letter(self.live.root(symbol))
        return self._size[symbol]

    def state_array(self, before: Expr) -> str:
        """Return where a state's value before a step is read from."""
        return name("X" if before in self.operands and not self.mixed else "S", before)

    def state_arrays(self, before: Expr) -> list[str]:
        """Return where a state is written."""
        found = [name("X", before)] if before in self.operands else []
        return list(dict.fromkeys([*found, *([self.state_array(before)] if before in self.read_states else [])]))

    def saved_array(self, symbol: Expr) -> str:
        """Return where the run backwards finds a saved value of a step."""
        if symbol in self.states:
            return self.state_array(symbol)
        return name("X" if symbol in self.operands else "K", symbol)


def padded(sizes: dict[str, int]) -> dict[str, int]:
    """Return the numbers of units, and of each the next power of two (at least 16, as a product of tiles wants)."""
    return sizes | {n.replace("N_", "PAD_", 1): max(16, 1 << (k - 1).bit_length()) for n, k in sizes.items()}


@cache
def name(letter: str, symbol: Expr) -> str:
    """Return the name of a symbol's array (SymPy takes its time to print one)."""
    return f"_{letter}_{symbol}"


@cache
def program_of(loop: Loop, mixed: bool) -> TritonProgram:
    """Return a loop's program, made once."""
    return TritonProgram(loop, mixed)


class _Direction(ABC, Generic[Flow]):
    """What both directions share."""

    def __init__(self, program: TritonProgram, flow: Flow):
        self.program, self.live, self.loop = program, program.live, program.loop
        self.flow: Flow = flow

    def blocks(self) -> list[list[TileBlock]]:
        stages: dict[int, list[TileBlock]] = {}
        for place in self.flow.places:
            stages.setdefault(place.stage, []).append(self.block(place))
        return [stages[k] for k in sorted(stages)]

    def block(self, place: Place) -> TileBlock:
        made = TileBlock(place.stage, self.program.letter(place.size), self.products(place))
        for s in self.flow.reads(place):
            if s in self.loop.vectors:
                made.reads.append((s, "vector", f"_Y_{s}", 1, 0))
            elif s in COUNTED:
                made.reads.append((s, "counted", "row" if s == PLACE else "r[:, None]", 1, 0))
            elif s == self.loop.clock:
                made.reads.append((s, "clock", "_clock", 1, 0))
            elif s in self.flow.defined:
                made.reads.append((s, "row", f"_L_{s}", 1, 0))
            elif s in self.live.column:
                j, k = self.live.column[s]
                made.reads.append((s, "step", f"_E_{j}", len(self.loop.hoisted[j]), k))
            else:
                kind, array, width, column = self.found(s)
                made.reads.append((s, kind, array, width, column))
        made.equations = self.flow.assigned(place)
        made.writes = self.writes(place)
        for cross_stage in self.flow.cross_stage:
            if self.flow.defined[cross_stage] == place:
                made.writes.append(("row", cross_stage, f"_L_{cross_stage}", 1, 0))
        return made

    @abstractmethod
    def products(self, place: Place) -> list[TileProduct]: ...

    @abstractmethod
    def found(self, symbol: Expr) -> tuple[str, str, int, int]: ...

    @abstractmethod
    def writes(self, place: Place) -> list[Write]: ...


class _Forward(_Direction[ForwardFlow]):
    def products(self, place: Place) -> list[TileProduct]:
        found = []
        for g, group in self.flow.groups(place):
            for j, x in enumerate(group.operands):
                size, width = self.program.size(x), len(group.symbols)
                found.append(TileProduct(group.symbols, f"_X_{x}", size, f"_W_{g}_{j}", g, width=width, each=size))
        return found

    def found(self, symbol: Expr) -> tuple[str, str, int, int]:
        return "step", self.program.state_array(symbol), 1, 0

    def writes(self, place: Place) -> list[Write]:
        program = self.program
        made: list[Write] = []
        for s, where in self.flow.defined.items():
            if where == place:
                if s in program.operands:
                    made.append(("step", s, f"_X_{s}", 1, 0))
                elif s in program.saved:
                    made.append(("save", s, f"_K_{s}", 1, 0))
        for before, state in program.states.items():
            if self.flow.home(before) == place:
                if state is self.loop.states[0]:
                    made.append(("step", state.after, "_output", 1, 0))
                made.append(("final", state.after, f"_F_{before}", 1, 0))
                made += [("next", state.after, array, 1, 0) for array in program.state_arrays(before)]
        return made


class _Backward(_Direction[BackwardFlow]):
    def products(self, place: Place) -> list[TileProduct]:
        found = []
        for p in self.flow.products(place):
            group = self.loop.groups[p.group]
            width, each = len(group.symbols), self.program.size(group.symbols[0])
            depth, weight = f"({width} * {each})", f"_W_{p.group}_{p.operand}"
            found.append(TileProduct((p.symbol,), f"_A_{p.group}", depth, weight, p.group, True, p.later, width, each))
        return found

    def found(self, symbol: Expr) -> tuple[str, str, int, int]:
        derivative = self.live.derivative
        if symbol in self.flow.arriving:
            before = self.flow.arriving[symbol]
            # Where nothing is carried, only the loop's result can arrive, at the last step of a row.
            return "row" if derivative.carried[before] != 0 else "ended", f"_C_{before}", 1, 0
        if symbol == derivative.given:
            return "step", "_given", 1, 0
        return "step", self.program.saved_array(symbol), 1, 0

    def writes(self, place: Place) -> list[Write]:
        made: list[Write] = [
            ("step", r.value, f"_{'A' if r.array[0] == 'group' else 'B'}_{r.array[1]}", r.width, r.column)
            for r in self.flow.outcomes
            if r.place == place
        ]
        for s, value in self.flow.carried(place):
            made += [("direct", value, f"_D_{s}", 1, 0), ("carried", value, f"_C_{s}", 1, 0)]
        return [*made, *(("sum", a, f"_V_{v}", 1, 0) for v, a in self.flow.vectors(place))]
