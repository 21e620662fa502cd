"""A cell's loop as C++: the same assignments, printed; around them, what goes over units, rows and steps."""

from __future__ import annotations

from functools import cached_property

from carousel.equations import Cell
from carousel.equations.derivative import Backward, derive
from carousel.equations.loop import Loop, loop
from carousel.equations.terms import Expr, Size
from carousel.kernels.cpu import blocks
from carousel.kernels.cpu.blocks import Block
from carousel.kernels.cpu.printer import Printer


class Source:
    """The C++ of a cell, and the names of the arrays that it takes.

    Raises NoDerivative where the equations use a function without one.
    """

    def __init__(self, cell: Cell):
        self.cell = cell
        self.loop: Loop = loop(cell.trace, cell.schedule)
        self.backward: Backward = derive(self.loop)
        self.printer = Printer()
        roots = dict.fromkeys(s.root for s in [*self.loop.sizes.values(), *self.backward.sizes.values()] if s is not None)
        letters: dict[Size, str] = {}
        for root in roots:
            taken = root.letter in letters.values()
            letters[root] = f"{root.letter}{len(letters)}" if taken else root.letter
        self.letters = letters
        self.states = {s.before: s for s in self.loop.states if s.size is not None}
        self.plain = self._plain()
        self.forward_blocks = blocks.Forward(self).blocks()
        self.backward_blocks = blocks.Backward(self).blocks()

    def _plain(self) -> dict[Expr, Expr]:
        """Values that follow from the step number alone, as expressions of it."""
        found: dict[Expr, Expr] = {}
        for symbol, expr in self.loop.definitions.items():
            if self.loop.sizes.get(symbol) is None:
                found[symbol] = expr.subs(found)
        return found

    def size(self, symbol: Expr) -> str:
        """The C++ name of the number of units of a symbol."""
        return "n_" + self.letters[self.root(symbol)]

    def root(self, symbol: Expr) -> Size:
        found = self.backward.sizes.get(symbol)
        assert found is not None, symbol
        return found.root

    @cached_property
    def operands(self) -> tuple[Expr, ...]:
        """Vectors that dense weights multiply."""
        return tuple(dict.fromkeys(x for g in self.loop.groups for x in g.operands))

    @cached_property
    def kept(self) -> tuple[Expr, ...]:
        """What a forward run keeps of every step for the run backwards; what enters is there anyway."""
        entering = {s for symbols in self.loop.entering for s in symbols}
        return tuple(x for x in dict.fromkeys([*self.operands, *self.backward.saved]) if x not in entering)

    @cached_property
    def remembered(self) -> tuple[Expr, ...]:
        """States whose value before the step is read, or kept."""
        read = {x for s in self.loop.stages for _, e in s.equations for x in e.free_symbols} | set(self.kept)
        return tuple(s for s in self.states if s in read)

    @cached_property
    def crossing(self) -> tuple[Expr, ...]:
        """Values of a step that a later stage of it reads."""
        return tuple(dict.fromkeys(x for b in blocks.Forward(self).loaded() for x in b))

    @cached_property
    def crossing_back(self) -> tuple[Expr, ...]:
        """The same of the run backwards."""
        return tuple(dict.fromkeys(x for b in blocks.Backward(self).loaded() for x in b))

    @cached_property
    def lent(self) -> tuple[Expr, ...]:
        """Values with an array that is also there where nothing is kept: a later stage reads it."""
        needed = [x for x in self.operands if x not in self.states] + [x for x in self.crossing if x not in self.states]
        return tuple(dict.fromkeys(needed))

    @cached_property
    def stored(self) -> tuple[Expr, ...]:
        """All values that have an array: of every step where derivatives are wanted, else of two steps."""
        return tuple(dict.fromkeys([*self.remembered, *self.kept, *self.lent]))

    @cached_property
    def shared(self) -> tuple[int | None, ...]:
        """For each entering tensor, the group whose adjoints are its gradient, number for number."""
        adjoints = list(self.backward.adjoints)
        return tuple(adjoints.index(e) if e in adjoints else None for e in self.backward.entering)

    def saved_bytes(self, lengths: dict[str, int], itemsize: int) -> int:
        """Bytes that a forward run with derivatives keeps, a row and step."""
        return itemsize * sum(lengths[self.letters[self.root(x)]] for x in self.kept)

    # The arrays of a call, in order; the operator fills them by name.

    @cached_property
    def forward_arrays(self) -> list[str]:
        names = [f"E{k}" for k in range(len(self.loop.entering))]
        names += [str(v) for v in self.loop.vectors]
        names += [f"panel{g}_{k}" for g, k in self.weights] + [f"W{g}_{k}" for g, k in self.weights]
        names += [f"{x}_kept" for x in self.stored]
        names += [f"{s}_initial" for s in self.remembered] + [f"{s.after}_final" for s in self.states.values()]
        return [*names, "output", *([str(self.loop.clock)] if self.loop.clock is not None else [])]

    @cached_property
    def backward_arrays(self) -> list[str]:
        names = [str(v) for v in self.loop.vectors] + [f"{v}_bar" for v in self.backward.vectors]
        names += [f"panel{g}_{k}" for g, k in self.weights] + [f"W{g}_{k}" for g, k in self.weights]
        names += [f"E{k}" for k in range(len(self.loop.entering))]
        names += [f"{x}_kept" for x in self.backward.saved if x in self.kept]
        names += [f"A{g}" for g in range(len(self.loop.groups))]
        names += [f"E{k}_bar" for k, g in enumerate(self.shared) if g is None]
        names += [f"{s}_bar" for s in self.states] + [f"{s}_direct" for s in self.states if self.backward.carried[s] != 0]
        names += [f"{x}_lent" for x in self.crossing_back]
        return [*names, str(self.backward.given), *([str(self.loop.clock)] if self.loop.clock is not None else [])]

    @cached_property
    def weights(self) -> list[tuple[int, int]]:
        """(group, operand) of each stacked dense weight."""
        return [(g, k) for g, group in enumerate(self.loop.groups) for k in range(len(group.operands))]

    @cached_property
    def sizes(self) -> list[str]:
        """Letters of the sizes, in the order in which a call gives their numbers."""
        used = {self.root(x) for x in [*self.states, *self.loop.vectors, *self.operands]}
        used |= {self.root(s) for g in self.loop.groups for s in g.symbols} | {
            self.root(s) for e in self.loop.entering for s in e
        }
        return [letter for root, letter in self.letters.items() if root in used]

    @cached_property
    def text(self) -> str:
        """The whole file."""
        lines = [f"// {self.cell.name}: {self.cell.doc}", "//"]
        lines += [f"//   {line}" for line in self.cell.text.splitlines()]
        lines += [
            "//",
            "// Made by carousel from these equations. T is float or double, V a vector of them: some units of one row.",
            "",
        ]
        lines += ['#include "runtime.h"', "", "namespace {", ""]
        lines += self._direction("Forward", self.forward_arrays, self.forward_blocks)
        lines += self._direction("Backward", self.backward_arrays, self.backward_blocks)
        lines += ["}  // namespace", ""]
        for what in ("Forward", "Backward"):
            lines += [
                f'extern "C" void carousel_{what.lower()}(void* const* arrays, const int64_t* numbers, const void* const* threads) {{',
                f"  start({what}(arrays, numbers), threads, int(numbers[2]));",
                "}",
                "",
            ]
        return "\n".join(lines)

    def _direction(self, what: str, arrays: list[str], blocks: list[list[Block]]) -> list[str]:
        lines = [f"struct {what} {{", "  Steps steps;"]
        lines += [f"  long {', '.join('n_' + x for x in self.sizes)};"]
        lines += [f"  T* {name};" for name in arrays]
        lines += [f"  {what}(void* const* arrays, const int64_t* numbers) {{"]
        lines += [
            "    steps = {numbers[0], numbers[1], (int64_t*)arrays[0], (int64_t*)arrays[1], (int64_t*)arrays[2], (uint8_t*)arrays[3]};"
        ]
        lines += [f"    n_{x} = numbers[{3 + k}];" for k, x in enumerate(self.sizes)]
        lines += [f"    {name} = (T*)arrays[{4 + k}];" for k, name in enumerate(arrays)]
        lines += ["  }", "  void run(Crew crew) const;", "};", ""]
        for stage in blocks:
            for block in stage:
                lines += self._block(what, block)
        lines += self._run(what, blocks)
        return lines

    def _block(self, what: str, block: Block) -> list[str]:
        groups: list[tuple[Expr, ...]] = list(dict.fromkeys(p.symbols for p in block.products))
        most = max((len(g) for g in groups), default=1)
        passed = ", ".join(f"const V* {_sums(g)}, int {_sums(g)}_width" for g in groups)
        lines = [f"// {block.title}", "template <bool TAIL>"]
        lines += [
            f"inline void {block.name}_units(const {what}& c, const Step& s, Range rows, long unit, int rank{', ' + passed if passed else ''}) {{"
        ]
        lines += [f"  const long n = c.{block.size} - unit;"]
        lines += [f"  const V {v} = load<TAIL>(c.{v} + unit, n);" for v in block.vectors]
        lines += [f"  V {array}_sum = V{{}};" for array, _ in block.sums]
        lines += ["  for (long row = rows.from; row < rows.to; ++row) {"]
        for g in groups:
            later = any(p.later for p in block.products if p.symbols == g)
            for k, symbol in enumerate(g):
                value = f"{_sums(g)}[{k}]"
                if later:
                    value = f"row < s.next_rows && !(s.next_resets && s.next_resets[row]) ? {value} : V{{}}"
                lines += [f"    const V {symbol} = {value};"]
            lines += [f"    {_sums(g)} += {_sums(g)}_width;"]
        lines += [f"    const V {symbol} = {text};" for symbol, text in block.loads]
        lines += [
            f"    const V {symbol} = all({self.printer.doprint(expr.subs(self.plain))});" for symbol, expr in block.equations
        ]
        lines += [f"    {text}" for text in block.stores]
        lines += [f"    {array}_sum += {self.printer.doprint(expr)};" for array, expr in block.sums]
        lines += ["  }"]
        for array, _ in block.sums:
            place = f"c.{array} + rank * c.{block.size} + unit"
            lines += [f"  store<TAIL>({place}, load<TAIL>({place}, n) + {array}_sum, n);"]
        lines += ["}", ""]

        lines += [f"inline void {block.name}(const {what}& c, const Step& s, const Crew& crew, int units) {{"]
        lines += [f"  typedef Tiling<{most}> Tile;", f"  const long blocks = (c.{block.size} + LANES - 1) / LANES;"]
        lines += ["  const Range tiles = crew.tiles(blocks, units);"]
        lines += [
            "  const long from = crew.rows.from, to = crew.rows.to < s.rows ? crew.rows.to : s.rows, count = (to - from + Tile::ROWS - 1) / Tile::ROWS;"
        ]
        lines += [f"  V {_sums(g)}[Tile::ROWS * Tile::MOST_UNITS * {len(g)}];" for g in groups]
        lines += ["  for (long tile = tiles.from; tile < tiles.to; ++tile) {"]
        lines += [
            "    const long block = tile * units;",
            "    const int wide = int(blocks - block < units ? blocks - block : units);",
        ]
        lines += [
            "    for (long k = 0; k < count; ++k) {",
            "      const Range part = share(to - from, count, k), rows{from + part.from, from + part.to};",
        ]
        for p in block.products:
            g = len(p.symbols)
            have = "int(rows.to - rows.from)"
            if p.later:
                lines += [
                    f"      const int have_{p.panel} = int(rows.to <= s.next_rows ? rows.to - rows.from : s.next_rows > rows.from ? s.next_rows - rows.from : 0);"
                ]
                have = f"have_{p.panel}"
            call = f"product<{g}, Tile>({have}, wide, {p.pointer}, {p.depth}, c.{p.panel} + block * {g} * LANES * {p.depth}, {p.depth}, {_sums(p.symbols)}, {'true' if p.more else 'false'});"
            lines += [f"      {f'if ({have} > 0) ' if p.later else ''}{call}"]
        lines += ["      for (int u = 0; u < wide; ++u) {", "        const long unit = (block + u) * LANES;"]
        given = "".join(f", {_sums(g)} + u * {len(g)}, wide * {len(g)}" for g in groups)
        for tail, condition in (("false", f"if (c.{block.size} - unit >= LANES) "), ("true", "else ")):
            lines += [f"        {condition}{block.name}_units<{tail}>(c, s, rows, unit, crew.group(){given});"]
        lines += ["      }", "    }", "  }", "}", ""]
        return lines

    def _run(self, what: str, blocks: list[list[Block]]) -> list[str]:
        every = [b for stage in blocks for b in stage]
        busiest = max(every, key=lambda b: sum(len(p.symbols) for p in b.products))
        most = max((len(p.symbols) for p in busiest.products), default=1)
        depth = " + ".join(f"{len(p.symbols)} * {p.depth.replace('c.', '')}" for p in busiest.products) or "1"
        lines = [f"void {what}::run(Crew crew) const {{"]
        lines += [
            f"  crew.across = choose_across(steps.batch, ({busiest.size} + LANES - 1) / LANES, double({depth}), Tiling<{most}>::ROWS, crew.size);"
        ]
        lines += ["  crew.rows = deal(steps.rows, steps.count, steps.batch, crew.size / crew.across, crew.group());"]
        for b in every:
            most_b = max((len(p.symbols) for p in b.products), default=1)
            # Where threads share rows, smaller tiles can be shared out more evenly.
            lines += [f"  const int units_{b.name} = crew.across > 1 ? 1 : Tiling<{most_b}>::MOST_UNITS;"]
        packed = set()
        for b in every:
            for p in b.products:
                if p.panel in packed:
                    continue
                packed.add(p.panel)
                w = p.panel.replace("panel", "W")
                tiles = f"share((({b.size} + LANES - 1) / LANES + units_{b.name} - 1) / units_{b.name}, crew.size, crew.rank)"
                if what == "Forward":
                    lines += [
                        f"  pack({w}, {p.panel}, {b.size}, {p.depth.replace('c.', '')}, {len(p.symbols)}, units_{b.name}, {tiles});"
                    ]
                else:
                    lines += [
                        f"  pack_transposed({w}, {p.panel}, {b.size}, {p.depth.replace('c.', '')}, units_{b.name}, {tiles});"
                    ]
        lines += ["  crew.meet_all();"]
        loop_ = (
            "for (long step = 0; step < steps.count; ++step)"
            if what == "Forward"
            else "for (long step = steps.count - 1; step >= 0; --step)"
        )
        lines += [f"  {loop_} {{", "    const Step s = steps[step];"]
        for stage in blocks:
            lines += [f"    {b.name}(*this, s, crew, units_{b.name});" for b in stage]
            lines += ["    crew.meet();"]
        lines += ["  }", "}", ""]
        return lines


def _sums(symbols: tuple[Expr, ...]) -> str:
    return f"sums_{symbols[0]}"
