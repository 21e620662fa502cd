"""Every cell of the lectures and of their reading list, by name; those of papers are in ``papers``."""

import re
from difflib import get_close_matches
from inspect import isfunction

from carousel.cells.clockwork import clockwork
from carousel.cells.gru import gru, gru_original
from carousel.cells.lstm import lstm, lstm_coupled, lstm_v1, lstm_v2, lstm_v3, lstm_v4
from carousel.cells.lstm_1997 import lstm_1997, lstm_1997_truncated
from carousel.cells.odyssey import cifg, fgr, nfg, niaf, nig, no_peepholes, noaf, nog, vanilla
from carousel.cells.simple import cec, mlp, relu_rnn, rnn, rnn_logistic
from carousel.equations import Cell

# In the order of the lectures.
CELLS: dict[str, Cell] = {
    c.name: c
    for c in (
        *(mlp, rnn, rnn_logistic, relu_rnn, cec, lstm_v1, lstm_v2, lstm_v3, lstm_v4, clockwork),
        *(lstm, vanilla, nig, nfg, nog, niaf, noaf, cifg, no_peepholes, fgr),
        *(lstm_coupled, gru_original, gru, lstm_1997, lstm_1997_truncated),
    )
}


FOUND: dict[str, Cell] = {}  # cells of users' files and packages, found in this process by ``cells.finding``


def paper_cells() -> dict[str, Cell]:
    """Return the cells of papers, by name; the first call defines them."""
    from carousel.cells.papers import BRANCHED, PAPERS

    return PAPERS | BRANCHED


def get(name: str | Cell) -> Cell:
    """Return the cell of a name, with so many heads where it ends in ``-4-heads``; a cell is returned as it is.

    ``tree-lstm-5`` is the Tree-LSTM of so many children.

    Raises:
        ValueError: there is no such cell; near names are told.
        TypeError: it is neither a cell nor a name.
    """
    if isinstance(name, Cell):
        return name
    if not isinstance(name, str):
        called = getattr(name, "__name__", "")
        hint = f": write @cell above {called}" if isfunction(name) else ""
        kind = "function" if isfunction(name) else type(name).__name__
        raise TypeError(f"a cell is wanted, or the name of one, not {kind} {called}".rstrip() + hint)
    known = FOUND.get(name) or CELLS.get(name) or paper_cells().get(name)
    if known is None and (headed := re.fullmatch(r"(.+)-(\d+)-heads", name)):
        return get(headed[1]).with_heads(int(headed[2]))
    if known is None and (many := re.fullmatch(r"tree-lstm-([1-9]\d?)", name)):
        from carousel.cells.papers import nary_tree_lstm

        return nary_tree_lstm(int(many[1]))
    if known is None:
        every = [*CELLS, *paper_cells()]
        near = get_close_matches(name, every, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(every)}"
        raise ValueError(f"no cell is called {name!r}; {hint}")
    return known


def in_sequence(name: str | Cell) -> Cell:
    """Return the cell of a name, as ``get``, for who takes one step after another. Raises ValueError for others."""
    cell = get(name)
    if cell.before:
        raise ValueError(f"a step of cell {cell.name} follows several, and here one follows one: take it in a Grid or a Tree")
    return cell


def fed_alone(name: str | Cell) -> Cell:
    """Return the cell of a name, as ``in_sequence``, for who feeds its input ``e`` alone. Raises ValueError for others."""
    cell = in_sequence(name)
    if cell.inputs:
        raise ValueError(f"cell {cell.name} takes {', '.join(cell.inputs)} beside its input, and nothing here feeds that")
    return cell


__all__ = ["CELLS", "fed_alone", "get", "in_sequence", "paper_cells"]
