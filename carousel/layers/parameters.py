"""What a layer's ``W``, ``w``, ``b`` and ``initial`` are, and what its options and inputs must be."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.utils import parametrize

from carousel.equations import Cell, Shape


class Parameters(nn.ParameterDict):
    """A dictionary of parameters that refuses any other tensor.

    nn.ParameterDict would make a new parameter of it, and the one that it was computed from would get no gradient.
    """

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, Tensor) and parametrize.is_parametrized(self, key):
            setattr(self, key, value.detach())  # the parametrization's right inverse takes it
        elif isinstance(value, nn.Parameter):
            super().__setitem__(key, value)
        else:
            raise TypeError(
                f"{key!r} holds a parameter, and {_kind(value)} is none; for a weight that is computed from another, use "
                f"torch.nn.utils.parametrize.register_parametrization(layer.W, {key!r}, …)"
            )

    def refresh(self) -> None:
        """Compute anew what hooks compute before each call of a module (torch.nn.utils.prune, weight_norm)."""
        for number, hook in self._forward_pre_hooks.items():
            hook(self, (), {}) if number in self._forward_pre_hooks_with_kwargs else hook(self, ())


KINDS = {"dense": "input", "diagonal": "peephole", "bias": "bias"}


def grouped(layer: nn.Module, specs: Iterable[tuple[Shape, str, str]]) -> dict[str, list[nn.Parameter]]:
    """Return a layer's parameters by what they are; of one that is computed from others, those.

    Args:
        layer: which has ``W``, ``w``, ``b`` and ``initial``.
        specs: of each parameter, with the place where the layer keeps it.
    """
    kinds = {tuple(place): "recurrent" if p.kind == "dense" and p.recurrent else KINDS[p.kind] for p, *place in specs}
    found: dict[str, list[nn.Parameter]] = {kind: [] for kind in ("recurrent", "input", "peephole", "bias", "initial")}
    for name, parameter in layer.named_parameters():
        space, *rest = name.split(".")
        key = rest[1] if rest[0] == "parametrizations" else rest[0]
        if (space, key) not in kinds:  # as PyTorch's older tools name what they compute a weight from
            key = key.rpartition("_")[0]
        found["initial" if space == "initial" else kinds[space, key]].append(parameter)
    return found


def check_input(cell: Cell, sizes: Sequence[tuple[int, ...]]) -> None:
    """Check the input of a cell whose equations bring it to no size of its own; ``sizes``: of each layer. Raises ValueError."""
    input_size = sizes[0][0]
    if cell.trace.input_like is None:
        for hidden_size in (each[1] for each in sizes):
            if input_size != hidden_size and not cell.has_hidden:
                raise ValueError(
                    f"cell {cell.name} has no weights that bring the input to another size, "
                    f"so hidden_size must be input_size, {input_size}, not {hidden_size}"
                )
        return
    what, place = ("hidden_size", 1) if cell.input_is_memory else ("proj_size", 2)
    for layer, each in enumerate(sizes):
        if each[0] == each[place]:
            continue
        said = f"the input of cell {cell.name} has the size of its state {cell.trace.input_like}, "
        if layer:
            raise ValueError(f"{said}{each[place]}, but a layer above the first would get {each[0]} numbers")
        raise ValueError(f"{said}so input_size must be {what}, {each[place]}, not {input_size}")


def suffix(layer: int, direction: int) -> str:
    """Return what PyTorch appends to the names of a layer's parameters."""
    return f"_l{layer}" + ("_reverse" if direction else "")


def place(name: str, layer: int, direction: int) -> tuple[str, str]:
    """Return where a layer keeps the parameter that the equations call ``name``: ``W.im`` under ("W", "im_l0")."""
    return marked(name, suffix(layer, direction))


def marked(name: str, mark: str) -> tuple[str, str]:
    """Return where a layer keeps it in the set of parameters whose names end in ``mark``."""
    space, _, letters = name.partition(".")
    return space, letters + mark


def whole_number(what: str, value: Any, least: int) -> int:
    """Return an option that is a count, also where it is a number of NumPy's.

    Raises TypeError for another type, ValueError below ``least`` or beyond 31 bits.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, Tensor):
        raise TypeError(f"{what} must be a whole number, not {value!r}")
    if number >= 2**31:
        raise ValueError(f"{what} must be below 2147483648, not {number}")
    if number < least:
        raise ValueError(f"{what} must be at least {least}, not {number}")
    return number


def real_number(what: str, value: Any) -> float:
    """Return an option that is a number. Raises TypeError for another type."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise TypeError(f"{what} must be a number, not {value!r}")
    return float(value)


def finite_number(what: str, value: Any) -> float:
    """Return an option that is a finite number. Raises TypeError for another type, ValueError for infinity and NaN."""
    number = real_number(what, value)
    if not math.isfinite(number):
        raise ValueError(f"{what} must be a finite number, not {number}")
    return number


def probability(what: str, value: Any) -> float:
    """Return an option that is a probability below 1. Raises TypeError for another type, ValueError outside [0, 1)."""
    number = real_number(what, value)
    if not 0 <= number < 1:
        raise ValueError(f"{what} is a probability in [0, 1), not {number}")
    return number


def one_of(what: str, value: str, known: Sequence[str]) -> str:
    """Return an option that is a word. Raises ValueError for another one."""
    if value not in known:
        raise ValueError(f"{what} must be {' or '.join(map(repr, known))}, not {value!r}")
    return value


def flag(what: str, value: Any) -> bool:
    """Return an option that is on or off. Raises TypeError for another type."""
    if not isinstance(value, bool | np.bool_) and (type(value) is not int or value not in (0, 1)):
        raise TypeError(f"{what} must be True or False, not {value!r}")
    return bool(value)


def tensor(what: str, value: Any) -> Tensor:
    """Return the value if it is a tensor. Raises TypeError for another, saying how to make a tensor of it."""
    if not isinstance(value, Tensor):
        hint = {np.ndarray: ": torch.from_numpy makes one", list: ": torch.tensor makes one"}.get(type(value), "")
        raise TypeError(f"{what} must be a tensor, not {_kind(value)}{hint}")
    return value


def _kind(value: Any) -> str:
    name = type(value).__name__
    if value is None:
        return "None"
    return f"an {name}" if name[:1].lower() in "aeio" or name.startswith("nd") else f"a {name}"
