"""Which way a loop runs, and in which tiles: from sizes, types and the chip."""

from __future__ import annotations

import os
from functools import cache, lru_cache

import torch

from carousel.kernels.triton.kernel import INTERPRETED, Plan
from carousel.kernels.triton.program import TritonProgram

WAYS = ("stepwise", "rows", "grid", "held")
"""A kernel a stage and step; one for all steps whose programs have some rows and all units, or share the units and wait for
one another after each stage ("grid"), or do that and hold their weights ("held"). Without products each program is alone."""


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
    hold: bool = True,
) -> Plan:
    """Return how a loop runs. Raises ValueError where these sizes do not allow the way that was asked for.

    ``way``: forward or backward; ``hold``: weights may be held.
    """
    return _planned(program, way, tuple(sizes.items()), batch, dtype, _card(device), forced(), hold)


@lru_cache(maxsize=1024)
def _planned(
    program: TritonProgram,
    way: str,
    sizes: tuple[tuple[str, int], ...],
    batch: int,
    dtype: torch.dtype,
    card: tuple[int, int],
    chosen: str | None,
    hold: bool,
) -> Plan:
    return plan_for(program, way, dict(sizes), batch, dtype, card, chosen=chosen, hold=hold)


def plan_for(
    program: TritonProgram,
    way: str,
    sizes: dict[str, int],
    batch: int,
    dtype: torch.dtype,
    card: tuple[int, int],
    *,
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
        return Plan("pointwise", 16 if INTERPRETED else 4, 64, parts=-(-units // 64))
    if chosen == "rows":
        return Plan("rows", 16, 16 if units <= 16 else 32, 32 if units <= 32 else 64)
    rows, wide = _tile(batch, units, processors)
    parts, shares = -(-units // wide), -(-batch // rows)
    padded = max((sizes[p.padded] for b in blocks for p in b.products), default=0)
    weights = {(p.weight, sizes[p.padded] * p.width) for b in blocks for p in b.products}
    fits = wide * dtype.itemsize * sum(n for _, n in weights) <= 0.72 * shared
    fits = fits and shares * parts <= processors and padded <= 1024
    if chosen == "held" and not fits:
        raise ValueError(f"CAROUSEL_TRITON_WAY=held: weights of {units} units for {batch} rows do not fit on the card")
    if hold and fits and chosen != "grid":
        return Plan("held", rows, wide, parts=parts, pieces=1 if padded * dtype.itemsize <= 1024 else 4)
    parts = max(1, min(parts, processors // shares))
    depth = 32 if units < 128 else 256 // dtype.itemsize
    return Plan("grid" if parts > 1 else "rows", rows, wide, depth, parts, stages=3)


def _tile(batch: int, units: int, processors: int) -> tuple[int, int]:
    """Rows and units of a tile: the smallest with which each multiprocessor has at most one."""
    if INTERPRETED:
        return 16, max(16, 1 << (units - 1).bit_length())
    for wide in (16, 32, 64):
        for rows in (16, 32, 64):
            if -(-batch // rows) * -(-units // wide) <= processors:
                return rows, wide
    return 64, 64
