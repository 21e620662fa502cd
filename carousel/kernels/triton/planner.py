"""Which way a loop runs, and in which tiles: from sizes, types and the chip."""

from __future__ import annotations

import os
from functools import cache

import torch

from carousel.kernels.triton.kernel import INTERPRETED, Plan
from carousel.kernels.triton.program import Program

WAYS = ("stepwise", "rows", "grid", "held")


def forced() -> str | None:
    """The way that $CAROUSEL_TRITON_WAY asks for. Raises ValueError for one that there is not."""
    way = os.environ.get("CAROUSEL_TRITON_WAY") or None
    if way is not None and way not in WAYS:
        raise ValueError(f"CAROUSEL_TRITON_WAY may be {' or '.join(WAYS)}, not {way!r}")
    return way


def precision(dtype: torch.dtype) -> str:
    """How products inside a kernel are rounded: float32 as PyTorch's setting says."""
    if INTERPRETED:
        return "widened"
    if dtype is not torch.float32:
        return "ieee"
    return "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"


@cache
def processors(device: torch.device) -> int:
    """Multiprocessors of a card; one for the interpreter, which runs one program after the other."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def plan(program: Program, way: str, sizes: dict[str, int], batch: int, dtype: torch.dtype, device: torch.device) -> Plan:
    """How a loop runs, forward or backward."""
    blocks = [b for stage in (program.forward if way == "forward" else program.backward) for b in stage]
    units = max(sizes[b.size] for b in blocks)
    multiplies = any(b.products for b in blocks)
    chosen = forced()
    if chosen == "stepwise":
        return stepwise(batch, units)
    if not multiplies:
        return pointwise(batch, units)
    if chosen == "rows":
        return rows(batch, units)
    if chosen == "held":
        return held(batch, units, processors(device), dtype)
    return grid(batch, units, processors(device), dtype)


def stepwise(batch: int, units: int) -> Plan:
    """A kernel a stage and step."""
    return Plan("stepwise", 4 if not INTERPRETED else 16, 64)


def pointwise(batch: int, units: int) -> Plan:
    """Each program takes its own units through all steps."""
    wide = 64
    return Plan("pointwise", 4, wide, parts=-(-units // wide))


def rows(batch: int, units: int) -> Plan:
    """Each program takes all units of some rows through all steps."""
    return Plan("rows", 16, 16 if units <= 16 else 32, depth=32 if units <= 32 else 64)


def grid(batch: int, units: int, processors: int, dtype: torch.dtype) -> Plan:
    """Programs share the units of some rows, and meet after each stage."""
    tile = 16 if batch <= 16 else 32 if batch <= 128 else 64
    shared = -(-batch // tile)
    wide = 16
    while wide < 64 and shared * -(-units // wide) > processors:
        wide *= 2
    parts = max(1, min(-(-units // wide), processors // shared))
    return Plan("grid" if parts > 1 else "rows", tile, wide, 64, parts)


def held(batch: int, units: int, processors: int, dtype: torch.dtype) -> Plan:
    """As ``grid``, and each program keeps its weights; one program for some units of all sizes."""
    tile = 16 if batch <= 16 else 32 if batch <= 128 else 64
    wide = 16
    while wide < 128 and -(-batch // tile) * -(-units // wide) > processors:
        wide *= 2
    pieces = 1 if units <= 256 else 2 if units <= 512 else 4
    return Plan("held", tile, wide, 64, -(-units // wide), pieces=pieces)
