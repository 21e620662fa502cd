"""A program as Triton: a kernel for each block, and one that takes all steps."""

from __future__ import annotations

import re
from typing import NamedTuple

from carousel.kernels.triton.blocks import body, column, dots, equations, masks, reads, results, there, valid, weight, writes
from carousel.kernels.triton.program import TileBlock, TileProduct, TritonProgram
from carousel.kernels.triton.scan import CONSTANTS, scan_lines

NUMBERS = ("at", "rows", "next_at", "next_rows", "steps")  # change from call to call, so nothing is compiled for them
PIECES = (1, 2, 4)  # in which an operand is multiplied where the weights are held
AHEAD = 2  # pieces of an operand that are loaded before they are multiplied
_ROWS = "r = tl.program_id(0) * BB + tl.arange(0, BB)"
_PLACES = ["row = (at + r).to(tl.int64)[:, None]", "next_row = (next_at + r).to(tl.int64)[:, None]"]
_UNITS = "u = (tile * BU + tl.arange(0, BU))[None, :]"
_ONE = "one = tl.arange(0, 1)[None, :]"
SIZES = re.compile(r"\b(?:(?:N|PAD|WIDE)_\w+|HEADS\b)")
_NAMES = re.compile(r"\b_(?:[A-Z]_\w+|output|given|clock|resets|barrier)\b")


def source(program: TritonProgram) -> str:
    """Return all kernels of a loop: ``forward_STAGE_SIZE``, ``backward_…`` of a step, ``forward`` and ``backward`` of all."""
    parts = [f"# {program.loop.name}, made by carousel from its equations\n"]
    for way, stages in (("forward", program.forward), ("backward", program.backward)):
        parts += [_step_kernel(way, b) for stage in stages for b in stage]
        parts.append(_whole_kernel(way, stages))
        parts += [_held_kernel(way, stages, pieces) for pieces in PIECES]
        if (found := program.scanned[way]) is not None:
            lines = scan_lines(way, stages[0][0], found, ["tile = tl.program_id(1)", _UNITS, _ONE], _PLACES)
            parts.append(_signature(f"{way}_scan", lines, ["all_at", "all_rows", "steps"], CONSTANTS))
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
    sizes = list(dict.fromkeys(SIZES.findall(body)))
    arguments = [*arrays(body), *numbers, *(f"{n}: tl.constexpr" for n in [*sizes, *constants])]
    fixed = [n for n in numbers if n in NUMBERS]
    return f"@triton.jit(do_not_specialize={fixed!r})\ndef {name}({', '.join(arguments)}):\n{body}"


def _step_kernel(way: str, block: TileBlock) -> str:
    lines = [_ROWS, *_PLACES, "tile = tl.program_id(1)", _UNITS, _ONE, *masks(block)]
    for p in block.products:
        for k, s in enumerate(p.symbols):
            wide = block.size if len(p.symbols) == 1 else f"({len(p.symbols)} * {block.size})"
            place = f"{sums(p)} + r[:, None].to(tl.int64) * {wide} + {k} * {block.size} + u"
            mask = "going" if p.later else "m"
            value = f"{s} = tl.load({place}, mask={mask}, other=0.0).to(tl.float32)"
            if value not in lines:
                lines.append(value)
    lines += [*results(block), *reads(block, alone=True), *body(block, alone=True)]
    return _signature(step_name(way, block), lines, list(NUMBERS[:4]), ["SAVE", "RESETS", "DIRECT", "BB", "BU"])


def _held_kernel(way: str, stages: list[list[TileBlock]], pieces: int) -> str:
    """Write all steps, each program keeping the weights of its units: loaded before the loop, for as long as it runs."""
    lines = [_ROWS, "tile = tl.program_id(1)", _UNITS, _ONE]
    for block in (b for stage in stages for b in stage):
        for p in block.products:
            for piece in _pieces(p, block, pieces):
                mask = f"{piece.valid}[:, None] & (u < {block.size})"
                lines.append(f"{piece.name} = tl.load({p.weight} + {piece.weight}, mask={mask}, other=0.0)")
    vectors = {line: None for stage in stages for b in stage for line in _vectors(b)}
    lines += [*vectors, "arrived = 0", *_loop_head(way)]
    for number, stage in enumerate(stages):
        for block in stage:  # what needs no other program is on its way while they are waited for
            lines += ["    " + line for line in [*masks(block), *reads(block, vectors=False)]]
        lines += _waiting(stage)
        for block in stage:
            inner = [*masks(block), *_held_dots(block, pieces), *results(block), *equations(block)]
            lines += ["    " + line for line in [*inner, *writes(block, shared=True)]]
        lines += _barrier(stages, number)
        for block in stage:  # the others need not wait for this to be written
            lines += ["    " + line for line in [masks(block)[0], *writes(block, shared=False)]]
        lines.append("    tl.debug_barrier()")
    constants = ["SAVE", "RESETS", "DIRECT", "BB", "BU", "PARTS", "PRECISION"]
    return _signature(f"{way}_held{pieces}", lines, ["all_at", "all_rows", "steps"], constants)


class _Piece(NamedTuple):
    """Some numbers of the operand of a product, and what of the weight of a group's sum multiplies them."""

    name: str
    sum: int
    part: int
    column: str
    valid: str
    weight: str


def _pieces(p: TileProduct, block: TileBlock, pieces: int) -> list[_Piece]:
    """Return the pieces of a product in the order in which they are multiplied: what reads the same operand together."""
    found = []
    for n in range(p.width):
        for c in range(pieces):
            k = f"({c} * ({p.padded} // {pieces}) + tl.arange(0, {p.padded} // {pieces}))"
            at = column(p, block, n if p.transposed else 0, k)
            found.append(_Piece(f"w{p.weight}_{n}_{c}", n, c, at, valid(p, block, k), weight(p, block, n, k)))
    return found if p.transposed else sorted(found, key=lambda piece: piece.part)


def _held_dots(block: TileBlock, pieces: int) -> list[str]:
    lines = []
    for s in dict.fromkeys(s for p in block.products for s in p.symbols):
        lines.append(f"{s} = tl.zeros([BB, BU], dtype=tl.float32)")
    for p in block.products:
        lines += there(p)
        loads: list[str] = []
        dots: list[list[str]] = []  # of each piece of the operand, and what it is multiplied with
        for piece in _pieces(p, block, pieces):
            where = f"{p.array} + {'next_row' if p.later else 'row'} * {p.depth} + {piece.column}[None, :]"
            load = f"tl.load({where}, mask=there & {piece.valid}[None, :], other=0.0, cache_modifier='.cg')"
            if load not in loads:
                loads.append(load)
                dots.append([])
            s = p.symbols[0] if p.transposed else p.symbols[piece.sum]
            dots[-1].append(f"{s} = times(x{len(loads) - 1}_, {piece.name}, {s}, PRECISION)")
        for number in range(len(loads) + AHEAD):
            lines += [f"x{number}_ = {loads[number]}"] if number < len(loads) else []
            lines += dots[number - AHEAD] if number >= AHEAD else []
    return lines


def _vectors(block: TileBlock) -> list[str]:
    without = reads(block, vectors=False)
    return [line for line in reads(block) if line not in without]


def _loop_head(way: str) -> list[str]:
    lines = ["for index in range(steps):", f"    step = {'index' if way == 'forward' else 'steps - 1 - index'}"]
    lines += ["    at = tl.load(all_at + step)", "    rows = tl.load(all_rows + step)"]
    lines += ["    next_at = tl.load(all_at + step + 1)", "    next_rows = tl.load(all_rows + step + 1)"]
    return [*lines, *("    " + line for line in _PLACES)]


def _barrier(stages: list[list[TileBlock]], number: int) -> list[str]:
    """After a stage: a program says that it has come so far, where the next one reads what others have written."""
    if not any(b.of_others for b in stages[(number + 1) % len(stages)]):
        return ["    tl.debug_barrier()"]
    lines = ["    if PARTS > 1:", "        arrived += PARTS", "        arrive(_barrier + tl.program_id(0))"]
    return [*lines, "    else:", "        tl.debug_barrier()"]


def _waiting(stage: list[TileBlock]) -> list[str]:
    """Before a stage reads what others have written: until all programs of the same rows have come so far."""
    if not any(b.of_others for b in stage):
        return []
    return ["    if PARTS > 1:", "        wait(_barrier + tl.program_id(0), arrived)"]


def _whole_kernel(way: str, stages: list[list[TileBlock]]) -> str:
    lines = [_ROWS, "part = tl.program_id(1)", _ONE, "arrived = 0", *_loop_head(way)]
    for k, stage in enumerate(stages):
        lines += _waiting(stage)
        for block in stage:
            inner = [*masks(block), *dots(block), *results(block), *reads(block), *body(block)]
            if block.row:
                lines += ["    " + line for line in inner]
                continue
            lines.append(f"    for tile in range(part, ({block.size} + BU - 1) // BU, PARTS):")
            lines += ["        " + line for line in [_UNITS, *inner]]
        lines += _barrier(stages, k)
    constants = ["SAVE", "RESETS", "DIRECT", "BB", "BU", "BK", "PARTS", "PRECISION"]
    return _signature(way, lines, ["all_at", "all_rows", "steps"], constants)
