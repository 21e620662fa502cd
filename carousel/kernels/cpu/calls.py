"""One call of a compiled loop, forward or backward: its arrays by name, and what PyTorch's matrix products do around it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

import torch
from torch import Tensor

from carousel.kernels import stacks
from carousel.kernels.compiled import Run
from carousel.kernels.cpu.kernel import Kernel, threads_for
from carousel.kernels.cpu.program import CppProgram, panel, pointers, stride
from carousel.kernels.gradients import Adjoints, gradients
from carousel.kernels.interface import Arriving, Stack, Tensors
from carousel.kernels.steps import Steps

LINE = 64  # numbers: no two arrays share a line of the cache
ROWS_AT_ONCE = 96  # of the input, that a thread multiplies before it takes their steps

Arrays = dict[str, Tensor | int | None]
Numbers = dict[str, int]


def weights(used: Sequence[Stack], lengths: Mapping[str, int], dense: Sequence[Tensor]) -> tuple[Arrays, Numbers]:
    """Return the addresses and strides of the weights of some stacks."""
    begins = [x.data_ptr() for x in dense]
    size = dense[0].itemsize if dense else 0
    addresses: Arrays = {}
    strides: Numbers = {}
    for stack in used:
        for pointer, (number, prefix) in zip(pointers(stack), stack.parts, strict=True):
            before = size * sum([lengths[n] for n in prefix]) if prefix else 0
            addresses[pointer], strides[stride(pointer)] = begins[number] + before, dense[number].shape[1]
    return addresses, strides


def common(program: CppProgram, tensors: Tensors, steps: Steps, flags: Tensor | None) -> Arrays:
    """Return the arrays that both directions read: of the steps, and what is the same forwards and backwards."""
    arrays: Arrays = {"at": steps.at, "slot": steps.at, "rows": steps.rows, "resets": flags}
    arrays.update(zip(program.hoisted, _contiguous(tensors.hoisted), strict=True))
    arrays.update(zip(program.vectors, _contiguous(tensors.vectors), strict=True))
    if tensors.clock is not None:
        arrays[program.clock] = tensors.clock.contiguous()
    return arrays


def inputs(k: Kernel, tensors: Tensors, lengths: Mapping[str, int], rows: int) -> tuple[Arrays, Numbers]:
    """Return what sums of the input begin with, and how many numbers packed weights and such sums, in ``rows`` rows, are."""
    arrays: Arrays = {}
    counts = {panel(stack): k.panel(stack, lengths) for stack in k.program.interface.stacks}
    for name, stack in k.program.sums_of_input.items():
        arrays[f"bias_{stack.name}"] = bias = stacks.begin(stack, lengths, tensors.biases, tensors.data)
        counts[name] = rows * len(bias)
    return arrays, counts


def scratch(like: Tensor, counts: Mapping[str, int]) -> tuple[Tensor, Arrays]:
    """Return memory for arrays that nobody sees, and the address of each; ``counts``: of numbers, by name."""
    lines = [-(-count // LINE) for count in counts.values()]
    room = like.new_empty(LINE * sum(lines))
    places = accumulate(lines[:-1], initial=0)
    begin, size = room.data_ptr(), LINE * room.itemsize
    return room, {name: begin + at * size for name, at in zip(counts, places, strict=False)}


def forward(k: Kernel, run: Run, tensors: Tensors, lengths: dict[str, int], save: bool) -> list[Tensor]:
    """Run a loop forwards, as ``compiled.Kernels.forward`` says."""
    program, steps = k.program, Steps.of(run.rows, run.reverse)
    data, dense = tensors.data.contiguous(), _contiguous(tensors.dense)
    threads = threads_for(dense, steps.total)
    flags = None if tensors.resets is None else tensors.resets.contiguous()
    chunk = min(steps.count, max(1, ROWS_AT_ONCE * threads // steps.batch))
    addresses, strides = weights(program.interface.stacks, lengths, dense)
    biases, counts = inputs(k, tensors, lengths, chunk * steps.batch)
    if not save:  # two places are enough: the step's, and the next one's
        counts |= {s.array: 2 * steps.batch * lengths[s.size] for s in program.stored.values() if s.always}
    room, places = scratch(data, counts)
    arrays = common(program, tensors, steps, flags) | biases | addresses | places
    stored = {x: data.new_empty(steps.total, lengths[s.size]) for x, s in program.stored.items()} if save else {}
    if not save:
        arrays["slot"] = steps.turns
    for x, s in program.stored.items():
        arrays[s.array] = stored[x] if save else places.get(s.array)
        if s.state is not None and (save or s.always):
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
    final = [torch.empty(x.shape, dtype=x.dtype) for x in tensors.before]
    recorded = [data.new_empty(steps.total, lengths[program.size(s)]) for s in program.recorded]
    arrays |= {"x": data, "output": output}
    arrays.update(zip(program.recorded.values(), recorded, strict=True))
    arrays.update(zip(program.final, final, strict=True))
    numbers = {"steps": steps.count, "batch": steps.batch, "threads": threads, "chunk": chunk, "packed": 0}
    k.forward.bound(arrays, {**numbers, **lengths, **strides})()
    del room  # until now
    return [output, *final, *recorded, *(stored[x] for x in program.saved if save)]


def _begin(place: Tensor | int | None, now: Tensor, times: int) -> None:
    """Write a state before the first step where the steps will read it, in one place or in two that follow each other."""
    begin = place.data_ptr() if isinstance(place, Tensor) else place
    assert begin is not None
    for k in range(times):
        ctypes.memmove(begin + k * now.nbytes, now.data_ptr(), now.nbytes)


def backward(
    k: Kernel,
    run: Run,
    tensors: Tensors,
    lengths: dict[str, int],
    arriving: Arriving,
) -> dict[str, list[Tensor]]:
    """Run a loop backwards, as ``compiled.Kernels.backward`` says."""
    asked = arriving.asked
    program, steps, data = k.program, Steps.of(run.rows, run.reverse), tensors.data
    inner = tuple(program.interface.inner.values())
    dense, saved = _contiguous(tensors.dense), _contiguous(arriving.saved)
    threads = threads_for(dense, steps.total)
    flags = None if tensors.resets is None else tensors.resets.contiguous()
    addresses, strides = weights(inner, lengths, dense)

    def room(rows: int, sizes: Mapping[str, tuple[int, str]]) -> dict[str, Tensor]:
        return {name: data.new_empty(rows, count * lengths[n]) for name, (count, n) in sizes.items()}

    sums = {name: data.new_zeros(threads, lengths[n]) for name, n in program.sums.items()}
    adjoints = room(steps.total, program.adjoints | program.own)
    carried = [x.clone(memory_format=torch.contiguous_format) for x in arriving.final]
    direct = [torch.empty(steps.total, x.shape[1], dtype=x.dtype) if "initial" in asked else None for x in carried]
    counts = {panel(stack): k.panel(stack, lengths, transposed=True) for stack in inner}
    memory, places = scratch(data, counts | {name: steps.batch * lengths[n] for name, n in program.cross_back.items()})
    arrays = common(program, tensors, steps, flags) | addresses | sums | adjoints | places
    arrays.update((program.stored[x].array, value) for x, value in zip(program.saved, saved, strict=True))
    arrays.update(zip(program.carried, carried, strict=True))
    arrays.update(zip(program.direct, direct, strict=True))
    arrays[program.given] = arriving.given.contiguous()
    arrays.update(zip(program.given_recorded, _contiguous(arriving.recorded), strict=True))
    numbers = {"steps": steps.count, "batch": steps.batch, "threads": threads, "chunk": 1, "packed": 0}
    k.backward.bound(arrays, {**numbers, **lengths, **strides})()
    del memory  # until now

    found = Adjoints(
        groups=[adjoints[name] for name in program.adjoints],
        hoisted=[adjoints.get(f"E_{j}_bar") for j in range(len(program.loop.hoisted))],
        vectors=[x.sum(0) if threads > 1 else x[0] for x in sums.values()],
        carried=carried,
        direct=direct,
    )
    operands = dict(zip(program.saved, saved, strict=True))
    return gradients(
        program.live, program.interface, run, steps, replace(tensors, dense=dense), lengths, operands, found, asked
    )


def _contiguous(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [x.contiguous() for x in tensors]
