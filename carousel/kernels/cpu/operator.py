"""The loop as an operator of PyTorch, ``carousel::loop``: forward and backward by compiled kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.kernels import reference
from carousel.kernels.cpu import calls, compiler
from carousel.kernels.cpu.kernel import Steps, kernel, layout_of
from carousel.kernels.inputs import Inputs, enter_some, loop_of

_cells: dict[str, Cell] = {}


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
    layout = kernel(cell, data.dtype, bfloat).layout  # compiles at first use, and says here if it cannot
    with torch.autocast("cpu", enabled=False):
        entering, vectors, values = enter_some(cell, data, before, parameters)
    symbols = {p.name: p.symbol for p in cell.trace.parameters}
    names = [s.name for s in cell.trace.states if s.size is not None]
    clock = _clock(cell, before, batch_sizes, reverse, resets, initial, data)
    results = torch.ops.carousel.loop(
        register(cell),
        data,
        [values[symbols[n]] for n in layout.dense],
        [values[b] for b in layout.biases],
        entering,
        vectors,
        [before[n].to(data.dtype) for n in names],
        [initial[n].to(data.dtype) for n in names] if resets is not None and initial is not None else [],
        clock,
        resets,
        list(batch_sizes),
        reverse,
        bfloat,
        False,
    )
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


def register(cell: Cell) -> str:
    """Let the operator find the cell; gives the name by which it does."""
    _cells[cell.key] = cell
    return cell.key


def registered(key: str) -> Cell:
    """The cell of that name."""
    return _cells[key]


def _clock(
    cell: Cell,
    before: Mapping[str, Tensor],
    batch_sizes: Sequence[int],
    reverse: bool,
    resets: Tensor | None,
    initial: Mapping[str, Tensor] | None,
    like: Tensor,
) -> Tensor | None:
    """The number of each row's step at every step, (Σ batch_sizes,); None for a cell that has none."""
    if loop_of(cell).clock is None:
        return None
    name = cell.trace.states[-1].name
    value, start = before[name][:, 0], initial[name][:, 0] if initial is not None else before[name][:, 0]
    pieces = []
    steps = list(enumerate(batch_sizes))
    flags = resets.split(list(batch_sizes)) if resets is not None else None
    value = value.clone()
    for step, n in reversed(steps) if reverse else steps:
        if flags is not None:
            value[:n] = torch.where(flags[step], start[:n], value[:n])
        pieces.append(value[:n].clone())
        value[:n] += 1
    return torch.cat(pieces[::-1] if reverse else pieces).to(like.dtype)


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


def _forward(cell: str, data: Tensor, *rest: Any) -> list[Tensor]:
    return calls.forward(kernel(_cells[cell], data.dtype, rest[-2]), data, *rest)


def _backward(cell: str, given: Tensor, final: list[Tensor], kept: list[Tensor], data: Tensor, *rest: Any) -> list[Tensor]:
    return calls.backward(kernel(_cells[cell], data.dtype, rest[-4]), given, final, kept, data, *rest)


def _forward_shapes(  # type: ignore[no-untyped-def]
    cell, data, dense, biases, entering, vectors, before, initial, clock, resets, batch_sizes, reverse, bfloat, keep
):
    layout, total = layout_of(_cells[cell]), sum(batch_sizes)
    lengths = layout.lengths(before, vectors, data, dense)
    results = [data.new_empty(total, before[0].shape[1]), *(x.new_empty(x.shape) for x in before)]
    return results + ([data.new_empty(total, lengths[n]) for n in layout.kept] if keep else [])


def _backward_shapes(  # type: ignore[no-untyped-def]
    cell, given, final, kept, data, dense, biases, entering, vectors, clock, resets, batch_sizes, reverse, bfloat,
    to_data, to_before, to_initial,
):  # fmt: skip
    layout = layout_of(_cells[cell])
    learned = [v for v, n in zip(vectors, layout.vectors_learned, strict=True) if n is not None]
    like = [*dense, *biases, *entering, *learned, *([data] * to_data), *(final * to_before), *(final * to_initial)]
    return [x.new_empty(x.shape) for x in like]


# ------------------------------------------------------------------------------------------------------ derivatives


class _Loop(torch.autograd.Function):
    """``carousel::loop`` with its derivative; a derivative of that is the reference's."""

    @staticmethod
    def forward(
        ctx: Any, spec: tuple[Any, ...], clock: Tensor | None, resets: Tensor | None, *flat: Tensor
    ) -> tuple[Tensor, ...]:
        cell, counts, batch_sizes, reverse, bfloat = spec
        data, *lists = _parts(flat, counts)
        with torch._C._AutoDispatchBelowAutograd():
            results = torch.ops.carousel.loop(cell, *data, *lists, clock, resets, batch_sizes, reverse, bfloat, True)
        outputs = 1 + counts[-2]
        ctx.spec, ctx.extra = spec, (clock, resets)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*flat, *results[outputs:])
        return tuple(results[:outputs])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        cell, counts, batch_sizes, reverse, bfloat = ctx.spec
        clock, resets = ctx.extra
        saved = ctx.saved_tensors
        lists = _parts(saved, (*counts, len(saved) - sum(counts)))
        if torch.is_grad_enabled():
            return (None, None, None, *_again(ctx.spec, lists, clock, resets, gradients))
        (data,), dense, biases, entering, vectors, before, initial, kept = lists
        needs = _parts(ctx.needs_input_grad[3:], counts)
        asked = [any(needs[0]), any(needs[-2]), any(needs[-1])]
        given = gradients[0]
        if given is None:
            given = before[0].new_zeros(sum(batch_sizes), before[0].shape[1])
        final = [torch.zeros_like(x) if g is None else g for g, x in zip(gradients[1:], before, strict=True)]
        with torch._C._AutoDispatchBelowAutograd():
            found = torch.ops.carousel.loop_backward(
                cell, given, final, kept, data, dense, biases, entering, vectors, clock, resets if initial else None,
                batch_sizes, reverse, bfloat, *asked,
            )  # fmt: skip
        layout = layout_of(_cells[cell])
        each = [len(dense), len(biases), len(entering), len(layout.learned)]
        *middle, learned, to_data, to_before, to_initial = _parts(
            found, (*each, asked[0], len(before) * asked[1], len(before) * asked[2])
        )
        of_vectors = [None if n is None else learned[n] for n in layout.vectors_learned]
        none: list[Any] = [None]
        states = (to_before or none * len(before)) + (to_initial or none * len(initial))
        return (None, None, None, *(to_data or none), *(x for xs in middle for x in xs), *of_vectors, *states)


def _parts(flat: Sequence[Any], counts: Sequence[int]) -> list[list[Any]]:
    found, at = [], 0
    for n in counts:
        found.append(list(flat[at : at + n]))
        at += n
    return found


def _again(
    spec: tuple[Any, ...],
    lists: list[list[Tensor]],
    clock: Tensor | None,
    resets: Tensor | None,
    gradients: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """The same gradients by the reference, which can be derived once more."""
    key, _, batch_sizes, reverse, _ = spec
    cell = _cells[key]
    layout = layout_of(cell)
    (data,), dense, biases, entering, vectors, before, initial, _ = lists
    names = [s.name for s in cell.trace.states if s.size is not None]
    states = dict(zip(names, before, strict=True))
    starts = dict(zip(names, initial, strict=True)) if initial else None
    if clock is not None:
        name = cell.trace.states[-1].name
        states[name] = clock[Steps.of(batch_sizes, reverse).first].unsqueeze(1)
        if starts is not None:
            starts[name] = torch.zeros_like(states[name])
    lengths = layout.lengths(before, vectors, data, dense)
    weights = [torch.cat(layout.stack(lengths, dense, k)) for k in range(len(layout.counts))]
    entered = [torch.addmm(b, data, w.t()) for b, w in zip(layout.bias(lengths, biases, data), weights, strict=False)]
    inputs = Inputs([*entered, *entering], vectors, weights[len(entered) :])
    output, after, _ = reference.inside(cell, inputs, batch_sizes, states, reverse=reverse, resets=resets, initial=starts)
    results = [output, *(after[n] for n in names)]
    pairs = [(r, g) for r, g in zip(results, gradients, strict=True) if g is not None and r.requires_grad]
    flat = [x for part in lists[:-1] for x in part]
    wanted = [x for x in flat if x.requires_grad]
    found = iter(
        torch.autograd.grad([r for r, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return [next(found) if x.requires_grad else None for x in flat]


def _autograd(cell: str, data: Tensor, *arguments: Any) -> list[Tensor]:
    *lists, clock, resets, batch_sizes, reverse, bfloat, _ = arguments
    flat = [data, *(x for xs in lists for x in xs)]
    if torch.is_grad_enabled() and any(x.requires_grad for x in flat):
        spec = (cell, (1, *map(len, lists)), batch_sizes, reverse, bfloat)
        return list(_Loop.apply(spec, clock, resets, *flat))
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.carousel.loop(cell, data, *arguments)


_library.impl("loop", _forward, "CPU")
_library.impl("loop", _autograd, "AutogradCPU")
_library.impl("loop_backward", _backward, "CPU")
torch.library.register_fake("carousel::loop", _forward_shapes, lib=_library)
torch.library.register_fake("carousel::loop_backward", _backward_shapes, lib=_library)


def _over_batches(info: Any, in_dims: Any, *arguments: Any) -> tuple[list[Tensor], list[int]]:
    """vmap, one after the other: the kernels have a batch of their own."""

    def pick(x: Any, dim: Any, k: int) -> Any:
        if isinstance(x, list) and isinstance(dim, list | tuple):
            return [pick(a, d, k) for a, d in zip(x, dim, strict=True)]
        return x.select(dim, k) if isinstance(dim, int) and isinstance(x, Tensor) else x

    each = [
        torch.ops.carousel.loop(*(pick(x, d, k) for x, d in zip(arguments, in_dims, strict=True)))
        for k in range(info.batch_size)
    ]
    found = [torch.stack(xs) for xs in zip(*each, strict=True)]
    return found, [0] * len(found)


torch.library.register_vmap("carousel::loop", _over_batches, lib=_library)
