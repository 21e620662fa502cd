"""One step of a call in plain PyTorch operations; who takes the steps, along a chain or level by level, hands it the states."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import sympy
import torch
from torch import Tensor

from carousel.equations.loop import Equation, Group, LoopStage
from carousel.equations.notes import Expr
from carousel.equations.trace import symbol
from carousel.kernels import heads
from carousel.kernels.alike import alike
from carousel.kernels.backend import Call
from carousel.kernels.inputs import hoist, loop_of, reduced
from carousel.kernels.pointwise import Values, pointwise

Stacked = dict[tuple[Expr, ...], list[Tensor]]  # dense weights of each group, turned, one an operand


class Body:
    """The work of a step, prepared once for a call.

    ``values``: all that is known outside the loop, by symbol. ``inner``: the symbols that a step gives. ``each``: those that
    have a value for each of the set that a step follows. Raises ValueError for tensors that do not fit, and for a clamp of
    what does not depend on the states, so that the loop does not compute it.
    """

    def __init__(self, call: Call):
        self.call, cell = call, call.cell
        alike(cell, call.data, call.before, call.parameters, call.inputs)
        inputs = hoist(call)
        self.loop = loop = loop_of(cell)
        trace = cell.trace
        self.values, self.each = inputs.values, loop.each
        self.constants: Values = dict(zip(loop.vectors, inputs.vectors, strict=True)) | {
            s: inputs.values[s] for s in loop.counts
        }
        self.plans = [planned(stage, loop.hoisted, self.each) for stage in loop.stages]
        read = {s for plan in self.plans for _, expr in plan.equations for s in expr.free_symbols}
        read |= {s.after for s in trace.states} | {r.operand for stage in loop.stages for r in stage.reductions}
        self.read = frozenset(read)
        begun = {begin for plan in self.plans for _, begin, _ in plan.groups}
        every = dict(zip(loop.hoisted, inputs.hoisted, strict=True))
        self.whole = {s: x for s, x in every.items() if s in begun or not self.read.isdisjoint(s)}
        weights = iter([w.mT for w in inputs.weights])
        self.stacked: Stacked = {group.symbols: [next(weights) for _ in group.operands] for group in loop.groups}
        defined = {s for plan in self.plans for s in plan.defined}
        self.inner = defined | {s.after for s in trace.states}
        self.clamped = {symbol(name): given for name, given in call.clamp_of_steps.items()}
        self.changes = {symbol(name): change for name, change in call.changes.items()}
        self.cut = frozenset((*self.clamped, *self.changes))
        for wanted in self.cut:
            if wanted not in defined:
                raise ValueError(
                    f"cell {cell.name}: {str(wanted)[:-2]} is computed for all steps before the loop, so it cannot be clamped"
                )

    @cached_property
    def rows(self) -> list[int]:
        """The rows of each step."""
        return self.call.rows

    @cached_property
    def hoisted(self) -> dict[tuple[Expr, ...], Sequence[Tensor]]:
        """The hoisted inputs of each step."""
        # Split once: the gradient of a slice is as large as all steps together, that of a split is one concatenation.
        return {s: x.split(self.rows) for s, x in self.whole.items()}

    def of_step(self, hoisted: dict[tuple[Expr, ...], Tensor], constants: Values, stacked: Stacked) -> Body:
        """Return the body of a single step, whose tensors are these."""
        made = copy(self)
        made.hoisted, made.constants, made.stacked = {s: (x,) for s, x in hoisted.items()}, constants, stacked
        return made

    def take(self, step: int, states: Values, owner: Tensor | None = None) -> Values:
        """Take a step; return all its values by symbol.

        Args:
            step: its number.
            states: the values of the states before it, and of what else a step is given, by symbol.
            owner: of each of what ``each`` has rows for, the row of the step that it belongs to.
        """
        loop, values = self.loop, self.constants | states
        for symbols, steps in self.hoisted.items():
            if not self.read.isdisjoint(symbols):
                values.update(zip(symbols, steps[step].chunk(len(symbols), dim=1), strict=True))
        for stage, plan in zip(loop.stages, self.plans, strict=True):
            for r in stage.reductions:
                x = values[r.operand]
                values[r.symbol] = _together(x, owner, self.rows[step]) if r.kind == "together" else reduced(r, x)
            for group, begin, targets in plan.groups:
                total = self.hoisted[begin][step] if begin else None
                for operand, weight in zip(group.operands, self.stacked[group.symbols], strict=True):
                    x = values[operand]
                    if loop.clock is not None or loop.goes_over_units:  # whose precision may be in it
                        x = x.to(weight.dtype)
                    total = heads.product(x, weight, len(group.symbols), total)
                assert total is not None  # a group has at least one operand
                values.update(zip(targets, total.chunk(len(targets), dim=1), strict=True))
            for equations in _pieces(plan.equations, self.cut, self.each):
                values |= pointwise(equations)(self._spread(equations, values, owner))
                last = equations[-1][0]
                if last in self.clamped:
                    given, where = self.clamped[last]
                    values[last] = torch.where(where[step], given[step], values[last])
                if last in self.changes:
                    values[last] = self.changes[last](step, values[last])
        return values

    def _spread(self, equations: tuple[Equation, ...], values: Values, owner: Tensor | None) -> Values:
        """Return the values that equations read, those of a step in the rows of each of its set where the equations are so."""
        if owner is None or equations[0][0] not in self.each:
            return values
        used = {s for _, expr in equations for s in expr.free_symbols} & values.keys()
        return {s: values[s] if s in self.each or values[s].dim() < 2 else values[s].index_select(0, owner) for s in used}


def _together(x: Tensor, owner: Tensor | None, rows: int) -> Tensor:
    """Return the sum over each step's set, (rows, units)."""
    assert owner is not None
    return x.new_zeros(rows, x.shape[1]).index_add(0, owner, x)


@dataclass(frozen=True)
class Plan:
    """A stage, its products begun with what enters where that is all that is added to them."""

    groups: tuple[tuple[Group, tuple[Expr, ...], tuple[Expr, ...]], ...]  # group, what it begins with, what it gives
    equations: tuple[Equation, ...]
    defined: frozenset[Expr]


@cache
def planned(stage: LoopStage, hoisted: tuple[tuple[Expr, ...], ...], each: frozenset[Expr] = frozenset()) -> Plan:
    """Return a stage of a loop with these hoisted inputs as it is best run by whole vectors."""
    groups, done = [], set()
    for group in stage.groups:
        begin, targets = (), group.symbols
        for symbols in hoisted if each.isdisjoint(group.symbols) else ():
            sums = [sympy.Add(p, s, evaluate=False) for p, s in zip(group.symbols, symbols, strict=False)]
            found = [s for total in sums for s, expr in stage.equations if set(expr.args) == set(total.args)]
            if len(found) == len(symbols) == len(group.symbols):
                begin, targets = symbols, tuple(found)
                done |= set(found)
        groups.append((group, begin, targets))
    equations = tuple(e for e in stage.equations if e[0] not in done)
    return Plan(tuple(groups), equations, frozenset(s for s, _ in stage.equations))


@cache
def _pieces(equations: tuple[Equation, ...], clamped: frozenset[Expr], each: frozenset[Expr]) -> list[tuple[Equation, ...]]:
    """Return the equations cut after each of the symbols, so that another value can be put there, and where those of a step
    and those of each of its set meet."""
    ends = [k + 1 for k, (target, _) in enumerate(equations) if target in clamped]
    ends += [k + 1 for k, (a, b) in enumerate(pairwise(equations)) if (a[0] in each) != (b[0] in each)]
    cuts = sorted({0, *ends, len(equations)})
    return [equations[a:b] for a, b in pairwise(cuts)]
