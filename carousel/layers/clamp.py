"""Hold a valve where one wants it: the lecturer's "close the first valve, open the second"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from carousel.equations import Cell

# By name, of all units or of some: {"f": 0.0} or {"f": {3: 0.0}}.
Clamps = Sequence["Clamp"] | Mapping[str, float | Mapping[int, float]]


@dataclass(frozen=True)
class Clamp:
    """A quantity of a cell (a gate, a state) set to ``value`` instead of what its equation says.

    ``units``: which (None: all). Steps [begin, end) of what is read, counted from 0 (``end`` None: to the end).
    ``layer``: which (None: every one).
    """

    name: str
    value: float
    units: tuple[int, ...] | None = None
    begin: int = 0
    end: int | None = None
    layer: int | None = None

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
        if not all(isinstance(value, int | float) for _, value in each):
            raise TypeError(f"{name} is clamped at a number, or at a number by unit, not {given!r:.60}")
        found += [Clamp(name, float(value), None if unit is None else (unit,)) for unit, value in each]
    return found


def check(clamps: Sequence[Clamp], cell: Cell, layers: int, sizes: Mapping[str, int]) -> None:
    """Raise ValueError for what the cell does not have, TypeError for what is no number; ``sizes``: the units of each name."""
    for c in clamps:
        if not isinstance(c.name, str) or not isinstance(c.value, int | float):
            raise TypeError(f"a clamp takes a name and a number, not {c.name!r} and {c.value!r}")
        if not all(_whole(n) for n in (*(c.units or ()), c.begin, *(n for n in (c.end, c.layer) if n is not None))):
            raise TypeError(f"units, begin, end and layer of the clamp of {c.name} must be whole numbers")
        if c.name not in sizes:
            raise ValueError(f"cell {cell.name} has nothing called {c.name!r} to clamp; it has {', '.join(sizes)}")
        if c.layer is not None and not 0 <= c.layer < layers:
            raise ValueError(f"there is no layer {c.layer} to clamp {c.name} in; layers are 0 to {layers - 1}")
        for unit in c.units or ():
            if not 0 <= unit < sizes[c.name]:
                raise ValueError(f"{c.name} has no unit {unit} to clamp; units are 0 to {sizes[c.name] - 1}")


def _whole(n: object) -> bool:
    return isinstance(n, int) and not isinstance(n, bool)


def arrays(
    clamps: Sequence[Clamp], layer: int, sizes: Mapping[str, int], steps: int, like: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return one layer's clamps as a back end takes them: by name the values and where they hold, (steps, units) each."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for c in clamps:
        begin, end = max(0, c.begin), steps if c.end is None else min(steps, c.end)
        if c.layer not in (None, layer) or begin >= end:
            continue
        if c.name not in found:
            shape = (steps, sizes[c.name])
            found[c.name] = (like.new_zeros(shape), torch.zeros(shape, dtype=torch.bool, device=like.device))
        values, where = found[c.name]
        units = slice(None) if c.units is None else list(c.units)
        values[begin:end, units] = c.value
        where[begin:end, units] = True
    return found


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
