"""Back ends that run a cell's loop over whole sequences. ``run`` takes a ``Call``; ``choice`` finds who runs it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._compile import _disable_dynamo  # torch.compiler.disable loads the compiler

from carousel.kernels import choice, segments
from carousel.kernels.backend import Backend, Call, Change, Result, Stepper, Unavailable
from carousel.kernels.choice import BACKENDS, backend, check_environment, explain, source, steppers, use
from carousel.kernels.noise import Noise
from carousel.kernels.registry import portable, register, registered


def run(call: Call) -> Result:
    """Run a call by the back end that supports it, its segments one by one where it asks for them. Raises as ``choice.run``."""
    leaves = torch.compiler.is_exporting() or torch.jit.is_tracing()  # this process, for sequences of any length
    if call.cell.before and (leaves or torch.compiler.is_compiling()):
        raise ValueError(f"a step of cell {call.cell.name} follows several, and such a run goes into no graph")
    if call.changes and torch.compiler.is_dynamo_compiling() and not leaves:
        return _apart(call)
    if call.segment_length and not leaves and call.segment_length < len(call.rows) and torch.is_grad_enabled():
        return segments.run(run, call)
    plain = leaves and not torch.compiler.is_dynamo_compiling() and backend() == "portable"
    if (leaves or torch.compiler.is_compiling()) and not plain:
        return _into_graph(call, leaves)
    return choice.run(call)


@_disable_dynamo
def _apart(call: Call) -> Result:
    """Run a call between two graphs, for a function of the user's that changes values at each step."""
    return run(call)


def _into_graph(call: Call, leaves: bool) -> Result:
    """Run a call where PyTorch writes a graph: as one operator, which it looks no further into."""
    if call.changes:
        raise ValueError(f"a function that changes {', '.join(call.changes)} goes into no graph; clamp values instead")
    key = portable(call) if leaves and not torch.compiler.is_dynamo_compiling() else call.cell.key
    starts = list(call.initial.values()) if call.initial is not None else []
    before = list(call.before.values())
    parameters = [call.parameters[n] for n in (*call.cell.learned, *call.cell.given)]
    clamp, held = ",".join(call.clamp or ()), [x for pair in (call.clamp or {}).values() for x in pair]
    output, *others = torch.ops.carousel.run(
        *(key, call.data, call.batch_sizes, before, parameters, call.reverse, call.resets, starts),
        *(",".join(call.record), clamp, held, [call.inputs[n] for n in call.cell.inputs], *_of_noise(call)),
    )
    after = dict(zip(call.before, others, strict=False))
    return Result(output, after, dict(zip(call.record, others[len(after) :], strict=True)))


def _of_noise(call: Call) -> tuple[Tensor | None, list[float], int]:
    """Return a call's noise as tensors and numbers."""
    if call.noise is None:
        return None, [], 0
    return call.noise.seed, [call.noise.rates[n] for n in call.cell.rates], call.noise.first


def _in_graph(
    key: str,
    data: Tensor,
    batch_sizes: list[int] | None,
    before: list[Tensor],
    parameters: list[Tensor],
    reverse: bool,
    resets: Tensor | None,
    initial: list[Tensor],
    record: str,
    clamp: str,
    held: list[Tensor],
    inputs: list[Tensor] | None = None,  # programs that were exported earlier have none
    seed: Tensor | None = None,
    rates: Sequence[float] = (),
    first: int = 0,
) -> list[Tensor]:
    """Run a call inside that operator, which takes and gives tensors, numbers and texts alone."""
    cell = registered(key)
    names = [*cell.learned, *cell.given]
    states = dict(zip(cell.states, before, strict=True))
    starts = dict(zip(cell.states, initial, strict=True)) if initial else None
    given = dict(zip(names, parameters, strict=True))
    recorded = [n for n in record.split(",") if n]
    clamps = dict(zip([n for n in clamp.split(",") if n], zip(held[::2], held[1::2], strict=True), strict=True))
    further = dict(zip(cell.inputs, inputs or (), strict=True))
    noise = None if seed is None else Noise(seed, dict(zip(cell.rates, rates, strict=True)), first)
    call = Call(cell, data, batch_sizes, states, given, reverse, resets, starts, recorded, clamps, inputs=further, noise=noise)
    found = BACKENDS["reference"].run(call) if torch.onnx.is_in_onnx_export() else choice.run(call)  # ONNX has no such loop
    return [found.output, *(found.states[n] for n in cell.states), *(found.recorded[n] for n in recorded)]


# An operator that consists of others, so that their derivatives are its own.
_library = torch.library.Library("carousel", "FRAGMENT")
_library.define(
    "run(str key, Tensor data, SymInt[]? batch_sizes, Tensor[] before, Tensor[] parameters, bool reverse, Tensor? resets, "
    "Tensor[] initial, str record, str clamp, Tensor[] held, Tensor[]? inputs=None, Tensor? seed=None, float[] rates=[], "
    "SymInt first=0) -> Tensor[]"
)
_library.impl("run", _in_graph, "CompositeImplicitAutograd")


__all__ = [
    "BACKENDS",
    "Backend",
    "Call",
    "Change",
    "Noise",
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
