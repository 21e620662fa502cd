"""Further inputs of a layer's steps: their sizes, and their values beside the input's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from carousel.equations import Cell
from carousel.layers.parameters import whole_number
from carousel.layers.sequences import Sequences


def given_sizes(cell: Cell, given: Mapping[str, int]) -> dict[str, int]:
    """Return the sizes of the inputs that have one of their own, in the cell's order.

    Raises:
        ValueError: one is missing, or is given to what has none.
        TypeError: one is no whole number.
    """
    for name in given:
        if name not in cell.sized:
            known = f"only {', '.join(cell.sized)} has" if cell.sized else "no input has"
            raise ValueError(f"input_sizes names {name!r}, but of cell {cell.name} {known} a size of its own")
    for name in cell.sized:
        if name not in given:
            raise ValueError(f"the input {name} of cell {cell.name} has a size of its own: input_sizes={{{name!r}: 10}}")
    return {name: whole_number(f"the size of input {name}", given[name], 1) for name in cell.sized}


def check_sizes(cell: Cell, sizes: Sequence[tuple[int, ...]]) -> None:
    """Raise ValueError unless each input has as many units in all layers, whose ``sizes`` these are."""
    for x in cell.trace.inputs:
        if len({cell.length(x.size, *each) for each in sizes}) > 1:
            raise ValueError(
                f"the input {x.name} of cell {cell.name} has as many units as {x.like}: with several layers, "
                "input_size must be the size of the output"
            )


def check_names(cell: Cell, given: Mapping[str, Any]) -> None:
    """Raise TypeError unless the inputs of a step are those of the cell."""
    for name in given:
        if name not in cell.inputs:
            known = f"takes {', '.join(cell.inputs)} beside its input" if cell.inputs else "takes one input alone"
            raise TypeError(f"cell {cell.name} has no input {name!r}: it {known}")
    for name in cell.inputs:
        if name not in given:
            raise TypeError(f"cell {cell.name} needs the input {name} of each step: layer(x, {name}=…)")


def rows(cell: Cell, given: Mapping[str, Any], sequences: Sequences, sizes: tuple[int, ...]) -> dict[str, Tensor]:
    """Return the inputs of a call as kernels take them, (Σ rows of each step, units) by name.

    Args:
        cell: whose inputs.
        given: laid out as the layer's input, numbers with or without a dimension for them.
        sequences: of the call.
        sizes: of a layer.

    Raises:
        ValueError: for shapes that do not fit.
        TypeError: for an input that is missing, or unknown, or no tensor.
    """
    if not given and not cell.inputs:
        return {}
    check_names(cell, given)
    units = {x.name: cell.length(x.size, *sizes) for x in cell.trace.inputs}
    numbers = {x.name for x in cell.trace.inputs if x.is_number}
    return {name: sequences.rows(name, given[name], units[name], number=name in numbers) for name in cell.inputs}
