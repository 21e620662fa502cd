"""A cell's loop as arrays and blocks, forward and backward; its Triton is printed from this.

A **block** is what one stage does with the units of one size. Arrays are named by an underscore, which no quantity of a
cell begins with, a letter and their symbol:

==== =========================================================================================================
E    what enters, (rows of all steps, width)
X    operands of products, and S states in float32, both of every step: the value *before* it where it is a state
K    values saved for the run backwards, of every step
L    values that a later block of the step reads, one a row
F I  final states; those that a reset returns to
A    adjoints of a group's sums, of every step; B those of what enters, where they are others
C    what is carried back to a state, in float32; D the same of every step, for the gradient of initial states
V    sums of a learned vector's gradient, one a row
W Y  stacked dense weights of a group's operand; vectors
P    what cuBLAS makes of a product, one a row
==== =========================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from carousel.equations import Cell
from carousel.equations.derivative import derive
from carousel.equations.loop import Equation
from carousel.equations.terms import Expr, Size
from carousel.kernels.inputs import loop_of

Key = tuple[int, Size]  # the stage and the size of a block


class Unsupported(Exception):
    """A loop that has no kernels here; the reference runs it."""


@dataclass(frozen=True)
class Product:
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
class Block:
    """One stage's work on the units of one size: ``reads`` are (symbol, kind of place, array, width, column)."""

    stage: int
    size: str
    products: list[Product] = field(default_factory=list)
    reads: list[tuple[Expr, str, str, int, int]] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    writes: list[tuple[str, Expr, str, int, int]] = field(default_factory=list)  # kind, value, array, width, column


class Program:
    """Both directions of a cell's loop; ``mixed``: products are of another type than the states.

    Raises NoDerivative where SymPy has none, Unsupported for operands that come from outside the loop.
    """

    def __init__(self, cell: Cell, mixed: bool):
        self.cell, self.mixed = cell, mixed
        self.loop = loop_of(cell)
        self.back = derive(self.loop)
        roots = dict.fromkeys(s.root for s in [*self.loop.sizes.values(), *self.back.sizes.values()] if s is not None)
        self.letters: dict[Size, str] = {root: f"{root.letter}{k}" for k, root in enumerate(roots)}
        self._size: dict[Expr, str] = {}
        self.states = {s.before: s for s in self.loop.states if s.size is not None}
        self.plain: dict[Expr, Expr] = {}  # values that follow from the step number alone
        for symbol, expr in self.loop.definitions.items():
            if self.loop.sizes.get(symbol) is None:
                self.plain[symbol] = expr.subs(self.plain)
        self.column = {s: (j, k) for j, symbols in enumerate(self.loop.entering) for k, s in enumerate(symbols)}
        self.operands = tuple(dict.fromkeys(x for g in self.loop.groups for x in g.operands))
        if any(x in self.column or x in self.loop.vectors for x in self.operands) or not self.loop.stages:
            raise Unsupported(f"cell {cell.name} multiplies what does not depend on its states")
        given = {s for symbols in self.loop.entering for s in symbols}
        self.saved = tuple(x for x in self.back.saved if x not in given)
        read = {x for s in self.loop.stages for _, e in s.equations for x in e.free_symbols} | set(self.back.saved)
        self.read_states = tuple(s for s in self.states if s in read)
        adjoints = list(self.back.adjoints)
        # Zeros say nothing of whose they are: they may be of another number of units.
        self.shared = tuple(adjoints.index(e) if any(e) and e in adjoints else None for e in self.back.entering)
        self.forward = _Forward(self).blocks()
        self.backward = _Backward(self).blocks()

    def units(self, length: Callable[[Size], int]) -> dict[str, int]:
        """The number behind each size's name, padded."""
        return padded({f"N_{letter}": length(root) for root, letter in self.letters.items()})

    def root(self, symbol: Expr) -> Size:
        found = self.back.sizes.get(symbol)
        assert found is not None, symbol
        return found.root

    def size(self, symbol: Expr) -> str:
        """The name of the number of units of a symbol."""
        if symbol not in self._size:  # asked at every call
            self._size[symbol] = "N_" + self.letters[self.root(symbol)]
        return self._size[symbol]

    def state_array(self, before: Expr) -> str:
        """Where a state's value before a step is read from."""
        return name("X" if before in self.operands and not self.mixed else "S", before)

    def state_arrays(self, before: Expr) -> list[str]:
        """Where a state is written."""
        found = [name("X", before)] if before in self.operands else []
        return list(dict.fromkeys([*found, *([self.state_array(before)] if before in self.read_states else [])]))

    def kept(self, symbol: Expr) -> str:
        """Where the run backwards finds a saved value of a step."""
        if symbol in self.states:
            return self.state_array(symbol)
        return name("X" if symbol in self.operands else "K", symbol)


def padded(sizes: dict[str, int]) -> dict[str, int]:
    """The numbers of units, and of each the next power of two (at least 16, as a product of tiles wants)."""
    return sizes | {n.replace("N_", "PAD_", 1): max(16, 1 << (k - 1).bit_length()) for n, k in sizes.items()}


@cache
def name(letter: str, symbol: Expr) -> str:
    """The name of a symbol's array (SymPy takes its time to print one)."""
    return f"_{letter}_{symbol}"


@cache
def program_of(cell: Cell, mixed: bool) -> Program:
    """Made once."""
    return Program(cell, mixed)


class _Direction:
    """What both directions share."""

    def __init__(self, program: Program):
        self.program, self.loop, self.back = program, program.loop, program.back
        self.defined: dict[Expr, Key] = {}

    def blocks(self) -> list[list[Block]]:
        stages: dict[int, list[Block]] = {}
        for key in self.keys():
            stages.setdefault(key[0], []).append(self.block(key))
        return [stages[k] for k in sorted(stages)]

    def block(self, key: Key) -> Block:
        program = self.program
        made = Block(key[0], "N_" + program.letters[key[1]], self.products(key))
        for s in self.needs(key):
            if s in self.loop.vectors:
                made.reads.append((s, "vector", f"_Y_{s}", 1, 0))
            elif s == self.loop.clock:
                made.reads.append((s, "clock", "_clock", 1, 0))
            elif s in self.defined:
                made.reads.append((s, "row", f"_L_{s}", 1, 0))
            elif s in program.column:
                j, k = program.column[s]
                made.reads.append((s, "step", f"_E_{j}", len(self.loop.entering[j]), k))
            else:
                made.reads.append((s, *self.found(s)))
        made.equations = [(s, e.subs(program.plain)) for s, e in self.equations(key)]
        made.writes = self.writes(key)
        lent = {s for other in self.keys() if other != key for s in self.needs(other)}
        made.writes += [("row", s, f"_L_{s}", 1, 0) for s, k in self.defined.items() if k == key and s in lent]
        return made

    def free(self, equations: list[Equation]) -> dict[Expr, None]:
        found: dict[Expr, None] = {}
        for _, expr in equations:
            found |= dict.fromkeys(sorted(expr.subs(self.program.plain).free_symbols, key=str))
        return found

    def keys(self) -> list[Key]:
        raise NotImplementedError

    def products(self, key: Key) -> list[Product]:
        raise NotImplementedError

    def equations(self, key: Key) -> list[Equation]:
        raise NotImplementedError

    def needs(self, key: Key) -> list[Expr]:
        raise NotImplementedError

    def found(self, symbol: Expr) -> tuple[str, str, int, int]:
        raise NotImplementedError

    def writes(self, key: Key) -> list[tuple[str, Expr, str, int, int]]:
        raise NotImplementedError


class _Forward(_Direction):
    def __init__(self, program: Program):
        super().__init__(program)
        for k, stage in enumerate(self.loop.stages):
            for symbol in [s for g in stage.groups for s in g.symbols] + [s for s, _ in stage.equations]:
                if symbol not in program.plain:
                    self.defined[symbol] = (k, program.root(symbol))

    def home(self, after: Expr, before: Expr) -> Key:
        """The block that knows a state's new value."""
        if after in self.defined:
            return self.defined[after]
        size = self.program.root(before)
        return max((k for k, z in self.defined.values() if z == size), default=len(self.loop.stages) - 1), size

    def keys(self) -> list[Key]:
        found = dict.fromkeys(self.defined.values())
        found |= dict.fromkeys(self.home(s.after, b) for b, s in self.program.states.items())
        return sorted(found, key=lambda key: (key[0], self.program.letters[key[1]]))

    def equations(self, key: Key) -> list[Equation]:
        return [(s, e) for s, e in self.loop.stages[key[0]].equations if self.defined.get(s) == key]

    def needs(self, key: Key) -> list[Expr]:
        found = self.free(self.equations(key))
        found |= dict.fromkeys(s.after for b, s in self.program.states.items() if self.home(s.after, b) == key)
        return [s for s in found if self.defined.get(s) != key]

    def products(self, key: Key) -> list[Product]:
        found = []
        first = sum(len(s.groups) for s in self.loop.stages[: key[0]])
        for g, group in enumerate(self.loop.stages[key[0]].groups, first):
            if self.program.root(group.symbols[0]) is key[1]:
                for j, x in enumerate(group.operands):
                    size = self.program.size(x)
                    width = len(group.symbols)
                    found.append(Product(group.symbols, f"_X_{x}", size, f"_W_{g}_{j}", g, width=width, each=size))
        return found

    def found(self, symbol: Expr) -> tuple[str, str, int, int]:
        return "step", self.program.state_array(symbol), 1, 0

    def writes(self, key: Key) -> list[tuple[str, Expr, str, int, int]]:
        program = self.program
        made: list[tuple[str, Expr, str, int, int]] = []
        for s, where in self.defined.items():
            if where == key:
                if s in program.operands:
                    made.append(("step", s, f"_X_{s}", 1, 0))
                elif s in program.saved:
                    made.append(("keep", s, f"_K_{s}", 1, 0))
        for before, state in program.states.items():
            if self.home(state.after, before) == key:
                if state is self.loop.states[0]:
                    made.append(("step", state.after, "_output", 1, 0))
                made.append(("final", state.after, f"_F_{before}", 1, 0))
                made += [("next", state.after, array, 1, 0) for array in program.state_arrays(before)]
        return made


class _Backward(_Direction):
    def __init__(self, program: Program):
        super().__init__(program)
        self.arriving = {symbol: before for before, symbol in self.back.arriving.items()}
        self.recomputed = dict(self.back.recomputed)
        for k, stage in enumerate(self.back.stages):
            for symbol in [p.symbol for p in stage.products] + [s for s, _ in stage.equations]:
                self.defined[symbol] = (k, program.root(symbol))
        self.results: list[tuple[Key, tuple[str, Expr, str, int, int]]] = []
        every = [(f"_A_{g}", x.symbols, a) for g, (x, a) in enumerate(zip(self.loop.groups, self.back.adjoints, strict=True))]
        every += [
            (f"_B_{j}", symbols, self.back.entering[j])
            for j, symbols in enumerate(self.loop.entering)
            if program.shared[j] is None
        ]
        for array, symbols, adjoints in every:
            for k, (s, a) in enumerate(zip(symbols, adjoints, strict=True)):
                self.results.append((self.home(a, s), ("step", a, array, len(symbols), k)))

    def home(self, value: Expr, like: Expr) -> Key:
        return self.defined.get(value, (0, self.program.root(like)))

    def carrier(self, before: Expr) -> Key:
        """The block that overwrites what is carried: the last of its size, since all of them may read what arrived."""
        size = self.program.root(before)
        known = [k for k, z in [*self.defined.values(), *(r[0] for r in self.results)] if z == size]
        return max(known, default=0), size

    def keys(self) -> list[Key]:
        found = set(self.defined.values()) | {r[0] for r in self.results} | {self.carrier(s) for s in self.program.states}
        return sorted(found, key=lambda key: (key[0], self.program.letters[key[1]]))

    def equations(self, key: Key) -> list[Equation]:
        """A block's assignments, after those values of the forward step that it computes again."""
        own = [(s, e) for s, e in self.back.stages[key[0]].equations if self.defined[s] == key]
        again: list[Equation] = []

        def need(symbol: Expr) -> None:
            if symbol in self.recomputed and symbol not in {s for s, _ in again}:
                for s in sorted(self.recomputed[symbol].free_symbols, key=str):
                    need(s)
                again.append((symbol, self.recomputed[symbol]))

        for _, expr in own:
            for s in sorted(expr.free_symbols, key=str):
                need(s)
        return again + own

    def vectors(self, key: Key) -> list[tuple[Expr, Expr]]:
        return [(v, a) for v, a in self.back.vectors.items() if a != 0 and self.home(a, v) == key]

    def needs(self, key: Key) -> list[Expr]:
        equations = self.equations(key)
        values = [r[1][1] for r in self.results if r[0] == key] + [a for _, a in self.vectors(key)]
        values += [self.back.carried[s] for s in self.program.states if self.carrier(s) == key]
        found = self.free(equations) | dict.fromkeys(v for v in values if v != 0)
        own = {s for s, _ in equations} | {p.symbol for p in self.back.stages[key[0]].products if self.defined[p.symbol] == key}
        return [s for s in found if s not in own]

    def products(self, key: Key) -> list[Product]:
        found = []
        for p in self.back.stages[key[0]].products:
            if self.defined[p.symbol] == key:
                group = self.loop.groups[p.group]
                width, each = len(group.symbols), self.program.size(group.symbols[0])
                depth = f"({width} * {each})"
                weight = f"_W_{p.group}_{p.operand}"
                found.append(Product((p.symbol,), f"_A_{p.group}", depth, weight, p.group, True, p.later, width, each))
        return found

    def found(self, symbol: Expr) -> tuple[str, str, int, int]:
        if symbol in self.arriving:
            before = self.arriving[symbol]
            # Where nothing is carried, only the loop's result can arrive, at the last step of a row.
            return "row" if self.back.carried[before] != 0 else "ended", f"_C_{before}", 1, 0
        if symbol == self.back.given:
            return "step", "_given", 1, 0
        return "step", self.program.kept(symbol), 1, 0

    def writes(self, key: Key) -> list[tuple[str, Expr, str, int, int]]:
        made = [r[1] for r in self.results if r[0] == key]
        for s in self.program.states:
            if self.carrier(s) == key and self.back.carried[s] != 0:
                made.append(("direct", self.back.carried[s], f"_D_{s}", 1, 0))
                made.append(("carried", self.back.carried[s], f"_C_{s}", 1, 0))
        made += [("sum", a, f"_V_{v}", 1, 0) for v, a in self.vectors(key)]
        return made
