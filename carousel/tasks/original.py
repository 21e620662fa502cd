"""The networks of 1997, weight for weight: cells in blocks that share their gates, every hidden unit hearing every other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from carousel import kernels
from carousel.cells.lstm_1997 import lstm_1997, lstm_1997_bare, lstm_1997_truncated


@dataclass(frozen=True)
class Plan:
    """One line of the paper's tables 10 and 11.

    ``blocks`` of ``size`` cells; ``interval``: weights start in ±interval; ``input_gates``, ``output_gates``: a block's gate
    bias to begin with, by chance where None; ``bias``: which units have one, "none", "gates", "hidden" or "all"; ``rate``: of
    gradient descent; ``bare``: the network of 2a and 2b, in which the output also hears the input.
    """

    blocks: int
    size: int
    interval: float
    rate: float
    bias: str
    input_gates: Sequence[float] | None = None
    output_gates: Sequence[float] | None = None
    bare: bool = False


class Original(nn.Module):
    """A plan's network: symbols enter as they are (one of n), outputs are logistic.

    All weights are one vector; a table says which of them stands at which place of the cell's matrices, so that a block's
    cells share their gates and missing connections are zero. ``truncated``: with the gradient of 1997.
    """

    def __init__(self, plan: Plan, inputs: int, outputs: int, symbols: bool, *, truncated: bool = False):
        super().__init__()
        self.plan, self.inputs, self.outputs, self.symbols = plan, inputs, outputs, symbols
        whole = lstm_1997_truncated if truncated else lstm_1997
        self.cell = lstm_1997_bare if plan.bare else whole  # whose gate and cell hear no unit: nothing to truncate
        self.units = plan.blocks * plan.size
        self.cell_joined = True  # False: only the output's weights from the input learn (2a and 2b begin so)
        tables: list[np.ndarray] = []
        self.shapes: list[tuple[str, tuple[int, ...]]] = []
        self.count = 0
        for p in self.cell.parameter_specs(inputs, self.units):
            table = self._table(p.name, p.shape)
            tables.append(table.ravel())
            self.shapes.append((p.name, p.shape))
        self.recurrent = self.count
        for name, shape in self._output_shapes():
            tables.append((1 + self.count + np.arange(int(np.prod(shape)))).ravel())
            self.shapes.append((name, shape))
            self.count += int(np.prod(shape))
        start = torch.empty(self.count).uniform_(-plan.interval, plan.interval)
        for places, values in self._gate_biases(tables):
            start[places - 1] = torch.tensor(values, dtype=torch.float32)
        self.weights = nn.Parameter(start)
        self.table = torch.from_numpy(np.concatenate(tables))
        self.sizes = [int(np.prod(s)) for _, s in self.shapes]
        kernels.register(self.cell)

    def _table(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return for each place of a parameter of the cell the number of its weight, from 1; 0 where there is none."""
        into, source = name[2], name[3:4]
        size, units = self.plan.size, self.units
        rows = np.arange(units) // size if into in "io" else np.arange(units)
        if len(shape) == 1:
            if self.plan.bias == "none" or (self.plan.bias == "gates" and into == "h"):
                return np.zeros(shape, np.int64)
            return self._numbered(rows[:, None], np.zeros((1, 1), np.int64), 1)[:, 0]
        if source in "io" and not self.plan.bare:
            # One gate a block is heard: its first cell's copy.
            heard = np.arange(units) % size == 0
            numbers = self._numbered(rows[:, None], (np.arange(units) // size)[None, :], units // size)
            return np.where(heard[None, :], numbers, 0)
        return self._numbered(rows[:, None], np.arange(shape[1])[None, :], shape[1])

    def _numbered(self, rows: np.ndarray, columns: np.ndarray, width: int) -> np.ndarray:
        numbers = 1 + self.count + rows * width + columns
        self.count += (int(rows.max()) + 1) * width
        return numbers

    def _output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        shapes: list[tuple[str, tuple[int, ...]]] = [("output", (self.outputs, self.units))]
        if self.plan.bare:
            shapes += [("direct", (self.outputs, self.inputs))]
        if self.plan.bias == "all":
            shapes += [("bias", (self.outputs,))]
        return shapes

    def _gate_biases(self, tables: list[np.ndarray]) -> list[tuple[np.ndarray, list[float]]]:
        begin = []
        for (name, _), table in zip(self.shapes, tables, strict=True):
            values = {"b.i": self.plan.input_gates, "b.o": self.plan.output_gates}.get(name)
            if values is not None:
                begin.append((table[:: self.plan.size], list(values)))
        return begin

    def forward(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """Return the net inputs of the output units, (T, B, outputs), or (B, outputs) after the last of ``lengths`` steps."""
        whole = torch.cat([self.weights.new_zeros(1), self.weights]).index_select(0, self.table)
        each = {n: x.view(s) for (n, s), x in zip(self.shapes, whole.split(self.sizes), strict=True)}
        data = nn.functional.one_hot(inputs, self.inputs).float() if self.symbols else inputs
        steps, rows = data.shape[:2]
        flat = data.reshape(steps * rows, -1)
        before = {n: flat.new_zeros(rows, self.units) for n in self.cell.states}
        cell = {n: x for n, x in each.items() if "." in n}
        messages, _, _ = kernels.run(kernels.Call(self.cell, flat, [rows] * steps, before, cell))
        messages = messages.view(steps, rows, -1)
        if lengths is not None:
            messages = messages[lengths - 1, torch.arange(rows)]
        z = messages @ each["output"].t()
        if "direct" in each:
            z = z * self.cell_joined + data @ each["direct"].t()
        return z + each["bias"] if "bias" in each else z
