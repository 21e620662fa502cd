"""What ``Grid`` and ``Tree`` share: a cell whose steps follow several, its parameters, and calls of it level by level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from carousel import cells, kernels
from carousel.equations import Cell
from carousel.layers import further
from carousel.layers.clamp import Clamps, arrays, changes, check, listed, sizes
from carousel.layers.of_cell import CellLayer, of_heads
from carousel.layers.parameters import check_input, tensor


class Levels(NamedTuple):
    """Steps in the order of their levels.

    ``order``: of each step its row among those of the input. ``sizes``: steps of each level. ``follows``: which each step
    precedes, as kernels take it.
    """

    order: Tensor
    sizes: tuple[int, ...]
    follows: Tensor


def outside_graphs(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a layer's call out of the graphs that torch.compile writes; refuse it where one is to leave the process."""

    hidden = _disable_dynamo(forward)  # torch.compiler.disable would load the compiler with the library

    @wraps(forward)
    def run(self: Levelled, *given: Any, **named: Any) -> Any:
        if torch.compiler.is_exporting() or torch.jit.is_tracing():
            raise ValueError(f"a step of cell {self.cell.name} follows several, and such a layer is not exported")
        return (hidden if torch.compiler.is_compiling() else forward)(self, *given, **named)

    return run


class Levelled(CellLayer):
    """A layer of a cell whose steps follow several.

    Args:
        cell: the cell, or its name.
        input_size: numbers of an element of the input.
        hidden_size: units of the states.
        marks: what the names of each set of parameters end in.
        heads: of the cell, where another number than its own.
        device: of the parameters.
        dtype: of the parameters.
        options: as those of ``CellLayer``.
    """

    def __init__(
        self,
        cell: str | Cell,
        input_size: int,
        hidden_size: int,
        marks: Sequence[str] = ("",),
        *,
        heads: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ):
        known = of_heads(cells.get(cell), heads)
        if not known.before:
            raise ValueError(f"a step of cell {known.name} follows one step: a layer of it is a Recurrent")
        super().__init__(known, input_size, hidden_size, **options)
        self.marks = tuple(marks)
        check_input(known, [self.sizes])
        self._make(device, dtype)
        self._remember(device, dtype)
        self.reset_parameters()

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of a step's input, of the states, the projection, and of further inputs that have one of their own."""
        return self._step_size, self.hidden_size, self.proj_size, *self.input_sizes.values()

    def _sets(self) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(self.marks, self.sizes)

    def parameter(self, name: str, mark: str = "") -> Tensor:
        """Return the parameter that the equations call ``name``, of the set that ``mark`` names. Raises KeyError."""
        return self._parameter(name, mark)

    def units(self) -> Mapping[str, int]:
        """Return the size of every quantity that has units."""
        return sizes(self.cell, *self.sizes)

    def extra_repr(self) -> str:
        """Return what the layer's representation says: the cell and the sizes."""
        return ", ".join([self.cell.name, str(self.input_size), str(self.hidden_size)] + ([] if self.bias else ["bias=False"]))

    def _run(
        self,
        levels: Levels,
        data: Tensor,
        inputs: Mapping[str, Tensor],
        record: tuple[str, ...],
        clamp: Clamps | None,
        mark: str = "",
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run one set of parameters; rows of what is given and given back are those of the input.

        Args:
            levels: the steps.
            data: of each row the input of a step, (rows, units).
            inputs: the further ones, checked, (rows, units) by name.
            record: names.
            clamp: values to hold at all steps.
            mark: of the parameters.
        """
        cell, clamps, units = self.cell, listed(clamp), sizes(self.cell, *self.sizes)
        check(clamps, cell, [units])
        if any(c.begin or c.end is not None or c.rows is not None for c in clamps):
            raise ValueError("steps in levels have no numbers: a clamp holds at all of them, without begin, end and rows")
        self.refresh()
        like = next(chain(self.parameters(), self.buffers()))
        lengths = {s.name: cell.length(s.size, *self.sizes) for s in cell.trace.declared}
        call = kernels.Call(
            cell,
            data.index_select(0, levels.order),
            levels.sizes,
            before={name: like.new_zeros(1, n) for name, n in lengths.items()},
            parameters={name: self.parameter(name, mark) for name in cell.learned},
            record=record,
            clamp=arrays(clamps, 0, units, len(levels.sizes), data.shape[0], data) if clamps else None,
            changes=changes(clamps, 0, len(levels.sizes), data.shape[0]),
            inputs={name: x.index_select(0, levels.order) for name, x in inputs.items()},
            follows=levels.follows,
        )
        found = kernels.run(call)
        return self._placed(found.output, levels, data), {k: self._placed(x, levels, data) for k, x in found.recorded.items()}

    @staticmethod
    def _placed(found: Tensor, levels: Levels, data: Tensor) -> Tensor:
        """Return what steps have given in the rows of the input; zero in rows that no step has."""
        rows = data.shape[0]
        if len(levels.order) == rows:
            return found.index_select(0, inverted(levels.order))
        return found.new_zeros(rows, found.shape[1]).index_copy(0, levels.order, found)

    def _further(self, given: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Return the further inputs of a call, checked: (\\*shape, units) by name."""
        further.check_names(self.cell, given)
        found = {}
        for x in self.cell.trace.inputs:
            value, units = tensor(f"input {x.name}", given[x.name]), self.cell.length(x.size, *self.sizes)
            value = value.unsqueeze(-1) if x.is_number and tuple(value.shape) == shape else value
            if tuple(value.shape) != (*shape, units):
                raise ValueError(f"input {x.name} has shape {tuple(given[x.name].shape)}, expected {(*shape, units)}")
            found[x.name] = value
        return found


def inverted(order: Tensor) -> Tensor:
    """Return the inverse of a permutation."""
    found = torch.empty_like(order)
    found[order] = torch.arange(len(order), device=order.device)
    return found
