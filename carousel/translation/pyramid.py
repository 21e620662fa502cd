"""A pyramid: an encoder whose upper layers read several steps of the layer beneath as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from carousel.equations import Cell
from carousel.errors import InputError
from carousel.hierarchy import SequenceHierarchy
from carousel.layers import Clamp, Clamps, Recurrent, State
from carousel.layers.clamp import check, listed


class Pyramid(nn.Module):
    """The pyramidal encoder of Chan, Jaitly, Le and Vinyals 2016, called as a ``Recurrent`` is.

    A sequence that does not fill its last block, or not even one, is filled up with zeros: no sentence is too short.

    Args:
        cell: a cell.
        input_size: size of a token's embedding.
        hidden_size: units of the states of every layer.
        steps: for each layer, from the bottom up, how many steps of the layer beneath (tokens, for the first) are one step.
        options: further arguments of ``SequenceHierarchy`` and ``Recurrent``.

    Raises:
        ValueError: ``Recurrent`` refuses the arguments, or the cell keeps its input, whose size differs from layer to layer.

    Attributes:
        factors: for each layer, how many tokens are one step of it.
        output_size: numbers of an output in one direction.
    """

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, steps: Sequence[int], **options: Any):
        super().__init__()
        self.hierarchy = SequenceHierarchy(cell, input_size, hidden_size, steps, fill=True, **options)
        first = self.layers[0]
        self.cell, self.directions, self.num_layers = first.cell, first.directions, len(self.layers)
        self.input_size, self.output_size = input_size, first.output_size
        self.steps, self.factors = tuple(steps), tuple(accumulate(steps, mul))
        if len({tuple(s.shape for s in _listed(layer.initial_state(1))) for layer in self.layers}) > 1:
            raise ValueError(
                f"cell {self.cell.name} keeps its input in a state, so layers that read several steps as one differ"
            )

    @property
    def layers(self) -> list[Recurrent]:
        """The layers, from the bottom up."""
        return list(self.hierarchy.layers)  # type: ignore[arg-type]  # a ModuleList of these

    def __repr__(self) -> str:
        return f"Pyramid({self.layers[0].extra_repr()}, steps={self.steps})"

    def units(self, layer: int = 0) -> Mapping[str, int]:
        """Return the size of every quantity of a layer that has units."""
        return self.layers[layer].units()

    @property
    def alike(self) -> bool:
        """Return whether all layers have the same units."""
        return all(layer.units() == self.units() for layer in self.layers)

    def initial_state(self, batch: int) -> State:
        """Return the states before the first step, as ``Recurrent`` does."""
        return _stacked([layer.initial_state(batch) for layer in self.layers])

    def forward(self, input: PackedSequence, *, record: Sequence[str] | None = None, clamp: Clamps | None = None) -> Any:
        """Read sequences.

        Args:
            input: packed.
            record: names of quantities to give back for every step.
            clamp: as ``Recurrent``'s; a clamp's steps are tokens, and it holds in each step that reads one of them.

        Returns:
            ``output, hx`` as of a ``Recurrent``, the output packed, with as many steps as the last layer takes; with ``record``
            also a dictionary from name to a list of (T′, B, size), for each layer and direction.

        Raises:
            InputError: a clamp has values for each step, and a layer has fewer steps.
            ValueError: a clamp or a name that the cell does not have.
        """
        x, lengths = pad_packed_sequence(input)
        x, sizes = x.unsqueeze(0), [(1, n) for n in lengths.tolist()]
        states, clamps = [], listed(clamp)
        check(clamps, self.cell, [layer.units() for layer in self.layers])
        recorded: dict[str, list[Tensor]] = {name: [] for name in record or ()}
        for number, layer in enumerate(self.layers):
            x, sizes = self.hierarchy.entering(number, x, sizes)
            packed = pack_padded_sequence(x.squeeze(0), torch.tensor([n for _, n in sizes]), enforce_sorted=False)
            output, hx, *seen = layer(packed, record=record, clamp=self._held(clamps, number, lengths.tolist()))
            x = pad_packed_sequence(output)[0].unsqueeze(0)
            states.append(hx)
            for name in recorded:
                recorded[name] += list(seen[0][name])
        return (output, _stacked(states), recorded) if record is not None else (output, _stacked(states))

    def _held(self, clamps: Sequence[Clamp], layer: int, lengths: Sequence[int]) -> list[Clamp]:
        """Return the clamps of a layer, with its own steps; they hold in rows that have any of their tokens."""
        found, factor = [], self.factors[layer]
        for c in (replace(c, layer=None) for c in clamps if c.layer in (None, layer)):
            begin, end = max(0, c.begin), None if c.end is None else -(-c.end // factor)
            rows = tuple(k for k, n in enumerate(lengths) if n > begin and (c.rows is None or k in c.rows))
            if factor == 1:
                found.append(c)
            elif rows and (c.end is None or c.end > begin):
                if isinstance(c.value, Tensor) and c.value.dim() > 1:
                    said = f"{c.name} cannot be clamped at values for each token in layer {layer}"
                    raise InputError(f"{said}, where {factor} tokens are one step")
                found.append(replace(c, begin=begin // factor, end=end, rows=rows))
        return found


def _listed(state: State) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else list(state)


def _stacked(states: Sequence[State]) -> State:
    """Return the states of layers as those of one stack of them."""
    found = [torch.cat(each) for each in zip(*map(_listed, states), strict=True)]
    return found[0] if len(found) == 1 else tuple(found)
