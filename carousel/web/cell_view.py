"""A cell that was typed into the page: the consequences of its equations, as JSON."""

from __future__ import annotations

from typing import Any

from carousel import cells, kernels
from carousel.cells.catalogue import MEANING, catalogue
from carousel.cells.sources import functions, source
from carousel.drawing.svg import draw
from carousel.equations import Cell
from carousel.equations.derivative import NoDerivative
from carousel.equations.errors import EquationError
from carousel.equations.single import single
from carousel.equations.typed import typed
from carousel.errors import InputError
from carousel.export.javascript.single import one_unit
from carousel.insight.gradient_decay import at_first_weights

STEPS, ROWS, SEED = 100, 8, 1  # of the sequences of noise along which the gradient is followed


def menu() -> dict[str, Any]:
    """Return the names of all cells, by family."""
    families = {family: [e.cell.name for e in catalogue() if e.family == family] for family in MEANING}
    return {"families": [{"name": f, "meaning": MEANING[f], "cells": names} for f, names in families.items()]}


def named(name: str) -> dict[str, Any]:
    """Return the text of a cell of the catalogue. Raises InputError for a name that no cell has."""
    try:
        return {"text": source(cells.get(name))}
    except ValueError as error:
        raise InputError(str(error)) from None


def about(text: str, units: int) -> dict[str, Any]:
    """Return a typed cell's facts for the page.

    ``one`` is the cell of one unit: ``code``, a module of JavaScript, and where its weights start; or why there is none.

    Args:
        text: the cell's definition.
        units: of the input and of the states, for the counts; a projected message has half of them.

    Raises:
        EquationError: with the line, for whatever is no cell.
        InputError: the sizes do not fit the cell.
    """
    cell = typed(text, functions())
    return {
        "name": cell.name,
        "doc": cell.doc,
        "source": cell.citation,
        "equations": cell.text.splitlines(),
        "latex": cell.latex,
        "valves": list(cell.gates),
        "states": [s.name for s in cell.trace.declared],
        "svg": draw(cell),
        "counts": _counts(cell, units),
        "one": _one(cell),
    }


def _counts(cell: Cell, units: int) -> dict[str, Any]:
    sizes = units, units, max(1, units // 2), *[units] * len(cell.sized)
    try:
        shapes = {p.name: p.shape for p in cell.parameter_specs(*sizes)}
        parameters, work = cell.count(*sizes), cell.work(*sizes)
    except (EquationError, ValueError) as error:
        return {"refused": str(error)}
    operations = {"input": work.input_products, "recurrent": work.recurrent_products, "pointwise": work.pointwise}
    projected = sizes[2] if cell.has_projection else None
    return {"parameters": parameters, "shapes": shapes, "operations": operations, "projected": projected}


def _one(cell: Cell) -> dict[str, Any]:
    try:
        made = single(cell)
        return {"code": one_unit(made), "weights": list(made.weights), "initial": list(made.initial)}
    except (EquationError, NoDerivative) as error:
        return {"refused": str(error)}


def decay(text: str, units: int) -> dict[str, Any]:
    """Return the sizes of an error on its way back through a typed cell at its first weights, fed with noise.

    Args:
        text: the cell's definition.
        units: of the input and of the states.

    Raises:
        EquationError: with the line, for whatever is no cell.
        InputError: the sizes do not fit the cell, or its steps follow several, or it has further inputs.
    """
    with kernels.use("reference"):
        found = at_first_weights(typed(text, functions()), hidden=units, steps=STEPS, rows=ROWS, seed=SEED)
    return found.as_dict() | {"steps": STEPS, "rows": ROWS, "seed": SEED, "units": units}
