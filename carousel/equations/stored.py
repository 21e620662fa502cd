"""A cell as data, which a run folder keeps, so that nobody needs the file that defined it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from carousel.equations import notation
from carousel.equations.cell import Cell
from carousel.equations.errors import EquationError
from carousel.equations.heads import in_heads

FORMAT = 1
Sizes = tuple[int, ...]  # of the input, of the states, of the projection, of further inputs


class StoredCell(Cell):
    """A cell that was read from data; it is pickled and copied as that data."""

    def __init__(self, data: Mapping[str, Any]):
        facts = _checked(data)
        equations, constants, matrices = facts["equations"], facts["constants"], facts.get("matrices", {})
        states, clock = [s for s in facts["states"] if s != "t"], "t" in facts["states"]
        sizes = {"input_like": facts.get("input_size"), "same": facts.get("same", []), "inputs": facts.get("inputs")}
        before = facts.get("before", ())
        sizes["before"] = before if isinstance(before, str) else tuple(before)
        given = facts["parameters"], frozenset(constants), frozenset(matrices)
        trace = notation.read(facts["name"], states, equations, *given, clock=clock, **sizes)
        super().__init__(
            in_heads(trace, facts.get("heads", 1)),
            facts["doc"],
            facts["citation"],
            {letters: _array(facts["name"], f"c.{letters}", arrays) for letters, arrays in constants.items()},
            {weight: _array(facts["name"], weight, arrays) for weight, arrays in facts["masks"].items()},
            {letters: _array(facts["name"], f"c.{letters}", arrays) for letters, arrays in matrices.items()},
        )
        self.data = facts

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredCell, (self.data,)


def as_data(cell: Cell, sizes: Iterable[Sizes]) -> dict[str, Any]:
    """Return the cell as data that JSON can hold.

    Args:
        cell: any cell.
        sizes: of the layers that use it. Constants, masks and matrices are functions of sizes, so values for these are kept.
    """
    if isinstance(cell, StoredCell):
        return cell.data
    constants: dict[str, dict[str, Any]] = {letters: {} for letters in cell.constants}
    masks: dict[str, dict[str, Any]] = {weight: {} for weight in cell.masks}
    matrices: dict[str, dict[str, Any]] = {letters: {} for letters in cell.matrices}
    rows = {p.letters: p.rows for p in cell.trace.parameters if p.kind == "constant"}
    for given in sizes:
        for letters in cell.constants:
            if letters in rows:  # else no equation uses it
                n = cell.length(rows[letters], *given)
                constants[letters][str(n)] = cell.array(f"c.{letters}", n).tolist()
        for c in cell.trace.parameters:
            if c.kind == "matrix":
                shape = cell.length(c.rows, *given), sum(cell.length(x, *given) for x in c.columns)
                matrices[c.letters]["x".join(map(str, shape))] = cell.array(c.name, *shape).tolist()
        for p in cell.parameter_specs(*given):
            if p.name in cell.masks:
                masks[p.name]["x".join(map(str, p.shape))] = cell.array(p.name, *p.shape).tolist()
    data: dict[str, Any] = {
        "format": FORMAT,
        "name": cell.name,
        "doc": cell.doc,
        "citation": cell.citation,
        "states": [s.name for s in cell.trace.declared],
        "equations": notation.written(cell.trace),
        "parameters": [p.name for p in cell.trace.parameters],
        "constants": constants,
        "masks": masks,
    }
    if matrices:
        data["matrices"] = matrices
    if cell.trace.input_like is not None:
        data["input_size"] = cell.trace.input_like
    if cell.trace.same:
        data["same"] = list(cell.trace.same)
    if cell.inputs:
        data["inputs"] = dict(cell.inputs)
    if cell.before:
        data["before"] = cell.before if isinstance(cell.before, str) else list(cell.before)
    if cell.heads > 1:
        data["heads"] = cell.heads
    return data


TEXTS, LISTS, TABLES = ("name", "doc", "citation"), ("states", "equations", "parameters"), ("constants", "masks", "matrices")


def _checked(data: Any) -> dict[str, Any]:
    """Return the data, of which every part is of the right kind. Raises EquationError."""
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise EquationError(f"it is no cell as data of format {FORMAT}")
    data = {"matrices": {}, **data}  # which older files have not
    for key in (*TEXTS, *LISTS, *TABLES):
        value = data.get(key)
        good = (
            isinstance(value, str)
            if key in TEXTS
            else isinstance(value, list) and all(isinstance(x, str) for x in value)
            if key in LISTS
            else isinstance(value, Mapping) and all(isinstance(x, Mapping) for x in value.values())
        )
        if not good:
            raise EquationError(f"its {key} are not as a stored cell has them")
    names = [*data["states"], *data["constants"], *data["matrices"]]
    if not data["states"] or len(set(data["states"])) < len(data["states"]) or not all(n.isidentifier() for n in names):
        raise EquationError("its states are not as a stored cell has them")
    vectors = [n for n in data["states"] if n != "t"]
    if data.get("input_size") not in (None, *vectors):
        raise EquationError("its input has the size of none of its states")
    if not isinstance(data.get("same", []), list) or not all(n in vectors for n in data.get("same", [])):
        raise EquationError("what has one size are none of its states")
    inputs = data.get("inputs", {})
    if not isinstance(inputs, Mapping) or not all(isinstance(n, str) and n.isidentifier() for n in inputs):
        raise EquationError("its inputs are not as a stored cell has them")
    before = data.get("before", [])
    if not isinstance(before, str | list):
        raise EquationError("what its steps follow is not as a stored cell has it")
    others = ("input_size", "same", "inputs", "before", "heads")
    return {key: data[key] for key in ("format", *TEXTS, *LISTS, *TABLES, *others) if key in data}


def _array(cell: str, name: str, arrays: Mapping[str, Any]) -> Callable[..., np.ndarray]:
    """Return a constant or mask, for the sizes that were kept. Raises EquationError where its values are no numbers."""
    kept: dict[str, np.ndarray] = {}
    for sizes, values in arrays.items():
        try:
            kept[sizes] = np.asarray(values, dtype=float)
        except (TypeError, ValueError):
            raise EquationError(f"{name} is no array of numbers") from None
        if "x".join(map(str, kept[sizes].shape)) != sizes or not np.isfinite(kept[sizes]).all():
            raise EquationError(f"{name} is no array of {sizes} finite numbers")

    def of(*sizes: int) -> np.ndarray:
        wanted = "x".join(map(str, sizes))
        if wanted not in kept:
            raise EquationError(f"the stored cell {cell} has {name} for {' or '.join(kept)} units, not for {wanted}")
        return kept[wanted]

    return of
