"""Long sequences in little memory: only the states between segments are kept, and each segment is run again backwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from carousel.equations import Cell


def run(
    inner: Callable[..., Any],
    steps: int,
    cell: Cell,
    data: Tensor,
    batch_sizes: Sequence[int],
    before: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    *,
    reverse: bool = False,
    resets: Tensor | None = None,
    initial: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """``inner``'s work (``kernels.run``), ``steps`` steps at a time. With steps = √T what is kept for the way back grows
    with √T: the states of T / steps borders, and all of one segment (Chen et al. 2016)."""
    ends = [min(k + steps, len(batch_sizes)) for k in range(0, len(batch_sizes), steps)]
    first = [0]
    for n in batch_sizes:
        first.append(first[-1] + n)
    states, outputs = dict(before), []

    def segment(x: Tensor, sizes: list[int], flags: Tensor | None, now: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        starts = {k: v[: sizes[0]] for k, v in initial.items()} if initial is not None else None
        output, after, _ = inner(cell, x, sizes, now, parameters, reverse=reverse, resets=flags, initial=starts)
        return output, after

    for end in reversed(ends) if reverse else ends:
        begin = (end - 1) // steps * steps
        rows, sizes = slice(first[begin], first[end]), list(batch_sizes[begin:end])
        now = {k: v[: sizes[0]] for k, v in states.items()}
        flags = None if resets is None else resets[rows]
        output, after = checkpoint(segment, data[rows], sizes, flags, now, use_reentrant=False, preserve_rng_state=False)
        outputs.append(output)
        # Rows that have ended, or not begun, keep what they have.
        states = {k: torch.cat([after[k], v[sizes[0] :]]) for k, v in states.items()}
    return torch.cat(outputs[::-1] if reverse else outputs), states, {}
