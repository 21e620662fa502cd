"""The reference back end: a cell's loop in plain PyTorch operations.

Any device, any dtype, differentiable any number of times; the oracle for every other back end.
Pointwise code is printed from the trace by SymPy; dense products of the same operands are stacked into one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import sympy
import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.loop import Equation, Group, LoopStage
from carousel.equations.noise import PLACE, SEQUENCE
from carousel.equations.notes import Expr
from carousel.equations.trace import symbol
from carousel.kernels import heads
from carousel.kernels.alike import alike
from carousel.kernels.backend import Backend, Call, Result
from carousel.kernels.inputs import hoist, in_rows, loop_of, reduced
from carousel.kernels.pointwise import Values, pointwise


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
        over_units = data.device.type == "cuda" and loop_of(cell).goes_over_units
        why = ", since kernels for GPUs do not go over the units of a step" if over_units else ""
        return f"{self.name}: PyTorch operations, one after the other{why}"


def run(call: Call) -> Result:
    """Run a call, as ``Reference.run`` does."""
    cell, batch_sizes, before, reverse = call.cell, call.rows, call.before, call.reverse
    alike(cell, call.data, before, call.parameters, call.inputs)
    inputs = hoist(call)
    trace, loop, like = cell.trace, loop_of(cell), before[cell.states[0]]
    constants: Values = dict(zip(loop.vectors, inputs.vectors, strict=True)) | {s: inputs.values[s] for s in loop.counts}
    # Split once: the gradient of a slice is as large as all steps together, that of a split is one concatenation.
    hoisted = {s: x.split(batch_sizes) for s, x in zip(loop.hoisted, inputs.hoisted, strict=True)}
    plans = [_plan(stage, loop.hoisted) for stage in loop.stages]
    read = {s for plan in plans for _, expr in plan.equations for s in expr.free_symbols} | {s.after for s in trace.states}
    read |= {r.operand for stage in loop.stages for r in stage.reductions}
    used = {symbols: steps for symbols, steps in hoisted.items() if not read.isdisjoint(symbols)}
    weights = iter([w.mT for w in inputs.weights])
    stacked = {group.symbols: [next(weights) for _ in group.operands] for group in loop.groups}

    defined = {s for plan in plans for s in plan.defined}
    inner = defined | {s.after for s in trace.states}
    per_step = {name: symbol(name) for name in (cell.states[0], *call.record) if symbol(name) in inner}
    collected: dict[str, list[Tensor]] = {name: [] for name in per_step}
    clamped = {symbol(name): given for name, given in (call.clamp or {}).items()}
    for wanted in clamped:
        if wanted not in defined:
            raise ValueError(
                f"cell {cell.name}: {str(wanted)[:-2]} is computed for all steps before the loop, so it cannot be clamped"
            )

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
            states = {k: torch.where(reset_rows[step].unsqueeze(1), call.initial[k][:n], v) for k, v in states.items()}
        values = constants | {s.before: states[s.name] for s in trace.states}
        if loop.clock is not None:  # a number of steps in single precision would make its quotients so
            values[loop.clock] = values[loop.clock].to(torch.promote_types(like.dtype, torch.float32))
        if loop.draws:
            values |= {PLACE: rows_of_steps[step], SEQUENCE: rows_of_steps[step] - rows_of_steps[step][:1]}
        for symbols, steps in used.items():
            values.update(zip(symbols, steps[step].chunk(len(symbols), dim=1), strict=True))
        for stage, plan in zip(loop.stages, plans, strict=True):
            values |= {r.symbol: reduced(r, values[r.operand]) for r in stage.reductions}
            for group, begin, targets in plan.groups:
                total = hoisted[begin][step] if begin else None
                for operand, weight in zip(group.operands, stacked[group.symbols], strict=True):
                    x = values[operand]
                    if loop.clock is not None or loop.goes_over_units:  # whose precision may be in it
                        x = x.to(weight.dtype)
                    total = heads.product(x, weight, len(group.symbols), total)
                assert total is not None  # a group has at least one operand
                values.update(zip(targets, total.chunk(len(targets), dim=1), strict=True))
            for equations in _pieces(plan.equations, frozenset(clamped)):
                values |= pointwise(equations)(values)
                if equations[-1][0] in clamped:
                    given, where = clamped[equations[-1][0]]
                    values[equations[-1][0]] = torch.where(where[step], given[step], values[equations[-1][0]])
        if loop.clock is not None:
            values[trace.states[-1].after] = values[loop.clock] + 1
        states = {k: in_rows(values[symbol(k)], n, before[k]).expand_as(v) for k, v in states.items()}
        for name, wanted in per_step.items():
            collected[name].append(states[name] if name in states else in_rows(values[wanted], n, like))
    if finished:
        states = {k: torch.cat([v, *(f[k] for f in finished)]) for k, v in states.items()}
    joined = {k: torch.cat(v[::-1] if reverse else v) for k, v in collected.items()}
    for name in call.record:
        if name not in joined:  # it does not depend on the states
            joined[name] = in_rows(inputs.values[symbol(name)], sum(batch_sizes), like)
    return Result(joined[cell.states[0]], states, {name: joined[name] for name in call.record})


@dataclass(frozen=True)
class _Plan:
    """A stage, its products begun with what enters where that is all that is added to them."""

    groups: tuple[tuple[Group, tuple[Expr, ...], tuple[Expr, ...]], ...]  # group, what it begins with, what it gives
    equations: tuple[Equation, ...]
    defined: frozenset[Expr]


@cache
def _plan(stage: LoopStage, hoisted: tuple[tuple[Expr, ...], ...]) -> _Plan:
    groups, done = [], set()
    for group in stage.groups:
        begin, targets = (), group.symbols
        for symbols in hoisted:
            sums = [sympy.Add(p, s, evaluate=False) for p, s in zip(group.symbols, symbols, strict=False)]
            found = [s for total in sums for s, expr in stage.equations if set(expr.args) == set(total.args)]
            if len(found) == len(symbols) == len(group.symbols):
                begin, targets = symbols, tuple(found)
                done |= set(found)
        groups.append((group, begin, targets))
    equations = tuple(e for e in stage.equations if e[0] not in done)
    return _Plan(tuple(groups), equations, frozenset(s for s, _ in stage.equations))


@cache
def _pieces(equations: tuple[Equation, ...], clamped: frozenset[Expr]) -> list[tuple[Equation, ...]]:
    """Return the equations cut after each of the symbols, so that another value can be put there."""
    ends = [k + 1 for k, (target, _) in enumerate(equations) if target in clamped]
    cuts = sorted({0, *ends, len(equations)})
    return [equations[a:b] for a, b in pairwise(cuts)]
