"""``Recurrent``: an nn.Module over any cell, with the calling convention of torch.nn.LSTM."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from carousel import cells, kernels
from carousel.equations import Cell
from carousel.equations.before import names
from carousel.layers import further
from carousel.layers.clamp import Clamp, Clamps, arrays, changes, check, listed, sizes
from carousel.layers.first_values import Rule
from carousel.layers.layout import SKIPS, Layout, check_skip, of_each
from carousel.layers.noise import checked, running
from carousel.layers.of_cell import CellLayer, of_heads
from carousel.layers.parameters import (
    Parameters,
    check_input,
    finite_number,
    flag,
    one_of,
    place,
    probability,
    suffix,
    tensor,
    whole_number,
)
from carousel.layers.sequences import Sequences

State = Tensor | tuple[Tensor, ...]


class Recurrent(CellLayer):
    """One or more layers of a cell, in one or both directions.

    Args:
        cell: a cell, or the name of one in ``carousel.cells`` ("lstm-v3").
        input_size: size of the vectors e_t.
        hidden_size: size of the states (of the memory, where the output is projected); a sequence has one for each layer.
        num_layers: number of stacked layers; for a sequence ``hidden_size``, its length.
        bias: whether the biases ``b`` of the equations are parameters; otherwise they are zero.
        batch_first: sequences are (B, T, ·) rather than (T, B, ·); states are not affected, as in torch.nn.LSTM.
        dropout: probability of zeroing a layer's outputs, on every layer but the last.
        bidirectional: also read each sequence from the end; outputs are concatenated.
        proj_size: size of a projected output (``lstm-v4``); by default half of each layer's ``hidden_size``, or a little less,
            so that it is divisible by the number of heads. For a cell without projection 0, as in torch.nn, or nothing.
        device, dtype: of the parameters.
        variational_dropout: draw one dropout mask per sequence and keep it at all steps (Gal and Ghahramani 2016).
        learned_initial: train the states before the first step; otherwise they are zero.
        recurrent_init: initial weights from the states, "uniform" (±1/√hidden_size) or "orthogonal".
        segment_length: for long sequences: save only the states between segments of this many steps for the backward run, and
            run each segment twice; with the square root of the length, memory grows as this root. 0: save every step.
        forget_bias: initial bias ``b.f`` of the forget gate (Jozefowicz et al. 2015 advise 1).
        heads: number of heads, instead of the cell's own: dense weights from states are block-diagonal, one block per head.
        init: initial values of parameters by their names in the equations; overrides the other options:
            ``{"b.f": chrono(1, 100), "b.i": "-b.f", "W.*m": "orthogonal", "w.*": 0.0}``. Names are patterns of ``fnmatch``, of
            which the last match counts; a value is a number, the name of a function of ``torch.nn.init``, a function that
            fills a tensor or returns one of its shape, or ``"-b.f"``, the negative of another parameter.
        input_sizes: sizes of the cell's further inputs that have their own size, by name.
        rates: of the cell's noise, by the letters of its ``p``: ``{"h": 0.1}``; those left out are 0. Noise is drawn only in
            training, from one seed per call, layer and direction of PyTorch's CPU generator.
        weight_noise: standard deviation of Gaussian noise on dense weights, drawn at each call in training (Graves 2011).
        weight_dropout: probability of zeroing a dense weight from a state, drawn at each call in training for all its steps;
            the others are divided by 1 − p (Merity, Keskar and Socher 2017; DropConnect, Wan et al. 2013).
        skip: "residual": each layer above the first adds its input, before dropout, to its output (Wu et al. 2016, section
            3.1); or "none".

    Up to ``dtype`` the arguments are those of torch.nn.LSTM, in its order, after the cell.

    Parameters have the names in the equations and PyTorch's suffixes: ``W.ie_l0``, ``w.oh_l1``, ``b.f_l0_reverse``,
    ``initial.h_l0``. Dense weights are (into, from); with several heads (heads, into, from), with the units of one head each.

    Use torch.nn.utils.parametrize for a weight that is computed from another: ``register_parametrization(layer.W,
    "im_l0", …)``; assigning a plain tensor is refused.

    Raises:
        ValueError: for sizes or options that the cell does not have.
        TypeError: for options of another type.
    """

    def __init__(
        self,
        cell: str | Cell,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        variational_dropout: bool = False,
        learned_initial: bool = False,
        recurrent_init: str = "uniform",
        forget_bias: float | None = None,
        segment_length: int = 0,
        heads: int | None = None,
        init: Mapping[str, Rule] | None = None,
        input_sizes: Mapping[str, int] | None = None,
        rates: Mapping[str, float] | None = None,
        weight_noise: float = 0.0,
        weight_dropout: float = 0.0,
        skip: str = "none",
    ):
        known = of_heads(cells.get(cell), heads)
        if known.before:
            raise ValueError(
                f"a step of cell {known.name} follows several ({', '.join(names(known.before))}), "
                "so a layer of it is a Grid or a Tree, not a Recurrent"
            )
        options: dict[str, Any] = {"bias": bias, "proj_size": proj_size, "recurrent_init": recurrent_init}
        options |= {"forget_bias": forget_bias, "init": init, "input_sizes": input_sizes}
        each = of_each("hidden_size", hidden_size, whole_number("num_layers", num_layers, 1))
        super().__init__(known, input_size, each[-1], **options)
        self.num_layers, self.hidden_sizes = len(each), each
        self.proj_sizes = tuple(self._projection(size) if proj_size is None else self.proj_size for size in each)
        self.segment_length = whole_number("segment_length", segment_length, 0)
        self.dropout = probability("dropout", dropout)
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                "dropout is between layers, so with num_layers=1 it has no effect; apply it to the output instead", stacklevel=2
            )
        self.batch_first, self.bidirectional = flag("batch_first", batch_first), flag("bidirectional", bidirectional)
        self.variational_dropout = flag("variational_dropout", variational_dropout)
        self.learned_initial = flag("learned_initial", learned_initial)
        self.rates = checked(rates or {}, known)
        self.weight_noise = finite_number("weight_noise", weight_noise)
        if self.weight_noise < 0:
            raise ValueError(f"weight_noise is a standard deviation, at least 0, not {weight_noise}")
        self.weight_dropout = probability("weight_dropout", weight_dropout)
        self.directions = 2 if self.bidirectional else 1
        self.skip = one_of("skip", skip, SKIPS)
        self._note_sizes()
        self.output_size = known.length(known.trace.states[0].size, *self._sizes[-1])
        check_input(known, self._sizes)
        check_skip(self.skip, [*(size for size, *_ in self._sizes[1:]), self.output_size * self.directions])
        further.check_sizes(known, self._sizes)

        self._make(device, dtype)
        self.initial = Parameters()
        for layer, direction in self._each():
            for k, name in enumerate(known.states if self.learned_initial else ()):
                if known.trace.states[k].size is not None:
                    first = torch.zeros(self._layout.sizes[k][layer], device=device, dtype=dtype)
                    self.initial[name + suffix(layer, direction)] = nn.Parameter(first)
        self._remember(device, dtype)
        self.reset_parameters()

    def __setstate__(self, state: dict[str, Any]) -> None:
        new = {"bias": True, "init": {}, "input_sizes": {}, "rates": {}, "weight_noise": 0.0, "weight_dropout": 0.0}
        new |= {"skip": "none"}
        new |= {f"{what}_sizes": (state[f"{what}_size"],) * state["num_layers"] for what in ("hidden", "proj")}
        super().__setstate__({**new, **state})  # older pickles have none
        self._note_sizes()

    def _each(self) -> list[tuple[int, int]]:
        """Return all layers with their directions, in order."""
        return [(layer, direction) for layer in range(self.num_layers) for direction in range(self.directions)]

    def _sets(self) -> dict[str, tuple[int, ...]]:
        return {suffix(layer, direction): self.sizes(layer) for layer, direction in self._each()}

    def _note_sizes(self) -> None:
        """Note where parameters are, the units of each layer, and the sizes of its states.

        A small call would feel it if these were found anew, and torch.compile does not enter look-ups by SymPy's symbols.
        """
        self._places = {at: [(name, *place(name, *at)) for name in self.cell.learned] for at in self._each()}
        states = self.cell.trace.states
        self._sizes: list[tuple[int, ...]] = []
        size = self.input_size
        for own in zip(self.hidden_sizes, self.proj_sizes, strict=True):
            self._sizes.append((size, *own, *self.input_sizes.values()))
            size = self.cell.length(states[0].size, *self._sizes[-1]) * self.directions
        self._units = [sizes(self.cell, *each) for each in self._sizes]
        self._layout = Layout([[self.cell.length(s.size, *each) for s in states] for each in self._sizes], self.directions)

    @property
    def layout(self) -> Layout:
        """The layout of the states. Raises ValueError where somebody has set another size: the parameters would not fit."""
        given, made = (self.input_size, self.hidden_size, self.proj_size), self._sizes
        if given != (made[0][0], *made[-1][1:3]):
            raise ValueError(f"the sizes of a layer cannot be set to {given} once it is made; make another one")
        return self._layout

    def sizes(self, layer: int = 0) -> tuple[int, ...]:
        """Return the sizes of a layer's input, states, projection, and of its further inputs that have one of their own."""
        return self._sizes[layer]

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters anew: uniform in ±1/√hidden_size as torch.nn.LSTM, or as the options say; states begin at 0."""
        super().reset_parameters()
        for first in self.initial.values():
            nn.init.zeros_(first)

    def extra_repr(self) -> str:
        one = len(set(self.hidden_sizes)) == 1
        parts = [self.cell.name, str(self.input_size), str(self.hidden_size if one else self.hidden_sizes)]
        parts += [f"num_layers={self.num_layers}"] if self.num_layers > 1 and one else []
        parts += [] if self.bias else ["bias=False"]
        parts += [f"proj_size={self.proj_size}"] if self.proj_size else []
        parts += [f"segment_length={self.segment_length}"] if self.segment_length else []
        parts += [f"input_sizes={self.input_sizes}"] if self.input_sizes else []
        parts += [
            f"{k}=True" for k in ("batch_first", "bidirectional", "learned_initial", "variational_dropout") if getattr(self, k)
        ]
        parts += [f"skip={self.skip!r}"] if self.skip != "none" else []
        parts += [f"dropout={self.dropout}"] if self.dropout else []
        parts += [f"rates={self.rates}"] if any(self.rates.values()) else []
        parts += [f"{k}={getattr(self, k)}" for k in ("weight_noise", "weight_dropout") if getattr(self, k)]
        return ", ".join(parts)

    def initial_state(self, batch: int) -> State:
        """Return the states before the first step, laid out as ``hx``; a tuple where there are several."""
        learned, layout = self.cell.learned, self.layout
        like = self.parameter(learned[0]) if learned else next(chain(self.parameters(), self.buffers()))  # sooner by name
        states = []
        for k, (name, state) in enumerate(zip(self.cell.states, self.cell.trace.states, strict=True)):
            if self.learned_initial and state.size is not None:
                each = [self.parameter(f"initial.{name}", *at) for at in self._each()]
                states.append(layout.together([start.expand(batch, -1) for start in each]))
            else:  # the step number counts past what half precision can hold
                dtype = like.dtype if state.size is not None else torch.float32
                states.append(like.new_zeros(layout.shape(k, batch), dtype=dtype))
        return states[0] if len(states) == 1 else tuple(states)

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: State | None = None,
        *,
        resets: Tensor | None = None,
        record: Sequence[str] | None = None,
        clamp: Clamps | None = None,
        **inputs: Tensor | PackedSequence,
    ) -> Any:
        """Run whole sequences.

        Args:
            input: (T, B, input_size), or (B, T, input_size) with ``batch_first``, or (T, input_size), or packed.
            hx: the states before the first step, (num_layers · directions, B, size): a tensor for a cell with one
                state, else a tuple in the order of ``cell.states`` (for an LSTM: message, memory; the clock ``t`` last).
                If layers differ in size, the states of all layers side by side: (directions, B, Σ size).
            resets: boolean, (T, B) or (B, T) as the input (also for a packed input): a true element begins a new
                sequence, so the state returns to its initial value before this step (in the backward direction, after it).
            record: names of gates, states and other quantities of ``cell.names`` to return for every step.
            clamp: gates or states to hold at a value: ``{"f": 0.0}`` (all units), ``{"f": {3: 0.0}}``, or a list of
                :class:`~carousel.layers.Clamp` for chosen steps, layers and rows; values may be recordings of another run, or
                a function of the equation's value. With functions the loop runs as PyTorch's operations, more slowly.
            inputs: the cell's further inputs by name, laid out as the input (padded or packed, if it is packed): vectors, or
                one number per row and step, (T, B) or (B, T). Every layer and direction reads them.

        Returns:
            ``output, hx`` as torch.nn.LSTM; with ``record`` also a dictionary from name to
            (num_layers · directions, T, B, size) or (…, B, T, size), zero where a packed sequence has ended; if layers
            differ in size, to a list of (T, B, size).

        A batch of no rows gives an output of no rows, as torch.nn.LSTM does; a sequence of no steps is refused.

        Raises:
            ValueError: for shapes or names that do not fit.
            TypeError: for inputs, states or resets that are no tensors; for a further input that is missing or unknown.
        """
        names = self._recorded(record)
        clamps = listed(clamp)
        if clamps:
            check(clamps, self.cell, self._units)
        sequences = Sequences(input, self.input_size, self.batch_first)
        flags = None if resets is None else sequences.flags(resets)
        given = further.rows(self.cell, inputs, sequences, self.sizes())
        self.refresh()
        states = self._states_in(hx, sequences)
        output, after, recorded = self._run(sequences, states, flags, names, clamps, given)
        if sequences.single or sequences.order is not None:
            after = [sequences.unordered(s) for s in after]
        hx_out: State = after[0] if len(after) == 1 else tuple(after)
        result = sequences.output(output)
        if record is None:
            return result, hx_out
        return result, hx_out, {k: self._layout.recorded([sequences.laid_out(x) for x in v]) for k, v in recorded.items()}

    def _states_in(self, hx: State | None, sequences: Sequences) -> list[Tensor]:
        if hx is None:
            hx = self.initial_state(sequences.batch)
            return [hx] if isinstance(hx, Tensor) else list(hx)
        return sequences.ordered(self.states_of(hx, sequences.batch, sequences.single))

    def states_of(self, hx: State, batch: int, single: bool = False) -> list[Tensor]:
        """Return states as a list, checked: with ``batch`` rows, or without that dimension for a ``single`` sequence.

        Raises:
            ValueError: for states that do not fit.
            TypeError: for states that are no tensors.
        """
        given = list(hx) if isinstance(hx, list | tuple) else [tensor("hx", hx)]
        names = self.cell.states
        if len(given) != len(names):
            raise ValueError(f"hx must hold {len(names)} states ({', '.join(names)}), not {len(given)}")
        layout = self.layout
        for k, (name, s) in enumerate(zip(names, given, strict=True)):
            wanted = layout.shape(k, *(() if single else (batch,)))
            if tuple(tensor(f"state {name} in hx", s).shape) != wanted:
                raise ValueError(f"state {name} in hx has shape {tuple(s.shape)}, expected {wanted}")
        return given

    def _run(
        self,
        sequences: Sequences,
        states: list[Tensor],
        resets: Tensor | None,
        record: tuple[str, ...],
        clamps: list[Clamp],
        inputs: Mapping[str, Tensor],
    ) -> tuple[Tensor, list[Tensor], Mapping[str, list[Tensor]]]:
        """Run all layers and directions over flat rows; resets are (T, B) in the rows' order."""
        flat_resets: list[Tensor | None] = [None, None]
        starts: list[Sequence[Tensor]] = []
        if resets is not None:
            flat_resets[0] = sequences.flat(resets)
            if self.bidirectional:  # backwards a sequence ends where the next begins: the reset comes one step earlier
                flat_resets[1] = sequences.flat(sequences.one_step_earlier(resets))
            initial = self.initial_state(sequences.batch)
            starts = self._layout.apart([initial] if isinstance(initial, Tensor) else initial)
        befores = self._layout.apart(states)
        data, cell = sequences.data, running(self.cell, self.rates, self.training)
        whole: Tensor | None = None  # the output of the layer below, before dropout
        recorded: dict[str, list[Tensor]] = {name: [] for name in record}
        after: list[list[Tensor]] = [[] for _ in self.cell.states]
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self.directions):
                row = layer * self.directions + direction
                call = kernels.Call(
                    cell,
                    data,
                    sequences.batch_sizes,
                    before={name: s[row] for name, s in zip(self.cell.states, befores, strict=True)},
                    parameters=self._taken(cell, layer, direction),
                    reverse=bool(direction),
                    resets=flat_resets[direction],
                    initial={name: s[row] for name, s in zip(self.cell.states, starts, strict=True)} if starts else None,
                    record=record,
                    **self._clamped(clamps, layer, sequences),
                    segment_length=self.segment_length,
                    inputs=inputs,
                    noise=kernels.Noise.drawn(self.rates) if cell.trace.draws else None,
                )
                output, last, seen = kernels.run(call)
                outputs.append(output)
                for k, name in enumerate(self.cell.states):
                    after[k].append(last[name])
                for name in record:
                    recorded[name].append(seen[name])
            made = torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]
            data = whole = made if whole is None or self.skip == "none" else made + whole
            if layer < self.num_layers - 1 and self.training and self.dropout:
                data = sequences.dropout(data, self.dropout, self.variational_dropout)
        return data, [self._layout.together(s) for s in after], recorded

    def _clamped(self, clamps: list[Clamp], layer: int, sequences: Sequences) -> dict[str, Any]:
        """Return what the clamps are to a layer's call."""
        if not clamps:
            return {}
        held = arrays(clamps, layer, self.units(layer), sequences.steps, sequences.batch, sequences.data)
        return {
            "clamp": {n: (sequences.of_rows(values), sequences.of_rows(where)) for n, (values, where) in held.items()},
            "changes": changes(clamps, layer, sequences.steps, sequences.batch, sequences.order),
        }

    def flatten_parameters(self) -> None:
        """Do nothing: weights need not be contiguous. The method exists for code written for torch.nn.LSTM."""

    def parameter(self, name: str, layer: int = 0, direction: int = 0) -> Tensor:
        """Return the parameter that a layer has under the equations' name: ``W.im``, ``b.f``, or ``initial.h``.

        ``direction``: 1 of the cells that read from the end. With ``bias=False`` a bias is zeros. Raises KeyError where there
        is none.
        """
        return self._parameter(name, suffix(layer, direction))

    def parameters_of(self, layer: int = 0, direction: int = 0) -> dict[str, Tensor]:
        """Return all parameters of a layer's cell by the equations' names."""
        spaces: Any = self._modules
        each = [(name, spaces[space]._parameters.get(key)) for name, space, key in self._places[layer, direction]]
        return {name: self.parameter(name, layer, direction) if x is None else x for name, x in each}

    def _taken(self, cell: Cell, layer: int, direction: int) -> dict[str, Tensor]:
        """Return what a call takes: parameters, noisy and dropped where that is asked for, and rates."""
        found = self.parameters_of(layer, direction)
        if self.weight_dropout and self.training:
            found |= {n: nn.functional.dropout(found[n], self.weight_dropout) for n in self.cell.recurrent}
        if self.weight_noise and self.training:
            found |= {n: x + self.weight_noise * torch.randn_like(x) for n, x in found.items() if n.startswith("W.")}
        return found | self.rates_of(cell, layer) if cell.given else found

    def rates_of(self, cell: Cell, layer: int = 0) -> dict[str, Tensor]:
        """Return the rates that a cell's equations take, this layer's cell or its ``quiet`` one, (units,) each by name."""
        like = next(chain(self.parameters(), self.buffers()))
        sizes = {p.name: cell.length(p.rows, *self.sizes(layer)) for p in cell.trace.parameters if p.name in cell.given}
        rates = checked(self.rates, self.cell)  # they may have been set since
        return {n: like.new_full((size,), rates[cell.given[n]]) for n, size in sizes.items()}

    def units(self, layer: int = 0) -> Mapping[str, int]:
        """Return the size of every quantity of a layer that has units."""
        return self._units[layer]

    @property
    def alike(self) -> bool:
        """Return whether all layers have the same units."""
        return all(each == self._units[0] for each in self._units)

    def explain(self, input: Tensor | PackedSequence) -> str:
        """Tell in one line how the first layer would run over such an input: by which kernels, on a GPU also in which tiles."""
        cell = running(self.cell, self.rates, self.training)
        if isinstance(input, PackedSequence):
            return kernels.explain(cell, input.data, int(input.batch_sizes[0]), self.sizes())
        rows = 1 if input.dim() == 2 else input.shape[0 if self.batch_first else 1]
        return kernels.explain(cell, input, rows, self.sizes())

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        if f"{prefix}weight_ih_l0" in state_dict:
            raise ValueError(
                "this is a state dict of torch.nn.LSTM, GRU or RNN, whose parameters have other names; convert it: "
                "layer.load_state_dict(carousel.layers.from_torch_state(state, layer))"
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)
