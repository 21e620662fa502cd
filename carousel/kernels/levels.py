"""Steps in levels: those of a level need nothing of one another, and each precedes steps of later levels.

Which these are stands in ``follows``, (predecessors, rows of all steps): of each step the row of the step whose k-th
predecessor it is, −1 of none. Of a set there is one line, and several steps may precede the same; what there is for each member
stands in rows of its own, those of one set together, the sets in the order of the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from carousel.equations.loop import Loop


def begins(batch_sizes: Sequence[int]) -> list[int]:
    """Return the row at which each level begins, and the number of all rows."""
    return [0, *accumulate(batch_sizes)]


@lru_cache(maxsize=256)
def _ends(batch_sizes: tuple[int, ...]) -> Tensor:
    """Return of each row the first one of the next level."""
    return torch.tensor(begins(batch_sizes)[1:]).repeat_interleave(torch.tensor(batch_sizes))


def check(loop: Loop, batch_sizes: Sequence[int] | None, follows: Tensor | None) -> None:
    """Raise ValueError unless each step precedes at most one of a later level, and that one alone where it has a name."""
    if not loop.edges:
        if follows is not None:
            raise ValueError(f"the steps of {loop.name} are a chain, so nothing says which step they precede")
        return
    if follows is None or batch_sizes is None:
        raise ValueError(f"a step of {loop.name} follows several, {', '.join(loop.edges)}: say which, as Grid and Tree do")
    total = sum(batch_sizes)
    if follows.dtype is not torch.int64 or tuple(follows.shape) != (len(loop.edges), total):
        raise ValueError(
            f"follows must be whole numbers (int64) of shape {(len(loop.edges), total)}, "
            f"not {follows.dtype} of shape {tuple(follows.shape)}"
        )
    there, ends = follows >= 0, _ends(tuple(batch_sizes)).to(follows.device)
    if not bool(torch.where(there, (follows >= ends) & (follows < total), follows == -1).all()):
        raise ValueError("a step precedes steps of later levels alone: rows beyond its own level, or -1 for none")
    if not loop.over_set and int((before(follows) >= 0).sum()) != int(there.sum()):
        raise ValueError("two steps are the same predecessor of one step")


def before(follows: Tensor) -> Tensor:
    """Return of each step the row of its k-th predecessor, −1 for none; (predecessors, rows), as ``follows``."""
    found = torch.full_like(follows, -1)
    k, row = (follows >= 0).nonzero(as_tuple=True)
    found[k, follows[k, row]] = row
    return found


class Members(NamedTuple):
    """The members of all steps' sets, in rows of their own.

    ``place``: of each step its row among them, −1 of none. ``begin``: of each step where its set begins, and the number of all.
    ``owner``: of each member the step that it precedes; ``members``: which step it is. ``most``: of a level.
    """

    place: Tensor
    begin: Tensor
    owner: Tensor
    members: Tensor
    most: int


def members(follows: Tensor, batch_sizes: Sequence[int]) -> Members:
    """Return the members of sets, on the processor; ``follows`` as that of a call, of one line."""
    parent = follows[0].numpy()  # whose small operations take less time than PyTorch's
    found = parent.argsort(kind="stable")[np.count_nonzero(parent < 0) :]
    owner, place = parent[found], np.full_like(parent, -1)
    place[found] = np.arange(len(found))
    begin = np.bincount(owner + 1, minlength=len(parent) + 1).cumsum()
    most = int(np.diff(begin[begins(batch_sizes)]).max())
    rows = [torch.from_numpy(x) for x in (place, begin, owner, found)]
    return Members(rows[0], rows[1], rows[2], rows[3], most)


class Gather(NamedTuple):
    """The predecessors of the steps of a level.

    ``first``: the earliest level that it is in. ``places``: of each predecessor the places in a table of one row, which stands
    where there is none, and all rows from that level on. Of a set ``members`` are the rows of all that precedes a step of the
    level, and ``owner`` is which step of the level each of them precedes.
    """

    first: int
    places: tuple[Tensor, ...]
    owner: Tensor | None
    members: Tensor


def gathers(follows: Tensor, batch_sizes: Sequence[int], *, of_set: bool) -> list[Gather]:
    """Return what the steps of each level follow."""
    begin, sizes = begins(batch_sizes), torch.tensor(batch_sizes)
    level = torch.arange(len(batch_sizes)).repeat_interleave(sizes).to(follows.device)  # of each row
    k, row = (follows >= 0).nonzero(as_tuple=True)
    after = level[follows[k, row]]
    least = torch.arange(len(batch_sizes), device=follows.device).scatter_reduce(0, after, level[row], "amin").tolist()
    if of_set:
        order = after.argsort(stable=True)
        members = row[order].split(torch.bincount(after, minlength=len(batch_sizes)).tolist())
        owners = [follows[0, rows] - begin[n] for n, rows in enumerate(members)]
        return [
            Gather(first, (rows - begin[first] + 1,), owner, rows)
            for first, rows, owner in zip(least, members, owners, strict=True)
        ]
    each = before(follows).split(list(batch_sizes), dim=1)
    nothing = row[:0]
    return [
        Gather(first, tuple(torch.where(p >= 0, p - begin[first] + 1, 0) for p in found), None, nothing)
        for first, found in zip(least, each, strict=True)
    ]
