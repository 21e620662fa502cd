"""The cell that somebody names: one of the lectures, one in a file or a module of theirs, one of an installed package."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from carousel.cells import CELLS, FOUND, get
from carousel.equations import Cell, EquationError

ENTRY_POINTS = "carousel.cells"
REFERENCES: dict[str, str] = {}  # of each cell that was found, by its name, so that another process can find it


def find(reference: str) -> Cell:
    """Return the cell of a reference, which ``cells.get`` knows by its name from then on.

    The file, module or package is run, so the reference must be the user's own word.

    Args:
        reference: a name of ``carousel cells``, ``file.py:name``, ``module:name``, or the name of an entry point of the group
            ``carousel.cells``.

    Raises:
        ValueError: there is no such cell, or its file cannot be run; EquationError where its equations are refused.
    """
    place, colon, name = reference.rpartition(":")
    if colon:
        module = _file(Path(place)) if place.endswith(".py") else _module(place)
        found = getattr(module, name, None)
        if not isinstance(found, Cell):
            cells = [n for n, x in vars(module).items() if isinstance(x, Cell)]
            hint = f"it has {', '.join(cells)}" if cells else "write @cell above a function of equations"
            raise ValueError(f"{place} has no cell called {name!r}; {hint}")
        place = str(Path(place).absolute()) if place.endswith(".py") else place  # also for who works in another folder
        return _known(found, f"{place}:{name}")
    if reference not in CELLS:
        for entry in entry_points(group=ENTRY_POINTS, name=reference):
            found = entry.load()
            if isinstance(found, Cell):
                return _known(found, reference)
            raise ValueError(f"{entry.value}, which a package calls the cell {reference!r}, is no cell")
    return get(reference)


def _file(path: Path) -> ModuleType:
    name = f"carousel_cells_of_{path.stem}"
    if not path.is_file():
        raise ValueError(f"{path} is no file, so no cell can be read from it")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no file of Python")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except EquationError:
        raise
    except Exception as error:  # a user's file may raise anything
        raise ValueError(f"{path} cannot be run: {_said(error)}") from None
    return module


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except EquationError:
        raise
    except Exception as error:  # so may a package
        raise ValueError(f"module {name} cannot be imported: {_said(error)}") from None


def _said(error: Exception) -> str:
    line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
    return f"{type(error).__name__}{line}: {' '.join(str(error).split())}"


def _known(cell: Cell, reference: str) -> Cell:
    if CELLS.get(cell.name, cell) is not cell:
        raise ValueError(f"a cell of the lectures is called {cell.name}, too: call yours something else")
    FOUND[cell.name] = cell
    REFERENCES[cell.name] = reference
    return cell
