"""Back ends that run a cell's loop over whole sequences. ``run`` takes a ``Call``; ``choice`` finds who runs it."""

from __future__ import annotations

import torch
from torch import Tensor

from carousel.kernels import choice, segments
from carousel.kernels.backend import Backend, Call, Result, Stepper, Unavailable
from carousel.kernels.choice import BACKENDS, backend, check_environment, explain, source, steppers, use
from carousel.kernels.registry import register, registered


def run(call: Call) -> Result:
    """Run a call by the back end that supports it, its segments one by one where it asks for them. Raises as ``choice.run``."""
    if 0 < call.segment_length < len(call.batch_sizes) and torch.is_grad_enabled():
        return segments.run(run, call)
    if torch.compiler.is_compiling():
        starts = list(call.initial.values()) if call.initial is not None else []
        before, parameters = list(call.before.values()), list(call.parameters.values())
        given = [call.cell.key, call.data, list(call.batch_sizes), before, parameters, call.reverse, call.resets, starts]
        clamp, held = ",".join(call.clamp or ()), [x for pair in (call.clamp or {}).values() for x in pair]
        output, *others = torch.ops.carousel.run(*given, ",".join(call.record), clamp, held)
        after = dict(zip(call.before, others, strict=False))
        return Result(output, after, dict(zip(call.record, others[len(after) :], strict=True)))
    return choice.run(call)


def _in_graph(
    key: str,
    data: Tensor,
    batch_sizes: list[int],
    before: list[Tensor],
    parameters: list[Tensor],
    reverse: bool,
    resets: Tensor | None,
    initial: list[Tensor],
    record: str,
    clamp: str,
    held: list[Tensor],
) -> list[Tensor]:
    """``run`` for torch.compile, which looks no further into an operator: it takes and gives tensors and numbers alone."""
    cell = registered(key)
    names = [p.name for p in cell.trace.parameters if p.kind != "constant"]
    states = dict(zip(cell.states, before, strict=True))
    starts = dict(zip(cell.states, initial, strict=True)) if initial else None
    given = dict(zip(names, parameters, strict=True))
    recorded = [n for n in record.split(",") if n]
    clamps = dict(zip([n for n in clamp.split(",") if n], zip(held[::2], held[1::2], strict=True), strict=True))
    found = choice.run(Call(cell, data, batch_sizes, states, given, reverse, resets, starts, recorded, clamps))
    return [found.output, *(found.states[n] for n in cell.states), *(found.recorded[n] for n in recorded)]


# An operator that consists of others, so that their derivatives are its own.
_library = torch.library.Library("carousel", "FRAGMENT")
_library.define(
    "run(str key, Tensor data, SymInt[] batch_sizes, Tensor[] before, Tensor[] parameters, bool reverse, Tensor? resets, "
    "Tensor[] initial, str record, str clamp, Tensor[] held) -> Tensor[]"
)
_library.impl("run", _in_graph, "CompositeImplicitAutograd")


__all__ = [
    "BACKENDS",
    "Backend",
    "Call",
    "Result",
    "Stepper",
    "Unavailable",
    "backend",
    "check_environment",
    "explain",
    "register",
    "run",
    "source",
    "steppers",
    "use",
]
