"""What noise in a loop is drawn from: a hash of counters, so that nothing of it need be saved.

The number of one unit at one step is hash(keys, place): ``place`` counts the rows of all steps (or, drawn once for all steps,
the rows of a step), and the two keys are a hash of the call's seed, the use of noise in the cell and the unit. The hashes are
pcg3d and pcg4d of Jarzynski and Olano 2020, "Hash functions for GPU rendering", in whole numbers of 32 bits; compiled kernels
(``draw`` in ``cpu/noise.h``) compute the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.noise import BITS, PLACES, SEQUENCES, symbols
from carousel.equations.notes import Draw, Expr, Size
from carousel.kernels.alike import moved

WORD = 0xFFFFFFFF
MOST_PLACES = 2**BITS  # before a segment


@dataclass(frozen=True)
class Noise:
    """The noise of one call.

    ``seed``: a whole number of 63 bits, a tensor without dimensions. ``rates``: by their letters. ``first``: how many rows come
    before the call's first one, where it is a segment of a longer one.
    """

    seed: Tensor
    rates: Mapping[str, float]
    first: int = 0

    @classmethod
    def drawn(cls, rates: Mapping[str, float]) -> Noise:
        """Return noise with a seed from PyTorch's generator for the processor."""
        return cls(torch.randint(2**63 - 1, (), dtype=torch.int64), rates)

    def later(self, rows: int) -> Noise:
        """Return the noise of a segment that begins so many rows later. Raises ValueError where none can be counted there."""
        if self.first + rows >= MOST_PLACES:
            raise ValueError(f"noise is drawn for {MOST_PLACES} rows of all segments; this segment begins after {rows}")
        return replace(self, first=self.first + rows)


class Rows(NamedTuple):
    """The rows of a step, (B, 1), and of each row of all steps which of them it is, (Σ batch_sizes,)."""

    each: Tensor
    of: Tensor


def values(
    cell: Cell,
    noise: Noise | None,
    lengths: Mapping[Size, int],
    data: Tensor,
    batch_sizes: Sequence[int] | None,
    before: Mapping[str, Tensor],
) -> dict[Expr, Any]:
    """Return what a cell's noise is drawn from, by symbol: of each use its vectors, and what is counted for all steps.

    Raises ValueError for a cell that draws where there is no noise.
    """
    if not cell.trace.draws:
        return {}
    if noise is None:
        raise ValueError(f"cell {cell.name} draws noise, and the call has none: give it, or run cell.quiet")
    found: dict[Expr, Any] = {}
    for use in cell.trace.draws:
        found |= vectors(use, noise, lengths[use.size.root], data)
    places = torch.arange(data.shape[0], device=data.device)
    batch = before[cell.states[0]].shape[0]
    each = None if batch_sizes is None else [torch.arange(n, device=data.device) for n in batch_sizes]
    rows = places % batch if each is None else torch.cat(each)
    return found | {PLACES: places.unsqueeze(1), SEQUENCES: Rows(torch.arange(batch, device=data.device).unsqueeze(1), rows)}


def vectors(use: Draw, noise: Noise, units: int, like: Tensor) -> dict[Expr, Tensor]:
    """Return the vectors of a use of noise, (units,) each: whole numbers, and the factor of what dropout leaves."""
    seed, rate = moved(noise.seed, like.device), noise.rates[use.rate.letters]
    unit = torch.arange(units, device=like.device)
    key, more = pcg4d(unit, torch.full_like(unit, use.number), seed & WORD, (seed >> 32) & WORD)
    found = {
        "key": key >> (32 - BITS),
        "more": more >> (32 - BITS),
        "first": torch.full_like(unit, 0 if use.once else noise.first),
        "below": torch.full_like(unit, round(rate * 2**BITS)),
        "scale": torch.full((units,), 1 / (1 - rate), dtype=like.dtype, device=like.device),
    }
    of = symbols(use.number)
    return {of[what]: x for what, x in found.items()}


def draw(key: Tensor, more: Tensor, first: Tensor, place: Tensor) -> Tensor:
    """Return a whole number below 2^24 for each unit, of whole numbers that can be joined by broadcasting."""
    return pcg3d(key, more, (first + place) & WORD) >> (32 - BITS)


def draw_once(key: Tensor, more: Tensor, first: Tensor, rows: Rows) -> Tensor:
    """Return the same for all steps at once, drawn for the rows of one step."""
    return draw(key, more, first, rows.each).index_select(0, rows.of)


def pcg3d(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Return the first word of the hash pcg3d of three words."""
    x, y, z = (_next(v) for v in (x, y, z))
    x = (x + _times(y, z)) & WORD
    y = (y + _times(z, x)) & WORD
    z = (z + _times(x, y)) & WORD
    x, y, z = (v ^ (v >> 16) for v in (x, y, z))
    return (x + _times(y, z)) & WORD


def pcg4d(x: Tensor, y: Tensor, z: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first two words of the hash pcg4d of four words."""
    x, y, z, w = (_next(v) for v in (x, y, z, w))
    for last in (False, True):
        x = (x + _times(y, w)) & WORD
        y = (y + _times(z, x)) & WORD
        if not last:
            z = (z + _times(x, y)) & WORD
            w = (w + _times(y, z)) & WORD
            x, y, z, w = (v ^ (v >> 16) for v in (x, y, z, w))
    return x, y


def _next(x: Tensor) -> Tensor:
    return (_times(x, 1664525) + 1013904223) & WORD


def _times(x: Tensor, y: Tensor | int) -> Tensor:
    """Return the product of words, modulo 2^32: the lower half of 64 bits is right whatever their sign."""
    return (x * y) & WORD
