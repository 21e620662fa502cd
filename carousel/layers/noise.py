"""The noise of a layer: its rates, and which cell runs with them."""

from __future__ import annotations

from collections.abc import Mapping

from carousel.equations import Cell
from carousel.layers.parameters import probability


def checked(rates: Mapping[str, float], cell: Cell) -> dict[str, float]:
    """Return all rates of a cell, those that are not given 0. Raises ValueError for one that it has not or that cannot be."""
    if unknown := [n for n in rates if n not in cell.rates]:
        has = f"its rates are {', '.join(cell.rates)}" if cell.rates else "it has none"
        raise ValueError(f"cell {cell.name} has no rate {unknown[0]!r}; {has}")
    return {n: probability(f"the rate {n}", rates.get(n, 0.0)) for n in cell.rates}


def running(cell: Cell, rates: Mapping[str, float], training: bool) -> Cell:
    """Return the cell that a layer runs: without noise in evaluation, and where all rates are 0. Raises as ``checked``."""
    return cell if training and cell.rates and any(checked(rates, cell).values()) else cell.quiet
