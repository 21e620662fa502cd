"""Cells and loops by the key that an operator of PyTorch, which takes no Python object, is given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from carousel.equations import Cell
from carousel.equations.loop import Loop
from carousel.equations.stored import StoredCell, as_data
from carousel.equations.tangent import tangent
from carousel.equations.variants import clamped, computed, numbers, recorded, widened
from carousel.kernels.backend import Call
from carousel.kernels.inputs import loop_of

TANGENT, WIDE = "'", "~"  # after the key of a loop: its tangent's, and that of the loop with numbers of a row as vectors
VARIANT = re.compile(r"(.+)\|([\w,]*)\|([\w,]*)", re.DOTALL)  # the key of a cell, names to record, names to clamp

_cells: dict[str, Cell] = {}
_loops: dict[str, Loop] = {}


def register(cell: Cell) -> str:
    """Let operators find the cell; return the key by which they do."""
    _cells[cell.key] = cell
    return cell.key


def portable(call: Call) -> str:
    """Return a key by which another process, too, finds the call's cell: the cell itself, as data."""
    output, hidden = (int(call.before[name].shape[-1]) for name in (call.cell.states[0], call.cell.hidden))
    further = (int(call.inputs[name].shape[-1]) for name in call.cell.sized)
    return json.dumps(as_data(call.cell, [(int(call.data.shape[-1]), hidden, output, *further)]))


def registered(key: str) -> Cell:
    """Return the cell of that key, which is its own where it is data. Raises ValueError where none was registered."""
    if key not in _cells and key.startswith("{"):
        _cells[key] = StoredCell(json.loads(key))
        _cells[key].key = key  # what is made of it can leave this process, too
    try:
        return _cells[key]
    except KeyError:
        raise ValueError(f"no cell is registered as {key!r}: make a layer of it first") from None


def key_of(cell: Cell, record: Iterable[str] = (), clamp: Iterable[str] = ()) -> str:
    """Register the cell; return the key of its loop, of a variant where quantities are recorded or clamped."""
    names = ",".join(record), ",".join(clamp)
    return "|".join((register(cell), *names)) if any(names) else register(cell)


def wide_key(cell: Cell) -> str:
    """Register the cell; return the key of its loop with hoisted numbers of a row, if it has any, as vectors."""
    return register(cell) + WIDE if numbers(loop_of(cell)) else register(cell)


def loop_called(key: str) -> Loop:
    """Return the loop of a registered cell, a variant, or a tangent. Raises ValueError where no cell was registered."""
    if key not in _loops:
        made = {TANGENT: tangent, WIDE: widened}.get(key[-1:])
        _loops[key] = made(loop_called(key[:-1])) if made else _variant(key)
    return _loops[key]


def _variant(key: str) -> Loop:
    found = VARIANT.fullmatch(key)
    if found is None:
        return loop_of(registered(key))
    loop = loop_of(registered(found[1]))
    record, clamp = ([n for n in names.split(",") if n] for names in found.groups()[1:])
    for name in (*record, *clamp):
        if not computed(loop, name):
            raise ValueError(f"the loop of {loop.name} computes no {name!r}")
    return recorded(clamped(loop, clamp), record)
