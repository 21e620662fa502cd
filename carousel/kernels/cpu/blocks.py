"""What each block of a loop does, in C++: products, assignments unit by unit (or row by row) in registers, loads and stores.

Forward and backward differ in what is loaded and stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from carousel.equations.loop import Equation
from carousel.equations.noise import COUNTED, PLACE
from carousel.equations.notes import ROW, Expr
from carousel.equations.stages import Reduction
from carousel.kernels.cpu.program import CppProgram, panel, panels, pointers
from carousel.kernels.interface import Stack
from carousel.kernels.liveness import BackwardFlow, ForwardFlow, Place

Flow = TypeVar("Flow", ForwardFlow, BackwardFlow)


@dataclass
class CppProduct:
    """Sums a unit, ``symbols``, from ``depth`` numbers of a row: of several ``heads``, from those of the unit's head."""

    symbols: tuple[Expr, ...]
    panel: str
    pointer: str
    stride: str  # from a row to the next
    depth: str
    rows: str  # of each weight, as it is packed: its columns forward, its rows backward
    weights: tuple[str, ...]
    more: bool  # added to the product before it, which has the same symbols
    later: bool = False  # only for rows that the step after has
    heads: int = 1
    rows_at: str = (
        ""  # the array that says, of each row, which row of ``pointer`` is multiplied; else they are one after another
    )


@dataclass
class CppBlock:
    """One stage's work on the units of one size, or on what is one number a row (``row``)."""

    name: str
    title: str
    size: str
    row: bool = False
    each: bool = False  # for each of a set that a step follows
    heads: int = 1  # of its units; a vector holds units of one head alone
    results: list[tuple[Expr, str]] = field(default_factory=list)  # of reductions, and how each is loaded
    by_head: list[Reduction] = field(default_factory=list)  # those whose results a block of units has
    gathers: list[Reduction] = field(default_factory=list)  # reductions that the next stage has the results of
    products: list[CppProduct] = field(default_factory=list)
    vectors: list[Expr] = field(default_factory=list)
    loads: list[tuple[Expr, str]] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)
    sums: list[tuple[str, Expr]] = field(default_factory=list)  # arrays to which the sum over rows is added


def forward(program: CppProgram) -> list[list[CppBlock]]:
    """Return the blocks of each stage of the run that computes outputs."""
    return _Forward(program, program.live.forward).blocks()


def backward(program: CppProgram) -> list[list[CppBlock]]:
    """Return the blocks of each stage of the way back."""
    return _Backward(program, program.live.backward).blocks()


def _share(size: str, stack: Stack) -> str:
    """Return how many of a size's units each head of a stack has."""
    return f"({size} / {stack.heads})" if stack.heads > 1 else size


class _Direction(ABC, Generic[Flow]):
    """What both directions share."""

    name: str

    def __init__(self, program: CppProgram, flow: Flow):
        self.program, self.live, self.loop = program, program.live, program.loop
        self.flow: Flow = flow

    def place(self, array: str, row: str, size: str, width: int = 1, column: int = 0) -> str:
        """Return the place of a row's units in an array of ``width`` vectors a row."""
        stride = f"{width} * c.{size}" if width > 1 else f"c.{size}"
        shift = f" + {column} * c.{size}" if column else ""
        return f"c.{array} + ({row}) * {stride}{shift} + unit"

    def inside(self, symbol: Expr, place: Place) -> str:
        """Return which row of a step has a value that a block reads, in the loop over its rows: ``owner`` is a member's."""
        return "owner" if place.each and symbol not in self.live.each else "row"

    def row(self, symbol: Expr, place: Place, begin: str = "s.at") -> str:
        """Return the same row among those of all steps, of which the step's begin at ``begin``."""
        return f"{'each' if symbol in self.live.each else begin} + {self.inside(symbol, place)}"

    def hoisted(self, symbol: Expr, place: Place) -> str:
        j, column = self.live.column[symbol]
        row = self.row(symbol, place, "s.local" if j < len(self.loop.outer) else "s.at")
        at = self.place(f"E_{j}", row, self.program.size(symbol), len(self.loop.hoisted[j]), column)
        return f"load<TAIL>({at}, n)"

    def loading(self, symbol: Expr, array: str, row: str) -> str:
        return f"load<TAIL>({self.place(array, row, self.program.size(symbol))}, n)"

    def storing(self, array: str, row: str, size: str, value: str, width: int = 1, column: int = 0) -> str:
        return f"store<TAIL>({self.place(array, row, size, width, column)}, {value}, n);"

    def blocks(self) -> list[list[CppBlock]]:
        places = self.flow.places
        return [[self.block(p) for p in places if p.stage == stage] for stage in range(1 + max(p.stage for p in places))]

    def block(self, place: Place) -> CppBlock:
        letter = self.program.interface.names[place.size].removeprefix("n_")
        row = place.size is ROW
        what = ("one number a row" if row else f"units of {letter}") + (", for each of a set" if place.each else "")
        title = f"{self.name}, stage {place.stage + 1} of {1 + self.flow.places[-1].stage}: {what}."
        name = f"{self.name.lower()}_{place.stage}_{letter}{'_each' if place.each else ''}"
        heads = self.program.interface.heads.get(f"n_{letter}", 1)
        made = CppBlock(name, title, f"n_{letter}", row, place.each, heads)
        made.products, made.gathers = self.products(place), self.flow.gathered(place)
        if not row:
            made.by_head = self.flow.reduced(place)
            made.loads += [(r.symbol, f"all(c.{r.symbol}_own[(own + row) * {r.heads} + head])") for r in made.by_head]
        made.loads += [(r.symbol, self.together(r.operand, made)) for r in self.flow.summed(place)]
        for r in self.flow.reduced(place) if row else ():
            made.results.append((r.symbol, f"reduced_{r.kind}<TAIL>(c.{r.symbol}_partial, team, c.batch, row, n)"))
        for s in self.flow.reads(place):
            if s in self.live.counts:
                made.loads.append((s, f"all(T(c.{self.program.interface.names[self.live.counts[s].root]}))"))
            elif s in COUNTED:
                made.loads.append((s, f"uint32_t({'s.at + row' if s == PLACE else 'row'})"))
            elif s in self.loop.vectors and not self.live.row(s):
                made.vectors.append(s)
            elif s == self.loop.clock or self.live.row(s):
                made.loads.append((s, self.number(s, place)))
            else:
                made.loads.append((s, self.found(s, place)))
        made.equations = self.flow.assigned(place)
        if row:
            self.store_rows(made, place)
        else:
            self.store(made, place)
        return made

    def together(self, operand: Expr, made: CppBlock) -> str:
        """Return the expression that sums a value over a step's set; its rows begin with those of the step's first member."""
        array, begin = self.handed_out(operand, each=True)
        if made.row:
            return f"together_rows<TAIL>(c.{array} + {begin}, c.children + s.at + row, each, n)"
        rows = "c.children[s.at + row] - each, c.children[s.at + row + 1] - each"
        return f"together<TAIL>({self.place(array, begin, made.size)}, c.{made.size}, {rows}, n)"

    # What is one number a row. A block of such numbers has those of some rows in a vector, any other block one for all units.

    def number(self, symbol: Expr, place: Place) -> str:
        """Return the expression that loads one number a row."""
        if symbol in self.loop.vectors:
            return f"all(c.{symbol}[0])"
        array, begin, width, column = self.place_of_number(symbol, place)
        arrived = symbol in self.live.each and symbol in self.live.derivative.recorded  # in the rows of all steps
        if place.size is not ROW:
            at = "c.members[each + row]" if arrived else f"{begin} + {self.inside(symbol, place)}"
            return f"all(c.{array}[({at}) * {width} + {column}])" if width > 1 else f"all(c.{array}[{at}])"
        if arrived:
            return f"load_numbered<TAIL>(c.{array}, 1, c.members + each + row, 0, n)"
        if self.inside(symbol, place) == "owner":
            begins = f"c.{array} + ({begin}) * {width} + {column}"
            return f"load_numbered<TAIL>({begins}, {width}, c.owner + each + row, s.at, n)"
        return f"load_rows<TAIL>(c.{array} + ({begin} + row) * {width} + {column}, {width}, n)"

    def place_of_number(self, symbol: Expr, place: Place) -> tuple[str, str, int, int]:
        """Return where one number a row is: an array, where its rows begin, and the row's width and column."""
        if symbol == self.loop.clock:
            return str(symbol), "s.at", 1, 0
        if symbol in self.flow.defined:
            others = self.inside(symbol, place) == "owner"  # of rows that other threads may have
            return (*self.handed_out(symbol, each=False), 1, 0) if others else (f"{symbol}_own", "own", 1, 0)
        if symbol in self.live.column:
            j, column = self.live.column[symbol]
            return f"E_{j}", "s.at", len(self.loop.hoisted[j]), column
        return self.given_number(symbol), "each" if symbol in self.live.each else "s.at", 1, 0

    def store_rows(self, made: CppBlock, place: Place) -> None:
        """Add what a block of such numbers writes: for its own thread, and once of all threads that share the row."""
        for s in self.flow.cross_stage:
            if self.flow.defined[s] == place:
                made.stores.append(f"store<TAIL>(c.{s}_own + own + row, {s}, n);")
                if s in self.flow.shared_out:
                    array, begin = self.handed_out(s, each=place.each)
                    made.stores.append(f"if (first) store<TAIL>(c.{array} + {begin} + row, {s}, n);")
        for array, width, column, value in self.row_results(place):
            text, wanted = "V{}" if value == 0 else str(value), f" && c.{array}" if array.endswith("_stored") else ""
            if place.each and array in self.program.recorded.values():
                made.stores.append(f"if (first) store_numbered<TAIL>(c.{array}, c.members + each + row, {text}, n);")
                continue
            at = f"c.{array} + ({'each' if place.each else 's.at'} + row) * {width} + {column}"
            made.stores.append(f"if (first{wanted}) store_rows<TAIL>({at}, {width}, {text}, n);")

    # What the directions differ in.

    @abstractmethod
    def products(self, place: Place) -> list[CppProduct]:
        """Return a block's products."""

    @abstractmethod
    def found(self, symbol: Expr, place: Place) -> str:
        """Return the expression that loads a value which a block reads."""

    @abstractmethod
    def handed_out(self, symbol: Expr, *, each: bool) -> tuple[str, str]:
        """Return the array in which all threads find a value of a step, or of each of a set, and where its rows begin."""

    @abstractmethod
    def given_number(self, symbol: Expr) -> str:
        """Return the array of one number a row that another run has computed."""

    @abstractmethod
    def row_results(self, place: Place) -> list[tuple[str, int, int, Expr]]:
        """Return what leaves a block of such numbers: an array, the width of its rows, a column, the value."""

    @abstractmethod
    def store(self, made: CppBlock, place: Place) -> None:
        """Add what a block writes."""


def _of_each(place: Place) -> bool:
    return place.each


class _Forward(_Direction[ForwardFlow]):
    name = "Forward"

    def products(self, place: Place) -> list[CppProduct]:
        found = []
        for g, group in self.flow.groups(place):
            for j, operand in enumerate(group.operands):
                stack, stride = self.program.interface.inner[g, j], f"c.{self.program.size(operand)}"
                begin = "each" if place.each else "s.slot"
                pointer, depth = f"c.{operand}_stored + ({begin} + rows.from) * {stride}", _share(stride, stack)
                weights, more = pointers(stack), j > 0
                made = CppProduct(group.symbols, panel(stack), pointer, stride, depth, depth, weights, more, heads=stack.heads)
                found.append(made)
        return found

    def found(self, symbol: Expr, place: Place) -> str:
        if symbol in self.live.column:
            return self.hoisted(symbol, place)
        return self.loading(symbol, f"{symbol}_stored", self.row(symbol, place, "s.slot"))

    def handed_out(self, symbol: Expr, *, each: bool) -> tuple[str, str]:
        return f"{symbol}_stored", "each" if each else "s.slot"

    def given_number(self, symbol: Expr) -> str:
        raise AssertionError(symbol)  # a run forwards reads none

    def row_results(self, place: Place) -> list[tuple[str, int, int, Expr]]:
        here = {s for s, where in self.flow.defined.items() if where == place}
        saved = [(f"{s}_stored", 1, 0, s) for s in self.program.saved if s in here]
        return [*saved, *((array, 1, 0, s) for s, array in self.program.recorded.items() if s in here)]

    def store(self, made: CppBlock, place: Place) -> None:
        program = self.program
        here = {s for s, where in self.flow.defined.items() if where == place}
        read = (s for s in self.flow.reads(place) if s in self.live.column)
        here |= {s for s in read if place == min((p for p in self.flow.places if s in self.flow.reads(p)), key=_of_each)}
        for s in dict.fromkeys([*program.cross_stage, *program.saved]):
            if s in here:
                text = self.storing(f"{s}_stored", self.row(s, place, "s.slot"), made.size, str(s))
                made.stores.append(text if s in program.cross_stage else f"if (c.{s}_stored) {text}")
        for s, array in program.recorded.items():
            if self.flow.defined[s] == place:
                row = "c.members[each + row]" if place.each else "s.at + row"
                made.stores.append(self.storing(array, row, made.size, str(s)))
        for before, state in self.live.states.items():
            if self.flow.home(before) != place:
                continue
            if state is self.loop.states[0]:
                made.stores.append(self.storing("output", "s.at + row", made.size, str(state.after)))
            if state.edge:
                if before in program.read_states:
                    following = self.storing(f"{before}_stored", "to", made.size, str(state.after))
                    to = f"c.{program.follows[state.edge]}[s.at + row]"
                    made.stores.append(f"if (const long to = {to}; to >= 0) {following}")
                continue
            final = self.storing(f"{state.after}_final", "row", made.size, str(state.after))
            if before in program.read_states:
                initial = self.loading(before, f"{before}_initial", "row")
                anew = f"s.next_resets && s.next_resets[row] ? {initial} : {state.after}"
                following = self.storing(f"{before}_stored", "s.next + row", made.size, anew)
                made.stores.append(f"if (row < s.next_rows) {following}")
                made.stores.append(f"else {final}")
            else:
                made.stores.append(f"if (row >= s.next_rows) {final}")


class _Backward(_Direction[BackwardFlow]):
    name = "Backward"

    def products(self, place: Place) -> list[CppProduct]:
        found = []
        for p in self.flow.products(place):
            stack, group = self.program.interface.inner[p.group, p.operand], self.loop.groups[p.group]
            whole = f"c.{self.program.size(group.symbols[0])}"
            stride, rows, later = f"({len(group.symbols)} * {whole})", _share(whole, stack), p.later
            begin = "s.next_at" if later else "each" if place.each else "s.at"
            pointer = f"c.A_{p.group} + ({begin} + rows.from) * {stride}"
            weights, rows_at = pointers(stack), ""
            if later and self.loop.edges:
                edge = self.live.states[group.operands[p.operand]].edge
                pointer, later, rows_at = f"c.A_{p.group}", False, f"c.{self.program.follows[edge]} + s.at + rows.from"
            if stack.heads == 1:
                made = CppProduct((p.symbol,), panel(stack), pointer, stride, stride, rows, weights, False, later)
                made.rows_at = rows_at
                found.append(made)
                continue
            for k, (name, weight) in enumerate(zip(panels(stack), weights, strict=True)):  # a head's adjoints are apart
                at = f"{pointer} + {k} * {whole}"
                found.append(
                    CppProduct((p.symbol,), name, at, stride, rows, rows, (weight,), k > 0, later, stack.heads, rows_at)
                )
        return found

    def found(self, symbol: Expr, place: Place) -> str:
        derivative, row = self.live.derivative, self.row(symbol, place)
        if symbol in self.flow.arriving:
            before = self.flow.arriving[symbol]
            if edge := self.live.states[before].edge:  # only what is carried arrives: nothing comes after the last step
                follow = f"c.{self.program.follows[edge]}[{row}]"
                nothing = derivative.carried[before] == 0
                return "V{}" if nothing else self.loading(symbol, f"{before}_direct", follow)
            text = self.loading(symbol, f"{before}_bar", "row")
            # Where nothing is carried, only the loop's result can arrive, at the last step of a row.
            return f"row < s.next_rows ? V{{}} : {text}" if derivative.carried[before] == 0 else text
        if symbol == derivative.given or symbol in derivative.recorded:
            return self.loading(symbol, str(symbol), "c.members[each + row]" if symbol in self.live.each else row)
        if symbol in self.flow.defined:
            return self.loading(symbol, f"{symbol}_cross", self.inside(symbol, place))
        if symbol in self.live.column and symbol not in self.program.saved:
            return self.hoisted(symbol, place)
        return self.loading(symbol, f"{symbol}_stored", row)

    def handed_out(self, symbol: Expr, *, each: bool) -> tuple[str, str]:
        return f"{symbol}_cross", "0"

    def given_number(self, symbol: Expr) -> str:
        arriving = symbol == self.live.derivative.given or symbol in self.live.derivative.recorded
        return str(symbol) if arriving else f"{symbol}_stored"

    def row_results(self, place: Place) -> list[tuple[str, int, int, Expr]]:
        return [(f"E_{r.array[1]}_bar", r.width, r.column, r.value) for r in self.flow.outcomes if r.place == place]

    def store_rows(self, made: CppBlock, place: Place) -> None:
        super().store_rows(made, place)
        for v, value in self.flow.vectors(place):
            made.stores.append(f"if (first) c.{v}_bar[team.group()] += folded(only<TAIL>({value}, n, T(0)));")

    def store(self, made: CppBlock, place: Place) -> None:
        row = "each + row" if place.each else "s.at + row"
        for s in self.flow.cross_stage:
            if self.flow.defined[s] == place:
                made.stores.append(self.storing(f"{s}_cross", "row", made.size, str(s)))
        for r in self.flow.outcomes:
            if r.place == place:
                kind, number = r.array
                array = f"A_{number}" if kind == "group" else f"E_{number}_bar"
                value = "V{}" if r.value == 0 else str(r.value)
                made.stores.append(self.storing(array, row, made.size, value, r.width, r.column))
        for s, value in self.flow.carried(place):
            direct = self.storing(f"{s}_direct", row, made.size, str(value))
            if self.loop.edges:
                made.stores.append(direct)
                continue
            made.stores.append(f"if (c.{s}_direct) {direct}")
            anew = f"s.resets && s.resets[row] ? V{{}} : {value}"
            made.stores.append(self.storing(f"{s}_bar", "row", made.size, anew))
        made.sums = [(f"{v}_bar", a) for v, a in self.flow.vectors(place)]
