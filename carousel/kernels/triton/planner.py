"""Which way a loop runs, and in which tiles: from sizes, types and the chip.

"stepwise" launches a kernel for each stage and step. The other ways have one kernel for all steps. In "rows" a program has some
rows and all units. In "grid" programs share the units, and wait for one another after each stage; in "held" they also keep
their weights in shared memory. Without products each program is alone ("pointwise"), and if the recurrence is linear, it may
take many steps at once ("scan").
"""

from __future__ import annotations

import os
from functools import cache, lru_cache

import torch

from carousel.kernels.triton import WAYS
from carousel.kernels.triton.kernel import INTERPRETED, Plan
from carousel.kernels.triton.program import TileBlock, TritonProgram, by_head

MANY = 128  # steps of a row, from which on a scan may be worth reading inputs twice


def forced() -> str | None:
    """Return the way that $CAROUSEL_TRITON_WAY asks for. Raises ValueError for one that there is not."""
    way = os.environ.get("CAROUSEL_TRITON_WAY") or None
    if way is not None and way not in WAYS:
        raise ValueError(f"CAROUSEL_TRITON_WAY may be {' or '.join(WAYS)}, not {way!r}")
    return way


def precision(dtype: torch.dtype) -> str:
    """Return how products inside a kernel are rounded: float32 as PyTorch's setting says."""
    if INTERPRETED:
        return "widened"
    if dtype is not torch.float32:
        return "ieee"
    return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"  # the older name raises after the newer


@cache
def _card(device: torch.device) -> tuple[int, int]:
    """Multiprocessors, and bytes of shared memory that a program may have."""
    if device.type != "cuda":
        return 1 << 30, 1 << 30
    found = torch.cuda.get_device_properties(device)
    return found.multi_processor_count, getattr(found, "shared_memory_per_block_optin", 99 << 10)


def plan(
    program: TritonProgram,
    way: str,
    sizes: dict[str, int],
    batch: int,
    dtype: torch.dtype,
    device: torch.device,
    *,
    steps: int,
    hold: bool = True,
) -> Plan:
    """Return how a loop runs. Raises ValueError where these sizes do not allow the way that was asked for.

    ``way``: forward or backward; ``steps``: of a row, in the mean; ``hold``: weights may be held.
    """
    return _planned(program, way, tuple(sizes.items()), batch, dtype, _card(device), forced(), steps >= MANY, hold)


@lru_cache(maxsize=1024)
def _planned(
    program: TritonProgram,
    way: str,
    sizes: tuple[tuple[str, int], ...],
    batch: int,
    dtype: torch.dtype,
    card: tuple[int, int],
    chosen: str | None,
    many: bool,
    hold: bool,
) -> Plan:
    return plan_for(program, way, dict(sizes), batch, dtype, card, chosen=chosen, steps=MANY if many else 1, hold=hold)


def plan_for(
    program: TritonProgram,
    way: str,
    sizes: dict[str, int],
    batch: int,
    dtype: torch.dtype,
    card: tuple[int, int],
    *,
    steps: int,
    chosen: str | None = None,
    hold: bool = True,
) -> Plan:
    """Return ``plan`` for a card of so many multiprocessors and bytes of shared memory; ``chosen``: the way asked for."""
    blocks = [b for stage in (program.forward if way == "forward" else program.backward) for b in stage]
    units = max(sizes[b.size] for b in blocks)
    processors, shared = card
    if chosen == "stepwise":
        return Plan("stepwise", 16 if INTERPRETED else 4, 64)
    if not any(b.of_others for b in blocks):
        return _alone(program.scanned[way] is not None, units, batch, processors, steps, chosen)
    if chosen == "rows":
        wide = 16 if units <= 16 else 32
        return Plan("rows", 16, wide, 32 if units <= 32 else 64, heads=_heads(blocks, sizes, wide))
    if chosen in (None, "held", "scan") and hold and (apart := _apart(blocks, sizes, batch, dtype, card)):
        return apart
    rows, wide = _tile(batch, units, processors)
    heads = _heads(blocks, sizes, wide)
    parts, shares = -(-units // wide), -(-batch // rows)
    padded, fits = _held(blocks, sizes, heads, wide, dtype, shared)
    fits = fits and shares * parts <= processors
    if chosen == "held" and not fits:
        raise ValueError(f"CAROUSEL_TRITON_WAY=held: weights of {units} units for {batch} rows do not fit on the card")
    if hold and fits and chosen != "grid":
        return Plan("held", rows, wide, parts=parts, pieces=_pieces(padded, dtype), heads=heads)
    parts = max(1, min(parts, processors // shares))
    depth = 32 if units < 128 else 256 // dtype.itemsize
    return Plan("grid" if parts > 1 else "rows", rows, wide, depth, parts, _warps(blocks, rows * wide), 3, heads=heads)


def _alone(scanned: bool, units: int, batch: int, processors: int, steps: int, chosen: str | None) -> Plan:
    """Return the plan of a loop without products; ``scanned``: its recurrence is linear.

    "pointwise" has a program for each few rows and 64 units. If these are fewer than the multiprocessors and there are many
    steps, a scan keeps more multiprocessors busy. This rule was not timed.
    """
    plan = Plan("pointwise", 16 if INTERPRETED else 4, 64, parts=-(-units // 64))
    few = -(-batch // plan.rows) * plan.parts < processors
    if scanned and (chosen == "scan" or (chosen is None and few and steps >= MANY)):
        wide = 16 if batch * -(-units // 16) <= processors else 32
        return Plan("scan", 8 if INTERPRETED else 64, wide, parts=-(-units // wide), warps=wide // 4)
    return plan


def _warps(blocks: list[TileBlock], tile: int) -> int:
    """Return so many warps that no register is spilled, as Triton's compiler has told of some cells."""
    values = sum(len(b.reads) + len({s for p in b.products for s in p.symbols}) for b in blocks)
    return 8 if tile >= 2048 and values > 12 else 4


def _pieces(padded: int, dtype: torch.dtype) -> int:
    """Return in how many pieces an operand is multiplied where weights are held, so that no register is spilled."""
    if padded * dtype.itemsize < 1024 or (padded * dtype.itemsize == 1024 and dtype is not torch.float32):
        return 1
    return 2 if padded * dtype.itemsize == 1024 else 4


def _heads(blocks: list[TileBlock], sizes: dict[str, int], wide: int) -> int:
    """Return the heads of the products where no tile of so many units has those of several, else 1."""
    every = {(p.heads, sizes[b.size]) for b in blocks for p in b.products if p.heads > 1}
    heads = {h for h, _ in every}
    return heads.pop() if len(heads) == 1 and all(n // h % wide == 0 for h, n in every) else 1


def _held(
    blocks: list[TileBlock], sizes: dict[str, int], heads: int, wide: int, dtype: torch.dtype, shared: int
) -> tuple[int, bool]:
    """Return the units of the longest operand, padded, and whether weights for tiles of so many units can be held."""
    known = by_head(sizes, heads)
    padded = max((known[p.padded] for b in blocks for p in b.products), default=0)
    weights = {(p.weight, known[p.padded] * p.width) for b in blocks for p in b.products}
    return padded, padded <= 1024 and wide * dtype.itemsize * sum(n for _, n in weights) <= 0.72 * shared


def _apart(
    blocks: list[TileBlock], sizes: dict[str, int], batch: int, dtype: torch.dtype, card: tuple[int, int]
) -> Plan | None:
    """Return a plan whose programs have all of a head for some rows, so that none waits for another; None where heads are of
    other sizes than tiles, differ in size, or meet in the loop."""
    every = {(p.heads, sizes[n]) for b in blocks for p in b.products for n in (b.size, p.each)}
    every |= {(g.heads or 1, sizes[g.size]) for b in blocks for g in b.gathers}
    (heads, units), *others = every
    wide = units // heads
    if others or heads == 1 or wide not in (16, 32, 64, 128):
        return None
    processors, shared = card
    padded, fits = _held(blocks, sizes, heads, wide, dtype, shared)
    if not fits:
        return None
    rows = next((n for n in (16, 32) if -(-batch // n) * heads <= processors), 64)
    return Plan("held", rows, wide, parts=heads, pieces=_pieces(padded, dtype), heads=heads, apart=True)


def _tile(batch: int, units: int, processors: int) -> tuple[int, int]:
    """Rows and units of a tile: the smallest with which each multiprocessor has at most one."""
    if INTERPRETED:
        return 16, max(16, 1 << (units - 1).bit_length())
    for wide in (16, 32, 64):
        for rows in (16, 32, 64):
            if -(-batch // rows) * -(-units // wide) <= processors:
                return rows, wide
    return 64, 64
