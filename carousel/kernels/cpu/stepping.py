"""A cell's loop one step at a time, for text or signals as they come: everything is allocated and packed once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.kernels.alike import alike
from carousel.kernels.backend import Call
from carousel.kernels.boundary import check, check_step
from carousel.kernels.cpu.calls import begins, common
from carousel.kernels.cpu.kernel import kernel
from carousel.kernels.cpu.layout import forward_layout, scratch, shapes
from carousel.kernels.inputs import hoist_rest, loop_of
from carousel.kernels.interface import Tensors


def steppable(cell: Cell) -> bool:
    """Return whether nothing but plain products of the input leaves the cell's loop, which has no further inputs."""
    loop = loop_of(cell)
    return bool(loop.stages) and not loop.edges and len(loop.hoisted) == len(loop.outer) and not cell.inputs


class CpuStepper:
    """Runs one step of a cell at each call, without derivatives, in one thread.

    The state stays inside, in two copies that take turns: a step reads one and writes the other.

    Args:
        cell: whose loop.
        input_size: of each step.
        before: the states to begin with, (rows, size) by name.
        parameters: by name, as of now: later changes are not seen.
        products: the type of weights that are multiplied, bfloat16 or int8, if another than the states'.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        before: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor],
        products: torch.dtype | None = None,
    ):
        names = [s.name for s in cell.trace.states if s.size is not None]
        first = before[names[0]]
        self.cell, rows = cell, len(first)
        self.data = first.new_zeros(rows, input_size)
        alike(cell, self.data, before, parameters)  # no dispatcher of PyTorch looks at their devices here
        made = kernel(loop_of(cell), first.dtype, products)
        program, interface = made.program, made.program.interface
        with torch.no_grad():
            _, vectors, values = hoist_rest(Call(cell, self.data, None, before, parameters))
        dense = [values[s].detach().contiguous() for s in interface.dense_symbols]
        biases = [values[b].detach() for b in interface.biases]
        self.states = [[_own(before[n]) for n in names] for _ in range(2)]
        clocks = [before[s.name] for s in cell.trace.states if s.size is None]
        self.clock = clocks[0][:, 0].to(first.dtype).clone() if clocks else None
        tensors = Tensors(self.data, dense, biases, [], vectors, self.states[0], [], self.clock, None)
        clock = [] if self.clock is None else [self.clock]
        lengths = check(interface, (rows,), first.dtype, {**tensors.lists(), "clock": clock}, None)
        self.output, self.turn = first.new_empty(rows, first.shape[1]), 0

        layout = forward_layout(made, (rows,), False, tuple(lengths.values()), shapes(dense), 1, True)
        room, places = scratch(first, layout.room)
        arrays = common(program, tensors, layout.steps, None)
        arrays |= begins(program, tensors, lengths) | layout.addresses(dense) | places
        arrays |= dict.fromkeys(program.initial) | {"x": self.data, "output": self.output}
        for s in program.stored.values():
            arrays[s.array] = first.new_empty(rows, lengths[s.size]) if s.always and s.state is None else None
        turns = []
        for now, after in (self.states, self.states[::-1]):
            read = {s.array: now[s.state] for s in program.stored.values() if s.state is not None}
            turns.append(arrays | read | dict(zip(program.final, after, strict=True)))
        packed = made.forward.counted(layout.named | {"packed": 1})
        self.steps = [made.forward.bound(each, packed) for each in turns]
        self._alive = (turns, dense, room)  # the addresses above stay good as long as their tensors do
        states = [x.clone() for x in self.states[0]]
        made.forward.bound(turns[1], layout.numbers)()  # packs the weights; what it computes is thrown away
        for x, y in zip(self.states[0], states, strict=True):
            x.copy_(y)

    def take(self, x: Tensor) -> Tensor:
        """Take a step with the input ``x``, (rows, input_size); return ``output``, which the next step overwrites.

        Raises ValueError for another shape, type or device.
        """
        check_step(self.data, x)
        self.data.copy_(x)
        self.steps[self.turn]()
        self.turn = 1 - self.turn
        if self.clock is not None:
            self.clock += 1
        return self.output

    def state(self) -> dict[str, Tensor]:
        """Return the states after the last step, copied, (rows, size) by name."""
        names = [s.name for s in self.cell.trace.states if s.size is not None]
        found = {n: x.clone() for n, x in zip(names, self.states[self.turn], strict=True)}
        if self.clock is not None:
            found[self.cell.trace.states[-1].name] = self.clock.unsqueeze(1).float()
        return found


def _own(state: Tensor) -> Tensor:
    """Return a copy with its rows one after another: a plain clone keeps another layout, which the kernel would not see."""
    return state.detach().clone(memory_format=torch.contiguous_format)
