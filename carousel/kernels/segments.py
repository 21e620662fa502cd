"""Long sequences in little memory: only the states between segments are saved, and each segment is run again backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from carousel.kernels.backend import Call, Change, Result


def run(inner: Callable[[Call], Result], call: Call) -> Result:
    """Run a call by ``inner``, ``call.segment_length`` steps at a time. With a length of √T the saved memory grows with √T:
    the states of T / length borders, and all of one segment (Chen et al. 2016)."""
    steps, batch_sizes = call.segment_length, call.rows
    ends = [min(k + steps, len(batch_sizes)) for k in range(0, len(batch_sizes), steps)]
    first = [0]
    for n in batch_sizes:
        first.append(first[-1] + n)
    states, found, unchanged = dict(call.before), [], _unchanged(call)

    def of(x: Tensor, within: slice) -> Tensor:
        return x[within] if len(x) == len(batch_sizes) else x[first[within.start] : first[within.stop]]

    def segment(x: Tensor, further: dict[str, Tensor], within: slice, flags: Tensor | None, now: dict[str, Tensor]) -> Result:
        unchanged()
        sizes = batch_sizes[within]
        starts = {k: v[: sizes[0]] for k, v in call.initial.items()} if call.initial is not None else None
        held = {k: (of(value, within), of(where, within)) for k, (value, where) in (call.clamp or {}).items()}
        changes = {k: partial(_later, change, within.start) for k, change in call.changes.items()}
        noise = call.noise.later(first[within.start]) if call.noise is not None else None
        part = replace(call, data=x, batch_sizes=sizes, before=now, resets=flags, initial=starts, clamp=held, segment_length=0)
        return inner(replace(part, inputs=further, noise=noise, changes=changes))

    for end in reversed(ends) if call.reverse else ends:
        begin = (end - 1) // steps * steps
        rows, within, most = slice(first[begin], first[end]), slice(begin, end), batch_sizes[begin]
        now = {k: v[:most] for k, v in states.items()}
        flags = None if call.resets is None else call.resets[rows]
        given = (call.data[rows], {k: x[rows] for k, x in call.inputs.items()}, within, flags, now)
        drawing = bool(call.changes)  # a function may draw, and draws the same when it is called again
        part = checkpoint(segment, *given, use_reentrant=False, preserve_rng_state=drawing)
        found.append(part)
        # Rows that have ended, or not begun, keep the states that they have.
        states = {k: torch.cat([part.states[k], v[most:]]) for k, v in states.items()}
    ordered = found[::-1] if call.reverse else found
    recorded = {k: torch.cat([part.recorded[k] for part in ordered]) for k in call.record}
    return Result(torch.cat([part.output for part in ordered]), states, recorded)


def _unchanged(call: Call) -> Callable[[], None]:
    """Return a function that raises RuntimeError where a tensor of a call is no longer what it was: autograd itself looks at
    what it has saved alone, and a segment that is run again on other numbers would give wrong gradients."""
    every = (call.data, call.resets, *call.parameters.values(), *call.before.values(), *call.inputs.values())
    every += (*(call.initial or {}).values(), *(x for pair in (call.clamp or {}).values() for x in pair))
    plain = [] if torch.compiler.is_compiling() else [x for x in every if x is not None and not x.is_inference()]
    versions = [x._version for x in plain]

    def check() -> None:
        if any(x._version != version for x, version in zip(plain, versions, strict=True)):
            raise RuntimeError(
                "a tensor that a layer with segment_length was called with has been modified by an inplace operation before "
                "the run backwards, which reads it again"
            )

    return check


def _later(change: Change, begin: int, step: int, value: Tensor) -> Tensor:
    """Do what a change does to a step of a segment, which begins at a step of its own."""
    return change(begin + step, value)
