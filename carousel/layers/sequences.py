"""The sequences of one call of a layer: their rows one step after the other, as kernels take them, and back again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from carousel.layers.parameters import tensor


class Sequences:
    """An input of a layer, (T, B, size), or (B, T, size) with ``batch_first``, or (T, size), or packed.

    ``data``: its rows, (Σ rows of each step, size). ``steps``, ``batch``: of the longest sequence, and of the first step.
    ``batch_sizes``: rows of each step; None where all steps have ``batch``. ``order``: of the rows, if not the caller's.

    Raises:
        ValueError: for shapes that do not fit, and no steps.
        TypeError: for what is neither a tensor nor packed.
    """

    def __init__(self, input: Tensor | PackedSequence, size: int, batch_first: bool):
        self.batch_first, self.packed = batch_first, input if isinstance(input, PackedSequence) else None
        self.batch_sizes: list[int] | None = None
        self.order: Tensor | None = None
        if isinstance(input, PackedSequence):
            data = input.data
            if data.dim() != 2:
                raise ValueError(f"packed input must have 2 dimensions, not {data.dim()}")
        else:
            data = tensor("input", input)
            if data.dim() not in (2, 3):
                raise ValueError(f"input must have 2 or 3 dimensions, not {data.dim()}")
        if data.shape[-1] != size:
            raise ValueError(f"input has vectors of size {data.shape[-1]}, but input_size is {size}")
        self.single = self.packed is None and data.dim() == 2
        if isinstance(input, PackedSequence):
            sizes = input.batch_sizes.tolist()
            self.steps, self.batch, self.order = len(sizes), sizes[0] if sizes else 0, input.sorted_indices
            self.batch_sizes = sizes
        elif self.single:
            self.steps, self.batch = data.shape[0], 1
        else:
            data = data.transpose(0, 1) if batch_first else data
            self.steps, self.batch = data.shape[0], data.shape[1]
            data = data.reshape(-1, size)
        if self.steps == 0:
            raise ValueError("input must have at least one step")
        self.data = data

    def flags(self, resets: Tensor) -> Tensor:
        """Return booleans of every step and row, laid out as the input, as (T, B) in the rows' order. Raises ValueError."""
        if tuple(tensor("resets", resets).shape) != self.shape:
            shape = tuple(resets.shape)
            raise ValueError(f"resets must have one element per step and row, shape {self.shape}, not shape {shape}")
        return self._time_first(resets.bool())

    def rows(self, name: str, x: Any, units: int, *, number: bool) -> Tensor:
        """Return a further input, laid out as the input, also where that is packed, as rows one step after the other.

        ``number``: the dimension of ``units`` may be missing.

        Raises:
            ValueError: for another shape, or another packing.
            TypeError: for what is no tensor.
        """
        if isinstance(x, PackedSequence):
            if self.packed is None or not _packed_alike(x, self.packed):
                raise ValueError(f"input {name} is packed, but not as the input is: the same lengths in the same order")
            flat = x.data.unsqueeze(1) if number and x.data.dim() == 1 else x.data
            if tuple(flat.shape) != (self.data.shape[0], units):
                raise ValueError(
                    f"packed input {name} has data of shape {tuple(x.data.shape)}, expected vectors of size {units}"
                )
            return flat
        given = tensor(f"input {name}", x)
        padded = given.unsqueeze(-1) if number and tuple(given.shape) == self.shape else given
        if tuple(padded.shape) != (*self.shape, units):
            wanted = f"{self.shape}, one number a row" if number else str((*self.shape, units))
            raise ValueError(f"input {name} has shape {tuple(given.shape)}, expected {wanted}")
        return self.flat(self._time_first(padded))

    @property
    def shape(self) -> tuple[int, ...]:
        """The steps and rows as the input has them: (T, B), or (B, T) with ``batch_first``, or (T,)."""
        return (self.steps,) if self.single else (self.batch, self.steps) if self.batch_first else (self.steps, self.batch)

    def _time_first(self, x: Tensor) -> Tensor:
        """Return what is laid out as the input as (T, B, …) in the rows' order."""
        time_first = x.unsqueeze(1) if self.single else x.transpose(0, 1) if self.batch_first else x
        return time_first if self.order is None else time_first.index_select(1, self.order)

    def one_step_earlier(self, flags: Tensor) -> Tensor:
        """Return booleans, (T, B), each a step earlier; false at the last step, and before the end of a sequence."""
        if self.batch_sizes is None:
            there = torch.arange(self.steps, device=flags.device).unsqueeze(1) < self.steps - 1
        else:
            sizes = torch.tensor([*self.batch_sizes[1:], 0], device=flags.device)
            there = torch.arange(self.batch, device=flags.device) < sizes.unsqueeze(1)
        return flags.roll(-1, 0) & there

    def flat(self, padded: Tensor) -> Tensor:
        """Return what is (T, B, …) as rows one step after the other."""
        if self.batch_sizes is None:
            return padded.reshape(-1, *padded.shape[2:])
        return torch.cat([x[:n] for x, n in zip(padded, self.batch_sizes, strict=True)])

    def of_rows(self, held: Tensor) -> Tensor:
        """Return values of the caller's rows, (T, B, size), flat; those for all rows, (T, size), as they are."""
        if held.dim() == 2:
            return held
        return self.flat(held if self.order is None else held.index_select(1, self.order))

    def output(self, flat: Tensor) -> Any:
        """Return the rows of all steps as the input was given."""
        if self.packed is not None:
            return PackedSequence(flat, self.packed.batch_sizes, self.packed.sorted_indices, self.packed.unsorted_indices)
        return self.laid_out(flat)

    def laid_out(self, flat: Tensor) -> Tensor:
        """Return the rows as (T, B, size), or as the input was laid out; zero after the end of a packed sequence."""
        if self.batch_sizes is None:
            padded = flat if self.single else flat.view(self.steps, self.batch, flat.shape[-1])
            return padded.transpose(0, 1) if self.batch_first and not self.single else padded
        pieces = flat.split(self.batch_sizes)
        padded = torch.stack([nn.functional.pad(x, (0, 0, 0, self.batch - len(x))) for x in pieces])
        padded = self.unordered(padded)
        return padded.transpose(0, 1) if self.batch_first else padded

    def ordered(self, states: Sequence[Tensor]) -> list[Tensor]:
        """Return states, (layers, B, size) or (layers, size), with the rows in the input's order."""
        each = [s.unsqueeze(1) for s in states] if self.single else list(states)
        return each if self.order is None else [s.index_select(1, self.order) for s in each]

    def unordered(self, x: Tensor) -> Tensor:
        """Return what is (·, B, size) with the rows in the caller's order; without them where there was one sequence."""
        if self.single:
            return x.squeeze(1)
        if self.packed is None or self.packed.unsorted_indices is None:
            return x
        return x.index_select(1, self.packed.unsorted_indices)

    def dropout(self, flat: Tensor, p: float, variational_dropout: bool) -> Tensor:
        """Return the rows after dropout, as ``dropout``."""
        if self.batch_sizes is None:
            return dropout(flat.view(self.steps, self.batch, flat.shape[1]), p, True, variational_dropout).view_as(flat)
        if not variational_dropout:
            return nn.functional.dropout(flat, p)
        mask = nn.functional.dropout(flat.new_ones(self.batch, flat.shape[1]), p)
        return flat * torch.cat([mask[:n] for n in self.batch_sizes])


def _packed_alike(a: PackedSequence, b: PackedSequence) -> bool:
    """Return whether two are sequences of the same lengths, sorted alike."""
    one, other = a.sorted_indices, b.sorted_indices
    if one is None or other is None:
        return one is other and torch.equal(a.batch_sizes, b.batch_sizes)
    return torch.equal(a.batch_sizes, b.batch_sizes) and torch.equal(one, other)


def dropout(x: Tensor, p: float, training: bool, variational_dropout: bool) -> Tensor:
    """Dropout of (T, B, size); with ``variational_dropout`` a sequence keeps one mask at all its steps."""
    if not variational_dropout or not training or p == 0:
        return nn.functional.dropout(x, p, training)
    return x * nn.functional.dropout(x.new_ones(x.shape[1:]), p)
