"""Where each step's rows are, in the order in which a run takes the steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

import torch
from torch import Tensor

CPU = torch.device("cpu")


class Steps:
    """The steps of a run: ``rows`` and ``at``, (steps,), are the rows of each and their place among the rows of all steps.

    ``batch``: the most rows of a step. ``first``: (batch,), of each row the place of its first step in the run's order, on
    ``device``. ``whole``: the first steps are the first rows. Of ``levels``, whose rows are no sequences, there are neither.
    """

    def __init__(self, batch_sizes: tuple[int, ...], reverse: bool, device: torch.device, levels: bool = False):
        self.batch, self.total, self.count = max(batch_sizes), sum(batch_sizes), len(batch_sizes)
        rows = torch.tensor(batch_sizes)
        at = rows.cumsum(0) - rows
        if levels:
            self.rows, self.at, self.whole = rows, at, False
            return
        lengths = (rows.unsqueeze(0) > torch.arange(self.batch).unsqueeze(1)).sum(1)
        self.first = ((at[lengths - 1] if reverse else at[0]) + torch.arange(self.batch)).to(device)
        if reverse:
            rows, at = rows.flip(0), at.flip(0)
        self.rows, self.at = rows.contiguous(), at.contiguous()
        self.whole = not reverse and batch_sizes[-1] == self.batch

    @cached_property
    def turns(self) -> Tensor:
        """Places in arrays of two steps, the step's and the next one's, which take turns."""
        return (torch.arange(self.count) % 2) * self.batch

    @classmethod
    def of(cls, batch_sizes: Sequence[int], reverse: bool, device: torch.device = CPU, *, levels: bool = False) -> Steps:
        """Return the steps, made once for the same arguments."""
        return _steps(tuple(batch_sizes), reverse, device, levels)


@lru_cache(maxsize=256)
def _steps(batch_sizes: tuple[int, ...], reverse: bool, device: torch.device, levels: bool) -> Steps:
    return Steps(batch_sizes, reverse, device, levels)


def last_numbers(clock: Tensor, batch_sizes: Sequence[int] | None, reverse: bool, like: Tensor) -> Tensor:
    """Return the step number after each row's last step, (batch, 1), from those of all steps."""
    if batch_sizes is None:
        return (clock.view(-1, like.shape[0])[0 if reverse else -1] + 1).unsqueeze(1).to(like.dtype)
    places = list(range(batch_sizes[0]))  # in numbers of Python: torch.compile runs this on tensors without values
    begin = 0
    for rows in () if reverse else batch_sizes:
        places[:rows] = range(begin, begin + rows)
        begin += rows
    last = torch.tensor(places, device=clock.device)
    return (clock.index_select(0, last) + 1).unsqueeze(1).to(like.dtype)
