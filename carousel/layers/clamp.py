"""Hold a valve where one wants it: the lecturer's "close the first valve, open the second"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.kernels import Change

Value = float | Tensor | Callable[[Tensor], Tensor]
# By name, of all units or of some: {"f": 0.0} or {"f": {3: 0.0}}.
Clamps = Sequence["Clamp"] | Mapping[str, Value | Mapping[int, Value]]


@dataclass(frozen=True)
class Clamp:
    """A quantity of a cell (a gate, a state) that is held at another value than that of its equation.

    Args:
        name: of the quantity.
        value: a number; or values, which another run may have recorded: (units,) for all steps, (steps, units) or
            (steps, rows, units) for the steps from ``begin`` on; or a function from the equation's value, (rows, units), to
            its replacement, called at each step. Units and rows are the chosen ones.
        units: the chosen units (None: all).
        begin: the first step, counted from 0.
        end: the step after the last; None: to the end, or as many steps as there are values.
        layer: the chosen layer (None: every layer).
        rows: the chosen rows of the batch (None: all).

    Several clamps of one quantity apply in their order, functions last.
    """

    name: str
    value: Value
    units: tuple[int, ...] | None = None
    begin: int = 0
    end: int | None = None
    layer: int | None = None
    rows: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        value: Any = self.value
        if not isinstance(value, int | float | str | Tensor) and not callable(value):
            try:
                value = torch.as_tensor(value)
            except (TypeError, ValueError, RuntimeError):
                return  # ``check`` tells
            object.__setattr__(self, "value", value)
        if isinstance(value, Tensor) and value.dim() > 1 and self.end is None and isinstance(self.begin, int):
            object.__setattr__(self, "end", self.begin + len(value))

    def later(self, steps: int) -> Clamp:
        """Return the same clamp where so many steps have been taken before."""
        return replace(self, begin=self.begin - steps, end=None if self.end is None else self.end - steps)


def listed(clamps: Clamps | None) -> list[Clamp]:
    """Return clamps, given in any form, as a list."""
    if clamps is None:
        return []
    if not isinstance(clamps, Mapping):
        if not isinstance(clamps, Sequence) or not all(isinstance(c, Clamp) for c in clamps):
            raise TypeError(f'clamps are a dictionary such as {{"f": 0.0}} or a list of Clamp, not {clamps!r:.60}')
        return list(clamps)
    found = []
    for name, given in clamps.items():
        each = given.items() if isinstance(given, Mapping) else [(None, given)]
        for unit, value in each:
            if not isinstance(value, int | float | Tensor) and not callable(value):
                raise TypeError(f"{name} is clamped at a number, values or a function, also by unit, not at {given!r:.60}")
            found.append(Clamp(name, value, None if unit is None else (unit,)))
    return found


def check(clamps: Sequence[Clamp], cell: Cell, sizes: Sequence[Mapping[str, int]]) -> None:
    """Raise ValueError for what the cell does not have, TypeError for what is no value; ``sizes``: of each layer by name."""
    for c in clamps:
        if not isinstance(c.name, str) or not (isinstance(c.value, int | float | Tensor) or callable(c.value)):
            raise TypeError(f"a clamp takes a name and a number, values or a function, not {c.name!r:.60} and {c.value!r:.60}")
        places = (*(c.units or ()), *(c.rows or ()), c.begin, *(n for n in (c.end, c.layer) if n is not None))
        if not all(_whole(n) for n in places):
            raise TypeError(f"units, rows, begin, end and layer of the clamp of {c.name} must be whole numbers")
        if c.name not in sizes[0]:
            raise ValueError(f"cell {cell.name} has nothing called {c.name!r} to clamp; it has {', '.join(sizes[0])}")
        if c.layer is not None and not 0 <= c.layer < len(sizes):
            raise ValueError(f"there is no layer {c.layer} to clamp {c.name} in; layers are 0 to {len(sizes) - 1}")
        for size in {each[c.name] for each in (sizes if c.layer is None else [sizes[c.layer]])}:
            for unit in c.units or ():
                if not 0 <= unit < size:
                    raise ValueError(f"{c.name} has no unit {unit} to clamp; units are 0 to {size - 1}")
            if isinstance(c.value, Tensor):
                _check_values(c, size if c.units is None else len(c.units))


def _check_values(c: Clamp, units: int) -> None:
    assert isinstance(c.value, Tensor)
    shape = tuple(c.value.shape)
    if not shape:
        return
    steps = () if len(shape) < 2 or c.end is None else (c.end - c.begin,)
    rows = () if len(shape) < 3 else (shape[1] if c.rows is None else len(c.rows),)
    if shape != (*steps, *rows, units):
        raise ValueError(f"the values to clamp {c.name} at have shape {shape}, expected {(*steps, *rows, units)}")


def _whole(n: object) -> bool:
    return isinstance(n, int) and not isinstance(n, bool)


def _shape_of(clamps: Sequence[Clamp], name: str, steps: int, rows: int, units: int) -> tuple[int, ...]:
    """Return the shape of all values of a quantity; rows stand in it where they differ."""
    by_row = any(
        c.name == name and (c.rows is not None or (isinstance(c.value, Tensor) and c.value.dim() == 3)) for c in clamps
    )
    return (steps, rows, units) if by_row else (steps, units)


def arrays(
    clamps: Sequence[Clamp], layer: int, sizes: Mapping[str, int], steps: int, rows: int, like: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the numbers and values of one layer's clamps: by name what is held and where, (steps, units) each, or
    (steps, rows, units) where rows differ. Raises ValueError for a row that is not there."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    held = [c for c in _within(clamps, layer, steps, rows) if not callable(c.value)]
    for c in held:
        if c.name not in found:
            shape = _shape_of(held, c.name, steps, rows, sizes[c.name])
            found[c.name] = (like.new_zeros(shape), torch.zeros(shape, dtype=torch.bool, device=like.device))
        values, where = found[c.name]
        begin, end = _span(c, steps)
        at = [torch.arange(begin, end), _places(c.units, sizes[c.name])]
        at[1:1] = [_places(c.rows, rows)] if values.dim() == 3 else []
        index = torch.meshgrid(*at, indexing="ij")
        value = torch.as_tensor(c.value).to(values)
        if value.dim() > 1:
            value = value[begin - c.begin : end - c.begin]
            if value.dim() < values.dim():
                value = value.unsqueeze(1)
            elif value.dim() == 3 and value.shape[1] != len(at[1]):
                raise ValueError(f"the values to clamp {c.name} at have {value.shape[1]} rows, and the batch has {rows}")
        values[index] = value
        where[index] = True
    return found


def changes(clamps: Sequence[Clamp], layer: int, steps: int, rows: int, order: Tensor | None = None) -> dict[str, Change]:
    """Return the functions of one layer's clamps: by name one of the step and its value.

    Args:
        clamps: checked.
        layer: its number.
        steps: of the longest sequence.
        rows: of the batch.
        order: which row stands where, if the rows are sorted.
    """
    found: dict[str, dict[int, list[Clamp]]] = {}
    for c in _within(clamps, layer, steps, rows):
        if callable(c.value):
            for step in range(*_span(c, steps)):
                found.setdefault(c.name, {}).setdefault(step, []).append(c)
    places = None if order is None else order.tolist()
    return {name: _changing(each, places) for name, each in found.items()}


def _changing(clamps: Mapping[int, Sequence[Clamp]], places: Sequence[int] | None) -> Change:
    def change(step: int, value: Tensor) -> Tensor:
        for c in clamps.get(step, ()):
            there = range(len(value)) if places is None else places[: len(value)]
            rows = [k for k, row in enumerate(there) if c.rows is None or row in c.rows]
            at = torch.meshgrid(_places(rows, 0), _places(c.units, value.shape[1]), indexing="ij")
            whole = c.units is None and len(rows) == len(value)
            assert callable(c.value)
            new: Any = c.value(value if whole else value[at])
            if not isinstance(new, Tensor) or new.shape != at[0].shape:
                said = tuple(new.shape) if isinstance(new, Tensor) else repr(new)[:60]
                raise ValueError(
                    f"the function that clamps {c.name} must return a tensor of shape {tuple(at[0].shape)}, not {said}"
                )
            value = new.to(value) if whole else value.index_put(at, new.to(value))
        return value

    return change


def _within(clamps: Sequence[Clamp], layer: int, steps: int, rows: int) -> list[Clamp]:
    """Return the clamps that hold somewhere in a layer. Raises ValueError for a row that is not there."""
    for c in clamps:
        if c.rows is not None and not all(0 <= row < rows for row in c.rows):
            raise ValueError(f"the clamp of {c.name} is for rows {', '.join(map(str, c.rows))}; rows are 0 to {rows - 1}")
    return [c for c in clamps if c.layer in (None, layer) and _span(c, steps)[0] < _span(c, steps)[1]]


def _places(chosen: Sequence[int] | None, of: int) -> Tensor:
    return torch.arange(of) if chosen is None else torch.tensor(chosen, dtype=torch.int64)


def _span(c: Clamp, steps: int) -> tuple[int, int]:
    return max(0, c.begin), steps if c.end is None else min(steps, c.end)


def sizes(cell: Cell, *lengths: int) -> Mapping[str, int]:
    """Return the units of everything in the loop that has some, by name; the step number counts for itself.

    ``lengths``: the sizes of a layer.
    """
    found, known = {}, {str(s)[:-2]: size for s, size in cell.trace.sizes.items()}
    for name in cell.names:
        size = known.get(name)
        if size is not None:
            found[name] = cell.length(size, *lengths)
    return found
