"""The reference back end: a cell's loop in plain PyTorch operations.

Any device, any dtype, differentiable any number of times; the oracle for every other back end.
Pointwise code is printed from the trace by SymPy; dense products of the same operands are stacked into one.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.loop import Loop
from carousel.equations.noise import PLACE, SEQUENCE
from carousel.equations.notes import Expr
from carousel.equations.trace import symbol
from carousel.kernels import levels
from carousel.kernels.backend import Backend, Call, Result
from carousel.kernels.body import Body
from carousel.kernels.inputs import in_rows, loop_of
from carousel.kernels.pointwise import Values


class Reference(Backend):
    """Any device, any type, all that a call can ask."""

    name = "reference"

    def supports(self, call: Call) -> bool:
        return True

    def run(self, call: Call) -> Result:
        """Run a call. Raises ValueError for tensors of several types or devices; for a clamp of what does not depend on the
        states, so that the loop does not compute it."""
        return run(call)

    def explain(self, cell: Cell, data: Tensor, rows: int, sizes: tuple[int, ...]) -> str | None:
        return f"{self.name}: PyTorch operations, one after the other{_why(loop_of(cell), data)}"


def _why(loop: Loop, data: Tensor) -> str:
    return ", since kernels for GPUs know chains alone" if data.device.type == "cuda" and loop.edges else ""


def run(call: Call) -> Result:
    """Run a call, as ``Reference.run`` does."""
    levels.check(loop_of(call.cell), call.batch_sizes, call.follows)
    return _levels(call) if call.cell.before else _chain(call)


def _chain(call: Call) -> Result:
    cell, batch_sizes, before, reverse = call.cell, call.rows, call.before, call.reverse
    body, like = Body(call), before[cell.states[0]]
    per_step = _per_step(call, body)
    collected: dict[str, list[Tensor]] = {name: [] for name in per_step}
    rows = batch_sizes[-1] if reverse else batch_sizes[0]
    states = {name: before[name][:rows] for name in cell.states}
    finished: list[dict[str, Tensor]] = []  # of rows whose sequence has ended, the shortest last
    rows_of_steps = torch.arange(call.data.shape[0], device=call.data.device).unsqueeze(1).split(batch_sizes)
    reset_rows = call.resets.split(batch_sizes) if call.resets is not None else None
    for step in reversed(range(len(batch_sizes))) if reverse else range(len(batch_sizes)):
        n = batch_sizes[step]
        if n < rows:
            finished.insert(0, {k: v[n:] for k, v in states.items()})
            states = {k: v[:n] for k, v in states.items()}
        elif n > rows:  # backwards, the shorter sequences begin later
            states = {k: torch.cat([v, before[k][rows:n]]) for k, v in states.items()}
        rows = n
        if reset_rows is not None and call.initial is not None:
            flags = reset_rows[step].unsqueeze(1)  # step numbers may have another type than those that a reset returns to
            states = {k: torch.where(flags, call.initial[k][:n].to(v.dtype), v) for k, v in states.items()}
        drawn = {PLACE: rows_of_steps[step], SEQUENCE: rows_of_steps[step] - rows_of_steps[step][:1]} if body.loop.draws else {}
        values, states = taken(body, step, states, drawn)
        for name, wanted in per_step.items():
            collected[name].append(states[name] if name in states else in_rows(values[wanted], n, like))
    if finished:
        states = {k: torch.cat([v, *(f[k] for f in finished)]) for k, v in states.items()}
    # Other states are views of an input, which the caller may overwrite.
    computed = {s for plan in body.plans for s, expr in plan.equations if not expr.is_Symbol}
    states = {k: v if symbol(k) in computed else v.clone() for k, v in states.items()}
    joined = {k: torch.cat(v[::-1] if reverse else v) for k, v in collected.items()}
    return Result(joined[cell.states[0]], states, _recorded(call, body, joined))


def taken(body: Body, step: int, states: Mapping[str, Tensor], more: Values) -> tuple[Values, dict[str, Tensor]]:
    """Take a step of a chain; return all its values, and the states after it.

    Args:
        body: of the call.
        step: its number.
        states: before it, by name.
        more: what it is given besides, by symbol.
    """
    loop, trace = body.loop, body.call.cell.trace
    given: Values = {s.before: states[s.name] for s in trace.states} | more
    if loop.clock is not None:  # a number of steps in single precision would make its quotients so
        like = states[trace.states[0].name]
        given[loop.clock] = given[loop.clock].to(torch.promote_types(like.dtype, torch.float32))
    values = body.take(step, given)
    if loop.clock is not None:
        values[trace.states[-1].after] = values[loop.clock] + 1
    return values, {k: in_rows(values[symbol(k)], v.shape[0], v).expand_as(v) for k, v in states.items()}


def _levels(call: Call) -> Result:
    """Take the steps level by level; what precedes them is gathered from the levels that it is in."""
    cell, trace, batch_sizes, before = call.cell, call.cell.trace, call.rows, call.before
    assert call.follows is not None
    body, like = Body(call), before[cell.states[0]]
    per_step, gathers = _per_step(call, body), levels.gathers(call.follows, batch_sizes, of_set=body.loop.over_set)
    collected: dict[str, list[Tensor]] = {name: [] for name in per_step}
    past: dict[str, list[Tensor]] = {name: [] for name in cell.states}
    for step, (n, gather) in enumerate(zip(batch_sizes, gathers, strict=True)):
        tables = {name: torch.cat([before[name], *past[name][gather.first :]]) for name in cell.states}
        places = dict(zip(body.loop.edges, gather.places, strict=True))
        given = {s.before: tables[s.name].index_select(0, places[s.edge]) for s in trace.states}
        values = body.take(step, given, gather.owner)
        for name in cell.states:
            past[name].append(in_rows(values[symbol(name)], n, like).expand(n, before[name].shape[1]))
        for name, wanted in per_step.items():
            rows = len(gather.places[0]) if wanted in body.each else n
            collected[name].append(past[name][-1] if name in past else in_rows(values[wanted], rows, like))
    joined = {k: torch.cat(v) for k, v in collected.items()}
    for name, wanted in per_step.items():
        if wanted in body.each:  # in the rows of what precedes
            at = torch.cat([gather.members for gather in gathers])
            joined[name] = joined[name].new_zeros(sum(batch_sizes), joined[name].shape[1]).index_copy(0, at, joined[name])
    return Result(joined[cell.states[0]], {}, _recorded(call, body, joined))


def _per_step(call: Call, body: Body) -> dict[str, Expr]:
    """Return what the loop itself gives of all that a call gives back of every step, by name."""
    return {name: symbol(name) for name in (call.cell.states[0], *call.record) if symbol(name) in body.inner}


def _recorded(call: Call, body: Body, joined: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what a call records, also what does not depend on the states."""
    like = call.before[call.cell.states[0]]
    return {
        name: joined[name] if name in joined else in_rows(body.values[symbol(name)], sum(call.rows), like)
        for name in call.record
    }
