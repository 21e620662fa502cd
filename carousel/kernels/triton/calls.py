"""One run of a loop, forward or backward: its arrays, and what PyTorch's matrix products do around its kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from triton.runtime.errors import OutOfResources

from carousel.equations import Cell
from carousel.kernels.triton import planner
from carousel.kernels.triton.kernel import Call, Plan, Steps, kernels_of, sizes_of, steps_of
from carousel.kernels.triton.program import Product, Program, name, program_of
from carousel.kernels.triton.source import step_name, sums

_too_large: set[Plan] = set()  # plans that asked more shared memory than there is


@dataclass(frozen=True)
class Spec:
    """What of a call is no tensor. ``dtype``: of what is multiplied, kept and given back; states are float32."""

    cell: Cell
    dtype: torch.dtype
    batch_sizes: tuple[int, ...]
    reverse: bool
    counts: tuple[int, ...]  # of entering tensors, weights, vectors, states before and initial ones

    @property
    def program(self) -> Program:
        """The cell's, for this dtype."""
        return program_of(self.cell, self.dtype is not torch.float32)


@dataclass(frozen=True)
class Lists:
    """The tensors of a call."""

    entering: list[Tensor]
    weights: list[Tensor]
    vectors: list[Tensor]
    before: list[Tensor]
    initial: list[Tensor]
    clock: Tensor | None
    resets: Tensor | None

    def steps(self, spec: Spec) -> Steps:
        """Those of this call."""
        return steps_of(spec.batch_sizes, spec.reverse, self.before[0].device)

    def named(self, program: Program) -> dict[str, Tensor | None]:
        """Those that both directions read."""
        found: dict[str, Tensor | None] = {f"_E_{j}": x.contiguous() for j, x in enumerate(self.entering)}
        found |= {name("Y", v): x.contiguous() for v, x in zip(program.loop.vectors, self.vectors, strict=True)}
        places = [(g, j) for g, group in enumerate(program.loop.groups) for j in range(len(group.operands))]
        found |= {f"_W_{g}_{j}": w.contiguous() for (g, j), w in zip(places, self.weights, strict=True)}
        found["_resets"] = None if self.resets is None else self.resets.to(torch.uint8).contiguous()
        found["_clock"] = self.clock
        return found


def forward(spec: Spec, lists: Lists, keep: bool) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Outputs and states after each row's last step; by name what the run backwards needs of every step."""
    program, steps = spec.program, lists.steps(spec)
    given = lists.named(program)
    sizes = sizes_of(program, lists.entering, lists.weights, lists.vectors, lists.before)
    like = lists.before[0]

    def room(rows: int, size: int, dtype: torch.dtype = spec.dtype) -> Tensor:
        return torch.empty(rows, size, dtype=dtype, device=like.device)

    kept: dict[str, Tensor] = {}
    for x in program.operands:
        kept[name("X", x)] = room(steps.total, sizes[program.size(x)])
    for s in program.read_states:
        if program.state_array(s) not in kept:
            kept[program.state_array(s)] = room(steps.total, sizes[program.size(s)], torch.float32)
    if keep:
        for x in program.saved:
            if program.kept(x) not in kept:
                kept[program.kept(x)] = room(steps.total, sizes[program.size(x)])
    starts = lists.initial if lists.resets is not None and lists.initial else lists.before
    for s, now, start in zip(program.states, lists.before, starts, strict=True):
        if lists.resets is not None and lists.initial:
            now = torch.where(lists.resets[steps.first].unsqueeze(1), start, now)
            given[name("I", s)] = start.contiguous()
        for array in program.state_arrays(s):
            if steps.whole:
                kept[array][: steps.batch].copy_(now)
            else:
                kept[array].index_copy_(0, steps.first, now.to(kept[array].dtype))
    output = room(steps.total, lists.before[0].shape[1])
    final = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in lists.before]
    given |= kept | {"_output": output} | {name("F", s): x for s, x in zip(program.states, final, strict=True)}
    flags = {"KEEP": keep, "RESETS": lists.resets is not None and bool(lists.initial), "DIRECT": False}
    _run(spec, lists, given, sizes, flags, "forward")
    return [output, *final], kept


def backward(
    spec: Spec, lists: Lists, kept: dict[str, Tensor], gradients: Sequence[Tensor | None], needs: Sequence[bool]
) -> list[list[Tensor | None]]:
    """Gradients of what enters, weights, vectors, states before and initial ones; None where it is not needed."""
    program, steps = spec.program, lists.steps(spec)
    back, loop = program.back, program.loop
    given = lists.named(program) | kept
    sizes = sizes_of(program, lists.entering, lists.weights, lists.vectors, lists.before)
    device = lists.before[0].device
    resets = lists.resets if lists.initial else None
    given["_resets"] = given["_resets"] if resets is not None else None

    def zeros(rows: int, size: int) -> Tensor:
        return torch.zeros(rows, size, device=device)

    asked = gradients[0]
    output = (steps.total, lists.before[0].shape[1])
    given["_given"] = torch.zeros(output, device=device) if asked is None else asked.contiguous()
    adjoints = []
    for g, group in enumerate(loop.groups):
        width = len(group.symbols) * sizes[program.size(group.symbols[0])]
        adjoints.append(torch.empty(steps.total, width, dtype=spec.dtype, device=device))
        given[f"_A_{g}"] = adjoints[-1]
    own = {j: torch.empty_like(x, memory_format=torch.contiguous_format)
           for j, x in enumerate(lists.entering) if program.shared[j] is None}  # fmt: skip
    given |= {f"_B_{j}": x for j, x in own.items()}
    carried = {}
    for s, x, gradient in zip(program.states, lists.before, gradients[1:], strict=True):
        carried[s] = zeros(*x.shape) if gradient is None else gradient.float().clone(memory_format=torch.contiguous_format)
        given[name("C", s)] = carried[s]
    direct = {}
    if resets is not None and needs[4]:
        direct = {s: zeros(steps.total, carried[s].shape[1]) for s in program.states if back.carried[s] != 0}
        given |= {name("D", s): x for s, x in direct.items()}
    sums_ = {v: zeros(steps.batch, sizes[program.size(v)]) for v in back.vectors}
    given |= {name("V", v): x for v, x in sums_.items()}
    flags = {"KEEP": True, "RESETS": resets is not None, "DIRECT": bool(direct)}
    _run(spec, lists, given, sizes, flags, "backward")

    of_entering: list[Tensor | None] = [
        own[j] if shared is None else adjoints[shared].to(x.dtype)
        for j, (x, shared) in enumerate(zip(lists.entering, program.shared, strict=True))
    ]
    places = [(g, x) for g, group in enumerate(loop.groups) for x in group.operands]
    of_weights: list[Tensor | None] = [adjoints[g].t() @ kept[name("X", x)] if needs[1] else None for g, x in places]
    of_vectors = [sums_[v].sum(0) if v in sums_ else None for v in loop.vectors]
    through = {s: [(g, w) for (g, x), w in zip(places, lists.weights, strict=True) if x == s] for s in program.states}

    def back_to(s: object, rows: Tensor, straight: Tensor | None) -> Tensor:
        total = torch.zeros(len(rows), carried[s].shape[1], device=device) if straight is None else straight
        for g, w in through[s]:
            total = total + (adjoints[g][rows] @ w).float()
        return total

    of_before: list[Tensor | None] = [None] * len(lists.before)
    of_initial: list[Tensor | None] = [None] * len(lists.initial)
    if needs[3]:
        for k, s in enumerate(program.states):
            total = back_to(s, steps.first, carried[s] if back.carried[s] != 0 else None)
            if resets is not None:
                total = total.masked_fill(resets[steps.first].unsqueeze(1), 0)
            of_before[k] = total.to(lists.before[k].dtype)
    if resets is not None and needs[4]:
        where = resets.nonzero().squeeze(1)
        row = torch.cat([torch.arange(n) for n in spec.batch_sizes]).to(device)[where]
        for k, s in enumerate(program.states):
            total = back_to(s, where, direct[s][where] if s in direct else None)
            found = torch.zeros_like(carried[s]).index_add_(0, row, total)
            of_initial[k] = found.to(lists.initial[k].dtype)
    return [of_entering, of_weights, of_vectors, of_before, of_initial]


def _run(
    spec: Spec, lists: Lists, given: dict[str, Tensor | None], sizes: dict[str, int], flags: dict[str, bool], way: str
) -> None:
    """The loop itself, as the planner says."""
    program, steps = spec.program, lists.steps(spec)
    device = lists.before[0].device
    stages = program.forward if way == "forward" else program.backward
    for block in (b for stage in stages for b in stage):
        for kind, _, array, *_ in block.writes:
            if kind == "row" and array not in given:
                given[array] = torch.empty(steps.batch, sizes[block.size], device=device)
    call = Call(kernels_of(spec.cell, program.mixed), steps, given, sizes, plan := _plan(spec, way, sizes, steps.batch, device))
    if plan.way != "stepwise":
        try:
            call.whole(way, flags, planner.precision(spec.dtype))
        except OutOfResources:
            if plan not in _too_large:
                _too_large.add(plan)
                _run(spec, lists, given, sizes, flags, way)
                return
            raise
        return
    for product in (p for stage in stages for b in stage for p in b.products):
        weight = given[product.weight]
        assert weight is not None
        width = weight.shape[1] if product.transposed else weight.shape[0]
        given[sums(product)] = torch.empty(steps.batch, width, dtype=spec.dtype, device=device)
    for step in range(steps.count) if way == "forward" else reversed(range(steps.count)):
        for stage in stages:
            for block in stage:
                _products(block.products, given, steps, step)
                call.step(step_name(way, block), block, step, flags)


def _plan(spec: Spec, way: str, sizes: dict[str, int], batch: int, device: torch.device) -> Plan:
    """The planner's, or a more modest one where that has turned out too large for the card."""
    plan = planner.plan(spec.program, way, sizes, batch, spec.dtype, device)
    if plan in _too_large and plan.way == "held":
        plan = planner.plan(spec.program, way, sizes, batch, spec.dtype, device, hold=False)
    return replace(plan, depth=32, stages=1) if plan in _too_large else plan


def _products(products: list[Product], given: dict[str, Any], steps: Steps, step: int) -> None:
    """Those of one block and step, by PyTorch."""
    begun = set()
    for p in products:
        where = step + 1 if p.later else step
        n, at = steps.rows[where], steps.at[where]
        if p.later:
            n = min(n, steps.rows[step])
        if n == 0:
            continue
        weight = given[p.weight] if p.transposed else given[p.weight].t()
        room = given[sums(p)][:n]
        if p.symbols in begun:
            room.addmm_(given[p.array][at : at + n], weight)
        else:
            torch.mm(given[p.array][at : at + n], weight, out=room)
        begun.add(p.symbols)
