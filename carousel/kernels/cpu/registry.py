"""Cells by the name that an operator of PyTorch, which takes no Python object, is given."""

from __future__ import annotations

from carousel.equations import Cell

_cells: dict[str, Cell] = {}


def register(cell: Cell) -> str:
    """Let operators find the cell; gives the name by which they do."""
    _cells[cell.key] = cell
    return cell.key


def registered(key: str) -> Cell:
    """The cell of that name. Raises ValueError where none was registered."""
    try:
        return _cells[key]
    except KeyError:
        raise ValueError(f"no cell is registered as {key!r}: make a layer of it first") from None
