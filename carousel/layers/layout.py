"""How layers stand on one another: their sizes, how one tensor holds a state of all of them, what passes a layer by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from carousel.layers.parameters import whole_number

SKIPS = ("none", "residual")  # what passes a layer by


def of_each(what: str, given: int | Sequence[int], layers: int) -> tuple[int, ...]:
    """Return an option that each layer has, of which one number means all.

    Raises:
        ValueError: for other than a number a layer; several decide the number of layers where that is 1.
        TypeError: for numbers that are not whole.
    """
    if not isinstance(given, list | tuple):
        return (whole_number(what, given, 1),) * layers
    if not given or layers not in (1, len(given)):
        raise ValueError(f"{what} has one number for all layers or one for each, not {len(given)} for {layers}")
    return tuple(whole_number(what, each, 1) for each in given)


def check_skip(skip: str, sizes: Sequence[int]) -> None:
    """Raise ValueError where outputs of layers, of these ``sizes``, cannot be added to one another."""
    if skip == "residual" and len(set(sizes)) > 1:
        raise ValueError(
            f"residual connections add outputs of one size, and the layers' have {', '.join(map(str, sizes))} numbers"
        )


class Layout:
    """The layout of the states of a stack: (layers · directions, B, size) each where all layers are alike, as torch.nn.LSTM has
    them; else those of the layers side by side, (directions, B, Σ size).

    ``sizes``: of the states, by layer.
    """

    def __init__(self, sizes: Sequence[Sequence[int]], directions: int):
        self.sizes, self.directions = [list(each) for each in zip(*sizes, strict=True)], directions
        self.even = all(len(set(each)) == 1 for each in self.sizes)
        layers = len(sizes)
        self.shapes = [(layers * directions, each[0]) if self.even else (directions, sum(each)) for each in self.sizes]

    def check_even(self, what: str) -> None:
        """Raise ValueError where layers differ in size. ``what``: that needs layers that do not."""
        if not self.even:
            raise ValueError(f"{what} needs layers of one size, and these differ")

    def shape(self, state: int, *batch: int) -> tuple[int, ...]:
        """Return the shape of a state, given by its place among the cell's, of so many rows."""
        rows, size = self.shapes[state]
        return rows, *batch, size

    def apart(self, states: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        """Return of each state the part of every layer and direction, (B, size)."""
        return [self.parts(k, s) for k, s in enumerate(states)]

    def parts(self, state: int, values: Tensor) -> Sequence[Tensor]:
        """Return the part of every layer and direction, (B, size), views of the values of one state."""
        if self.even:
            return values  # type: ignore[return-value]  # its first dimension counts them
        return [part[direction] for part in values.split(self.sizes[state], -1) for direction in range(self.directions)]

    def together(self, parts: Sequence[Tensor]) -> Tensor:
        """Return one state of all layers from its parts, in the order of ``apart``."""
        if not self.even:
            n = self.directions
            return torch.cat([torch.stack(list(parts[k : k + n])) for k in range(0, len(parts), n)], -1)
        return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(list(parts))

    def recorded(self, parts: Sequence[Tensor]) -> Any:
        """Return what was recorded in every layer and direction, as one tensor where all layers are alike, else as a list."""
        alike = self.even and all(x.shape[-1] == parts[0].shape[-1] for x in parts)  # a quantity may have the input's size
        return torch.stack(list(parts)) if alike else list(parts)
