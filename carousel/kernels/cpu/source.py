"""A program as C++: its assignments, printed; around them, what goes over units, rows and steps."""

from __future__ import annotations

from carousel.equations.terms import Expr
from carousel.kernels.cpu.blocks import Block, Product
from carousel.kernels.cpu.printer import Printer
from carousel.kernels.cpu.program import Program

_printer = Printer()


def source(program: Program) -> str:
    """The whole file of a loop; it includes ``runtime.h``, and takes T and WIDTH from the command line."""
    about = "\n".join(f"// {line}".rstrip() for line in program.loop.about.splitlines())
    forward = _direction(program, "Forward", program.forward_arrays, program.forward_blocks)
    backward = _direction(program, "Backward", program.backward_arrays, program.backward_blocks)
    return f"""{about}
//
// Made by carousel from these equations. T is float or double, V a vector of them: some units of one row.

#include "runtime.h"

namespace {{

{forward}
{backward}
}}  // namespace

extern "C" void carousel_forward(void* const* arrays, const int64_t* numbers, const void* const* threads) {{
  start(Forward(arrays, numbers), threads, int(numbers[2]));
}}

extern "C" void carousel_backward(void* const* arrays, const int64_t* numbers, const void* const* threads) {{
  start(Backward(arrays, numbers), threads, int(numbers[2]));
}}
"""


def _direction(program: Program, what: str, arrays: list[str], stages: list[list[Block]]) -> str:
    """A struct with all that a call gives, a function for each block, and the run over the steps."""
    strides = [f"{w}_stride" for w in (*program.outer_weights, *program.inner_weights)]
    sizes = [f"n_{letter}" for letter in program.sizes]
    numbers = "\n".join(f"    {name} = numbers[{5 + k}];" for k, name in enumerate([*sizes, *strides]))
    pointers = "\n".join(f"    {name} = (T*)arrays[{4 + k}];" for k, name in enumerate(arrays))
    fields = "\n".join(f"  T* {name};" for name in arrays)
    blocks = "\n".join(_block(what, b) for stage in stages for b in stage)
    return f"""struct {what} {{
  Steps steps;
  long chunk;   // steps whose input is multiplied at once
  bool packed;  // an earlier call has packed the weights
  long {", ".join([*sizes, *strides])};
{fields}
  {what}(void* const* arrays, const int64_t* numbers) {{
    steps = {{numbers[0], numbers[1], (int64_t*)arrays[0], (int64_t*)arrays[1], (int64_t*)arrays[2], (uint8_t*)arrays[3]}};
    chunk = numbers[3], packed = numbers[4];
{numbers}
{pointers}
  }}
  void run(Crew crew) const;
}};

{blocks}
{_run_forward(program, stages) if what == "Forward" else _run_backward(program, stages)}"""


def _sums(symbols: tuple[Expr, ...]) -> str:
    return f"sums_{symbols[0]}"


def _groups(block: Block) -> list[tuple[Expr, ...]]:
    """The sums of a block; products that are added to others have the same."""
    return list(dict.fromkeys(p.symbols for p in block.products))


def _most(block: Block) -> int:
    return max((len(g) for g in _groups(block)), default=1)


def _block(what: str, block: Block) -> str:
    return f"{_units(what, block)}\n{_tiles(what, block)}"


def _units(what: str, block: Block) -> str:
    """The assignments, for some rows and the units of one vector."""
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
    lines += [f"const V {symbol} = {text};" for symbol, text in block.loads]
    lines += [f"const V {symbol} = all({_printer.doprint(expr)});" for symbol, expr in block.equations]
    lines += block.stores
    lines += [f"{array}_sum += {_printer.doprint(expr)};" for array, expr in block.sums]
    if any(p.later for p in block.products):
        lines.insert(0, "const bool goes_on = row < s.next_rows && !(s.next_resets && s.next_resets[row]);")
    after = []
    for array, _ in block.sums:
        place = f"c.{array} + rank * c.{block.size} + unit"
        after.append(f"store<TAIL>({place}, load<TAIL>({place}, n) + {array}_sum, n);")
    return f"""// {block.title}
template <bool TAIL>
inline void {block.name}_units(const {what}& c, const Step& s, Range rows, long unit, int rank{passed}) {{
  const long n = c.{block.size} - unit;
{_indent(before, 2)}  for (long row = rows.from; row < rows.to; ++row) {{
{_indent(lines, 4)}  }}
{_indent(after, 2)}}}
"""


def _tiles(what: str, block: Block) -> str:
    """The products of each tile, then its units."""
    groups = _groups(block)
    sums = [f"V {_sums(g)}[Tile::ROWS * Tile::MOST_UNITS * {len(g)}];" for g in groups]
    products = [line for p in block.products for line in _product(p)]
    given = "".join(f", {_sums(g)} + u * {len(g)}, wide * {len(g)}" for g in groups)
    call = f"(c, s, rows, unit, crew.group(){given});"
    return f"""inline void {block.name}(const {what}& c, const Step& s, const Crew& crew) {{
  typedef Tiling<{_most(block)}> Tile;
  const int units = crew.units<Tile>();
  const long blocks = (c.{block.size} + LANES - 1) / LANES;
  const Range tiles = crew.tiles(blocks, units), mine = crew.rows_of(s);
  const long count = (mine.to - mine.from + Tile::ROWS - 1) / Tile::ROWS;
{_indent(sums, 2)}  for (long tile = tiles.from; tile < tiles.to; ++tile) {{
    const long block = tile * units;
    const int wide = int(blocks - block < units ? blocks - block : units);
    for (long k = 0; k < count; ++k) {{
      const Range part = share(mine.to - mine.from, count, k), rows{{mine.from + part.from, mine.from + part.to}};
{_indent(products, 6)}      for (int u = 0; u < wide; ++u) {{
        const long unit = (block + u) * LANES;
        if (c.{block.size} - unit >= LANES) {block.name}_units<false>{call}
        else {block.name}_units<true>{call}
      }}
    }}
  }}
}}
"""


def _product(p: Product) -> list[str]:
    g, rows = len(p.symbols), "int(rows.to - rows.from)"
    lines, condition = [], ""
    if p.later:
        rows = f"rows_{p.panel}"
        lines = [f"const int {rows} = int((rows.to < s.next_rows ? rows.to : s.next_rows) - rows.from);"]
        condition = f"if ({rows} > 0) "
    panel = f"c.{p.panel} + block * {g} * LANES * words({p.depth})"
    more = "true" if p.more else "false"
    call = f"product<{g}, Tile>({rows}, wide, {p.pointer}, {p.depth}, {panel}, {p.depth}, {_sums(p.symbols)}, {more});"
    return [*lines, condition + call]


def _crew(stages: list[list[Block]]) -> str:
    """Who does what, by the block with the most work."""
    every = [b for stage in stages for b in stage]
    busiest = max(every, key=lambda b: sum(len(p.symbols) for p in b.products))
    depth = " + ".join(f"{len(p.symbols)} * {p.depth.replace('c.', '')}" for p in busiest.products) or "1"
    return f"  crew.divide(steps, ({busiest.size} + LANES - 1) / LANES, double({depth}), Tiling<{_most(busiest)}>::ROWS);\n"


def _packing(stages: list[list[Block]], how: str) -> str:
    lines, done = [], set()
    for b in (b for stage in stages for b in stage):
        for p in b.products:
            if p.panel not in done:
                done.add(p.panel)
                lines.append(
                    "  " * (how == "pack") + _pack(how, p.weights, p.panel, b.size, p.rows.replace("c.", ""), _most(b))
                )
    return _indent(lines, 2)


def _pack(how: str, weights: list[str], panel: str, size: str, depth: str, most: int) -> str:
    g = len(weights)
    struct = f"Weights<{g}>{{{{{', '.join(weights)}}}, {{{', '.join(f'{w}_stride' for w in weights)}}}}}"
    return f"{how}({struct}, {panel}, {size}, {depth}, crew.units<Tiling<{most}>>(), crew.packing<Tiling<{most}>>({size}));"


def _steps(stages: list[list[Block]]) -> str:
    return "".join("".join(f"{b.name}(*this, s, crew), " for b in stage) + "crew.meet();\n" for stage in stages)


def _run_forward(program: Program, stages: list[list[Block]]) -> str:
    packing, entering = [], []
    for j, outer in enumerate(program.loop.outer):
        g, n, e = len(outer.symbols), program.size(outer.symbols[0]), program.size(program.loop.input)
        weights = [f"outer{j}_{k}" for k in range(g)]
        packing.append(_pack("pack", weights, f"outer_panel{j}", n, e, g))
        entering.append(f"enter<{g}>(steps, crew, begin, end, x, {e}, outer_panel{j}, outer_bias{j}, E{j}, {n});")
    return f"""void Forward::run(Crew crew) const {{
{_crew(stages)}  if (!packed) {{
{_indent(packing, 4)}{_packing(stages, "pack")}  }}
  crew.meet_all();
  for (long begin = 0; begin < steps.count; begin += chunk) {{
    const long end = begin + chunk < steps.count ? begin + chunk : steps.count;
{_indent(entering, 4)}    for (long step = begin; step < end; ++step) {{
      const Step s = steps.at_step(step, begin);
{_indent(_steps(stages).splitlines(), 6)}    }}
  }}
}}
"""


def _run_backward(program: Program, stages: list[list[Block]]) -> str:
    return f"""void Backward::run(Crew crew) const {{
{_crew(stages)}{_packing(stages, "pack_transposed")}  crew.meet_all();
  for (long step = steps.count - 1; step >= 0; --step) {{
    const Step s = steps.at_step(step, 0);
{_indent(_steps(stages).splitlines(), 4)}  }}
}}
"""


def _indent(lines: list[str], spaces: int) -> str:
    return "".join(" " * spaces + line + "\n" for line in lines)
