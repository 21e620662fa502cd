"""The loop as an operator of PyTorch, ``carousel::loop``: forward and backward by compiled kernels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.kernels import reference
from carousel.kernels.cpu import compiler
from carousel.kernels.cpu.kernel import Steps, call, kernel, layout_of, threads_for
from carousel.kernels.inputs import Inputs, enter, loop_of

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
    if record or not usable(cell, data):
        return reference.run(
            cell, data, batch_sizes, before, parameters, reverse=reverse, resets=resets, initial=initial, record=record
        )
    kernel(cell, data.dtype)  # compiles at first use, and says here if it cannot
    inputs = enter(cell, data, before, parameters)
    names = [s.name for s in cell.trace.states if s.size is not None]
    clock = _clock(cell, before, batch_sizes, reverse, resets, initial, data)
    results = torch.ops.carousel.loop(
        register(cell),
        inputs.entering,
        inputs.vectors,
        inputs.weights,
        [before[n].to(data.dtype) for n in names],
        [initial[n].to(data.dtype) for n in names] if resets is not None and initial is not None else [],
        clock,
        resets,
        list(batch_sizes),
        reverse,
        False,
    )
    after = dict(zip(names, results[1:], strict=True))
    if clock is not None:
        last = Steps.of(batch_sizes, not reverse).first  # each row's last step
        after[cell.trace.states[-1].name] = (clock[last] + 1).unsqueeze(1).to(before[cell.trace.states[-1].name].dtype)
    return results[0], after, {}


def usable(cell: Cell, data: Tensor) -> bool:
    """Whether there are kernels for this."""
    return data.device.type == "cpu" and data.dtype in compiler.TYPES and bool(loop_of(cell).stages)


def register(cell: Cell) -> str:
    """The name under which the operator finds the cell."""
    key = _key(cell)
    _cells[key] = cell
    return key


@cache
def _key(cell: Cell) -> str:
    return f"{cell.name}:{hashlib.sha256(repr(cell.trace.equations).encode()).hexdigest()[:12]}"


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
    "loop(str cell, Tensor[] entering, Tensor[] vectors, Tensor[] weights, Tensor[] before, Tensor[] initial, "
    "Tensor? clock, Tensor? resets, SymInt[] batch_sizes, bool reverse, bool keep) -> Tensor[]"
)
_library.define(
    "loop_backward(str cell, Tensor given, Tensor[] final, Tensor[] kept, Tensor[] entering, Tensor[] vectors, Tensor[] weights, "
    "Tensor? clock, Tensor? resets, SymInt[] batch_sizes, bool reverse, bool to_before, bool to_initial) -> Tensor[]"
)


def _forward(
    cell: str,
    entering: list[Tensor],
    vectors: list[Tensor],
    weights: list[Tensor],
    before: list[Tensor],
    initial: list[Tensor],
    clock: Tensor | None,
    resets: Tensor | None,
    batch_sizes: list[int],
    reverse: bool,
    keep: bool,
) -> list[Tensor]:
    """Outputs, states after each row's last step, and with ``keep`` what the run backwards needs of every step."""
    like = before[0]
    k = kernel(_cells[cell], like.dtype)
    layout, steps = k.layout, Steps.of(batch_sizes, reverse, keep)
    entering, vectors, weights = ([x.contiguous() for x in xs] for xs in (entering, vectors, weights))
    lengths = layout.lengths(before, vectors, weights)
    rows = steps.total if keep else 2 * steps.batch
    stored = [
        like.new_empty(rows, lengths[n]) if keep or lent else None for n, lent in zip(layout.stored, layout.lent, strict=True)
    ]
    flags = resets.contiguous() if resets is not None and initial else None
    for place, start, x in zip(layout.stored_state, initial or before, before, strict=True):
        room = None if place is None else stored[place]
        if room is None:
            continue
        if flags is not None:
            x = torch.where(flags[steps.first].unsqueeze(1), start, x)
        if not keep:
            room.view(2, steps.batch, -1).copy_(x.expand(2, -1, -1))
        elif steps.whole:
            room[: steps.batch].copy_(x)
        else:
            room.index_copy_(0, steps.first, x)
    output = like.new_empty(steps.total, like.shape[1])
    final = [torch.empty(x.shape, dtype=x.dtype) for x in before]
    starts = [initial[s].contiguous() if flags is not None else None for s in layout.remembered]
    panels = k.panels(weights, transposed=False)
    arrays = [*entering, *vectors, *panels, *weights, *stored, *starts, *final, output]
    if layout.has_clock:
        arrays.append(clock)
    call(k.forward, steps, flags, lengths, arrays, threads_for(weights, steps.total))
    return [output, *final, *([stored[n] for n in layout.stored_kept] if keep else [])]  # type: ignore[list-item]  # all there


def _forward_fake(cell, entering, vectors, weights, before, initial, clock, resets, batch_sizes, reverse, keep):  # type: ignore[no-untyped-def]
    layout, like, total = layout_of(_cells[cell]), before[0], sum(batch_sizes)
    lengths = layout.lengths(before, vectors, weights)
    results = [like.new_empty(total, like.shape[1]), *(x.new_empty(x.shape) for x in before)]
    return results + ([like.new_empty(total, lengths[n]) for n in layout.kept] if keep else [])


def _backward(
    cell: str,
    given: Tensor,
    final: list[Tensor],
    kept: list[Tensor],
    entering: list[Tensor],
    vectors: list[Tensor],
    weights: list[Tensor],
    clock: Tensor | None,
    resets: Tensor | None,
    batch_sizes: list[int],
    reverse: bool,
    to_before: bool,
    to_initial: bool,
) -> list[Tensor]:
    """Gradients: of each group's sums, of what enters and is no group's, of vectors, of weights, of states before, of initial ones."""
    k = kernel(_cells[cell], given.dtype)
    layout, steps = k.layout, Steps.of(batch_sizes, reverse)
    entering, vectors, weights = ([x.contiguous() for x in xs] for xs in (entering, vectors, weights))
    lengths = layout.lengths(final, vectors, weights)
    threads = threads_for(weights, steps.total)
    sums = [given.new_zeros(threads, lengths[n]) for n in layout.learned]
    adjoints = [given.new_empty(steps.total, parts * lengths[n]) for parts, n in layout.groups]
    own = [given.new_empty(steps.total, parts * lengths[n]) for parts, n in layout.own]
    carried = [x.clone(memory_format=torch.contiguous_format) for x in final]
    direct = [
        torch.empty(steps.total, x.shape[1], dtype=x.dtype) if to_initial else None
        for x, passing in zip(final, layout.passing, strict=True)
        if passing
    ]
    lent = [given.new_empty(steps.batch, lengths[n]) for n in layout.crossing]
    panels, saved = k.panels(weights, transposed=True), [kept[n] for n in layout.saved]
    flags = resets.contiguous() if resets is not None else None
    arrays = [
        *vectors,
        *sums,
        *panels,
        *weights,
        *entering,
        *saved,
        *adjoints,
        *own,
        *carried,
        *direct,
        *lent,
        given.contiguous(),
    ]
    if layout.has_clock:
        arrays.append(clock)
    call(k.backward, steps, flags, lengths, arrays, threads)
    results = [*adjoints, *own, *(x.sum(0) for x in sums), *(adjoints[g].t() @ kept[x] for g, x in layout.operands)]

    passed = iter(direct)
    begun, returned = [], []
    for through, passing, total in zip(layout.through, layout.passing, carried, strict=True):
        products = [(adjoints[layout.operands[n][0]], weights[n]) for n in through]
        if to_before:
            total = total if passing else torch.zeros_like(total)
            for a, w in products:
                total = total + (a[: steps.batch] if steps.whole else a[steps.first]) @ w
            if flags is not None:
                total = total.masked_fill(flags[steps.first].unsqueeze(1), 0)
            begun.append(total)
        if to_initial and flags is not None:
            where = flags.nonzero().squeeze(1)
            straight = next(passed) if passing else None
            back = total.new_zeros(len(where), total.shape[1]) if straight is None else straight[where]
            for a, w in products:
                back = back + a[where] @ w
            row = torch.cat([torch.arange(n) for n in batch_sizes])[where]
            returned.append(torch.zeros_like(total).index_add_(0, row, back))
    return [*results, *begun, *returned]


def _backward_fake(  # type: ignore[no-untyped-def]
    cell, given, final, kept, entering, vectors, weights, clock, resets, batch_sizes, reverse, to_before, to_initial
):
    layout, total = layout_of(_cells[cell]), sum(batch_sizes)
    lengths = layout.lengths(final, vectors, weights)
    results = [given.new_empty(total, parts * lengths[n]) for parts, n in (*layout.groups, *layout.own)]
    results += [given.new_empty(lengths[n]) for n in layout.learned] + [w.new_empty(w.shape) for w in weights]
    return results + [x.new_empty(x.shape) for x in final] * (to_before + to_initial)


# ------------------------------------------------------------------------------------------------------ derivatives


class _Loop(torch.autograd.Function):
    """``carousel::loop`` with its derivative; a derivative of that is the reference's."""

    @staticmethod
    def forward(
        ctx: Any, spec: tuple[Any, ...], clock: Tensor | None, resets: Tensor | None, *flat: Tensor
    ) -> tuple[Tensor, ...]:
        cell, counts, batch_sizes, reverse = spec
        lists = _parts(flat, counts)
        with torch._C._AutoDispatchBelowAutograd():
            results = torch.ops.carousel.loop(cell, *lists, clock, resets, batch_sizes, reverse, True)
        outputs = 1 + counts[3]
        ctx.spec, ctx.extra = spec, (clock, resets)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*flat, *results[outputs:])
        return tuple(results[:outputs])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:  # type: ignore[override]
        cell, counts, batch_sizes, reverse = ctx.spec
        clock, resets = ctx.extra
        lists = _parts(ctx.saved_tensors, (*counts, len(ctx.saved_tensors) - sum(counts)))
        entering, vectors, weights, before, initial, kept = lists
        if torch.is_grad_enabled():
            return (None, None, None, *_again(ctx.spec, lists, clock, resets, gradients))
        needs = _parts(ctx.needs_input_grad[3:], counts)
        to_before, to_initial = any(needs[3]), any(needs[4])
        given = gradients[0]
        if given is None:
            given = before[0].new_zeros(sum(batch_sizes), before[0].shape[1])
        final = [torch.zeros_like(x) if g is None else g for g, x in zip(gradients[1:], before, strict=True)]
        flags = resets if initial else None
        with torch._C._AutoDispatchBelowAutograd():
            found = torch.ops.carousel.loop_backward(
                cell, given, final, kept, entering, vectors, weights, clock, flags, batch_sizes, reverse, to_before, to_initial
            )
        layout = layout_of(_cells[cell])
        adjoints, own, learned, of_weights, begun, returned = _parts(
            found,
            (
                len(layout.groups),
                len(layout.own),
                len(layout.learned),
                len(weights),
                len(before) * to_before,
                len(before) * to_initial,
            ),
        )
        rest = iter(own)
        of_entering = [next(rest) if shared is None else adjoints[shared] for shared in layout.shared]
        of_vectors = [None if n is None else learned[n] for n in layout.vectors_learned]
        none: list[Any] = [None]
        return (
            None, None, None, *of_entering, *of_vectors, *of_weights,
            *(begun or none * len(before)), *(returned or none * len(initial)),
        )  # fmt: skip


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
    key, _, batch_sizes, reverse = spec
    cell = _cells[key]
    entering, vectors, weights, before, initial = lists[:5]
    names = [s.name for s in cell.trace.states if s.size is not None]
    states = dict(zip(names, before, strict=True))
    starts = dict(zip(names, initial, strict=True)) if initial else None
    if clock is not None:
        name = cell.trace.states[-1].name
        states[name] = clock[Steps.of(batch_sizes, reverse).first].unsqueeze(1)
        if starts is not None:
            starts[name] = torch.zeros_like(states[name])
    inputs = Inputs(entering, vectors, weights)
    output, after, _ = reference.inside(cell, inputs, batch_sizes, states, reverse=reverse, resets=resets, initial=starts)
    results = [output, *(after[n] for n in names)]
    pairs = [(r, g) for r, g in zip(results, gradients, strict=True) if g is not None and r.requires_grad]
    flat = [x for part in lists[:5] for x in part]
    wanted = [x for x in flat if x.requires_grad]
    found = iter(
        torch.autograd.grad([r for r, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return [next(found) if x.requires_grad else None for x in flat]


def _autograd(
    cell: str,
    entering: list[Tensor],
    vectors: list[Tensor],
    weights: list[Tensor],
    before: list[Tensor],
    initial: list[Tensor],
    clock: Tensor | None,
    resets: Tensor | None,
    batch_sizes: list[int],
    reverse: bool,
    keep: bool,
) -> list[Tensor]:
    lists = (entering, vectors, weights, before, initial)
    flat = [x for xs in lists for x in xs]
    if torch.is_grad_enabled() and any(x.requires_grad for x in flat):
        spec = (cell, tuple(map(len, lists)), batch_sizes, reverse)
        return list(_Loop.apply(spec, clock, resets, *flat))
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.carousel.loop(cell, *lists, clock, resets, batch_sizes, reverse, keep)


_library.impl("loop", _forward, "CPU")
_library.impl("loop", _autograd, "AutogradCPU")
_library.impl("loop_backward", _backward, "CPU")
torch.library.register_fake("carousel::loop", _forward_fake, lib=_library)
torch.library.register_fake("carousel::loop_backward", _backward_fake, lib=_library)
