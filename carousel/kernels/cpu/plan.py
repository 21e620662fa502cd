"""Calls that are remembered: one with tensors of the same shapes finds all known but their addresses.

What a call costs before its loop begins is Python's time, which a small call would feel. A plan runs the same compiled code as
``calls`` on the same numbers, forwards and backwards.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from carousel.kernels import stacks
from carousel.kernels.backend import Call, Result
from carousel.kernels.compiled import ON_REQUEST, Run
from carousel.kernels.cpu import calls, compiler
from carousel.kernels.cpu.kernel import Entry, Kernel, most_threads
from carousel.kernels.cpu.layout import Layout, backward_layout, forward_layout, shapes
from carousel.kernels.derivatives import plain, planned, transformed
from carousel.kernels.inputs import loop_of, parameters_alone
from carousel.kernels.interface import KINDS, Arriving, Tensors, interface_of
from carousel.kernels.registry import register

MOST = 1024  # plans that are kept
# All that a call may ask for beside what a plan knows, so that a plan never passes by what it has not heard of.
OTHERS = tuple(
    f.name for f in fields(Call) if f.name not in ("cell", "data", "before", "parameters", "reverse", "segment_length")
)
_plans: dict[tuple[object, ...], Plan] = {}


def usual(call: Call) -> bool:
    """Return whether a plan can do such a call: nothing but the input, states and parameters as they are."""
    return (
        all(_nothing(getattr(call, name)) for name in OTHERS)
        and not call.cell.before
        and not torch.compiler.is_compiling()
        and not transformed()
        and parameters_alone(call.cell) is not None
        and loop_of(call.cell).clock is None
    )


def _nothing(value: Any) -> bool:
    return value is None or (not isinstance(value, Tensor) and not value)


def remembered(call: Call) -> Result | None:
    """Return the result of a ``usual`` call that has been planned, None of another."""
    tensors = _tensors(call)
    if not all(isinstance(x, Tensor) for x in tensors):
        return None
    plan = _plans.get(_key(call, tensors))
    if plan is None or not plan.fits(tensors):
        return None
    output, *final = (planned(plan, tensors) if plan.saves else plan.forward(tensors))[: plan.run.results]
    return Result(output, dict(zip(plan.states, final, strict=True)), {})


def remember(call: Call, kernel: Kernel) -> None:
    """Plan calls such as a ``usual`` one that has run, by which its tensors have been checked."""
    tensors = _tensors(call)
    if plain(*tensors) and all(x.is_contiguous() for x in tensors):
        if len(_plans) >= MOST:
            _plans.clear()
        _plans[_key(call, tensors)] = Plan(call, kernel, tensors, _saves(tensors))


def _key(call: Call, tensors: Sequence[Tensor]) -> tuple[object, ...]:
    shapes = call.data.shape, call.before[call.cell.states[0]].shape
    return call.cell, *shapes, call.data.dtype, call.reverse, _saves(tensors), most_threads(), compiler.simd()


def _saves(tensors: Sequence[Tensor]) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def _tensors(call: Call) -> list[Tensor]:
    """Return the tensors of a call as ``KINDS`` orders them: input, dense weights, biases, vectors, states."""
    names = parameters_alone(call.cell)
    assert names is not None
    states = interface_of(loop_of(call.cell)).state_names
    return [call.data, *[call.parameters[n] for kind in names for n in kind], *[call.before[n] for n in states]]


def _described(tensors: Sequence[Tensor]) -> list[tuple[object, ...]]:
    """Return all by which tensors may differ but their numbers: shapes, types, layouts, what PyTorch's dispatcher looks at."""
    return [(x.shape, x.dtype, x.is_contiguous(), torch._C._dispatch_keys(x).raw_repr()) for x in tensors]


class Plan:
    """A call's layout, and where each address stands among those that the compiled code takes.

    Args:
        call: a ``usual`` one.
        kernel: of its loop and type.
        tensors: the call's, as ``_tensors`` gives them.
        saves: whether a run backwards may follow.
    """

    def __init__(self, call: Call, kernel: Kernel, tensors: Sequence[Tensor], saves: bool):
        self.kernel, self.saves, self.alike = kernel, saves, _described(tensors)
        program, interface = kernel.program, kernel.program.interface
        counts = {kind: len(interface.tensors[kind]) for kind in KINDS} | {"hoisted": 0, "initial": 0}
        self.run = Run("cpu", register(call.cell), tuple(counts.values()), tuple(call.rows), call.reverse)
        lists = self.run.lists(tensors)
        ends = list(accumulate(counts.values(), initial=0))
        self.places = {kind: slice(*ends[k : k + 2]) for k, kind in enumerate(counts)}
        self.lengths, self.states, self.threads = interface.lengths_of(lists), interface.state_names, most_threads()
        self.given = tuple(self.run.rows), call.reverse, tuple(self.lengths.values()), shapes(lists["dense"]), self.threads
        self.layout = forward_layout(kernel, *self.given, saves)
        self.entry = _Entry(kernel.forward, self.layout, self.layout.steps.at if saves else self.layout.steps.turns)
        self.stored = {s.array: self.lengths[s.size] for s in program.stored.values()} if saves else {}
        self.outer, self.saved = interface.outer, [program.stored[x].array for x in program.saved if saves]
        first, size = (int(self.layout.steps.first[0]) if saves else 0), call.data.itemsize
        self.starts = [
            (s.state, self.entry.slots[s.array], first * self.lengths[s.size] * size, lists["before"][s.state].numel() * size)
            for s in program.stored.values()
            if s.state is not None and (saves or s.always)
        ]
        sums = [f"bias_{stack.name}" for stack in interface.outer]
        self.made = self.entry.places(["x", *program.vectors, *sums, *self.stored, "output", *program.final])

    def fits(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether tensors are as those that were checked, so plain ones of the processor, in one piece each."""
        return not torch._C._len_torch_dispatch_stack() and _described(tensors) == self.alike

    def forward(self, flat: Sequence[Tensor]) -> list[Tensor]:
        """Return outputs, states after the last step, and what the run saves, of tensors that fit."""
        steps, data, dense, before = self.layout.steps, flat[0], flat[self.places["dense"]], flat[self.places["before"]]
        memory = data.new_empty(self.layout.room.total)
        output, final = data.new_empty(steps.total, before[0].shape[1]), [torch.empty_like(x) for x in before]
        biases = flat[self.places["biases"]]
        sums = [stacks.begin(stack, self.lengths, biases, data) for stack in self.outer]
        stored = {name: data.new_empty(steps.total, units) for name, units in self.stored.items()}
        pointers = self.entry.pointers(memory, dense)
        made = (data, *flat[self.places["vectors"]], *sums, *stored.values(), output, *final)
        for slot, x in zip(self.made, made, strict=True):
            pointers[slot] = x.data_ptr()
        for state, slot, at, size in self.starts:  # where the first step reads it; the place beside it is the next step's
            ctypes.memmove(pointers[slot] + at, before[state].data_ptr(), size)
        self.entry.call(pointers)
        del memory  # until now
        return [output, *final, *[stored[name] for name in self.saved]]

    def backward(self, asked: Sequence[bool], tensors: Sequence[Tensor]) -> list[Tensor] | None:
        """Return gradients as ``derivatives.Planned`` says."""
        return self._back(asked, tensors) if most_threads() == self.threads else None

    @cached_property
    def _back(self) -> _Back:
        return _Back(self)


class _Entry:
    """A compiled function with a layout: what it takes but for the tensors of each call; ``slot``: where saved rows begin."""

    def __init__(self, entry: Entry, layout: Layout, slot: Tensor):
        self.entry, self.layout = entry, layout
        self.slots = {name: place for place, name in enumerate(entry.arrays)}
        known = {"at": layout.steps.at, "slot": slot, "rows": layout.steps.rows}
        self.kept = known  # whose addresses are
        self.known = bytes(entry.pointers(*[known[n].data_ptr() if n in known else None for n in entry.arrays]))

    def places(self, names: Sequence[str]) -> list[int]:
        """Return where the addresses of arrays stand."""
        return [self.slots[name] for name in names]

    def pointers(self, memory: Tensor, dense: Sequence[Tensor]) -> Any:
        """Return all addresses, those of ``memory``, of the scratch arrays there, and of the weights put in."""
        found = self.entry.pointers.from_buffer_copy(self.known)
        begin, addresses, size = memory.data_ptr(), [x.data_ptr() for x in dense], memory.itemsize
        for name, at in self.layout.room.begins.items():
            found[self.slots[name]] = begin + at * size
        for name, number, at in self.layout.weights:
            found[self.slots[name]] = addresses[number] + at * size
        return found

    def call(self, pointers: Any) -> None:
        """Call the function."""
        self.entry.call(pointers, self.layout.numbers)


class _Back:
    """A plan's run backwards."""

    def __init__(self, plan: Plan):
        program = plan.kernel.program
        self.plan, self.program, self.layout = plan, program, backward_layout(plan.kernel, *plan.given)
        self.entry = _Entry(plan.kernel.backward, self.layout, self.layout.steps.at)
        self.rooms = [count * plan.lengths[n] for count, n in (program.adjoints | program.own).values()]
        self.sums = [plan.lengths[n] for n in program.sums.values()]
        self.saved = [program.stored[x].array for x in program.saved]
        names = [*program.vectors, *program.sums, *program.adjoints, *program.own, *program.carried, *self.saved, program.given]
        self.made = self.entry.places(names)
        self.shapes = [(self.layout.steps.total, plan.lengths[program.size(x)]) for x in program.saved]

    def __call__(self, asked: Sequence[bool], tensors: Sequence[Tensor]) -> list[Tensor] | None:
        plan, program, steps = self.plan, self.program, self.layout.steps
        run = plan.run
        results, last = run.results, run.results + sum(run.counts)
        flat, saved = tensors[results:last], tensors[last:]
        # Hooks of PyTorch may have put others in their place.
        since = [*tensors[:results], *saved]
        if not plan.fits(flat) or [tuple(x.shape) for x in saved] != self.shapes or not plain(*since):
            return None
        if any(x.dtype is not flat[0].dtype for x in since) or not all(x.is_contiguous() for x in saved):
            return None
        lists, data, given = run.lists(flat), flat[0], tensors[0].contiguous()
        memory = data.new_empty(self.layout.room.total)
        sums = [data.new_zeros(self.layout.threads, n) for n in self.sums]
        rooms = [data.new_empty(steps.total, n) for n in self.rooms]
        carried = [x.clone(memory_format=torch.contiguous_format) for x in tensors[1:results]]
        pointers = self.entry.pointers(memory, lists["dense"])
        made = (*lists["vectors"], *sums, *rooms, *carried, *saved, given)
        for slot, x in zip(self.made, made, strict=True):
            pointers[slot] = x.data_ptr()
        self.entry.call(pointers)
        del memory  # until now
        wanted = [kind for kind, is_asked in zip(ON_REQUEST, asked, strict=True) if is_asked]
        adjoints = dict(zip((*program.adjoints, *program.own), rooms, strict=True))
        each = calls.finish(
            *(plan.kernel, run, steps, Tensors.of(lists, None, None), plan.lengths),
            Arriving(given, carried, [], saved, wanted),
            calls.Ended(adjoints, sums, carried, [None] * len(carried)),
        )
        return [x for kind in KINDS if kind in each for x in each[kind]]
