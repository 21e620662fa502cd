"""The lines of a block: loads, products and reductions of a tile, assignments, stores.

What is one number a row is a tile of one column, ``one`` its unit; each program computes it for itself, the first of a row's
programs stores it.
"""

from __future__ import annotations

from carousel.kernels.triton.printer import Printer
from carousel.kernels.triton.program import Gathered, Read, TileBlock, TileProduct

_printer = Printer()
SHARED = ("_X_", "_A_", "_H_")  # arrays that other programs read


def there(p: TileProduct) -> list[str]:
    """Return the condition for the rows of a product."""
    lines = ["there = (r < rows)[:, None]" + (" & (r < next_rows)[:, None]" if p.later else "")]
    if p.later:
        lines += ["if RESETS:", "    there = there & (tl.load(_resets + next_row, mask=there, other=0) == 0)"]
    return lines


def placed(array: str, at: str, block: TileBlock, width: int = 1, column: int = 0) -> str:
    """Return the places of a block's units, in the rows ``at``, in an array of ``width`` vectors a row."""
    size, unit = (None, "one") if block.row else (block.size, "u")
    stride = width if size is None else size if width == 1 else f"({width} * {size})"
    shift = "" if not column else f" + {column}" if size is None else f" + {column} * {size}"
    return f"{array} + {at} * {stride}{shift} + {unit}"


def masks(block: TileBlock) -> list[str]:
    """Return the conditions for a block's rows and units."""
    if block.row:
        return ["mine = (r < rows)[:, None] & (one + tl.program_id(1) == 0)"]
    lines = [f"m = (r < rows)[:, None] & (u < {block.size})"]
    if any(p.later for p in block.products):
        lines += [f"going = (r < rows)[:, None] & (r < next_rows)[:, None] & (u < {block.size})"]
        lines += [
            "if RESETS:",
            "    going = going & (tl.load(_resets + next_row, mask=(r < next_rows)[:, None], other=0) == 0)",
        ]
    return lines


def dots(block: TileBlock) -> list[str]:
    """Return the products inside the kernel, a piece of the operand at a time."""
    lines = []
    for s in dict.fromkeys(s for p in block.products for s in p.symbols):
        lines.append(f"{s} = tl.zeros([BB, BU], dtype=tl.float32)")
    for p in block.products:
        which = "next_row" if p.later else "row"
        lines += there(p)
        for vector in range(p.width) if p.transposed else [0]:
            lines += [f"for first in range(0, {p.inner}, BK):", "    k = first + tl.arange(0, BK)"]
            load = f"tl.load({p.array} + {which} * {p.depth} + {column(p, block, vector, 'k')}[None, :]"
            lines.append(f"    x = {load}, mask=there & {valid(p, block, 'k')}[None, :], other=0.0, cache_modifier='.cg')")
            for n, s in enumerate(p.symbols):
                mask = f"mask={valid(p, block, 'k')}[:, None] & (u < {block.size}), other=0.0"
                lines.append(f"    w = tl.load({p.weight} + {weight(p, block, vector if p.transposed else n, 'k')}, {mask})")
                lines.append(f"    {s} = times(x, w, {s}, PRECISION)")
    return lines


def column(p: TileProduct, block: TileBlock, vector: int, k: str) -> str:
    """Return the columns of a product's operand for numbers ``k`` of one of its vectors."""
    return f"({vector} * {p.each} + {p.begin(block.size)} + {k})"


def valid(p: TileProduct, block: TileBlock, k: str) -> str:
    """Return where numbers ``k`` of a vector of the operand are its own."""
    inside = f"({k} < {p.inner})"
    return f"({inside} & ({p.begin(block.size)} + {k} < {p.each}))" if p.heads > 1 else inside


def weight(p: TileProduct, block: TileBlock, n: int, k: str) -> str:
    """Return the places of a tile of the weight of a group's sum ``n``, its rows along the operand. Transposed, the operand's
    numbers are the weight's rows."""
    size, of_head = block.size, f"({block.size} // HEADS)"
    if not p.transposed:
        return f"({n} * {size} + u) * {p.inner} + {k}[:, None]"
    wide, unit = (of_head, f"u % {of_head}") if p.heads > 1 else (size, "u")
    return f"{column(p, block, n, k)}[:, None] * {wide} + {unit}"


def results(block: TileBlock) -> list[str]:
    """Return the reductions whose results a block has, from what all programs of the rows have stored."""
    lines = []
    for g in block.reduced:
        start = "0.0" if g.kind == "sum" else "-float('inf')"
        if g.heads is None:
            # Names of their own: in a loop of Triton's none may become a tile of another shape.
            tiles, each, parts = _tiles(g), f"each{g.array}", f"parts{g.array}"
            lines.append(f"{each} = tl.arange(0, {g.padded} // BU if {g.padded} > BU else 1)[None, :]")
            place = f"{g.array} + (at + r).to(tl.int64)[:, None] * {tiles} + {each}"
            mask = f"mask=(r < rows)[:, None] & ({each} < {tiles})"
            lines.append(f"{parts} = tl.load({place}, {mask}, other={start}, cache_modifier='.cg')")
            lines.append(f"{g.symbol} = {_over(g, parts)}[:, None]")
        else:  # unit by unit, since a head may begin within a tile
            each = f"({g.size} // {g.heads})"
            lines += [f"{g.symbol} = tl.full([BB, BU], {start}, dtype=tl.float32)", f"for number in range(0, {each}):"]
            place = f"{g.array} + row * {g.size} + u // {each} * {each} + number"
            unit = f"tl.load({place}, mask=m, other={start}, cache_modifier='.cg')"
            lines.append(f"    {g.symbol} = " + (f"{g.symbol} + {unit}" if g.kind == "sum" else f"maximum({g.symbol}, {unit})"))
    return lines


def gathers(block: TileBlock) -> list[str]:
    """Return the stores of what a tile has of the reductions of the stage after. ``tile``: the number of the tile."""
    lines = []
    for g in block.gathers:
        if g.heads is not None:
            lines.append(f"tl.store({placed(g.array, 'row', block)}, {g.operand}, mask=m)")
            continue
        start = "0.0" if g.kind == "sum" else "-float('inf')"
        place = f"{g.array} + (at + r).to(tl.int64) * {_tiles(g)} + tile"
        part = _over(g, f"tl.where(m, {g.operand}, {start})")
        lines.append(f"tl.store({place}, {part}, mask=(r < rows) & (0 * r + tile < {_tiles(g)}))")
    return lines


def _tiles(g: Gathered) -> str:
    return f"(({g.size} + BU - 1) // BU)"


def _over(g: Gathered, x: str) -> str:
    return f"tl.sum({x}, axis=1)" if g.kind == "sum" else f"tl.reduce({x}, 1, maximum)"


def reads(block: TileBlock, *, vectors: bool = True, alone: bool = False) -> list[str]:
    """Return the loads of a block but for what its products and reductions read.

    Args:
        block: which block.
        vectors: what is the same at every step, too.
        alone: the kernel is this block's: numbers of a row that other blocks have are loaded, too.
    """
    lines = []
    for read in block.reads:
        s, kind, array = read.symbol, read.kind, read.array
        unit, limit = ("one", "1") if read.number else ("u", block.size)
        if kind == "vector":
            text = f"tl.load({array} + {unit}, mask={unit} < {limit}, other=1.0).to(tl.float32)"
            lines += [f"{s} = {text}"] if vectors else []
        elif kind == "counted":
            lines.append(f"{s} = {array}")
        elif kind == "count":
            lines.append(f"{s} = tl.full([1, 1], {array}, dtype=tl.float32)")
        elif kind == "row" and read.number:
            place = f"{array} + r.to(tl.int64)[:, None]"
            lines += [f"{s} = tl.load({place}, mask=(r < rows)[:, None], other=0.0)"] if alone else []
        else:
            lines.append(f"{s} = {_load(read, block)}")
    return lines


def _load(read: Read, block: TileBlock) -> str:
    at = "row" if read.kind == "step" else "r[:, None].to(tl.int64)"
    if read.number:
        place = f"{read.array} + {at}" + (f" * {read.width} + {read.column}" if read.width > 1 else "")
        return f"tl.load({place}, mask=(r < rows)[:, None], other=0.0).to(tl.float32)"
    mask = "m & (r >= next_rows)[:, None]" if read.kind == "ended" else "m"
    return f"tl.load({placed(read.array, at, block, read.width, read.column)}, mask={mask}, other=0.0).to(tl.float32)"


def body(block: TileBlock, *, alone: bool = False) -> list[str]:
    """Return the lines of a block's assignments and stores; ``alone`` as that of ``reads``."""
    return [*equations(block), *writes(block, shared=True), *writes(block, shared=False, alone=alone)]


def equations(block: TileBlock) -> list[str]:
    """Return a block's assignments."""
    lines = [f"{s} = {_printer.doprint(e)}" for s, e in block.equations]
    if any(kind == "carried" for kind, *_ in block.writes):
        lines.append("tl.debug_barrier()")  # all threads have read what is overwritten
    return lines


def writes(block: TileBlock, *, shared: bool, alone: bool = False) -> list[str]:
    """Return the stores that other programs read, or the rest; ``alone`` as that of ``reads``."""
    lines = gathers(block) if shared else []
    for kind, value, array, width, column in block.writes:
        if shared == array.startswith(SHARED) and (alone or not (block.row and kind == "row")):
            lines += _write(kind, "0.0" if value == 0 else str(value), placed(array, "{}", block, width, column), block)
    return lines


def _write(kind: str, value: str, place: str, block: TileBlock) -> list[str]:
    own = place.format("r[:, None].to(tl.int64)")
    array, m = place.split(" ", 1)[0], "mine" if block.row else "m"
    if kind == "step":
        return [f"tl.store({place.format('row')}, {value}, mask={m})"]
    if kind in ("save", "direct"):
        return [f"if {kind.upper()}:", f"    tl.store({place.format('row')}, {value}, mask={m})"]
    if kind == "row":
        return [f"tl.store({own}, {value}, mask={m})"]
    if kind == "final":
        return [f"tl.store({own}, {value}, mask=m & (r >= next_rows)[:, None])"]
    if kind == "next":
        initial = "_I_" + array.split("_", 2)[2]
        flag = "tl.load(_resets + next_row, mask=(r < next_rows)[:, None], other=0) != 0"
        start = f"tl.load({own.replace(array, initial, 1)}, mask=m, other=0.0).to(tl.float32)"
        anew = f"tl.where({flag}, {start}, {value})"
        store = f"tl.store({place.format('next_row')}, {{}}, mask=m & (r < next_rows)[:, None])"
        return ["if RESETS:", "    " + store.format(anew), "else:", "    " + store.format(value)]
    if kind in ("carried", "left"):
        flag = "tl.load(_resets + row, mask=(r < rows)[:, None], other=0) != 0"
        m = "m" if kind == "carried" else "m & (r >= earlier_rows)[:, None]"
        return [
            "if RESETS:",
            f"    tl.store({own}, tl.where({flag}, 0.0, {value}), mask={m})",
            "else:",
            f"    tl.store({own}, {value}, mask={m})",
        ]
    assert kind == "sum"
    return [f"tl.store({own}, tl.load({own}, mask={m}, other=0.0) + {value}, mask={m})"]
