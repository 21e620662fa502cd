"""What is checked before an address of a tensor is given to compiled code: count, type, shape.

All tensors of a call pass here, whoever calls. Shapes that have passed once are remembered, so a call that is repeated
costs a look-up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice, pairwise, zip_longest

import torch
from torch import Tensor
from torch.autograd import forward_ad

from carousel.kernels.cpu.kernel import Layout

Lists = Mapping[str, Sequence[Tensor]]
MOST = 2**56  # numbers in an array: its bytes, and what is counted with it, stay below 2^63


def check(layout: Layout, batch_sizes: Sequence[int], dtype: torch.dtype, lists: Lists, resets: Tensor | None) -> list[int]:
    """Raise ValueError unless the tensors are those that the loop's compiled code takes.

    PyTorch's dispatcher has sent tensors of other devices and layouts elsewhere before.

    Args:
        layout: the loop's.
        batch_sizes: rows of each step.
        dtype: of the compiled code.
        lists: tensors by what they are: data, dense, biases, entering, vectors, before, initial, clock, given, final, kept.
        resets: as the operator's.

    Returns:
        The number of units behind each size of the layout.
    """
    types = {x.dtype for xs in lists.values() for x in xs}
    if len(types) != 1 or dtype not in types:
        _refuse_type(layout, dtype, lists)
    shapes = tuple([x.shape for xs in lists.values() for x in xs])
    total, lengths = _shapes(layout, tuple(batch_sizes), tuple(lists), tuple(map(len, lists.values())), shapes)
    if resets is not None:
        if resets.dtype is not torch.bool or resets.shape != (total,):
            raise ValueError(f"resets must be {total} booleans, not {resets.dtype} of shape {tuple(resets.shape)}")
        if "initial" in lists and not lists["initial"]:
            raise ValueError("resets are given, but no initial states to return to")
    return lengths


def check_step(data: Tensor, x: Tensor) -> None:
    """Raise ValueError unless a stream's input ``x`` can be put where the compiled code reads it, ``data``."""
    if forward_ad._current_level >= 0 and forward_ad.unpack_dual(x).tangent is not None:
        raise ValueError("a stream has no derivatives, so its input must not carry a tangent: call the layer")
    if x.shape != data.shape:
        raise ValueError(f"a step's input has shape {tuple(x.shape)}, expected {tuple(data.shape)}: (rows, input_size)")
    if x.dtype != data.dtype or x.device != data.device:
        raise ValueError(
            f"a step's input is {x.dtype} on {x.device}, but the layer's parameters are {data.dtype} on {data.device}: "
            f"convert the input with x.to({data.dtype}), or make the stream of a layer of that type"
        )


def _refuse_type(layout: Layout, dtype: torch.dtype, lists: Lists) -> None:
    for what, xs in lists.items():
        for label, x in zip_longest(layout.labels[what], xs):
            if x is not None and x.dtype is not dtype:
                raise ValueError(
                    f"{label or what} is {x.dtype}, but the input is {dtype}: convert one, such as with .to({dtype})"
                )


@lru_cache(maxsize=1024)
def _shapes(
    layout: Layout, batch_sizes: tuple[int, ...], lists: tuple[str, ...], counts: tuple[int, ...], given: tuple[torch.Size, ...]
) -> tuple[int, list[int]]:
    """Check all shapes; gives the rows of all steps, and the units behind each size."""
    rest = iter(given)
    shapes = {what: tuple(islice(rest, count)) for what, count in zip(lists, counts, strict=True)}
    if not batch_sizes or min(batch_sizes) < 1:
        raise ValueError("batch_sizes must name at least one step, of at least one row each")
    if any(a < b for a, b in pairwise(batch_sizes)):
        raise ValueError("batch_sizes must not increase: sort the sequences by length, the longest first")
    total, batch, names = sum(batch_sizes), batch_sizes[0], layout.labels
    for what, found in shapes.items():
        wanted = len(names[what])
        if len(found) != wanted and not (what == "initial" and not found):
            raise ValueError(f"{len(found)} tensors are given for {what}, expected {wanted} ({', '.join(names[what])})")
        dimensions = DIMENSIONS[what]
        for label, shape in zip(names[what], found, strict=False):
            if len(shape) != dimensions:
                raise ValueError(f"{label} has shape {tuple(shape)}, expected {dimensions} dimensions")
    states = shapes["before" if "before" in shapes else "final"]
    lengths = layout.lengths_of_shapes(states, shapes["vectors"], shapes["data"], shapes["dense"])
    if min(lengths) < 1:
        raise ValueError("every vector of the cell must have at least one unit")
    if total * max(lengths) > MOST:
        raise ValueError(f"{total} rows of {max(lengths)} units are more than can be counted")
    expected = layout.shapes(lengths, total, batch)
    for what, found in shapes.items():
        for label, shape, wanted_shape in zip(names[what], found, expected[what], strict=False):
            if tuple(shape) != wanted_shape:
                raise ValueError(f"{label} has shape {tuple(shape)}, expected {wanted_shape}")
    return total, lengths


DIMENSIONS = {
    "data": 2, "dense": 2, "biases": 1, "entering": 2, "vectors": 1, "before": 2, "initial": 2, "clock": 1,
    "given": 2, "final": 2, "kept": 2,
}  # fmt: skip
