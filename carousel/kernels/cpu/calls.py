"""One call of a compiled loop, forward or backward: its arrays by name, and what PyTorch's matrix products do around it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from carousel.equations.notes import Expr
from carousel.kernels import levels, stacks
from carousel.kernels.compiled import Run
from carousel.kernels.cpu.kernel import Kernel, most_threads
from carousel.kernels.cpu.layout import Arrays, backward_layout, forward_layout, scratch, shapes
from carousel.kernels.cpu.program import CppProgram
from carousel.kernels.cpu.small import small
from carousel.kernels.gradients import Adjoints, gradients
from carousel.kernels.interface import Arriving, Tensors
from carousel.kernels.levels import Members
from carousel.kernels.steps import Steps


def common(program: CppProgram, tensors: Tensors, steps: Steps, flags: Tensor | None) -> Arrays:
    """Return the arrays that both directions read: of the steps, and what is the same forwards and backwards."""
    arrays: Arrays = {"at": steps.at, "slot": steps.at, "rows": steps.rows, "resets": flags}
    arrays.update(zip(program.hoisted, _contiguous(tensors.hoisted), strict=True))
    arrays.update(zip(program.vectors, _contiguous(tensors.vectors), strict=True))
    if tensors.clock is not None:
        arrays[program.clock] = tensors.clock.contiguous()
    return arrays


def begins(program: CppProgram, tensors: Tensors, lengths: Mapping[str, int]) -> Arrays:
    """Return what sums of the input begin with."""
    used = program.interface.outer
    return {f"bias_{stack.name}": stacks.begin(stack, lengths, tensors.biases, tensors.data) for stack in used}


def forward(k: Kernel, run: Run, tensors: Tensors, lengths: dict[str, int], save: bool) -> list[Tensor]:
    """Run a loop forwards, as ``compiled.Kernels.forward`` says."""
    program, data, dense = k.program, tensors.data.contiguous(), _contiguous(tensors.dense)
    sets = _sets(program, run)
    most = sets.most if sets else 0
    layout = forward_layout(k, run.rows, run.reverse, tuple(lengths.values()), shapes(dense), most_threads(), save, most)
    steps, flags = layout.steps, None if tensors.resets is None else tensors.resets.contiguous()
    memory, places = scratch(data, layout.room)
    arrays = common(program, tensors, steps, flags)
    arrays |= begins(program, tensors, lengths) | layout.addresses(dense) | places
    if not save and run.follows is None:
        arrays["slot"] = steps.turns
    kept = [x for x, s in program.stored.items() if save or (run.follows is not None and s.state is not None)]
    stored = {x: data.new_empty(steps.total, lengths[program.stored[x].size]) for x in kept}
    arrays |= _of_set(program, sets, stored) if sets else _preceding(program, run, tensors, stored)
    for x, s in program.stored.items():
        arrays[s.array] = stored[x] if x in stored else places.get(s.array)
        if s.state is not None and run.follows is None and (save or s.always):
            now = tensors.before[s.state]
            if flags is not None:
                now = torch.where(flags[steps.first].unsqueeze(1), tensors.initial[s.state], now)
            if save and not steps.whole:
                stored[x].index_copy_(0, steps.first, now)
            else:
                _begin(arrays[s.array], now.contiguous(), 1 if save else 2)
    for name, state in program.initial.items():
        arrays[name] = None if flags is None else tensors.initial[state].contiguous()
    output = data.new_empty(steps.total, tensors.before[0].shape[1])
    final = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in tensors.before[: run.after]]
    recorded = [data.new_empty(steps.total, lengths[program.size(s)]) for s in program.recorded]
    for s, x in zip(program.recorded, recorded, strict=True):
        if s in program.live.each:
            x.zero_()  # where a step is nobody's member
    arrays["x"], arrays["output"] = data, output
    arrays.update(zip(program.recorded.values(), recorded, strict=True))
    arrays.update(zip(program.final, final, strict=True))
    k.forward.bound(arrays, layout.numbers)()
    del memory  # until now
    return [output, *final, *recorded, *(stored[x] for x in program.saved if save)]


def _preceding(program: CppProgram, run: Run, tensors: Tensors, stored: Mapping[Expr, Tensor]) -> Arrays:
    """Return what each step precedes; where one has no predecessor, write the state that stands for it. Of a chain nothing."""
    if run.follows is None:
        return {}
    nothing = levels.before(run.follows) < 0
    lines = dict(zip(program.loop.edges, nothing, strict=True))
    for before, state in program.live.states.items():
        if before in stored and (number := program.stored[before].state) is not None:
            rows = lines[state.edge].nonzero().squeeze(1)
            stored[before].index_copy_(0, rows, tensors.before[number].expand(len(rows), -1))
    return dict(zip(program.follows.values(), run.follows.contiguous(), strict=True))


def _sets(program: CppProgram, run: Run) -> Members | None:
    """Return the members of all sets, where steps follow sets."""
    return levels.members(run.follows, run.rows) if run.follows is not None and program.loop.over_set else None


def _of_set(program: CppProgram, sets: Members, values: Mapping[Expr, Tensor]) -> Arrays:
    """Return where the members of sets are; of values that have rows for them, make those that nobody has zero."""
    for x, value in values.items():
        if x in program.live.each:
            value[len(sets.members) :] = 0
    found: Arrays = {"children": sets.begin, "owner": sets.owner, "members": sets.members}
    found |= dict.fromkeys(program.follows.values(), sets.place)
    return found


def _begin(place: Tensor | int | None, now: Tensor, times: int) -> None:
    """Write a state before the first step where the steps will read it, in one place or in two that follow each other."""
    begin = place.data_ptr() if isinstance(place, Tensor) else place
    assert begin is not None
    source, size = now.data_ptr(), now.numel() * now.itemsize
    for k in range(times):
        ctypes.memmove(begin + k * size, source, size)


def backward(
    k: Kernel,
    run: Run,
    tensors: Tensors,
    lengths: dict[str, int],
    arriving: Arriving,
) -> dict[str, list[Tensor]]:
    """Run a loop backwards, as ``compiled.Kernels.backward`` says."""
    asked, program, data = arriving.asked, k.program, tensors.data
    dense, saved = _contiguous(tensors.dense), _contiguous(arriving.saved)
    sets = _sets(program, run)
    most = sets.most if sets else 0
    layout = backward_layout(k, run.rows, run.reverse, tuple(lengths.values()), shapes(dense), most_threads(), most)
    steps, threads = layout.steps, layout.threads
    flags = None if tensors.resets is None else tensors.resets.contiguous()

    def room(rows: int, sizes: Mapping[str, tuple[int, str]]) -> dict[str, Tensor]:
        return {name: data.new_empty(rows, count * lengths[n]) for name, (count, n) in sizes.items()}

    sums = {name: data.new_zeros(threads, lengths[n]) for name, n in program.sums.items()}
    chain = run.follows is None
    adjoints = room(steps.total + (not chain), program.adjoints) | room(steps.total, program.own)
    carried = [x.clone(memory_format=torch.contiguous_format) for x in arriving.final]
    wanted = ["initial" in asked if chain else passes for passes in program.live.passing]
    straight = zip(tensors.before, wanted, strict=True)
    direct = [data.new_empty(steps.total + (not chain), x.shape[1]) if kept else None for x, kept in straight]
    memory, places = scratch(data, layout.room)
    arrays = common(program, tensors, steps, flags)
    arrays |= layout.addresses(dense) | sums | adjoints | places
    arrays.update((program.stored[x].array, value) for x, value in zip(program.saved, saved, strict=True))
    arrays.update(zip(program.carried, carried, strict=True))
    arrays.update(zip(program.direct, direct, strict=True))
    arrays[program.given] = arriving.given.contiguous()
    arrays.update(zip(program.given_recorded, _contiguous(arriving.recorded), strict=True))
    if run.follows is not None:
        for x in (*(adjoints[name] for name in program.adjoints), *(x for x in direct if x is not None)):
            x[-1] = 0  # for what precedes nothing
        after = run.follows
        if sets:
            groups = dict(zip(program.adjoints, program.loop.groups, strict=True))
            arrays |= _of_set(program, sets, {g.symbols[0]: adjoints[name] for name, g in groups.items()})
            after = sets.place.unsqueeze(0)
        last = torch.where(after < 0, steps.total, after)
        arrays.update(zip(program.follows.values(), last, strict=True))
    k.backward.bound(arrays, layout.numbers)()
    del memory  # until now

    adjoints = {name: x[: steps.total] for name, x in adjoints.items()}
    ended = Ended(adjoints, list(sums.values()), carried, direct)
    return finish(k, run, steps, replace(tensors, dense=dense), lengths, replace(arriving, saved=saved), ended)


class Ended(NamedTuple):
    """The arrays that a run backwards has filled.

    ``adjoints``: of groups and of hoisted inputs, by the names that the program has for them. ``sums``: gradients of the
    learned vectors, (threads, units) each. ``carried``, ``direct``: as in ``Adjoints``.
    """

    adjoints: Mapping[str, Tensor]
    sums: Sequence[Tensor]
    carried: Sequence[Tensor]
    direct: Sequence[Tensor | None]


def finish(
    k: Kernel,
    run: Run,
    steps: Steps,
    tensors: Tensors,
    lengths: Mapping[str, int],
    arriving: Arriving,
    ended: Ended,
) -> dict[str, list[Tensor]]:
    """Return gradients by kind, from the arrays that a run backwards has filled; other arguments as those of ``backward``."""
    program = k.program
    groups, operands = (
        [ended.adjoints[name] for name in program.adjoints],
        dict(zip(program.saved, arriving.saved, strict=True)),
    )
    found = Adjoints(
        groups=groups,
        hoisted=[ended.adjoints.get(f"E_{j}_bar") for j in range(len(program.loop.hoisted))],
        vectors=[x.sum(0) if len(x) > 1 else x[0] for x in ended.sums],
        carried=ended.carried,
        direct=ended.direct,
    )
    multiply, products, data = small(k, run, lengths, steps.total), None, tensors.data
    if multiply is not None:
        factors = {"x": data.contiguous(), **ended.adjoints, **{program.stored[x].array: v for x, v in operands.items()}}
        products = multiply(factors, tensors.dense, data, data="data" in arriving.asked)
    return gradients(program.live, program.interface, run, steps, tensors, lengths, operands, found, arriving.asked, products)


def _contiguous(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [x.contiguous() for x in tensors]
