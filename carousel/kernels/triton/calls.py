"""One run of a loop, forward or backward: its arrays by name, and what PyTorch's matrix products do around its kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from triton.runtime.errors import OutOfResources

from carousel.kernels import stacks
from carousel.kernels.compiled import Run
from carousel.kernels.gradients import Adjoints, gradients
from carousel.kernels.interface import Arriving, Tensors
from carousel.kernels.registry import loop_called
from carousel.kernels.triton import planner
from carousel.kernels.triton.graphs import Graphs
from carousel.kernels.triton.kernel import Launch, Plan, TritonSteps, kernels_of, steps_of
from carousel.kernels.triton.program import TileProduct, TritonProgram, by_head, name, program_of
from carousel.kernels.triton.source import step_name, sums

_too_large: set[Plan] = set()  # plans that asked more shared memory than there is
graphs = Graphs()

Arrays = dict[str, Tensor | None]


@dataclass(frozen=True)
class Task:
    """A call on its device. ``dtype``: of what is multiplied, saved and given back; states are float32."""

    run: Run
    tensors: Tensors
    lengths: dict[str, int]

    @property
    def dtype(self) -> torch.dtype:
        return self.run.products or self.tensors.data.dtype

    @property
    def program(self) -> TritonProgram:
        return program_of(loop_called(self.run.key), self.dtype is not torch.float32)

    @property
    def device(self) -> torch.device:
        return self.tensors.data.device

    @property
    def steps(self) -> TritonSteps:
        return steps_of(self.run.rows, self.run.reverse, self.device)

    def arrays(self) -> Arrays:
        """Return the arrays that both directions read."""
        program, tensors, interface = self.program, self.tensors, self.program.interface
        first = len(interface.outer)
        found: Arrays = {f"_E_{j}": x.contiguous() for j, x in enumerate(tensors.hoisted, first)}
        found |= {name("Y", v): x.float().contiguous() for v, x in zip(program.loop.vectors, tensors.vectors, strict=True)}
        found["_resets"] = None if tensors.resets is None else tensors.resets.to(torch.uint8).contiguous()
        found["_clock"] = None if tensors.clock is None else tensors.clock.contiguous()
        return found

    def weights(self, heads: int) -> Arrays:
        """Return the weights inside the loop: whole matrices, or of several heads the blocks one below the other."""
        make = stacks.whole if heads == 1 else stacks.blocks
        inner = self.program.interface.inner
        return {f"_W_{g}_{j}": make(s, self.lengths, self.tensors.dense).to(self.dtype) for (g, j), s in inner.items()}

    def room(self, rows: int, size: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(rows, size, dtype=dtype, device=self.device)


def forward(run: Run, tensors: Tensors, lengths: dict[str, int], save: bool) -> list[Tensor]:
    """Run a loop forwards, as ``compiled.Kernels.forward`` says."""
    task = Task(run, tensors, lengths)
    program, steps, dtype, resets = task.program, task.steps, task.dtype, tensors.resets
    given, data = task.arrays(), tensors.data.to(dtype)
    for j, stack in enumerate(program.interface.outer):
        bias = stacks.begin(stack, lengths, tensors.biases, tensors.data).to(dtype)
        given[f"_E_{j}"] = torch.addmm(bias, data, stacks.whole(stack, lengths, tensors.dense).to(dtype).t())
    for array, (single, x) in (program.steps | program.saved_arrays if save else program.steps).items():
        given[array] = task.room(steps.total, lengths[program.of(x)], torch.float32 if single else dtype)
    for k, (s, now) in enumerate(zip(program.states, tensors.before, strict=True)):
        if resets is not None:
            now = torch.where(resets[steps.first].unsqueeze(1), tensors.initial[k], now)
            given[name("I", s)] = tensors.initial[k].contiguous()
        for array in program.state_arrays(s):
            room = given[array]
            assert room is not None
            if steps.whole:
                room[: steps.batch].copy_(now)
            else:
                room.index_copy_(0, steps.first, now.to(room.dtype))
    output = task.room(steps.total, tensors.before[0].shape[1], dtype)
    final = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in tensors.before]
    recorded = [task.room(steps.total, lengths[program.of(x)], dtype) for x in program.recorded.values()]
    given |= {"_output": output} | dict(zip(program.recorded, recorded, strict=True))
    given |= {name("F", s): x for s, x in zip(program.states, final, strict=True)}
    _run(task, given, {"SAVE": save, "RESETS": resets is not None, "DIRECT": False}, "forward")
    saved = [given[x.label] for x in program.described] if save else []
    return [output, *final, *recorded, *saved]  # type: ignore[list-item]  # all of them are there


def backward(
    run: Run,
    tensors: Tensors,
    lengths: dict[str, int],
    arriving: Arriving,
) -> dict[str, list[Tensor]]:
    """Run a loop backwards, as ``compiled.Kernels.backward`` says."""
    asked = arriving.asked
    task = Task(run, tensors, lengths)
    program, steps, resets = task.program, task.steps, tensors.resets
    back, loop = program.live.derivative, program.loop

    def zeros(rows: int, size: int) -> Tensor:
        return torch.zeros(rows, size, device=task.device)

    known = dict(zip((x.label for x in program.described), arriving.saved, strict=True))
    arrays: Arrays = task.arrays() | known | {"_given": arriving.given.contiguous()}
    arrays |= {name("R", x): g.contiguous() for x, g in zip(back.recorded, arriving.recorded, strict=True)}
    adjoints = []
    for g, group in enumerate(loop.groups):
        adjoints.append(task.room(steps.total, len(group.symbols) * lengths[program.of(group.symbols[0])], task.dtype))
        arrays[f"_A_{g}"] = adjoints[-1]
    own = {
        j: task.room(steps.total, len(symbols) * lengths[program.of(symbols[0])], task.dtype)
        for j, symbols in enumerate(loop.hoisted)
        if program.live.shared[j] is None
    }
    arrays |= {f"_B_{j}": x for j, x in own.items()}
    carried = [x.float().clone(memory_format=torch.contiguous_format) for x in arriving.final]
    arrays |= {name("C", s): x for s, x in zip(program.states, carried, strict=True)}
    straight = resets is not None and "initial" in asked
    passing = zip(carried, program.live.passing, strict=True)
    direct = [zeros(steps.total, x.shape[1]) if straight and passes else None for x, passes in passing]
    arrays |= {name("D", s): x for s, x in zip(program.states, direct, strict=True)}
    totals = {v: zeros(steps.batch, lengths[program.of(v)]) for v in back.vectors}
    arrays |= {name("V", v): x for v, x in totals.items()}
    _run(task, arrays, {"SAVE": True, "RESETS": resets is not None, "DIRECT": straight}, "backward")

    vectors = [x.sum(0) for x in totals.values()]
    found = Adjoints(adjoints, [own.get(j) for j in range(len(loop.hoisted))], vectors, carried, direct)
    operands = {x: known[name("X", x)] for x in program.operands}
    results = gradients(program.live, program.interface, run, steps, tensors, lengths, operands, found, asked)
    like = {**tensors.lists(), "vectors": [tensors.vectors[k] for k in program.interface.learned]}
    return {kind: [g.to(x.dtype) for g, x in zip(gs, like[kind], strict=True)] for kind, gs in results.items()}


def _run(task: Task, given: Arrays, flags: dict[str, bool], way: str) -> None:
    """Run the loop, as the planner says."""
    program, steps, sizes = task.program, task.steps, task.program.lengths(task.lengths)
    stages = program.forward if way == "forward" else program.backward
    for block in (b for stage in stages for b in stage):
        for kind, _, array, *_ in block.writes:
            if kind == "row" and array not in given:
                given[array] = task.room(steps.batch, sizes[block.size], torch.float32)
    plan = _plan(task, way, sizes)
    for gathered in (g for stage in stages for b in stage for g in b.gathers):
        units = sizes[gathered.size]
        wide = units if gathered.heads is not None else -(-units // plan.units)
        given[gathered.array] = task.room(steps.total, wide, torch.float32)
    given |= task.weights(plan.heads)
    if plan.way == "stepwise":
        _stepwise(task, given, flags, way, plan)
        return
    call = Launch(kernels_of(program.loop, program.mixed), steps, given, by_head(sizes, plan.heads), plan)
    try:
        call.whole(way, flags, planner.precision(task.dtype))
    except OutOfResources:
        if plan in _too_large:
            raise
        _too_large.add(plan)
        _run(task, given, flags, way)


def _stepwise(task: Task, given: Arrays, flags: dict[str, bool], way: str, plan: Plan) -> None:
    """Launch a product and a kernel for each stage and step; as one graph where the shape has come before."""
    program, steps, sizes = task.program, task.steps, by_head(task.program.lengths(task.lengths), plan.heads)
    blocks = [b for stage in (program.forward if way == "forward" else program.backward) for b in stage]
    kernels = kernels_of(program.loop, program.mixed)

    def made(arrays: Arrays) -> Callable[[], None]:
        arrays = dict(arrays)
        for product in (p for b in blocks for p in b.products):
            weight = arrays[product.weight]
            assert weight is not None
            width = weight.shape[1] if product.transposed else weight.shape[0]
            arrays[sums(product)] = task.room(steps.batch, width, task.dtype)
        call = Launch(kernels, steps, arrays, sizes, plan)

        def work() -> None:
            for step in range(steps.count) if way == "forward" else reversed(range(steps.count)):
                for block in blocks:
                    _products(block.products, arrays, steps, step)
                    call.step(step_name(way, block), block, step, flags)

        return work

    if not graphs.wanted(task.device):
        made(given)()
        return
    kinds: dict[str, set[str]] = {}
    for kind, _, array, *_ in (w for b in blocks for w in b.writes):
        kinds.setdefault(array, set()).add(kind)
    own = {g.array for b in blocks for g in b.gathers} | {array for array, found in kinds.items() if "row" in found}
    anew = {array for array, found in kinds.items() if found <= {"step", "save", "final"}}  # nothing of it is read before
    read = [array for array in given if array not in own | anew]
    filled = [array for array in given if array in kinds and array not in own]
    stream = torch.cuda.current_stream(task.device).cuda_stream if task.device.type == "cuda" else 0
    key = (program, way, plan, tuple(flags.items()), task.run.rows, task.run.reverse, planner.precision(task.dtype), stream)
    graphs.run(key, given, made, read, filled)


def _plan(task: Task, way: str, sizes: dict[str, int]) -> Plan:
    """Return the planner's plan, or a more modest one where that has turned out too large for the card."""
    program, batch = task.program, task.steps.batch
    asked = partial(planner.plan, program, way, sizes, batch, task.dtype, task.device, steps=task.steps.total // batch)
    plan = asked()
    if plan in _too_large and plan.way == "held":
        plan = asked(hold=False)
    return replace(plan, depth=32, stages=1) if plan in _too_large else plan


def _products(products: list[TileProduct], given: dict[str, Any], steps: TritonSteps, step: int) -> None:
    """Compute the products of one block and step by PyTorch."""
    begun = set()
    for p in products:
        where = step + 1 if p.later else step
        n, at = steps.each_rows[where], steps.each_at[where]
        if p.later:
            n = min(n, steps.each_rows[step])
        if n == 0:
            continue
        weight = given[p.weight] if p.transposed else given[p.weight].t()
        room = given[sums(p)][:n]
        if p.symbols in begun:
            room.addmm_(given[p.array][at : at + n], weight)
        else:
            torch.mm(given[p.array][at : at + n], weight, out=room)
        begun.add(p.symbols)
