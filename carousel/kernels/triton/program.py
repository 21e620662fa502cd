"""A cell's loop as arrays and blocks, forward and backward; its Triton is printed from this.

Blocks are those of ``liveness``. Arrays are named by an underscore, which no quantity of a
cell begins with, a letter and their symbol:

==== =========================================================================================================
E    hoisted inputs, (rows of all steps, width)
X    operands of products, and S states in float32, both of every step: the value *before* it where it is a state
K    values saved for the run backwards, of every step; R values that are recorded, and their gradients
L    values that a later block of the step reads, one a row
G    what each tile of units has of a reduction, of every step, in float32; H what is reduced by head, unit by unit
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
from typing import Generic, NamedTuple, TypeVar

from carousel.equations.loop import Equation, Loop
from carousel.equations.noise import COUNTED, PLACE
from carousel.equations.notes import ROW, Expr, Size
from carousel.equations.stages import Reduction
from carousel.kernels.interface import Described, interface_of
from carousel.kernels.liveness import BackwardFlow, ForwardFlow, Liveness, Place
from carousel.kernels.triton.recurrences import Recurrence, recurrences

Flow = TypeVar("Flow", ForwardFlow, BackwardFlow)
Write = tuple[str, Expr, str, int, int]  # kind, value, array, width, column


class Unsupported(Exception):
    """A loop that has no kernels here; another back end runs it."""


@dataclass(frozen=True)
class TileProduct:
    """``symbols[k]`` += ``array`` (rows, ``depth``) @ weight ``weight``, whose rows are units or, transposed, columns.

    Of several ``heads`` a tile may multiply its own head's part of the array alone, where the plan says so (``HEADS``).
    """

    symbols: tuple[Expr, ...]
    array: str
    depth: str
    weight: str
    group: int
    transposed: bool = False
    later: bool = False  # of the rows of the step after
    width: int = 1  # sums of the forward group
    each: str = ""  # units of each vector of the operand
    heads: int = 1

    @property
    def padded(self) -> str:
        """The units of a vector of the operand, or of its head, as a power of two."""
        return self.each.replace("N_", "WIDE_" if self.heads > 1 else "PAD_", 1)

    @property
    def inner(self) -> str:
        """The units of a vector of the operand, or of its head."""
        return f"({self.each} // HEADS)" if self.heads > 1 else self.each

    def begin(self, size: str) -> str:
        """Return where the units begin, of a vector of the operand, that a tile of a block of ``size`` multiplies."""
        return f"tile * BU // ({size} // HEADS) * {self.inner}" if self.heads > 1 else "0"


class Read(NamedTuple):
    """A value that a block loads. ``number``: it is one number a row."""

    symbol: Expr
    kind: str
    array: str
    width: int = 1
    column: int = 0
    number: bool = False


class Gathered(NamedTuple):
    """A reduction over the units of ``size``: its array, and the heads where it goes by head."""

    symbol: Expr
    kind: str
    operand: Expr
    array: str
    size: str
    heads: int | None

    @property
    def padded(self) -> str:
        """``size``, as a power of two."""
        return self.size.replace("N_", "PAD_", 1)


@dataclass
class TileBlock:
    """One stage's work on the units of one size, or on what is one number a row (``row``), which each program does for itself.

    ``gathers``: the reductions of the stage after to which it gives its units. ``reduced``: those whose results it has.
    """

    stage: int
    size: str
    row: bool = False
    products: list[TileProduct] = field(default_factory=list)
    reduced: list[Gathered] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    gathers: list[Gathered] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)

    @property
    def of_others(self) -> bool:
        """Return whether it reads what other programs of the same rows have written."""
        return bool(self.products or self.reduced)


class TritonProgram:
    """Both directions of a loop; ``mixed``: products are of another type than the states.

    Raises NoDerivative where SymPy has none, Unsupported for operands that come from outside the loop, and for sets of steps.
    """

    def __init__(self, loop: Loop, mixed: bool):
        if loop.edges:
            raise Unsupported(f"a step of {loop.name} follows several")
        self.loop, self.mixed, self.live, self.interface = loop, mixed, Liveness(loop), interface_of(loop)
        self.states, back = self.live.states, self.live.derivative
        self._letters = {root: f"{root.letter}{k}" for root, k in self.live.rank.items()}
        self._size: dict[Expr, str] = {}
        self.operands = self.live.operands
        if any(x in self.live.column or x in loop.vectors for x in self.operands) or not loop.stages:
            raise Unsupported(f"{loop.name} multiplies what does not depend on its states")
        self.saved = tuple(x for x in back.saved if x not in self.live.column)
        self.read_states = tuple(s for s in self.states if s in self.live.read() | set(back.saved))
        self.forward = _Forward(self, self.live.forward).blocks()
        self.backward = _Backward(self, self.live.backward).blocks()
        # The linear recurrences of each direction; None if its loop has anything else.
        states = {s: state.after for s, state in self.states.items()}
        errors = {arriving: back.carried[s] for s, arriving in back.arriving.items() if back.carried[s] != 0}
        self.scanned = {"forward": _scanned(self.forward, states), "backward": _scanned(self.backward, errors)}
        # Of each size, its name here and in the interface.
        self.sizes = {f"N_{self._letters[root]}": self.interface.names[root] for root in self.live.rank}
        # Arrays of every step, which a run writes and a run backwards may read: whether they are in single precision, and
        # their symbol; first those that are there also where nothing is saved.
        self.steps: dict[str, tuple[bool, Expr]] = {name("X", x): (False, x) for x in self.operands}
        for state in self.read_states:
            array = self.state_array(state)
            self.steps.setdefault(array, (array.startswith("_S"), state))
        saved = {self.saved_array(x): (self.live.row(x), x) for x in self.saved}
        self.saved_arrays = {array: found for array, found in saved.items() if array not in self.steps}
        self.recorded = {name("R", x): x for x in loop.recorded}
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
    return sizes | {n.replace("N_", "PAD_", 1): _power(k) for n, k in sizes.items()}


def by_head(sizes: dict[str, int], heads: int) -> dict[str, int]:
    """Return the numbers of units, with the number of heads whose tiles keep to themselves, and what a head has, padded."""
    wide = {n.replace("N_", "WIDE_", 1): _power(max(1, k // heads)) for n, k in sizes.items() if n.startswith("N_")}
    return {**sizes, "HEADS": heads} | wide


def _power(k: int) -> int:
    return max(16, 1 << (k - 1).bit_length())


@cache
def name(letter: str, symbol: Expr) -> str:
    """Return the name of a symbol's array (SymPy takes its time to print one)."""
    return f"_{letter}_{symbol}"


@cache
def program_of(loop: Loop, mixed: bool) -> TritonProgram:
    """Return a loop's program, made once."""
    return TritonProgram(loop, mixed)


def _scanned(stages: list[list[TileBlock]], following: dict[Expr, Expr]) -> tuple[Recurrence, ...] | None:
    """Return the recurrences of the carried values, if the loop is one block and all of them are linear."""
    block, *others = (block for stage in stages for block in stage)
    if others or block.row or block.of_others:
        return None
    read = {x.symbol for x in block.reads}
    return recurrences(block.equations, {s: value for s, value in following.items() if s in read})


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
        made = TileBlock(place.stage, self.program.letter(place.size), place.size is ROW, self.products(place))
        made.reads = [self.read(s) for s in self.flow.reads(place)]
        made.reduced = [self.gathered(r) for r in self.flow.reduced(place)]
        made.gathers = [self.gathered(r) for r in self.flow.gathered(place)]
        made.equations = self.flow.assigned(place)
        made.writes = self.writes(place)
        for cross_stage in self.flow.cross_stage:
            if self.flow.defined[cross_stage] == place:
                made.writes.append(("row", cross_stage, f"_L_{cross_stage}", 1, 0))
        return made

    def read(self, s: Expr) -> Read:
        """Return where a block finds a value."""
        if s in self.live.counts:
            return Read(s, "count", self.program.letter(self.live.counts[s].root))
        if s in COUNTED:
            return Read(s, "counted", "row" if s == PLACE else "r[:, None]")
        if s == self.loop.clock:
            return Read(s, "step", "_clock", number=True)
        number = self.live.row(s)
        if s in self.loop.vectors:
            return Read(s, "vector", f"_Y_{s}", number=number)
        if s in self.flow.defined:
            return Read(s, "row", f"_L_{s}", number=number)
        if s in self.live.column:
            j, k = self.live.column[s]
            return Read(s, "step", f"_E_{j}", len(self.loop.hoisted[j]), k, number)
        return Read(s, *self.found(s), number=number)

    def gathered(self, r: Reduction) -> Gathered:
        """Return a reduction with its array."""
        array = name("G" if r.heads is None else "H", r.symbol)
        return Gathered(r.symbol, r.kind, r.operand, array, self.program.letter(r.size.root), r.heads)

    @abstractmethod
    def products(self, place: Place) -> list[TileProduct]: ...

    @abstractmethod
    def found(self, symbol: Expr) -> tuple[str, str]: ...

    @abstractmethod
    def writes(self, place: Place) -> list[Write]: ...


class _Forward(_Direction[ForwardFlow]):
    def products(self, place: Place) -> list[TileProduct]:
        found = []
        for g, group in self.flow.groups(place):
            for j, x in enumerate(group.operands):
                size, width = self.program.size(x), len(group.symbols)
                heads = self.program.interface.inner[g, j].heads
                weight = f"_W_{g}_{j}"
                found.append(TileProduct(group.symbols, f"_X_{x}", size, weight, g, width=width, each=size, heads=heads))
        return found

    def found(self, symbol: Expr) -> tuple[str, str]:
        return "step", self.program.state_array(symbol)

    def writes(self, place: Place) -> list[Write]:
        program = self.program
        made: list[Write] = []
        for s, where in self.flow.defined.items():
            if where == place:
                if s in program.operands:
                    made.append(("step", s, f"_X_{s}", 1, 0))
                elif s in program.saved:
                    made.append(("save", s, f"_K_{s}", 1, 0))
                if s in self.loop.recorded:
                    made.append(("step", s, f"_R_{s}", 1, 0))
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
            heads = self.program.interface.inner[p.group, p.operand].heads
            found.append(TileProduct((p.symbol,), f"_A_{p.group}", depth, weight, p.group, True, p.later, width, each, heads))
        return found

    def found(self, symbol: Expr) -> tuple[str, str]:
        derivative = self.live.derivative
        if symbol in self.flow.arriving:
            before = self.flow.arriving[symbol]
            # Where nothing is carried, only the loop's result can arrive, at the last step of a row.
            return "row" if derivative.carried[before] != 0 else "ended", f"_C_{before}"
        if symbol == derivative.given:
            return "step", "_given"
        if symbol in derivative.recorded:
            return "step", name("R", symbol)
        return "step", self.program.saved_array(symbol)

    def writes(self, place: Place) -> list[Write]:
        made: list[Write] = [
            ("step", r.value, f"_{'A' if r.array[0] == 'group' else 'B'}_{r.array[1]}", r.width, r.column)
            for r in self.flow.outcomes
            if r.place == place
        ]
        for s, value in self.flow.carried(place):
            made += [("direct", value, f"_D_{s}", 1, 0), ("carried", value, f"_C_{s}", 1, 0)]
        return [*made, *(("sum", a, f"_V_{v}", 1, 0) for v, a in self.flow.vectors(place))]
