"""A cell's loop one step at a time, for text or signals as they come: everything is allocated and packed once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.kernels.cpu.boundary import check, check_step
from carousel.kernels.cpu.kernel import Layout, Steps, addresses, kernel
from carousel.kernels.inputs import enter_some, loop_of


def steppable(cell: Cell) -> bool:
    """Whether nothing but plain products of the input leaves the cell's loop."""
    loop = loop_of(cell)
    return bool(loop.stages) and len(loop.entering) == len(loop.outer)


class Stepper:
    """Runs one step of a cell at each call, without derivatives, in one thread.

    The state is kept inside, in two copies that take turns: a step reads one and writes the other.

    Args:
        before: the states to begin with, (rows, size) by name.
        parameters: by name, as of now: later changes are not seen.
    """

    def __init__(self, cell: Cell, input_size: int, before: Mapping[str, Tensor], parameters: Mapping[str, Tensor]):
        names = [s.name for s in cell.trace.states if s.size is not None]
        first = before[names[0]]
        self.cell, self.rows = cell, len(first)
        self.data = first.new_zeros(self.rows, input_size)
        self.kernel = kernel(loop_of(cell), first.dtype)
        layout: Layout = self.kernel.layout
        with torch.no_grad():
            _, vectors, values = enter_some(cell, self.data, before, parameters)
        symbols = {p.name: p.symbol for p in cell.trace.parameters}
        dense = [values[symbols[n]].detach().contiguous() for n in layout.dense]
        biases = [values[b].detach() for b in layout.biases]
        states = [[before[n].detach().clone() for n in names], [before[n].detach().clone() for n in names]]
        clocks = [before[s.name] for s in cell.trace.states if s.size is None]
        self.clock = clocks[0][:, 0].to(first.dtype).clone() if clocks else None
        lists = {"data": [self.data], "dense": dense, "biases": biases, "entering": [], "vectors": vectors}
        lists |= {"before": states[0], "initial": [], "clock": [] if self.clock is None else [self.clock]}
        lengths = check(layout, (self.rows,), first.dtype, lists, None)
        self.output = first.new_empty(self.rows, first.shape[1])
        self.states, self.turn = states, 0

        new = first.new_empty
        bias = layout.bias(lengths, biases, self.data)
        outer_panels = [self.kernel.panel(first, lengths[n], count, lengths[layout.input]) for count, n, _ in layout.outer]
        inner_panels = [self.kernel.panel(first, lengths[n], count, lengths[x]) for count, n, xs in layout.groups for x in xs]
        entered = [new(self.rows, len(x)) for x in bias]
        pointers, strides = layout.weights(lengths, dense)
        place = {p: k for k, p in enumerate(layout.stored_state) if p is not None}
        others = {
            p: new(self.rows, lengths[n])
            for p, (n, lent) in enumerate(zip(layout.stored, layout.lent, strict=True))
            if lent and p not in place
        }
        steps = Steps((self.rows,), False, False)
        vectors = [v.detach().contiguous() for v in vectors]
        self._calls = []
        for turn in (0, 1):
            stored = [states[turn][place[p]] if p in place else others.get(p) for p in range(len(layout.stored))]
            arrays = [self.data, *outer_panels, *bias, *entered, *vectors, *inner_panels, *pointers, *stored]
            arrays += [*[None] * len(layout.remembered), *states[1 - turn], self.output, *([self.clock] * layout.has_clock)]
            self._calls.append(addresses(steps, None, [1, 1, *lengths, *strides], arrays, threads=1))
        # The addresses above stay good as long as their tensors do.
        self._alive = [dense, bias, outer_panels, inner_panels, entered, vectors, others, steps]
        pack = self._calls[0][1]
        pack[4] = 0
        kept = [x.clone() for x in states[0]]
        self._run(0)  # packs the weights; what it computes is thrown away
        pack[4] = 1
        for x, y in zip(states[0], kept, strict=True):
            x.copy_(y)

    def _run(self, turn: int) -> None:
        pointers, numbers, team = self._calls[turn]
        self.kernel.forward(pointers, numbers, team)

    def take(self, x: Tensor) -> Tensor:
        """Take a step with the input ``x``, (rows, input_size); gives ``output``, which the next step overwrites.

        Raises ValueError for another shape, type or device.
        """
        check_step(self.data, x)
        self.data.copy_(x)
        self._run(self.turn)
        self.turn = 1 - self.turn
        if self.clock is not None:
            self.clock += 1
        return self.output

    def state(self) -> dict[str, Tensor]:
        """The states after the last step, copied, (rows, size) by name."""
        names = [s.name for s in self.cell.trace.states if s.size is not None]
        found = {n: x.clone() for n, x in zip(names, self.states[self.turn], strict=True)}
        if self.clock is not None:
            found[self.cell.trace.states[-1].name] = self.clock.unsqueeze(1).float()
        return found
