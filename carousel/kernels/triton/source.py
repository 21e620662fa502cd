"""A program as Triton: a kernel for each block, and one that takes all steps."""

from __future__ import annotations

import re

from carousel.kernels.triton.printer import Printer
from carousel.kernels.triton.program import TileBlock, TileProduct, TritonProgram

_printer = Printer()
NUMBERS = ("at", "rows", "next_at", "next_rows", "steps")  # change from call to call, so nothing is compiled for them
PIECES = (1, 2, 4)  # in which an operand is multiplied where the weights are held
AHEAD = 2  # pieces of an operand that are loaded before they are multiplied
_NAMES = re.compile(r"\b_(?:[A-Z]_\w+|output|given|clock|resets|barrier)\b")


def source(program: TritonProgram) -> str:
    """Return all kernels of a loop: ``forward_STAGE_SIZE``, ``backward_…`` of a step, ``forward`` and ``backward`` of all."""
    parts = [f"# {program.loop.name}, made by carousel from its equations\n"]
    for way, stages in (("forward", program.forward), ("backward", program.backward)):
        parts += [_step_kernel(way, b) for stage in stages for b in stage]
        parts.append(_whole_kernel(way, stages))
        parts += [_held_kernel(way, stages, pieces) for pieces in PIECES]
    return "\n\n".join(parts)


def step_name(way: str, block: TileBlock) -> str:
    """Return the name of a block's kernel."""
    return f"{way}_{block.stage}_{block.size}"


def sums(product: TileProduct) -> str:
    """Return the array of a product's sums, where cuBLAS computes it."""
    return f"_P{product.weight[2:]}" if product.transposed else f"_P_{product.group}"


def arrays(text: str) -> list[str]:
    """Return the arrays that a kernel's text names."""
    return list(dict.fromkeys(_NAMES.findall(text)))


def _signature(name: str, lines: list[str], numbers: list[str], constants: list[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    sizes = list(dict.fromkeys(re.findall(r"\b(?:N|PAD)_\w+", body)))
    arguments = [*arrays(body), *numbers, *(f"{n}: tl.constexpr" for n in [*sizes, *constants])]
    fixed = [n for n in numbers if n in NUMBERS]
    return f"@triton.jit(do_not_specialize={fixed!r})\ndef {name}({', '.join(arguments)}):\n{body}"


def _step_kernel(way: str, block: TileBlock) -> str:
    lines = ["r = tl.program_id(0) * BB + tl.arange(0, BB)"]
    lines += ["row = (at + r).to(tl.int64)[:, None]", "next_row = (next_at + r).to(tl.int64)[:, None]"]
    lines += ["u = (tl.program_id(1) * BU + tl.arange(0, BU))[None, :]"]
    for p in block.products:
        for k, s in enumerate(p.symbols):
            place = f"{sums(p)} + r[:, None].to(tl.int64) * {_wide(len(p.symbols), block.size)}{_shift(k, block.size)} + u"
            mask = "going" if p.later else "m"
            value = f"{s} = tl.load({place}, mask={mask}, other=0.0).to(tl.float32)"
            if value not in lines:
                lines.append(value)
    lines[4:4] = _masks(block)
    lines += _reads(block) + _body(block)
    return _signature(step_name(way, block), lines, list(NUMBERS[:4]), ["SAVE", "RESETS", "DIRECT", "BB", "BU"])


def _held_kernel(way: str, stages: list[list[TileBlock]], pieces: int) -> str:
    """Write all steps, each program keeping the weights of its units: loaded before the loop, for as long as it runs."""
    lines = ["r = tl.program_id(0) * BB + tl.arange(0, BB)", "u = (tl.program_id(1) * BU + tl.arange(0, BU))[None, :]"]
    for block in (b for stage in stages for b in stage):
        for p in block.products:
            for name, first, k, limit in _pieces(p, pieces):
                n = int(name.split("_")[-2])
                place = f"({first} + {k})[:, None] * {block.size} + u"
                if not p.transposed:
                    place = f"({n} * {block.size} + u) * {p.depth} + ({first} + {k})[:, None]"
                mask = f"({first} + {k} < {limit})[:, None] & (u < {block.size})"
                lines.append(f"{name} = tl.load({p.weight} + {place}, mask={mask}, other=0.0)")
    vectors = {line: None for stage in stages for b in stage for line in _vectors(b)}
    lines += [*vectors, "arrived = 0", *_loop_head(way)]
    for number, stage in enumerate(stages):
        for block in stage:  # what needs no other program is on its way while they are waited for
            lines += ["    " + line for line in [*_masks(block), *_reads(block, vectors=False)]]
        lines += _waiting(stage)
        for block in stage:
            inner = [*_masks(block), *_held_dots(block, pieces), *_equations(block), *_writes(block, shared=True)]
            lines += ["    " + line for line in inner]
        lines += _barrier(stages, number)
        for block in stage:  # the others need not wait for this to be written
            lines += ["    " + line for line in [_masks(block)[0], *_writes(block, shared=False)]]
        lines.append("    tl.debug_barrier()")
    constants = ["SAVE", "RESETS", "DIRECT", "BB", "BU", "PARTS", "PRECISION"]
    return _signature(f"{way}_held{pieces}", lines, ["all_at", "all_rows", "steps"], constants)


def _pieces(p: TileProduct, pieces: int) -> list[tuple[str, str, str, str]]:
    """Return for each piece of a product's weights its name, where it begins along the operand, its numbers, where they end."""
    found = []
    for n in range(p.width):
        for c in range(pieces):
            name = f"w{p.weight}_{n}_{c}"
            k = f"tl.arange(0, {p.padded} // {pieces})"
            begin = f"{c} * ({p.padded} // {pieces})"
            if p.transposed:  # the operand is as many vectors as the group has sums
                found.append((name, f"{n} * {p.each} + {begin}", k, f"{n + 1} * {p.each}"))
            else:
                found.append((name, begin, k, p.depth))
    return found


def _held_dots(block: TileBlock, pieces: int) -> list[str]:
    lines = []
    for s in dict.fromkeys(s for p in block.products for s in p.symbols):
        lines.append(f"{s} = tl.zeros([BB, BU], dtype=tl.float32)")
    for p in block.products:
        lines += _there(p)
        order = sorted(_pieces(p, pieces), key=lambda piece: piece[1]) if not p.transposed else _pieces(p, pieces)
        loads: list[str] = []
        dots: list[list[str]] = []  # of each piece of the operand, and what it is multiplied with
        for name, first, k, limit in order:
            where = f"{p.array} + {'next_row' if p.later else 'row'} * {p.depth} + ({first} + {k})[None, :]"
            load = f"tl.load({where}, mask=there & ({first} + {k} < {limit})[None, :], other=0.0, cache_modifier='.cg')"
            if load not in loads:
                loads.append(load)
                dots.append([])
            s = p.symbols[0] if p.transposed else p.symbols[int(name.split("_")[-2])]
            dots[-1].append(f"{s} = times(x{len(loads) - 1}_, {name}, {s}, PRECISION)")
        for number in range(len(loads) + AHEAD):
            lines += [f"x{number}_ = {loads[number]}"] if number < len(loads) else []
            lines += dots[number - AHEAD] if number >= AHEAD else []
    return lines


def _vectors(block: TileBlock) -> list[str]:
    without = _reads(block, vectors=False)
    return [line for line in _reads(block) if line not in without]


def _there(p: TileProduct) -> list[str]:
    """Return the condition for the rows of a product."""
    lines = ["there = (r < rows)[:, None]" + (" & (r < next_rows)[:, None]" if p.later else "")]
    if p.later:
        lines += ["if RESETS:", "    there = there & (tl.load(_resets + next_row, mask=there, other=0) == 0)"]
    return lines


def _loop_head(way: str) -> list[str]:
    lines = ["for index in range(steps):", f"    step = {'index' if way == 'forward' else 'steps - 1 - index'}"]
    lines += ["    at = tl.load(all_at + step)", "    rows = tl.load(all_rows + step)"]
    lines += ["    next_at = tl.load(all_at + step + 1)", "    next_rows = tl.load(all_rows + step + 1)"]
    return [*lines, "    row = (at + r).to(tl.int64)[:, None]", "    next_row = (next_at + r).to(tl.int64)[:, None]"]


def _barrier(stages: list[list[TileBlock]], number: int) -> list[str]:
    """After a stage: a program says that it has come so far, where the next one multiplies what others have written."""
    if not any(b.products for b in stages[(number + 1) % len(stages)]):
        return ["    tl.debug_barrier()"]
    lines = ["    if PARTS > 1:", "        arrived += PARTS", "        arrive(_barrier + tl.program_id(0))"]
    return [*lines, "    else:", "        tl.debug_barrier()"]


def _waiting(stage: list[TileBlock]) -> list[str]:
    """Before a stage's products: until all programs of the same rows have come so far."""
    if not any(b.products for b in stage):
        return []
    return ["    if PARTS > 1:", "        wait(_barrier + tl.program_id(0), arrived)"]


def _whole_kernel(way: str, stages: list[list[TileBlock]]) -> str:
    lines = ["r = tl.program_id(0) * BB + tl.arange(0, BB)", "part = tl.program_id(1)", "arrived = 0"]
    lines += _loop_head(way)
    for k, stage in enumerate(stages):
        lines += _waiting(stage)
        for block in stage:
            lines.append(f"    for tile in range(part, ({block.size} + BU - 1) // BU, PARTS):")
            inner = [
                "u = (tile * BU + tl.arange(0, BU))[None, :]",
                *_masks(block),
                *_reads(block),
                *_dots(block),
                *_body(block),
            ]
            lines += ["        " + line for line in inner]
        lines += _barrier(stages, k)
    constants = ["SAVE", "RESETS", "DIRECT", "BB", "BU", "BK", "PARTS", "PRECISION"]
    return _signature(way, lines, ["all_at", "all_rows", "steps"], constants)


def _wide(width: int, size: str) -> str:
    return f"({width} * {size})" if width > 1 else size


def _shift(column: int, size: str) -> str:
    return f" + {column} * {size}" if column else ""


def _masks(block: TileBlock) -> list[str]:
    lines = [f"m = (r < rows)[:, None] & (u < {block.size})"]
    if any(p.later for p in block.products):
        lines += [f"going = (r < rows)[:, None] & (r < next_rows)[:, None] & (u < {block.size})"]
        lines += [
            "if RESETS:",
            "    going = going & (tl.load(_resets + next_row, mask=(r < next_rows)[:, None], other=0) == 0)",
        ]
    return lines


def _dots(block: TileBlock) -> list[str]:
    """Return the products inside the kernel, a piece of the operand at a time."""
    lines = []
    for s in dict.fromkeys(s for p in block.products for s in p.symbols):
        lines.append(f"{s} = tl.zeros([BB, BU], dtype=tl.float32)")
    for p in block.products:
        which = "next_row" if p.later else "row"
        lines += _there(p)
        lines += [f"for first in range(0, {p.depth}, BK):", "    k = first + tl.arange(0, BK)"]
        load = f"tl.load({p.array} + {which} * {p.depth} + k[None, :]"
        mask = f"mask=there & (k < {p.depth})[None, :], other=0.0"
        lines.append(f"    x = {load}, {mask}, cache_modifier='.cg')")
        for n, s in enumerate(p.symbols):
            # A tile of the weight, its rows along the operand. Transposed, the operand's numbers are the weight's rows.
            place = f"k[:, None] * {block.size} + u" if p.transposed else f"({n} * {block.size} + u) * {p.depth} + k[:, None]"
            mask = f"mask=(k < {p.depth})[:, None] & (u < {block.size}), other=0.0"
            lines.append(f"    w = tl.load({p.weight} + {place}, {mask})")
            lines.append(f"    {s} = times(x, w, {s}, PRECISION)")
    return lines


def _reads(block: TileBlock, *, vectors: bool = True) -> list[str]:
    """Return the loads of a block but for the operands of its products, of every step or of each."""
    n = block.size
    lines = []
    for s, kind, array, width, column in block.reads:
        if kind == "vector" and not vectors:
            continue
        place = f"{array} + {{}} * {_wide(width, n)}{_shift(column, n)} + u"
        if kind == "vector":
            lines.append(f"{s} = tl.load({array} + u, mask=u < {n}, other=1.0).to(tl.float32)")
        elif kind == "counted":
            lines.append(f"{s} = {array}")
        elif kind == "clock":
            lines.append(f"{s} = tl.load({array} + row, mask=(r < rows)[:, None], other=0.0)")
        elif kind == "step":
            lines.append(f"{s} = tl.load({place.format('row')}, mask=m, other=0.0).to(tl.float32)")
        else:  # one a row
            mask = "m & (r >= next_rows)[:, None]" if kind == "ended" else "m"
            lines.append(f"{s} = tl.load({place.format('r[:, None].to(tl.int64)')}, mask={mask}, other=0.0).to(tl.float32)")
    return lines


def _body(block: TileBlock) -> list[str]:
    """Return the lines of a block's assignments and stores."""
    return [*_equations(block), *_writes(block, shared=True), *_writes(block, shared=False)]


def _equations(block: TileBlock) -> list[str]:
    lines = [f"{s} = {_printer.doprint(e)}" for s, e in block.equations]
    if any(kind == "carried" for kind, *_ in block.writes):
        lines.append("tl.debug_barrier()")  # all threads have read what is overwritten
    return lines


def _writes(block: TileBlock, *, shared: bool) -> list[str]:
    """Return the stores that products of other programs read, or the rest."""
    lines = []
    for kind, value, array, width, column in block.writes:
        if shared == array.startswith(("_X_", "_A_")):
            place = f"{array} + {{}} * {_wide(width, block.size)}{_shift(column, block.size)} + u"
            lines += _write(kind, "0.0" if value == 0 else str(value), place)
    return lines


def _write(kind: str, value: str, place: str) -> list[str]:
    own = place.format("r[:, None].to(tl.int64)")
    array = place.split(" ", 1)[0]
    if kind == "step":
        return [f"tl.store({place.format('row')}, {value}, mask=m)"]
    if kind in ("save", "direct"):
        return [f"if {kind.upper()}:", f"    tl.store({place.format('row')}, {value}, mask=m)"]
    if kind == "row":
        return [f"tl.store({own}, {value}, mask=m)"]
    if kind == "final":
        return [f"tl.store({own}, {value}, mask=m & (r >= next_rows)[:, None])"]
    if kind == "next":
        initial = "_I_" + array.split("_", 2)[2]
        flag = "tl.load(_resets + next_row, mask=(r < next_rows)[:, None], other=0) != 0"
        start = f"tl.load({own.replace(array, initial, 1)}, mask=m, other=0.0).to(tl.float32)"
        anew = f"tl.where({flag}, {start}, {value})"
        store = f"tl.store({place.format('next_row')}, {{}}, mask=m & (r < next_rows)[:, None])"
        return ["if RESETS:", "    " + store.format(anew), "else:", "    " + store.format(value)]
    if kind == "carried":
        flag = "tl.load(_resets + row, mask=(r < rows)[:, None], other=0) != 0"
        return [
            "if RESETS:",
            f"    tl.store({own}, tl.where({flag}, 0.0, {value}), mask=m)",
            "else:",
            f"    tl.store({own}, {value}, mask=m)",
        ]
    assert kind == "sum"
    return [f"tl.store({own}, tl.load({own}, mask=m, other=0.0) + {value}, mask=m)"]
