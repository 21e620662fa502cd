"""Products with dense weights that consist of one block a head: (heads, rows of a head, columns of a head)."""

from __future__ import annotations

from torch import Tensor


def parted(x: Tensor, heads: int) -> Tensor:
    """Return vectors (rows, units) by head: (heads, rows, units of a head), a view."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def joined(x: Tensor, vectors: int = 1) -> Tensor:
    """Return what is by head, (heads, rows, vectors · units of a head), one vector after the other: (rows, vectors · units)."""
    return x.unflatten(-1, (vectors, -1)).permute(1, 2, 0, 3).flatten(1)


def product(x: Tensor, weight: Tensor, sums: int, total: Tensor | None = None) -> Tensor:
    """Return ``x`` times weights side by side, added to ``total``: (rows, sums · units).

    Args:
        x: (rows, columns), or (columns,) of what has no rows.
        weight: (columns, sums · rows of a weight), or of heads (heads, columns of a head, sums · rows of a head).
        sums: the number of weights.
        total: (rows, sums · units).
    """
    if weight.dim() == 2:
        if total is None:
            return x @ weight
        return total + x @ weight if x.dim() == 1 else total.addmm(x, weight)
    rows = x if x.dim() == 2 else x.unsqueeze(0)
    found = joined(parted(rows, len(weight)) @ weight, sums)
    found = found if x.dim() == 2 else found.squeeze(0)
    return found if total is None else total + found
