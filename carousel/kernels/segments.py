"""Long sequences in little memory: only the states between segments are saved, and each segment is run again backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from carousel.kernels.backend import Call, Result


def run(inner: Callable[[Call], Result], call: Call) -> Result:
    """Run a call by ``inner``, ``call.segment_length`` steps at a time. With a length of √T the saved memory grows with √T:
    the states of T / length borders, and all of one segment (Chen et al. 2016)."""
    steps, batch_sizes = call.segment_length, call.rows
    ends = [min(k + steps, len(batch_sizes)) for k in range(0, len(batch_sizes), steps)]
    first = [0]
    for n in batch_sizes:
        first.append(first[-1] + n)
    states, outputs = dict(call.before), []

    def segment(x: Tensor, sizes: list[int], flags: Tensor | None, now: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        starts = {k: v[: sizes[0]] for k, v in call.initial.items()} if call.initial is not None else None
        part = replace(call, data=x, batch_sizes=sizes, before=now, resets=flags, initial=starts, segment_length=0)
        return inner(part)[:2]

    for end in reversed(ends) if call.reverse else ends:
        begin = (end - 1) // steps * steps
        rows, sizes = slice(first[begin], first[end]), list(batch_sizes[begin:end])
        now = {k: v[: sizes[0]] for k, v in states.items()}
        flags = None if call.resets is None else call.resets[rows]
        output, after = checkpoint(segment, call.data[rows], sizes, flags, now, use_reentrant=False, preserve_rng_state=False)
        outputs.append(output)
        # Rows that have ended, or not begun, keep the states that they have.
        states = {k: torch.cat([after[k], v[sizes[0] :]]) for k, v in states.items()}
    return Result(torch.cat(outputs[::-1] if call.reverse else outputs), states, {})
