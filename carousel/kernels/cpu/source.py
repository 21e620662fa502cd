"""A program as C++: its assignments, printed; around them, what goes over units, rows and steps."""

from __future__ import annotations

import re
from collections.abc import Sequence

from carousel.equations.notes import Expr
from carousel.equations.stages import Reduction
from carousel.kernels.cpu import blocks
from carousel.kernels.cpu.blocks import CppBlock, CppProduct
from carousel.kernels.cpu.printer import Printer
from carousel.kernels.cpu.program import STEPS, VECTORS, CppProgram, Signature, begin, panel, pointers, stride

DIRECTIONS = ("forward", "backward")
_printer = Printer()


def source(program: CppProgram, directions: Sequence[str] = DIRECTIONS) -> str:
    """Return the whole file of a loop, or of one direction: with weights of 8 bits there is no run backwards.

    It includes ``runtime.h``, and takes T and WIDTH from the command line.
    """
    about = "\n".join(f"// {line}".rstrip() for line in program.loop.about.splitlines())
    parts = {"forward": _forward, "backward": _backward}
    code = "\n".join(parts[direction](program) for direction in directions)
    return f"""{about}
//
// Made by carousel from these equations. T is float or double, V a vector of them: some units of one row.

#include "runtime.h"

namespace {{

{code}
}}  // namespace
{"".join(map(_function, directions))}"""


def _function(direction: str) -> str:
    return f"""
extern "C" void carousel_{direction}(void* const* arrays, const int64_t* numbers, const void* const* threads) {{
  const {direction.capitalize()} call(arrays, numbers);
  start(call, threads, int(call.threads));
}}
"""


def _forward(program: CppProgram) -> str:
    stages = blocks.forward(program)
    return _direction("Forward", program, program.forward, stages, _run_forward(program, stages))


def _backward(program: CppProgram) -> str:
    stages = blocks.backward(program)
    return _direction("Backward", program, program.backward, stages, _run_backward(program, stages))


def _direction(what: str, program: CppProgram, signature: Signature, stages: list[list[CppBlock]], run: str) -> str:
    """Return a struct with all that a call gives, a function for each block, and the run over the steps."""
    arrays = [name for name in signature.arrays if name not in STEPS]
    numbers_of_rows = {*program.follows.values(), *program.of_set}
    kinds = {name: "const int64_t" if name in numbers_of_rows else "T" for name in arrays}
    pointers = "\n".join(f"    {name} = ({kinds[name]}*)arrays[{signature.arrays.index(name)}];" for name in arrays)
    numbers = "\n".join(f"    {name} = numbers[{k}];" for k, name in enumerate(signature.numbers))
    fields = "\n".join(f"  {kinds[name]}* {name};" for name in arrays)
    step_arrays = ", ".join(
        f"({'uint8_t' if name == 'resets' else 'int64_t'}*)arrays[{signature.arrays.index(name)}]" for name in STEPS
    )
    return f"""struct {what} {{
  Steps all_steps;
  long {", ".join(signature.numbers)};  // chunk: steps whose input is multiplied at once; packed: by an earlier call
{fields}
  {what}(void* const* arrays, const int64_t* numbers) {{
{numbers}
{pointers}
    all_steps = {{steps, batch, {step_arrays}, {"true" if program.loop.edges else "false"}}};
  }}
  void run(Team team) const;
}};

{"".join(_block(what, b) for stage in stages for b in stage)}
{run}"""


def _sums(symbols: tuple[Expr, ...]) -> str:
    return f"sums_{symbols[0]}"


def _groups(block: CppBlock) -> list[tuple[Expr, ...]]:
    """Return the sums of a block; products that are added to others have the same."""
    return list(dict.fromkeys(p.symbols for p in block.products))


def _most(block: CppBlock) -> int:
    return max((len(g) for g in _groups(block)), default=1)


def _block(what: str, block: CppBlock) -> str:
    return _rows(what, block) if block.row else f"{_units(what, block)}\n{_tiles(what, block)}\n"


def _rows(what: str, block: CppBlock) -> str:
    """Return the assignments of what is one number a row, for some rows at once."""
    lines = [f"const V {symbol} = {text};" for symbol, text in [*block.results, *block.loads]]
    lines += [f"const V {symbol} = all({_printer.doprint(expr)});" for symbol, expr in block.equations]
    return f"""// {block.title}
template <bool TAIL>
inline void {block.name}_rows(const {what}& c, const Step& s, const Team& team, long row, long n) {{
  const long own = team.rank * c.batch;
  const bool first = team.column() == 0;
{_indent([*_each([*lines, *block.stores]), *lines, *block.stores], 2)}}}

inline void {block.name}(const {what}& c, const Step& s, const Team& team) {{
  const Range mine = {_mine(block)};
  for (long row = mine.from; row < mine.to; row += LANES) {{
    if (mine.to - row >= LANES) {block.name}_rows<false>(c, s, team, row, LANES);
    else {block.name}_rows<true>(c, s, team, row, mine.to - row);
  }}
}}

"""


def _units(what: str, block: CppBlock) -> str:
    """Return the assignments, for some rows and the units of one vector."""
    groups = _groups(block)
    passed = "".join(f", const V* {_sums(g)}, int {_sums(g)}_width" for g in groups)
    before = [f"const V {v} = load<TAIL>(c.{v} + unit, n);" for v in block.vectors]
    before += [f"V {array}_sum = V{{}};" for array, _ in block.sums]
    lines = []
    for g in groups:
        later = any(p.later for p in block.products if p.symbols == g)
        for k, symbol in enumerate(g):
            value = f"{_sums(g)}[{k}]"
            lines.append(f"const V {symbol} = {f'goes_on ? {value} : V{{}}' if later else value};")
        lines.append(f"{_sums(g)} += {_sums(g)}_width;")
    lines += [f"const auto {symbol} = {text};" for symbol, text in block.loads]  # V, or a number that is counted
    lines += [f"const V {symbol} = all({_printer.doprint(expr)});" for symbol, expr in block.equations]
    lines += block.stores
    lines += [f"gather_{r.kind}<TAIL>({_partial(r, _unit_of(r))}, {r.operand}, n);" for r in block.gathers]
    lines += [f"{array}_sum += {_printer.doprint(expr)};" for array, expr in block.sums]
    if any(re.search(r"(?<!c\.)\bowner\b", line) for line in lines):
        lines.insert(0, "const long owner = c.owner[each + row] - s.at;")
    before = [*_each(lines), *before]
    if any(p.later for p in block.products):
        lines.insert(0, "const bool goes_on = row < s.next_rows && !(s.next_resets && s.next_resets[row]);")
    after = []
    for array, _ in block.sums:
        place = f"c.{array} + rank * c.{block.size} + unit"
        after.append(f"store<TAIL>({place}, load<TAIL>({place}, n) + {array}_sum, n);")
    return f"""// {block.title}
template <bool TAIL>
inline void {block.name}_units(
    const {what}& c, const Step& s, Range rows, long unit, long n, long head, int rank, long own{passed}) {{
{_indent(before, 2)}  for (long row = rows.from; row < rows.to; ++row) {{
{_indent(lines, 4)}  }}
{_indent(after, 2)}}}
"""


def _tiles(what: str, block: CppBlock) -> str:
    """Return the products of each tile, then its units."""
    groups = _groups(block)
    sums = [f"V {_sums(g)}[Tile::ROWS * Tile::MOST_UNITS * {len(g)}];" for g in groups]
    products = [line for p in block.products for line in _product(p)]
    given = "".join(f", {_sums(g)} + u * {len(g)}, at.wide * {len(g)}" for g in groups)
    call = f"(c, s, rows, unit, n, at.head, team.group(), own{given});"
    begin = [f"{_rows_of(r)} c.{r.symbol}_own[own * {r.heads} + k] = {_result(r)};" for r in block.by_head]
    begin += [f"{_rows_of(r)} begin_{r.kind}({_partial(r, f'own * {r.heads or 1} + k')});" for r in block.gathers]
    return f"""inline void {block.name}(const {what}& c, const Step& s, const Team& team) {{
  typedef Tiling<{_most(block)}> Tile;
  const Cut cut(c.{block.size}, {block.heads}, team.units(Tile::MOST_UNITS));
  const Range tiles = team.tiles(cut), mine = {_mine(block)};
  const long count = (mine.to - mine.from + Tile::ROWS - 1) / Tile::ROWS, own = team.rank * c.batch;
{_indent(_each(products), 2)}{_indent(begin, 2)}{_indent(sums, 2)}  for (long tile = tiles.from; tile < tiles.to; ++tile) {{
    const Piece at = cut.at(tile);
    for (long k = 0; k < count; ++k) {{
      const Range part = share(mine.to - mine.from, count, k), rows{{mine.from + part.from, mine.from + part.to}};
{_indent(products, 6)}      for (int u = 0; u < at.wide; ++u) {{
        const long unit = at.unit + u * LANES, n = at.left - u * LANES;
        if (n >= LANES) {block.name}_units<false>{call}
        else {block.name}_units<true>{call}
      }}
    }}
  }}
}}
"""


def _mine(block: CppBlock) -> str:
    """Return the rows of a block that a thread has."""
    return "team.rows_among(c.children[s.at + s.rows] - c.children[s.at])" if block.each else "team.rows_of(s)"


def _each(lines: list[str]) -> list[str]:
    """Return, where lines need it, the line that says where the rows of the members of a step's sets begin."""
    return ["const long each = c.children[s.at];"] if any(re.search(r"\beach\b", line) for line in lines) else []


def _partial(r: Reduction, at: str) -> str:
    """Return the place of what a thread has of a reduction, of a row, or of one of its heads."""
    return f"c.{r.symbol}_partial + ({at}) * {VECTORS[r.kind]} * LANES"


def _unit_of(r: Reduction) -> str:
    """Return which of a thread's parts of a reduction a unit belongs to."""
    return "own + row" if r.heads is None else f"(own + row) * {r.heads} + head"


def _rows_of(r: Reduction) -> str:
    """Return the loop over a thread's rows, and over their heads."""
    return f"for (long k = mine.from * {r.heads or 1}; k < mine.to * {r.heads or 1}; ++k)"


def _result(r: Reduction) -> str:
    """Return the result of a reduction by head, of row and head number k together."""
    return f"reduced_{r.kind}<true>(c.{r.symbol}_partial, team, c.batch * {r.heads}, k, 1)[0]"


def _product(p: CppProduct) -> list[str]:
    g, rows = len(p.symbols), "int(rows.to - rows.from)"
    lines, condition = [], ""
    if p.later:
        rows = f"rows_{p.panel}"
        lines = [f"const int {rows} = int((rows.to < s.next_rows ? rows.to : s.next_rows) - rows.from);"]
        condition = f"if ({rows} > 0) "
    panel = f"c.{p.panel} + at.block * {g} * LANES * packed({p.depth})"
    x, more = f"{p.pointer} + at.head * {p.depth}" if p.heads > 1 else p.pointer, "true" if p.more else "false"
    factors = f"{x}, {p.stride}, {p.rows_at or 'nullptr'}, {panel}, {p.depth}"
    return [*lines, f"{condition}product({rows}, at.wide * {g}, {factors}, {_sums(p.symbols)}, {more});"]


def _divide(stages: list[list[CppBlock]]) -> str:
    """Return how the team shares the work, by the block with the most of it."""
    every = [b for stage in stages for b in stage if not b.row]
    busiest = max(every, key=lambda b: sum(len(p.symbols) for p in b.products))
    depth = " + ".join(f"{len(p.symbols)} * {p.depth.replace('c.', '')}" for p in busiest.products) or "1"
    blocks = f"Cut({busiest.size}, {busiest.heads}, 1).tiles"
    return f"  team.divide(all_steps, {blocks}, double({depth}), Tiling<{_most(busiest)}>::ROWS);\n"


def _packing(stages: list[list[CppBlock]], how: str) -> str:
    lines, done = [], set()
    for b in (b for stage in stages for b in stage):
        for p in b.products:
            if p.panel not in done:
                done.add(p.panel)
                rows, whole = p.rows.replace("c.", ""), p.heads == 1
                lines.append("  " * (how == "pack") + _pack(how, p.weights, p.panel, b.size, b.heads, whole, rows, _most(b)))
    return _indent(lines, 2)


def _pack(how: str, weights: tuple[str, ...], panel: str, size: str, heads: int, whole: bool, depth: str, most: int) -> str:
    """Return the call that packs some weights, for units of so many heads; ``whole``: the weights do not consist of blocks."""
    g = len(weights)
    parts = (weights, map(stride, weights), map(begin, weights))
    struct = f"Weights<{g}>{{{', '.join('{' + ', '.join(each) + '}' for each in parts)}}}"
    blocks = "" if how == "pack" else f", {'false' if whole else 'true'}"
    return f"{how}({struct}, {panel}, {depth}, Cut({size}, {heads}, team.units(units_of({most}))), team{blocks});"


def _steps(stages: list[list[CppBlock]], program: CppProgram) -> str:
    """Return the calls of a step. Where units need nothing of one another, threads that share a row do not wait.

    Of levels a step needs rows of other threads, so all wait at its end; members of sets need those of their steps at once.
    """
    sets, levels = program.loop.over_set, bool(program.loop.edges)
    wait = "team.wait();" if any(b.products or b.gathers or b.row for stage in stages for b in stage) else ""
    wait = "team.wait_all();" if sets else wait
    calls = []
    for stage in stages:
        each = [f"{b.name}(*this, s, team); " for b in stage]
        among = next((k for k, b in enumerate(stage) if b.each), 0)
        calls.append("".join([*each[:among], *([f"{wait} "] if among else []), *each[among:]]))
    waits = [wait] * (len(calls) - 1) + ["team.wait_all();" if levels else wait]
    return "".join(call + after + "\n" for call, after in zip(calls, waits, strict=True))


def _run_forward(program: CppProgram, stages: list[list[CppBlock]]) -> str:
    packing, hoisted = [], []
    for name, stack in program.sums_of_input.items():
        g = len(stack.symbols)
        packing.append(_pack("pack", pointers(stack), panel(stack), stack.size, 1, True, stack.depth, g))
        begin = f"x, {stack.depth}, {panel(stack)}, bias_{stack.name}"
        hoisted.append(f"hoist<{g}>(all_steps, team, begin, end, {begin}, {name}, {stack.size});")
    if hoisted and any(b.heads > 1 for stage in stages for b in stage):
        hoisted.append("team.wait();")  # a thread's units of a head are not those of the whole vector that it has multiplied
    return f"""void Forward::run(Team team) const {{
{_divide(stages)}  if (!packed) {{
{_indent(packing, 4)}{_packing(stages, "pack")}  }}
  team.wait_all();
  for (long begin = 0; begin < steps; begin += chunk) {{
    const long end = begin + chunk < steps ? begin + chunk : steps;
{_indent(hoisted, 4)}    for (long step = begin; step < end; ++step) {{
      const Step s = all_steps.at_step(step, begin);
{_indent(_steps(stages, program).splitlines(), 6)}    }}
  }}
}}
"""


def _run_backward(program: CppProgram, stages: list[list[CppBlock]]) -> str:
    return f"""void Backward::run(Team team) const {{
{_divide(stages)}{_packing(stages, "pack_transposed")}  team.wait_all();
  for (long step = steps - 1; step >= 0; --step) {{
    const Step s = all_steps.at_step(step, 0);
{_indent(_steps(stages, program).splitlines(), 4)}  }}
}}
"""


def _indent(lines: list[str], spaces: int) -> str:
    return "".join(" " * spaces + line + "\n" for line in lines)
