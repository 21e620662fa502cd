"""What every layer of a cell has: options that say how its parameters are made, the parameters, and their first values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from carousel import kernels
from carousel.equations import Cell
from carousel.layers import further
from carousel.layers.first_values import Rule, rules, start, start_all
from carousel.layers.parameters import Parameters, finite_number, flag, grouped, marked, one_of, whole_number


class CellLayer(nn.Module):
    """A layer of a cell, whatever its steps follow.

    Its parameters come in sets, one for each layer and direction, or for each scan of a grid. A set has a mark, in which the
    names of its parameters end: ``W.im`` is ``W["im_l0"]`` where the mark is ``_l0``. Options are those of ``Recurrent``.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        proj_size: int | None = None,
        recurrent_init: str = "uniform",
        forget_bias: float | None = None,
        init: Mapping[str, Rule] | None = None,
        input_sizes: Mapping[str, int] | None = None,
    ):
        super().__init__()
        kernels.register(cell)
        self.cell = cell
        self.input_size = whole_number("input_size", input_size, 1)
        self.hidden_size = whole_number("hidden_size", hidden_size, 1)
        if proj_size is not None:
            proj_size = whole_number("proj_size", proj_size, int(cell.has_projection))
        if proj_size and not cell.has_projection:
            raise ValueError(f"cell {cell.name} has no projection, so proj_size must be 0, not {proj_size}")
        self.proj_size = self._projection(self.hidden_size) if proj_size is None else proj_size
        self.bias = flag("bias", bias)
        self.recurrent_init = one_of("recurrent_init", recurrent_init, ("uniform", "orthogonal"))
        self.forget_bias = None if forget_bias is None else finite_number("forget_bias", forget_bias)
        if self.forget_bias is not None and not self.bias:
            raise ValueError("forget_bias starts the bias b.f, which bias=False leaves out")
        present = [p.name for p in cell.trace.parameters if p.learned and (self.bias or p.kind != "bias")]
        self.init = rules({} if init is None else init, present, cell.name)
        self.input_sizes = further.given_sizes(cell, {} if input_sizes is None else input_sizes)
        own = (self._step_size, self.hidden_size, self.proj_size, *self.input_sizes.values())
        self.output_size = cell.length(cell.trace.states[0].size, *own)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        kernels.register(self.cell)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    @property
    def _step_size(self) -> int:
        """The numbers of a step's input in the first layer."""
        return self.input_size

    def _projection(self, hidden_size: int) -> int:
        """Return the size of the output of so many units where no option says it; 0 where the cell does not project it."""
        half = max(1, hidden_size // 2 // self.cell.heads) * self.cell.heads
        return (half if self.cell.input_is_memory else self._step_size) if self.cell.has_projection else 0

    def _sets(self) -> Mapping[str, tuple[int, ...]]:
        """Return the marks of all sets of parameters, and of each the sizes that ``Cell.parameter_specs`` takes."""
        raise NotImplementedError

    def all_sizes(self) -> list[tuple[int, ...]]:
        """Return the sizes of each set of parameters: of the input, the states, the projection, and of further inputs."""
        return list(self._sets().values())

    def _specs(self, *sizes: int) -> list[Any]:
        return self.cell.parameter_specs(*sizes, recurrent_init=self.recurrent_init, forget_bias=self.forget_bias)

    def _make(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Make ``W``, ``w`` and ``b``, without first values."""
        self.W, self.w, self.b = Parameters(), Parameters(), Parameters()
        for mark, sizes in self._sets().items():
            for p in self._specs(*sizes):
                space, key = marked(p.name, mark)
                empty = torch.empty(p.shape, device=device, dtype=dtype)
                if p.kind == "bias" and not self.bias:
                    getattr(self, space).register_buffer(key, empty, persistent=False)  # zeros that go where the layer goes
                else:
                    getattr(self, space)[key] = nn.Parameter(empty)

    def _remember(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Let a buffer remember device and type, where there is no parameter that does."""
        if next(self.parameters(), None) is None:
            self.register_buffer("_like", torch.empty(0, device=device, dtype=dtype), persistent=False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters anew: uniform in ±1/√hidden_size as torch.nn.LSTM, or as the options say."""
        for mark, sizes in self._sets().items():
            bound = sizes[1] ** -0.5
            specs = self._specs(*sizes)
            parameters = {p.name: self._parameter(p.name, mark) for p in specs}
            for p in specs:
                parameter = parameters[p.name]
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
                start_all(self.init, parameters, {p.name: p.heads for p in specs})

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters, each once: "recurrent" and "input" (dense weights from states, from the input), "peephole"
        (diagonal weights), "bias", "initial" (states that are learned). Of a weight that is computed from others, those.
        """
        return grouped(self, ((p, *marked(p.name, mark)) for mark, s in self._sets().items() for p in self._specs(*s)))

    def _parameter(self, name: str, mark: str) -> Tensor:
        """Return the parameter that the equations call ``name``, of the set with a mark. Raises KeyError."""
        space, key = marked(name, mark)
        holder = self._modules[space]
        assert isinstance(holder, Parameters)
        found = holder._parameters.get(key)
        if found is None:  # it is computed from others, or is not there
            found = getattr(holder, key, None)
        if found is None:
            raise KeyError(name)
        return found

    def refresh(self) -> None:
        """Compute anew the parameters that hooks compute (torch.nn.utils.prune); a call of the layer begins with this."""
        for space in self._modules.values():
            if isinstance(space, Parameters):
                space.refresh()

    def _recorded(self, record: Sequence[str] | None) -> tuple[str, ...]:
        """Return the names that a call records, each once. Raises TypeError for one text, ValueError for a name of nothing."""
        if isinstance(record, str):
            raise TypeError(f"record is a list of names: record=[{record!r}]")
        names = tuple(dict.fromkeys(record or ()))
        if unknown := [n for n in names if n not in self.cell.names]:
            raise ValueError(f"cell {self.cell.name} has no quantity {unknown[0]!r}; it has {', '.join(self.cell.names)}")
        return names


def of_heads(cell: Cell, heads: int | None) -> Cell:
    """Return a cell with another number of heads, where one is given. Raises as ``Cell.with_heads``."""
    return cell if heads is None else cell.with_heads(whole_number("heads", heads, 1))
