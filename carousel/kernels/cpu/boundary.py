"""What is checked before an address of a tensor is given to compiled code: count, type, device, layout, shape.

All tensors of a call pass here, whoever calls. Shapes that have passed once are remembered, so a call that is repeated
costs a look-up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from carousel.kernels.cpu.kernel import Layout

Lists = Mapping[str, Sequence[Tensor]]
MOST = 2**56  # numbers in an array: its bytes, and what is counted with it, stay below 2^63


def check(layout: Layout, batch_sizes: Sequence[int], dtype: torch.dtype, lists: Lists, resets: Tensor | None) -> None:
    """Raise ValueError unless the tensors are those that the loop's compiled code takes.

    Args:
        layout: the loop's.
        batch_sizes: rows of each step.
        dtype: of the compiled code.
        lists: tensors by what they are: data, dense, biases, entering, vectors, before, initial, clock, given, final, kept.
        resets: as the operator's.
    """
    tensors = [x for xs in lists.values() for x in xs]
    kinds = {_kind(x) for x in tensors}
    shapes = tuple([(what, tuple([x.shape for x in xs])) for what, xs in lists.items()])
    if kinds != {(dtype, "cpu", torch.strided)}:
        _refuse_kind(layout, dtype, lists)
    total = _shapes(layout, tuple(batch_sizes), shapes)
    if resets is not None and (
        resets.dtype is not torch.bool
        or resets.device.type != "cpu"
        or resets.layout is not torch.strided
        or resets.shape != (total,)
    ):
        found = f"{resets.dtype} of shape {tuple(resets.shape)} on {resets.device}"
        raise ValueError(f"resets must be {total} booleans on the processor, not {found}")
    if resets is not None and "initial" in lists and not lists["initial"]:
        raise ValueError("resets are given, but no initial states to return to")


def _kind(x: Tensor) -> tuple[torch.dtype, str, torch.layout]:
    return x.dtype, x.device.type, x.layout


def check_step(data: Tensor, x: Tensor) -> None:
    """Raise ValueError unless a stream's input ``x`` can be put where the compiled code reads it, ``data``."""
    if x.shape != data.shape:
        raise ValueError(f"a step's input has shape {tuple(x.shape)}, expected {tuple(data.shape)}: (rows, input_size)")
    if x.dtype != data.dtype or x.device != data.device:
        raise ValueError(
            f"a step's input is {x.dtype} on {x.device}, but the layer's parameters are {data.dtype} on {data.device}: "
            f"convert the input with x.to({data.dtype}), or make the stream of a layer of that type"
        )


def _refuse_kind(layout: Layout, dtype: torch.dtype, lists: Lists) -> None:
    names = layout.labels
    for what, xs in lists.items():
        for k, x in enumerate(xs):
            label = names[what][k] if k < len(names[what]) else what
            if x.device.type != "cpu":
                raise ValueError(f"{label} is on {x.device}, but these kernels run on the processor: move it with .cpu()")
            if x.layout is not torch.strided:
                raise ValueError(f"{label} has layout {x.layout}: convert it with .to_dense()")
            if x.dtype is not dtype:
                raise ValueError(f"{label} is {x.dtype}, but the input is {dtype}: convert one, such as with .to({dtype})")


@lru_cache(maxsize=1024)
def _shapes(layout: Layout, batch_sizes: tuple[int, ...], given: tuple[tuple[str, tuple[torch.Size, ...]], ...]) -> int:
    """Check all shapes; gives the rows of all steps."""
    shapes = dict(given)
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
    return total


DIMENSIONS = {
    "data": 2, "dense": 2, "biases": 1, "entering": 2, "vectors": 1, "before": 2, "initial": 2, "clock": 1,
    "given": 2, "final": 2, "kept": 2,
}  # fmt: skip
