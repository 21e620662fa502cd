"""Tensors are checked before an address of one is given to compiled code: number, type, shape.

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

from carousel.kernels.interface import Described, Interface

Lists = Mapping[str, Sequence[Tensor]]
MOST = 2**56  # numbers in an array: its bytes, and what is counted with it, stay below 2^63


def check(
    interface: Interface,
    batch_sizes: Sequence[int],
    dtype: torch.dtype,
    lists: Lists,
    resets: Tensor | None,
    saved: tuple[Described, ...] = (),
    output: torch.dtype | None = None,
) -> dict[str, int]:
    """Raise ValueError unless the tensors are those that the loop's compiled code takes.

    PyTorch's dispatcher has sent tensors of other devices and layouts elsewhere before.

    Args:
        interface: the loop's.
        batch_sizes: rows of each step.
        dtype: of the compiled code.
        lists: tensors by kind: those of ``KINDS``, clock, given, final, recorded, saved.
        resets: as the operator's.
        saved: the tensors of the kind ``saved``, which back ends differ in.
        output: the type of outputs and saved values, where it is not ``dtype``.

    Returns:
        The number of units behind each size of the interface.
    """
    types = {x.dtype for xs in lists.values() for x in xs}
    if len(types) != 1 or dtype not in types:
        _refuse_type(interface, dtype, lists, saved, output or dtype)
    shapes = tuple([x.shape for xs in lists.values() for x in xs])
    lengths = _lengths(interface, tuple(batch_sizes), tuple(lists), tuple(map(len, lists.values())), shapes, saved)
    if resets is not None:
        total = lists["data"][0].shape[0]
        if resets.dtype is not torch.bool or resets.shape != (total,):
            raise ValueError(f"resets must be {total} booleans, not {resets.dtype} of shape {tuple(resets.shape)}")
        if not lists["initial"]:
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


def clock_type(dtype: torch.dtype) -> torch.dtype:
    """Return the type of step numbers, which count past what half precision can hold."""
    return torch.promote_types(dtype, torch.float32)


def _refuse_type(
    interface: Interface, dtype: torch.dtype, lists: Lists, saved: tuple[Described, ...], output: torch.dtype
) -> None:
    known = {**interface.tensors, "saved": saved}
    for kind, xs in lists.items():
        for tensor, x in zip_longest(known[kind], xs):
            wanted = clock_type(dtype) if kind == "clock" else output if kind in ("given", "recorded", "saved") else dtype
            wanted = wanted if tensor is None else tensor.type(wanted)
            if x is not None and x.dtype is not wanted:
                label = tensor.label if tensor else kind
                raise ValueError(f"{label} is {x.dtype}, but the input is {dtype}: convert it, such as with .to({wanted})")


@lru_cache(maxsize=1024)
def _lengths(
    interface: Interface,
    batch_sizes: tuple[int, ...],
    kinds: tuple[str, ...],
    counts: tuple[int, ...],
    given: tuple[torch.Size, ...],
    saved: tuple[Described, ...],
) -> dict[str, int]:
    """Check all shapes; return the units behind each size."""
    rest = iter(given)
    shapes = {kind: tuple(islice(rest, count)) for kind, count in zip(kinds, counts, strict=True)}
    if not batch_sizes or min(batch_sizes) < 1:
        raise ValueError("batch_sizes must name at least one step, of at least one row each")
    if any(a < b for a, b in pairwise(batch_sizes)) and not interface.loop.edges:
        raise ValueError("batch_sizes must not increase: sort the sequences by length, the longest first")
    known = {**interface.tensors, "saved": saved}
    for kind, found in shapes.items():
        if len(found) != len(known[kind]) and not (kind == "initial" and not found):
            names = ", ".join(x.label for x in known[kind])
            raise ValueError(f"{len(found)} tensors are given for {kind}, expected {len(known[kind])} ({names})")
        for tensor, shape in zip(known[kind], found, strict=False):
            if len(shape) != tensor.dimensions:
                raise ValueError(f"{tensor.label} has shape {tuple(shape)}, expected {tensor.dimensions} dimensions")
    lengths, total = interface.lengths(shapes), sum(batch_sizes)
    if min(lengths.values()) < 1:
        raise ValueError("every vector of the cell must have at least one unit")
    if total * max(lengths.values()) > MOST:
        raise ValueError(f"{total} rows of {max(lengths.values())} units are more than can be counted")
    every = {**lengths, "rows": total, "batch": 1 if interface.loop.edges else batch_sizes[0]}
    for kind, found in shapes.items():
        for tensor, shape in zip(known[kind], found, strict=False):
            if tuple(shape) != tensor.at(every):
                raise ValueError(f"{tensor.label} has shape {tuple(shape)}, expected {tensor.at(every)}")
    return lengths
