"""Calls without derivatives, remembered: one with tensors of the same shapes finds all known but their addresses.

What a call costs before its loop begins is Python's time, which a small call would feel. A plan runs the same compiled code as
``calls.forward`` on the same numbers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from carousel.kernels import stacks
from carousel.kernels.backend import Call, Result
from carousel.kernels.cpu import compiler
from carousel.kernels.cpu.kernel import Kernel, most_threads
from carousel.kernels.cpu.layout import forward_layout, shapes
from carousel.kernels.derivatives import plain, transformed
from carousel.kernels.inputs import loop_of, parameters_alone
from carousel.kernels.interface import interface_of

MOST = 1024  # plans that are kept
_plans: dict[tuple[object, ...], Plan] = {}


def usual(call: Call) -> bool:
    """Return whether a plan can do such a call: no derivatives, nothing but the input, states and parameters as they are."""
    return (
        call.batch_sizes is None
        and call.resets is None
        and not (call.record or call.clamp or call.inputs or call.noise)
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not transformed()
        and parameters_alone(call.cell) is not None
        and loop_of(call.cell).clock is None
    )


def remembered(call: Call) -> Result | None:
    """Return the result of a ``usual`` call that has been planned, None of another."""
    plan = _plans.get(_key(call))
    if plan is None:
        return None
    tensors = _tensors(call)
    return plan.run(tensors) if plan.fits(tensors) else None


def remember(call: Call, kernel: Kernel) -> None:
    """Plan calls such as a ``usual`` one that has run, by which its tensors have been checked."""
    tensors = _tensors(call)
    if plain(*tensors) and all(x.is_contiguous() for x in tensors):
        if len(_plans) >= MOST:
            _plans.clear()
        _plans[_key(call)] = Plan(call, kernel, tensors)


def _key(call: Call) -> tuple[object, ...]:
    shapes = call.data.shape, call.before[call.cell.states[0]].shape
    return call.cell, *shapes, call.data.dtype, call.reverse, most_threads(), compiler.simd()


def _tensors(call: Call) -> list[Tensor]:
    """Return the tensors of a call: its input, then states, dense weights, biases and vectors, each in the loop's order."""
    names = parameters_alone(call.cell)
    assert names is not None
    states = interface_of(loop_of(call.cell)).state_names
    return [call.data, *[call.before[n] for n in states], *[call.parameters[n] for kind in names for n in kind]]


def _described(tensors: Sequence[Tensor]) -> list[tuple[object, ...]]:
    """Return all by which tensors may differ but their numbers: shapes, types, layouts, what PyTorch's dispatcher looks at."""
    return [(x.shape, x.dtype, x.is_contiguous(), torch._C._dispatch_keys(x).raw_repr()) for x in tensors]


class Plan:
    """A call's layout, and where each address stands among those that the compiled code takes.

    Args:
        call: a ``usual`` one.
        kernel: of its loop and type.
        tensors: the call's, as ``_tensors`` gives them.
    """

    def __init__(self, call: Call, kernel: Kernel, tensors: Sequence[Tensor]):
        self.entry, program, interface = kernel.forward, kernel.program, kernel.program.interface
        self.alike = _described(tensors)
        counts = {"data": 1, "before": len(interface.state_names), "dense": len(interface.dense)}
        counts |= {"biases": len(interface.biases), "vectors": len(program.vectors)}
        self.places, first = {}, 0
        for kind, count in counts.items():
            self.places[kind], first = slice(first, first + count), first + count
        lists = {kind: tensors[place] for kind, place in self.places.items()}
        self.lengths = interface.lengths_of({**lists, "hoisted": []})
        data, before = call.data, lists["before"]
        layout = forward_layout(
            kernel, tuple(call.rows), call.reverse, tuple(self.lengths.values()), shapes(lists["dense"]), most_threads(), False
        )
        self.layout, self.states, self.outer = layout, interface.state_names, interface.outer
        slots = {name: place for place, name in enumerate(self.entry.arrays)}
        known = {"at": layout.steps.at, "slot": layout.steps.turns, "rows": layout.steps.rows}
        self.known = bytes(self.entry.pointers(*[known[n].data_ptr() if n in known else None for n in self.entry.arrays]))
        begins = {name: at * data.itemsize for name, at in layout.room.begins.items()}
        self.scratch = [(slots[name], at) for name, at in begins.items()]
        self.weights = [(slots[name], number, at * data.itemsize) for name, number, at in layout.weights]
        self.starts = [
            (s.state, begins[s.array], before[s.state].numel() * data.itemsize)
            for s in program.stored.values()
            if s.state is not None and s.always
        ]
        made = ["x", *program.vectors, *(f"bias_{stack.name}" for stack in interface.outer), "output", *program.final]
        self.made = [slots[name] for name in made]

    def fits(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether tensors are as those that were checked, so plain ones of the processor, in one piece each."""
        return not torch._C._len_torch_dispatch_stack() and _described(tensors) == self.alike

    def run(self, tensors: Sequence[Tensor]) -> Result:
        """Run the loop over tensors that fit."""
        data, before, dense = tensors[0], tensors[self.places["before"]], tensors[self.places["dense"]]
        biases, steps = tensors[self.places["biases"]], self.layout.steps
        memory = data.new_empty(self.layout.room.total)
        output, final = data.new_empty(steps.total, before[0].shape[1]), [torch.empty_like(x) for x in before]
        sums = [stacks.begin(stack, self.lengths, biases, data) for stack in self.outer]
        begin, addresses = memory.data_ptr(), [x.data_ptr() for x in dense]
        pointers = self.entry.pointers.from_buffer_copy(self.known)
        for slot, at in self.scratch:
            pointers[slot] = begin + at
        for slot, number, at in self.weights:
            pointers[slot] = addresses[number] + at
        for slot, x in zip(self.made, (data, *tensors[self.places["vectors"]], *sums, output, *final), strict=True):
            pointers[slot] = x.data_ptr()
        for state, at, size in self.starts:  # where the first step reads it; the place beside it is the next step's
            ctypes.memmove(begin + at, before[state].data_ptr(), size)
        self.entry.call(pointers, self.layout.numbers)
        del memory  # until now
        return Result(output, dict(zip(self.states, final, strict=True)), {})
