"""Calls of cells that read inputs of earlier steps: all of these are known before the loop, so no state need carry them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.past import handed, past
from carousel.kernels.backend import Call
from carousel.kernels.inputs import loop_of
from carousel.kernels.steps import Steps


@cache
def without_past(cell: Cell) -> Cell:
    """Return the cell with its earlier inputs as further inputs, if its loop then has no product; otherwise the cell itself."""
    if not past(cell.trace) or cell.constants or cell.masks or cell.matrices:
        return cell
    made = Cell(handed(cell.trace), cell.doc, cell.citation)
    return cell if loop_of(made).groups else made


def handed_past(call: Call) -> tuple[Call, dict[str, Tensor]]:
    """Return a call of ``without_past``'s cell, and the final values of the states that this cell lacks."""
    cell = without_past(call.cell)
    if cell is call.cell or call.record or call.clamp:
        return call, {}
    inputs, after = {"e": call.data, **call.inputs}, {}
    for state, (letter, steps) in past(call.cell.trace).items():
        now = inputs[letter if steps == 1 else f"{letter}_ago{steps - 1}"]
        inputs[state.name] = _shifted(call, now, state.name)
        after[state.name] = now[_last(call, now)].clone()  # the input may be overwritten
    del inputs["e"]
    return replace(call, cell=cell, inputs=inputs), after


def _shifted(call: Call, now: Tensor, name: str) -> Tensor:
    """Return the input of the step before for each row of ``now``, (Σ batch_sizes, width)."""
    before = call.before[name].to(now.dtype)
    if call.batch_sizes is None:  # nothing here depends on the number of steps, which torch.compile leaves open
        steps = now.view(-1, *before.shape)
        parts = (steps[1:], before.unsqueeze(0)) if call.reverse else (before.unsqueeze(0), steps[:-1])
        found = torch.cat(parts).view(now.shape)
        row = torch.arange(before.shape[0], device=now.device).repeat(steps.shape[0])
    else:
        place, row = _places(tuple(call.batch_sizes), call.reverse, now.device)
        found = torch.cat((now, before))[place]
    if call.resets is None or call.initial is None:
        return found
    return torch.where(call.resets.unsqueeze(1), call.initial[name].to(now.dtype)[row], found)


def _last(call: Call, now: Tensor) -> Tensor | slice:
    """Return the places of each row's last step."""
    rows = call.before[call.cell.states[0]].shape[0]
    if call.batch_sizes is None:
        return slice(0, rows) if call.reverse else slice(now.shape[0] - rows, None)
    return Steps.of(call.batch_sizes, not call.reverse, now.device).first  # where the other direction begins


@lru_cache(maxsize=256)
def _places(batch_sizes: tuple[int, ...], reverse: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return two indices for each row of each step: its row in the step before, or behind all rows at the first step; and
    its row of the batch."""
    order = list(range(len(batch_sizes)))[:: -1 if reverse else 1]
    total, at = sum(batch_sizes), [sum(batch_sizes[:k]) for k in range(len(batch_sizes))]
    place, row = torch.empty(total, dtype=torch.long), torch.empty(total, dtype=torch.long)
    for k, earlier in zip(order, [None, *order], strict=False):
        n = batch_sizes[k]
        known = 0 if earlier is None else min(n, batch_sizes[earlier])
        rows = torch.arange(n)
        row[at[k] : at[k] + n] = rows
        place[at[k] : at[k] + n] = torch.where(rows < known, rows + (0 if earlier is None else at[earlier]), total + rows)
    return place.to(device), row.to(device)
