"""Calls that record or clamp, as calls of a variant of the loop: which names the loop itself gives back, what it is handed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.trace import symbol
from carousel.equations.variants import computed
from carousel.kernels.backend import Call
from carousel.kernels.inputs import in_rows, loop_of
from carousel.kernels.pointwise import Values
from carousel.kernels.registry import key_of, register


class Variant(NamedTuple):
    """The key of a loop, the names that it gives back at every step, and those that it holds, in the loop's order."""

    key: str
    record: tuple[str, ...] = ()
    clamp: tuple[str, ...] = ()


def variant(call: Call) -> Variant:
    """Return the loop that a call runs."""
    if not call.record and not call.clamp:
        return Variant(register(call.cell))
    return _variant(call.cell, frozenset(call.record), frozenset(call.clamp or ()))


@lru_cache(maxsize=1024)
def _variant(cell: Cell, record: frozenset[str], clamp: frozenset[str]) -> Variant:
    loop = loop_of(cell)
    inside = tuple(n for n in cell.names if n in record and n != cell.states[0] and computed(loop, n))
    held = tuple(n for n in cell.names if n in clamp)
    return Variant(key_of(cell, inside, held), inside, held)


def expressible(call: Call) -> bool:
    """Return whether a variant of the loop, and what is known outside it, do what a call records and clamps."""
    if call.changes:
        return False
    if not call.record and not call.clamp:
        return True
    loop, clock = loop_of(call.cell), [s.name for s in call.cell.trace.states if s.size is None]
    numbers = {n for n in call.record if symbol(n) in loop.definitions and not computed(loop, n)}  # of the step number alone
    return not numbers.difference(clock) and all(computed(loop, n) for n in call.clamp or ())


def held(call: Call, names: tuple[str, ...], dtype: torch.dtype) -> list[Tensor]:
    """Return for each clamped quantity the values to hold and where they are held, side by side: (Σ batch_sizes, 2 · units)."""
    found, sizes = [], call.batch_sizes
    for name in names:
        assert call.clamp is not None
        pair = torch.cat([x.to(dtype) for x in call.clamp[name]], dim=1)
        if pair.shape[0] == call.data.shape[0]:
            found.append(pair)
        elif sizes is None or min(sizes) == max(sizes):
            rows = call.before[call.cell.states[0]].shape[0] if sizes is None else sizes[0]
            found.append(pair.unsqueeze(1).expand(-1, rows, -1).reshape(-1, pair.shape[1]))
        else:
            each = torch.tensor(sizes, device=pair.device)
            found.append(pair.repeat_interleave(each, dim=0, output_size=call.data.shape[0]))
    return found


def recorded(
    call: Call, values: Values, clock: Tensor | None, output: Tensor, inside: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return what a call records, (Σ batch_sizes, units) by name.

    Args:
        call: of the layer.
        values: all that is known outside the loop, by symbol.
        clock: the step numbers, (Σ batch_sizes,).
        output: of the loop.
        inside: what the loop has given back.
    """
    known, like = {**inside, call.cell.states[0]: output}, call.before[call.cell.states[0]]
    if clock is not None:
        name = call.cell.states[-1]
        known[name] = (clock + 1).unsqueeze(1).to(call.before[name].dtype)
    for name in call.record:
        if name not in known:
            known[name] = in_rows(values[symbol(name)], call.data.shape[0], like)
    return {name: known[name] for name in call.record}
