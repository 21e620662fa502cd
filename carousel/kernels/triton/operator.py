"""The back end: a loop by Triton kernels, with its derivative; a derivative of that is the reference's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.derivative import NoDerivative
from carousel.kernels import reference
from carousel.kernels.alike import alike
from carousel.kernels.inputs import Inputs, check, enter, step_numbers
from carousel.kernels.triton import calls, planner, unusual
from carousel.kernels.triton.calls import Lists, Spec
from carousel.kernels.triton.kernel import INTERPRETED, steps_of
from carousel.kernels.triton.program import Unsupported, program_of

TYPES = (torch.float32, torch.bfloat16, torch.float16)


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
    """``reference.run``'s work by Triton kernels. Recording and float64 are left to the reference."""
    kind = data.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else data.dtype
    if record or not usable(cell, data, dtype) or unusual([data, *before.values(), *parameters.values()]):
        return reference.run(
            cell, data, batch_sizes, before, parameters, reverse=reverse, resets=resets, initial=initial, record=record
        )
    with torch.cuda.device_of(data):
        return _run(cell, data, dtype, batch_sizes, before, parameters, reverse, resets, initial)


def _run(
    cell: Cell,
    data: Tensor,
    dtype: torch.dtype,
    batch_sizes: Sequence[int],
    before: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    reverse: bool,
    resets: Tensor | None,
    initial: Mapping[str, Tensor] | None,
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    kind = data.device.type
    alike(cell, data, before, parameters)
    inputs = enter(cell, data, before, parameters)
    check(cell, inputs, batch_sizes, [before, *([initial] if resets is not None and initial is not None else [])], resets)
    names = [s.name for s in cell.trace.states if s.size is not None]
    with torch.autocast(kind, enabled=False):
        entering = inputs.entering
        weights = [w.to(dtype) for w in inputs.weights]
        vectors = [v.float() for v in inputs.vectors]
        states = [before[n] for n in names]
        starts = [initial[n] for n in names] if resets is not None and initial is not None else []
        clock = step_numbers(cell, before, batch_sizes, reverse, resets, initial, torch.float32)
        flat = [*entering, *weights, *vectors, *states, *starts]
        counts = (len(entering), len(weights), len(vectors), len(states), len(starts))
        spec = Spec(cell, dtype, tuple(batch_sizes), reverse, counts)
        if torch.is_grad_enabled() and any(x.requires_grad for x in flat):
            results = _Loop.apply(spec, clock, resets, *flat)
        else:
            results, _ = calls.forward(spec, _lists(spec, clock, resets, flat), False)
    after = dict(zip(names, results[1:], strict=True))
    if clock is not None:
        name = cell.trace.states[-1].name
        last = steps_of(spec.batch_sizes, not reverse, data.device).first  # each row's last step
        after[name] = (clock[last] + 1).unsqueeze(1).to(before[name].dtype)
    return results[0], after, {}


def usable(cell: Cell, data: Tensor, dtype: torch.dtype) -> bool:
    """Whether there are kernels for this."""
    if dtype not in TYPES or not (data.device.type == "cuda" or INTERPRETED):
        return False
    try:
        program_of(cell, dtype is not torch.float32)
    except (NoDerivative, Unsupported):
        return False
    return True


def explain(cell: Cell, data: Tensor, rows: int, sizes: tuple[int, int, int]) -> str:
    """How a layer's loop would run over ``rows`` rows of such data; ``sizes``: of the input, the states, the projection."""
    kind = data.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else data.dtype
    if not usable(cell, data, dtype):
        return "reference: PyTorch operations, one after the other"
    program = program_of(cell, dtype is not torch.float32)
    units = program.units(lambda size: cell.length(size, *sizes))
    plans = [f"{way} {planner.plan(program, way, units, rows, dtype, data.device)}" for way in ("forward", "backward")]
    return f"triton: {', '.join(plans)}"


def _lists(spec: Spec, clock: Tensor | None, resets: Tensor | None, flat: Sequence[Tensor]) -> Lists:
    rest = iter(flat)
    entering, weights, vectors, before, initial = ([next(rest) for _ in range(n)] for n in spec.counts)
    return Lists(entering, weights, vectors, before, initial, clock, resets)


class _Loop(torch.autograd.Function):
    """The loop with its derivative."""

    @staticmethod
    def forward(ctx: Any, spec: Spec, clock: Tensor | None, resets: Tensor | None, *flat: Tensor) -> tuple[Tensor, ...]:
        results, kept = calls.forward(spec, _lists(spec, clock, resets, flat), True)
        ctx.spec, ctx.extra, ctx.names = spec, (clock, resets), list(kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*flat, *kept.values())
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        spec: Spec = ctx.spec
        clock, resets = ctx.extra
        n = sum(spec.counts)
        flat, kept = ctx.saved_tensors[:n], dict(zip(ctx.names, ctx.saved_tensors[n:], strict=True))
        lists = _lists(spec, clock, resets, flat)
        if torch.is_grad_enabled():
            return (None, None, None, *_again(spec, lists, gradients))
        asked, needs, at = ctx.needs_input_grad[3:], [], 0
        for count in spec.counts:
            needs.append(any(asked[at : at + count]))
            at += count
        found = calls.backward(spec, lists, kept, gradients, needs)
        flat_found = [x for part in found for x in part]
        return (None, None, None, *(x if wanted else None for x, wanted in zip(flat_found, asked, strict=True)))


def _again(spec: Spec, lists: Lists, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The same gradients by the reference, which can be derived once more."""
    cell = spec.cell
    names = [s.name for s in cell.trace.states if s.size is not None]
    states = dict(zip(names, lists.before, strict=True))
    starts = dict(zip(names, lists.initial, strict=True)) if lists.initial else None
    if lists.clock is not None:
        name = cell.trace.states[-1].name
        states[name] = lists.clock[lists.steps(spec).first].unsqueeze(1)
        if starts is not None:
            starts[name] = torch.zeros_like(states[name])
    to = lists.before[0].dtype
    inputs = Inputs([x.to(to) for x in lists.entering], [x.to(to) for x in lists.vectors], [x.to(to) for x in lists.weights])
    resets = lists.resets if starts is not None else None
    output, after, _ = reference.inside(
        cell, inputs, spec.batch_sizes, states, reverse=spec.reverse, resets=resets, initial=starts
    )
    results = [output.to(spec.dtype), *(after[n] for n in names)]
    pairs = [(r, g) for r, g in zip(results, gradients, strict=True) if g is not None and r.requires_grad]
    flat = [*lists.entering, *lists.weights, *lists.vectors, *lists.before, *lists.initial]
    wanted = [x for x in flat if x.requires_grad]
    found = iter(
        torch.autograd.grad([r for r, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return [next(found) if x.requires_grad else None for x in flat]
