"""Weights in fewer bits: one way of rounding them after training, which streams, exports and scores share."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from carousel.errors import InputError
from carousel.layers.recurrent import Recurrent

# The type of dense weights by the word for it; None: that of the parameters.
PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16, "int8": torch.int8}


def checked(precision: str) -> str:
    """Return the name of a precision. Raises InputError for an unknown one."""
    if precision not in PRECISIONS:
        raise InputError(f"`precision` must be {' or '.join(PRECISIONS)}, not {precision!r}")
    return precision


def whole(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight's rows in whole numbers from −127 to 127, and the scale of each row."""
    scale = values.abs().amax(-1, keepdim=True) / 127
    return (values / scale.where(scale > 0, 1)).round(), scale


def rounded(values: Tensor, precision: str) -> Tensor:
    """Return a dense weight, (…, rows, columns), rounded to a precision, in the weight's own type."""
    if precision == "float32":
        return values
    if precision == "bfloat16":
        return values.to(torch.bfloat16).to(values.dtype)
    numbers, scale = whole(values)
    return numbers * scale


@torch.no_grad()
def rounded_layer(layer: Recurrent, precision: str) -> Recurrent:
    """Return a copy of layers with dense weights rounded to a precision."""
    copy = deepcopy(layer)
    for direction in range(copy.directions):
        for k in range(copy.num_layers):
            for p in copy.cell.trace.parameters:
                if p.kind != "dense":
                    continue
                weight = copy.parameter(p.name, k, direction)
                if p.name in copy.cell.masks:
                    mask = torch.as_tensor(copy.cell.array(p.name, *weight.shape), dtype=weight.dtype, device=weight.device)
                    weight.mul_(mask)
                weight.copy_(rounded(weight, precision))
    return copy
