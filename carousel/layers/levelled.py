"""What ``Grid`` and ``Tree`` share: a cell whose steps follow several, its parameters, and calls of it level by level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from carousel import cells, kernels
from carousel.equations import Cell
from carousel.layers import further
from carousel.layers.clamp import Clamps, arrays, check, listed, sizes
from carousel.layers.first_values import Rule, rules, start, start_all
from carousel.layers.parameters import Parameters, check_input, finite_number, flag, tensor, whole_number


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


class Levelled(nn.Module):
    """A layer of a cell whose steps follow several. ``marks``: what the names of each set of parameters end in."""

    def __init__(
        self,
        cell: str | Cell,
        input_size: int,
        hidden_size: int,
        marks: Sequence[str] = ("",),
        *,
        bias: bool = True,
        proj_size: int | None = None,
        recurrent_init: str = "uniform",
        forget_bias: float | None = None,
        heads: int | None = None,
        init: Mapping[str, Rule] | None = None,
        input_sizes: Mapping[str, int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.cell = cells.get(cell) if heads is None else cells.get(cell).with_heads(whole_number("heads", heads, 1))
        if not self.cell.before:
            raise ValueError(f"a step of cell {self.cell.name} follows one step: a layer of it is a Recurrent")
        kernels.register(self.cell)
        self.input_size, self.hidden_size = (
            whole_number("input_size", input_size, 1),
            whole_number("hidden_size", hidden_size, 1),
        )
        projects = self.cell.has_projection
        if proj_size and not projects:
            raise ValueError(f"cell {self.cell.name} has no projection, so proj_size must be 0, not {proj_size}")
        usual = max(1, hidden_size // 2 // self.cell.heads) * self.cell.heads if self.cell.input_is_memory else input_size
        self.proj_size = whole_number("proj_size", usual if proj_size is None else proj_size, 1) if projects else 0
        if recurrent_init not in ("uniform", "orthogonal"):
            raise ValueError(f"recurrent_init must be 'uniform' or 'orthogonal', not {recurrent_init!r}")
        self.bias, self.recurrent_init, self.marks = flag("bias", bias), recurrent_init, tuple(marks)
        self.forget_bias = None if forget_bias is None else finite_number("forget_bias", forget_bias)
        if self.forget_bias is not None and not self.bias:
            raise ValueError("forget_bias starts the bias b.f, which bias=False leaves out")
        present = [p.name for p in self.cell.trace.parameters if p.learned and (self.bias or p.kind != "bias")]
        self.init = rules({} if init is None else init, present, self.cell.name)
        self.input_sizes = further.given_sizes(self.cell, {} if input_sizes is None else input_sizes)
        check_input(self.cell, self._step_size, self.hidden_size, self.proj_size, 1, 1)
        self.output_size = self.cell.length(self.cell.trace.states[0].size, *self.sizes)
        self.W, self.w, self.b = Parameters(), Parameters(), Parameters()
        for mark in self.marks:
            for p in self._specs():
                space, key = self._place(p.name, mark)
                empty = torch.empty(p.shape, device=device, dtype=dtype)
                if p.kind == "bias" and not self.bias:
                    getattr(self, space).register_buffer(key, empty, persistent=False)
                else:
                    getattr(self, space)[key] = nn.Parameter(empty)
        if next(self.parameters(), None) is None:  # then a buffer remembers dtype and device
            self.register_buffer("_like", torch.empty(0, device=device, dtype=dtype), persistent=False)
        self.reset_parameters()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        kernels.register(self.cell)

    @property
    def _step_size(self) -> int:
        """The numbers of a step's input."""
        return self.input_size

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of a step's input, of the states, the projection, and of further inputs that have one of their own."""
        return self._step_size, self.hidden_size, self.proj_size, *self.input_sizes.values()

    def _specs(self) -> list[Any]:
        return self.cell.parameter_specs(*self.sizes, recurrent_init=self.recurrent_init, forget_bias=self.forget_bias)

    @staticmethod
    def _place(name: str, mark: str) -> tuple[str, str]:
        space, _, letters = name.partition(".")
        return space, letters + mark

    def parameter(self, name: str, mark: str = "") -> Tensor:
        """Return the parameter that the equations call ``name``, of the set that ``mark`` names. Raises KeyError."""
        space, key = self._place(name, mark)
        found = getattr(self._modules[space], key, None)
        if not isinstance(found, Tensor):
            raise KeyError(f"{name}{mark}")
        return found

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters anew: uniform in ±1/√hidden_size as torch.nn.LSTM, or as the options say."""
        bound, heads = self.hidden_size**-0.5, {p.name: p.heads for p in self._specs()}
        for mark in self.marks:
            for p in self._specs():
                parameter = self.parameter(p.name, mark)
                if p.kind == "bias" and not self.bias:
                    nn.init.zeros_(parameter)
                elif p.name in self.init:
                    continue
                elif p.initial == "orthogonal":
                    start(parameter, p.name, "orthogonal", p.heads)
                elif p.initial == "uniform":
                    nn.init.uniform_(parameter, -bound, bound)
                else:
                    nn.init.constant_(parameter, float(p.initial))
            if self.init:
                start_all(self.init, {name: self.parameter(name, mark) for name in heads}, heads)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """Return what the layer's representation says: the cell and the sizes."""
        return ", ".join([self.cell.name, str(self.input_size), str(self.hidden_size)] + ([] if self.bias else ["bias=False"]))

    def _names(self, record: Sequence[str] | None) -> tuple[str, ...]:
        """Return what a call records, checked."""
        if isinstance(record, str):
            raise TypeError(f"record is a list of names: record=[{record!r}]")
        names = tuple(dict.fromkeys(record or ()))
        if unknown := [n for n in names if n not in self.cell.names]:
            raise ValueError(f"cell {self.cell.name} has no quantity {unknown[0]!r}; it has {', '.join(self.cell.names)}")
        return names

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
        check(clamps, cell, 1, units)
        if any(c.begin or c.end is not None for c in clamps):
            raise ValueError("steps in levels have no numbers: a clamp holds at all of them, without begin and end")
        for space in (self.W, self.w, self.b):
            space.refresh()
        like = next(chain(self.parameters(), self.buffers()))
        lengths = {s.name: cell.length(s.size, *self.sizes) for s in cell.trace.declared}
        call = kernels.Call(
            cell,
            data.index_select(0, levels.order),
            levels.sizes,
            before={name: like.new_zeros(1, n) for name, n in lengths.items()},
            parameters={name: self.parameter(name, mark) for name in cell.learned},
            record=record,
            clamp=arrays(clamps, 0, units, len(levels.sizes), data) if clamps else None,
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
