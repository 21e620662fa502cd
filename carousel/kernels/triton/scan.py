"""A block's steps as a parallel scan over time: a program has one row and some units, and the rows of its tile are steps.

First the scan composes the recurrences of all earlier steps (``recurrences``), which gives the carried values before each step.
Then all equations are evaluated for all steps of the tile at once. Steps are in the order of the run: backwards the last comes
first.
"""

from __future__ import annotations

from dataclasses import replace

from carousel.kernels.triton.blocks import body, masks, placed, reads
from carousel.kernels.triton.printer import Printer
from carousel.kernels.triton.program import Read, TileBlock
from carousel.kernels.triton.recurrences import Recurrence, needed

CONSTANTS = ["SAVE", "RESETS", "DIRECT", "BB", "BU"]
_OWN = "tl.program_id(0).to(tl.int64)"
_printer = Printer()


def scan_lines(way: str, block: TileBlock, found: tuple[Recurrence, ...], heading: list[str], places: list[str]) -> list[str]:
    """Return the lines of a kernel for all steps.

    Args:
        way: "forward" or "backward".
        block: all that a step computes.
        found: the recurrences of the carried values that the block reads.
        heading: lines that say which units a tile has.
        places: lines that say where the rows of a step are.
    """
    sums = [(f"all{array}", value, array) for kind, value, array, *_ in block.writes if kind == "sum"]
    lines = ["r = tl.program_id(0) + tl.zeros([BB], dtype=tl.int32)", *heading, "lane = tl.arange(0, BB)"]
    lines += [f"last_{x.symbol} = tl.zeros([1, BU], dtype=tl.float32)" for x in found if x.factor != 0]
    lines += [f"{total} = tl.zeros([1, BU], dtype=tl.float32)" for total, _, _ in sums]
    lines += [line for line in reads(block) if line not in reads(block, vectors=False)]
    own = replace(block, reads=[x for x in block.reads if x.symbol not in {f.symbol for f in found}], writes=_writes(block))
    inner = [f"step = {'first + lane' if way == 'forward' else 'steps - 1 - first - lane'}"]
    inner += _carried(way, block, found, places) if found else [*_steps(places), *masks(block)]
    if way == "backward":
        inner.append("earlier_rows = tl.load(all_rows + step - 1, mask=(step > 0) & (step <= steps), other=0)")
    inner += [*reads(own, vectors=False), *body(own)]
    inner += [f"{total} += tl.sum(tl.where(m, {value}, 0.0), axis=0)[None, :]" for total, value, _ in sums]
    lines += ["for first in range(0, steps, BB):", *("    " + line for line in inner)]
    return lines + [
        f"tl.store({array} + {_OWN} * {block.size} + u, {total}, mask=u < {block.size})" for total, _, array in sums
    ]


def _writes(block: TileBlock) -> list[tuple[str, object, str, int, int]]:
    """Return the stores of a tile without sums; values carried out of a row are stored by its last step alone."""
    kinds = {"carried": "left"}
    return [(kinds.get(kind, kind), *more) for kind, *more in block.writes if kind != "sum"]


def _steps(places: list[str], shift: int = 0) -> list[str]:
    """Return the places and rows of a tile's steps, shifted by ``shift``, and of the steps after these; a missing step has no
    rows."""
    lines = []
    for name, far in (("", shift), ("next_", shift + 1)):
        number = f"step {'+' if far > 0 else '-'} {abs(far)}" if far else "step"
        mask = f"mask=({number} >= 0) & ({number} <= steps), other=0"
        lines += [f"{name}{what} = tl.load(all_{what} + {number}, {mask})" for what in ("at", "rows")]
    return [*lines, *places]


def _carried(way: str, block: TileBlock, found: tuple[Recurrence, ...], places: list[str]) -> list[str]:
    """Return the lines that compute each carried value before each step of the tile."""
    read = {x.symbol: x for x in block.reads}
    equations = needed(block.equations, [x for f in found for x in (f.factor, f.added, f.cut)])
    symbols = {s for _, e in equations for s in e.free_symbols} | {s for f in found for x in f[1:] for s in x.free_symbols}
    coefficients = replace(block, reads=[x for x in block.reads if x.symbol in symbols])
    again = ["if RESETS:", "    again = tl.load(_resets + row, mask=(r < rows)[:, None], other=0) != 0"]
    lines = [*_steps(places, -1 if way == "forward" else 1), *masks(block)]
    lines += [*reads(coefficients, vectors=False), *(f"{s} = {_printer.doprint(e)}" for s, e in equations)]
    for f in found:
        lines += [f"{name}_{f.symbol} = {_printer.doprint(x)}" for name, x in zip(("by", "add", "cut"), f[1:], strict=True)]
    lines += again if way == "backward" else []  # after a reset nothing goes back
    lines += ["came = r < rows", *_steps(places), *masks(block)]
    lines += again if way == "forward" else []
    lines += ["goes_on = m & came[:, None]", "if RESETS:", "    goes_on = goes_on & (again == 0)"]
    for f in found:
        lines += [*_begun(way, block, read[f.symbol]), *_composed(f)]
    return lines if way == "forward" else [*lines, "tl.debug_barrier()"]  # all threads have read the old values


def _begun(way: str, block: TileBlock, read: Read) -> list[str]:
    """Return the lines that load the initial value of a row's first step, and of a step after a reset."""
    own = "r[:, None].to(tl.int64)"
    where = placed(read.array, "row" if way == "forward" else own, block)
    lines = [f"begun = tl.load({where}, mask=m & (came == 0)[:, None], other=0.0).to(tl.float32)"]
    if way == "forward":
        initial = placed("_I_" + read.array.split("_", 2)[2], own, block)
        reset = f"tl.load({initial}, mask=m & again, other=0.0).to(tl.float32)"
        lines += ["if RESETS:", f"    begun = tl.where(again, {reset}, begun)"]
    return lines


def _composed(f: Recurrence) -> list[str]:
    s = f.symbol
    if f.factor == 0:
        return [f"{s} = tl.where(goes_on, add_{s}, begun)"]
    first = "goes_on & (lane == 0)[:, None]" + (f" & (cut_{s} == 0)" if f.cut != 0 else "")
    lines = [
        f"by_{s} = tl.where(goes_on, by_{s}, 0.0)",
        f"add_{s} = tl.where(goes_on, add_{s}, begun)",
        f"add_{s} = tl.where({first}, by_{s} * last_{s} + add_{s}, add_{s})",
    ]
    cut = [
        f"cut_{s} = tl.where(goes_on, cut_{s}, 1.0)",
        f"_, {s}, _ = tl.associative_scan((by_{s}, add_{s}, cut_{s}), 0, compose_cut)",
    ]
    plain = [f"_, {s} = tl.associative_scan((by_{s}, add_{s}), 0, compose)"]
    if f.cut == 0:
        lines += ["if RESETS:", *("    " + x for x in cut), "else:", *("    " + x for x in plain)]
    else:
        lines += cut
    return [*lines, f"last_{s} = tl.sum(tl.where((lane == BB - 1)[:, None], {s}, 0.0), axis=0)[None, :]"]
