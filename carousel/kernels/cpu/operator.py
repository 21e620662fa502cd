"""The loop as an operator of PyTorch, ``carousel::loop``: forward and backward by compiled kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.kernels import reference
from carousel.kernels.cpu import calls, compiler
from carousel.kernels.cpu.boundary import check
from carousel.kernels.cpu.derivatives import Call, loop, loop_called, one_by_one
from carousel.kernels.cpu.kernel import Kernel, Steps, kernel, layout_of
from carousel.kernels.cpu.registry import register
from carousel.kernels.inputs import enter_some, loop_of, step_numbers


def run(
    cell: Cell,
    data: Tensor,
    batch_sizes: Sequence[int],
    before: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    *,
    reverse: bool = False,
    resets: Tensor | None = None,
    initial: Mapping[str, Tensor] | None = None,
    record: Sequence[str] = (),
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """``reference.run``'s work by compiled kernels. Recording is left to the reference."""
    if torch.is_autocast_enabled("cpu") and data.is_floating_point():
        data = data.to(next(iter({**parameters, **before}.values())).dtype)  # a cell may have no parameters
    if record or not usable(cell, data):
        return reference.run(
            cell, data, batch_sizes, before, parameters, reverse=reverse, resets=resets, initial=initial, record=record
        )
    bfloat = _bfloat(data)
    layout = kernel(loop_of(cell), data.dtype, bfloat).layout  # compiles at first use, and says here if it cannot
    with torch.autocast("cpu", enabled=False):
        entering, vectors, values = enter_some(cell, data, before, parameters)
    symbols = {p.name: p.symbol for p in cell.trace.parameters}
    names = [s.name for s in cell.trace.states if s.size is not None]
    clock = step_numbers(cell, before, batch_sizes, reverse, resets, initial, data.dtype)
    with_resets = resets is not None and initial is not None
    lists = [
        [data],
        [values[symbols[n]] for n in layout.dense],
        [values[b] for b in layout.biases],
        entering,
        vectors,
        [before[n].to(data.dtype) for n in names],
        [initial[n].to(data.dtype) for n in names] if with_resets and initial is not None else [],
    ]
    call = Call(register(cell), tuple(map(len, lists)), tuple(batch_sizes), reverse, bfloat)
    results = loop(call, clock, resets if with_resets else None, [x for xs in lists for x in xs])
    after = dict(zip(names, results[1:], strict=True))
    if clock is not None:
        last = Steps.of(batch_sizes, not reverse).first  # each row's last step
        after[cell.trace.states[-1].name] = (clock[last] + 1).unsqueeze(1).to(before[cell.trace.states[-1].name].dtype)
    return results[0], after, {}


def usable(cell: Cell, data: Tensor) -> bool:
    """Whether there are kernels for this; what has no rows is the reference's."""
    return data.shape[0] > 0 and data.device.type == "cpu" and data.dtype in compiler.TYPES and bool(loop_of(cell).stages)


def _bfloat(data: Tensor) -> bool:
    """Whether products are wanted in bfloat16 (autocast, or PyTorch's setting for recurrent layers) and there."""
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16
    wanted = autocast or torch.backends.mkldnn.rnn.fp32_precision == "bf16"  # type: ignore[attr-defined]
    return wanted and data.dtype is torch.float32 and compiler.bfloat16()


# ---------------------------------------------------------------------------------------------------- the operators

_library = torch.library.Library("carousel", "FRAGMENT")
_library.define(
    "loop(str cell, Tensor data, Tensor[] dense, Tensor[] biases, Tensor[] entering, Tensor[] vectors, Tensor[] before, "
    "Tensor[] initial, Tensor? clock, Tensor? resets, SymInt[] batch_sizes, bool reverse, bool bfloat, bool keep) -> Tensor[]"
)
_library.define(
    "loop_backward(str cell, Tensor given, Tensor[] final, Tensor[] kept, Tensor data, Tensor[] dense, Tensor[] biases, "
    "Tensor[] entering, Tensor[] vectors, Tensor? clock, Tensor? resets, SymInt[] batch_sizes, bool reverse, bool bfloat, "
    "bool to_data, bool to_before, bool to_initial) -> Tensor[]"
)


def _forward(  # type: ignore[no-untyped-def]
    cell, data, dense, biases, entering, vectors, before, initial, clock, resets, batch_sizes, reverse, bfloat, keep
):
    made = _kernel(cell, data, bfloat)
    lists = _lists(data, dense, biases, entering, vectors, clock) | {"before": before, "initial": initial}
    lengths = check(made.layout, batch_sizes, data.dtype, lists, resets)
    tensors = (data, dense, biases, entering, vectors, before, initial, clock, resets)
    return calls.forward(made, lengths, *tensors, batch_sizes, reverse, bfloat, keep)


def _backward(  # type: ignore[no-untyped-def]
    cell, given, final, kept, data, dense, biases, entering, vectors, clock, resets, batch_sizes, reverse, bfloat, *asked
):
    made = _kernel(cell, data, bfloat)
    lists = _lists(data, dense, biases, entering, vectors, clock) | {"given": [given], "final": final, "kept": kept}
    lengths = check(made.layout, batch_sizes, data.dtype, lists, resets)
    tensors = (given, final, kept, data, dense, biases, entering, vectors, clock, resets)
    return calls.backward(made, lengths, *tensors, batch_sizes, reverse, bfloat, *asked)


def _kernel(key: str, data: Tensor, bfloat: bool) -> Kernel:
    """The kernel for a call. Raises ValueError for a cell that is not registered, and types that no kernel has."""
    if data.dtype not in compiler.TYPES:
        wanted = " or ".join(str(t) for t in compiler.TYPES)
        raise ValueError(f"input is {data.dtype}, but there are kernels for {wanted}: convert it, such as with .float()")
    if bfloat and not (data.dtype is torch.float32 and compiler.bfloat16()):
        raise ValueError("products in bfloat16 need float32 tensors, and a processor that has them (AVX512_BF16)")
    return kernel(loop_called(key), data.dtype, bfloat)


def _lists(
    data: Tensor,
    dense: list[Tensor],
    biases: list[Tensor],
    entering: list[Tensor],
    vectors: list[Tensor],
    clock: Tensor | None,
) -> dict[str, list[Tensor]]:
    """What both directions are given, as ``check`` takes it."""
    clocks = [] if clock is None else [clock]
    return {"data": [data], "dense": dense, "biases": biases, "entering": entering, "vectors": vectors, "clock": clocks}


def _forward_shapes(  # type: ignore[no-untyped-def]
    cell, data, dense, biases, entering, vectors, before, initial, clock, resets, batch_sizes, reverse, bfloat, keep
):
    for x in (*dense, *biases, *entering, *vectors, *before, *initial):
        if x.device != data.device:  # PyTorch asks for shapes alone where one tensor has no numbers
            raise ValueError(f"the input is on {data.device}, but a state or a parameter is on {x.device}: move one of them")
    layout, total = layout_of(loop_called(cell)), sum(batch_sizes)
    lengths = layout.lengths(before, vectors, data, dense)
    results = [data.new_empty(total, before[0].shape[1]), *(x.new_empty(x.shape) for x in before)]
    return results + ([data.new_empty(total, lengths[n]) for n in layout.kept] if keep else [])


def _backward_shapes(  # type: ignore[no-untyped-def]
    cell, given, final, kept, data, dense, biases, entering, vectors, clock, resets, batch_sizes, reverse, bfloat,
    to_data, to_before, to_initial,
):  # fmt: skip
    layout = layout_of(loop_called(cell))
    learned = [v for v, n in zip(vectors, layout.vectors_learned, strict=True) if n is not None]
    like = [*dense, *biases, *entering, *learned, *([data] * to_data), *(final * to_before), *(final * to_initial)]
    return [x.new_empty(x.shape) for x in like]


def _autograd(cell: str, data: Tensor, *arguments: Any) -> list[Tensor]:
    """The operator where it is called by itself; ``run`` calls ``loop``, which leaves the operator no derivative to find."""
    *lists, clock, resets, batch_sizes, reverse, bfloat, keep = arguments
    call = Call(cell, (1, *map(len, lists)), tuple(batch_sizes), reverse, bfloat)
    flat = [data, *(x for xs in lists for x in xs)]
    if keep:  # what is kept has no derivative
        with torch._C._AutoDispatchBelowAutograd():
            return torch.ops.carousel.loop(cell, data, *arguments)
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError("carousel::loop by itself has no transforms of torch.func: call a layer, or carousel.kernels.run")
    return loop(call, clock, resets, flat)


def _over_batches(info: Any, in_dims: Any, *arguments: Any) -> tuple[list[Tensor], list[int]]:
    found, dims = one_by_one(torch.ops.carousel.loop, info.batch_size, in_dims, arguments)
    return list(found), list(dims)


_library.impl("loop", _forward, "CPU")
_library.impl("loop", _autograd, "AutogradCPU")
_library.impl("loop_backward", _backward, "CPU")
torch.library.register_fake("carousel::loop", _forward_shapes, lib=_library)
torch.library.register_fake("carousel::loop_backward", _backward_shapes, lib=_library)
torch.library.register_vmap("carousel::loop", _over_batches, lib=_library)
