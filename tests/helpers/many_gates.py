"""Cells with more gates than a tile of products has sums."""

from functools import cache

from carousel.equations import cell, logistic, tanh
from carousel.equations.cell import Cell


@cache
def many_gates(count: int) -> Cell:
    """A cell with so many gates, up to 20, that multiply the same state."""

    def gated(e, h, W, b):
        """A mean of gated candidates."""
        total = 0
        for gate in "acdfgijklmnopqrstuvx"[:count]:
            total = total + logistic(getattr(W, f"{gate}e") @ e + getattr(W, f"{gate}h") @ h + getattr(b, gate))
        h = tanh(total - count / 2 + h)
        return h

    return cell(gated, name=f"gated-{count}")
