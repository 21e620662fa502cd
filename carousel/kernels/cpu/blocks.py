"""What each stage of a loop does with the units of one size: products, assignments, loads and stores, in C++.

A **block** is what one stage does with the units of one size: its products, then its assignments, unit by unit in
registers. Forward and backward differ in what is loaded and stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from carousel.equations.loop import Equation
from carousel.equations.terms import Expr, Size

if TYPE_CHECKING:
    from carousel.kernels.cpu.program import Program

Key = tuple[int, Size]  # the stage and the size of a block


@dataclass
class Product:
    """``count`` sums a unit, ``symbols``, from a vector of ``depth`` numbers a row."""

    symbols: tuple[Expr, ...]
    panel: str
    pointer: str
    depth: str
    rows: str  # of each weight, as it is packed: its columns forward, its rows backward
    weights: list[str]
    more: bool  # added to the product before it, which has the same symbols
    later: bool = False  # only for rows that the step after has


@dataclass
class Block:
    """One stage's work on the units of one size."""

    name: str
    title: str
    size: str
    products: list[Product] = field(default_factory=list)
    vectors: list[Expr] = field(default_factory=list)
    loads: list[tuple[Expr, str]] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)
    sums: list[tuple[str, Expr]] = field(default_factory=list)  # arrays to which the sum over rows is added


class _Direction(ABC):
    """What both directions share: which block a value belongs to, and where others find it."""

    def __init__(self, program: Program, stages: int):
        self.program, self.loop, self.back, self.stages = program, program.loop, program.backward, stages
        self.defined: dict[Expr, Key] = {}  # the block that computes each value
        self.column: dict[Expr, tuple[int, int]] = {
            s: (k, column) for k, symbols in enumerate(self.loop.entering) for column, s in enumerate(symbols)
        }

    def place(self, array: str, row: str, size: str, width: int = 1, column: int = 0) -> str:
        """A row's units in an array of `width` vectors a row."""
        stride = f"{width} * c.{size}" if width > 1 else f"c.{size}"
        shift = f" + {column} * c.{size}" if column else ""
        return f"c.{array} + ({row}) * {stride}{shift} + unit"

    def entering(self, symbol: Expr) -> str:
        k, column = self.column[symbol]
        row = "s.local + row" if k < len(self.loop.outer) else "s.at + row"
        place = self.place(f"E{k}", row, self.program.size(symbol), len(self.loop.entering[k]), column)
        return f"load<TAIL>({place}, n)"

    def loading(self, symbol: Expr, array: str, row: str) -> str:
        return f"load<TAIL>({self.place(array, row, self.program.size(symbol))}, n)"

    def storing(self, array: str, row: str, size: str, value: str, width: int = 1, column: int = 0) -> str:
        return f"store<TAIL>({self.place(array, row, size, width, column)}, {value}, n);"

    def blocks(self) -> list[list[Block]]:
        """The blocks of each stage."""
        stages: list[list[Block]] = [[] for _ in range(self.stages)]
        for key in self.keys():
            stages[key[0]].append(self.block(key))
        return stages

    def loaded(self) -> list[list[Expr]]:
        """Of each block, the values that an earlier stage has computed."""
        return [[s for s in self.needs(key) if s in self.defined] for key in self.keys()]

    def begin(self, key: Key) -> Block:
        """A block with its products and all that it reads."""
        what, letter = type(self).__name__, self.program.letters[key[1]]
        title = f"{what}, stage {key[0] + 1} of {self.stages}: units of {letter}."
        made = Block(f"{what.lower()}_{key[0]}_{letter}", title, f"n_{letter}", self.products(key))
        for s in self.needs(key):
            if s in self.loop.vectors:
                made.vectors.append(s)
            elif s == self.loop.clock:
                made.loads.append((s, f"all(c.{s}[s.at + row])"))
            else:
                made.loads.append((s, self.found(s)))
        made.equations = [(s, e.subs(self.program.plain)) for s, e in self.equations(key)]
        return made

    # What the directions differ in.

    @abstractmethod
    def keys(self) -> list[Key]:
        """Stage and size of each block, in order."""

    @abstractmethod
    def products(self, key: Key) -> list[Product]:
        """A block's products."""

    @abstractmethod
    def equations(self, key: Key) -> list[Equation]:
        """A block's assignments."""

    @abstractmethod
    def needs(self, key: Key) -> list[Expr]:
        """Symbols that a block reads and does not define."""

    @abstractmethod
    def found(self, symbol: Expr) -> str:
        """Where a value is that a block reads."""

    @abstractmethod
    def block(self, key: Key) -> Block:
        """A whole block."""


class Forward(_Direction):
    """The run that computes outputs, and keeps what the way back needs."""

    def __init__(self, program: Program):
        super().__init__(program, len(program.loop.stages))
        for k, stage in enumerate(self.loop.stages):
            for symbol in [s for g in stage.groups for s in g.symbols] + [s for s, _ in stage.equations]:
                if symbol not in program.plain:
                    self.defined[symbol] = (k, program.root(symbol))

    def keys(self) -> list[Key]:
        last = len(self.loop.stages) - 1
        found = dict.fromkeys(self.defined.values())
        for state in self.program.states.values():  # a state that is handed the input or a parameter
            if state.after not in self.defined:
                found.setdefault(self.home(state.after, state.before), None)
        return sorted(found, key=lambda key: (key[0], key[1].letter)) or [(last, next(iter(self.program.letters)))]

    def home(self, after: Expr, before: Expr) -> Key:
        """The block that knows a state's new value."""
        if after in self.defined:
            return self.defined[after]
        size = self.program.root(before)
        return max((k for k, z in self.defined.values() if z == size), default=len(self.loop.stages) - 1), size

    def needs(self, key: Key) -> list[Expr]:
        """Symbols that a block reads and does not define."""
        stage = self.loop.stages[key[0]]
        found: dict[Expr, None] = {}
        for symbol, expr in stage.equations:
            if self.defined.get(symbol) == key:
                found |= dict.fromkeys(sorted(expr.subs(self.program.plain).free_symbols, key=str))
        for before, state in self.program.states.items():
            if self.home(state.after, before) == key:
                found[state.after] = None
        return [s for s in found if self.defined.get(s) != key]

    def products(self, key: Key) -> list[Product]:
        found = []
        first = sum(len(s.groups) for s in self.loop.stages[: key[0]])
        for number, group in enumerate(self.loop.stages[key[0]].groups, first):
            if self.program.root(group.symbols[0]) is key[1]:
                for j, operand in enumerate(group.operands):
                    depth = f"c.{self.program.size(operand)}"
                    pointer = f"c.{operand}_kept + (s.slot + rows.from) * {depth}"
                    weights = [f"W{number}_{j}_{n}" for n in range(len(group.symbols))]
                    found.append(Product(group.symbols, f"panel{number}_{j}", pointer, depth, depth, weights, more=j > 0))
        return found

    def equations(self, key: Key) -> list[Equation]:
        return [(s, e) for s, e in self.loop.stages[key[0]].equations if self.defined.get(s) == key]

    def found(self, symbol: Expr) -> str:
        return self.entering(symbol) if symbol in self.column else self.loading(symbol, f"{symbol}_kept", "s.slot + row")

    def block(self, key: Key) -> Block:
        made = self.begin(key)
        self.stores(made, key)
        return made

    def stores(self, made: Block, key: Key) -> None:
        program = self.program
        here = {s for s, where in self.defined.items() if where == key} | {s for s in self.needs(key) if s in self.column}
        for s in dict.fromkeys([*program.lent, *program.kept]):
            if s in here:
                text = self.storing(f"{s}_kept", "s.slot + row", made.size, str(s))
                made.stores.append(text if s in program.lent else f"if (c.{s}_kept) {text}")
        for before, state in program.states.items():
            if self.home(state.after, before) != key:
                continue
            if state is self.loop.states[0]:
                made.stores.append(self.storing("output", "s.at + row", made.size, str(state.after)))
            final = self.storing(f"{state.after}_final", "row", made.size, str(state.after))
            if before in program.remembered:
                initial = self.loading(before, f"{before}_initial", "row")
                anew = f"s.next_resets && s.next_resets[row] ? {initial} : {state.after}"
                following = self.storing(f"{before}_kept", "s.next + row", made.size, anew)
                made.stores.append(f"if (row < s.next_rows) {following}")
                made.stores.append(f"else {final}")
            else:
                made.stores.append(f"if (row >= s.next_rows) {final}")


class Backward(_Direction):
    """The way back: gradients."""

    def __init__(self, program: Program):
        super().__init__(program, len(program.backward.stages))
        self.arriving = {symbol: before for before, symbol in self.back.arriving.items()}
        self.recomputed = dict(self.back.recomputed)
        for k, stage in enumerate(self.back.stages):
            for symbol in [p.symbol for p in stage.products] + [s for s, _ in stage.equations]:
                self.defined[symbol] = (k, program.root(symbol))
        self.results = self._results()

    def _results(self) -> list[tuple[Key, str, int, int, Expr]]:
        """(block, array, vectors a row, column, value) of all that is stored for every step."""
        found = []
        for g, (symbols, adjoints) in enumerate(zip([x.symbols for x in self.loop.groups], self.back.adjoints, strict=True)):
            found += [
                (self.home(a, s), f"A{g}", len(symbols), k, a) for k, (s, a) in enumerate(zip(symbols, adjoints, strict=True))
            ]
        for j, (symbols, adjoints) in enumerate(zip(self.loop.entering, self.back.entering, strict=True)):
            if self.program.shared[j] is None:
                found += [
                    (self.home(a, s), f"E{j}_bar", len(symbols), k, a)
                    for k, (s, a) in enumerate(zip(symbols, adjoints, strict=True))
                ]
        return found

    def home(self, value: Expr, like: Expr) -> Key:
        """The block that stores a value: where it is computed; the first stage for what only arrives, or is zero."""
        return self.defined.get(value, (0, self.program.root(like)))

    def carrier(self, before: Expr) -> Key:
        """The block that overwrites what is carried: the last of its size, since all of them may read what arrived."""
        size = self.program.root(before)
        known = [k for k, z in [*self.defined.values(), *(r[0] for r in self.results)] if z == size]
        return max(known, default=0), size

    def keys(self) -> list[Key]:
        found = set(self.defined.values()) | {r[0] for r in self.results} | {self.carrier(s) for s in self.program.states}
        return sorted(found, key=lambda key: (key[0], key[1].letter))

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
        found: dict[Expr, None] = {}
        for _, expr in equations:
            found |= dict.fromkeys(sorted(expr.subs(self.program.plain).free_symbols, key=str))
        values = [r[4] for r in self.results if r[0] == key] + [a for _, a in self.vectors(key)]
        values += [self.back.carried[s] for s in self.program.states if self.carrier(s) == key]
        found |= dict.fromkeys(v for v in values if v != 0)
        own = {s for s, _ in equations} | {p.symbol for p in self.back.stages[key[0]].products if self.defined[p.symbol] == key}
        return [s for s in found if s not in own]

    def products(self, key: Key) -> list[Product]:
        found = []
        for p in self.back.stages[key[0]].products:
            if self.defined[p.symbol] == key:
                group = self.loop.groups[p.group]
                rows = f"c.{self.program.size(group.symbols[0])}"
                depth = f"({len(group.symbols)} * {rows})"
                pointer = f"c.A{p.group} + ({'s.next_at' if p.later else 's.at'} + rows.from) * {depth}"
                weights = [f"W{p.group}_{p.operand}_{n}" for n in range(len(group.symbols))]
                panel = f"panel{p.group}_{p.operand}"
                found.append(Product((p.symbol,), panel, pointer, depth, rows, weights, more=False, later=p.later))
        return found

    def found(self, symbol: Expr) -> str:
        if symbol in self.arriving:
            before = self.arriving[symbol]
            text = self.loading(symbol, f"{before}_bar", "row")
            # Where nothing is carried, only the loop's result can arrive, at the last step of a row.
            return f"row < s.next_rows ? V{{}} : {text}" if self.back.carried[before] == 0 else text
        if symbol == self.back.given:
            return self.loading(symbol, str(symbol), "s.at + row")
        if symbol in self.defined:
            return self.loading(symbol, f"{symbol}_lent", "row")
        if symbol in self.column and symbol not in self.program.kept:
            return self.entering(symbol)
        return self.loading(symbol, f"{symbol}_kept", "s.at + row")

    def block(self, key: Key) -> Block:
        program, made = self.program, self.begin(key)
        for s in program.crossing_back:
            if self.defined[s] == key:
                made.stores.append(self.storing(f"{s}_lent", "row", made.size, str(s)))
        for where, array, width, column, value in self.results:
            if where == key:
                made.stores.append(self.storing(array, "s.at + row", made.size, _value(value), width, column))
        for s in program.states:
            value = self.back.carried[s]
            if self.carrier(s) == key and value != 0:
                anew = "s.resets && s.resets[row]"
                direct = self.storing(f"{s}_direct", "s.at + row", made.size, str(value))
                made.stores.append(f"if (c.{s}_direct) {direct}")
                made.stores.append(self.storing(f"{s}_bar", "row", made.size, f"{anew} ? V{{}} : {value}"))
        made.sums = [(f"{v}_bar", a) for v, a in self.vectors(key)]
        return made


def _value(value: Expr) -> str:
    return "V{}" if value == 0 else str(value)
