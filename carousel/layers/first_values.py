"""How weights start: rules by the names that the equations give them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from carousel.layers.parameters import finite_number

Rule = str | float | Callable[[Tensor], Any]


@dataclass(frozen=True)
class chrono:  # it is called where functions of nn.init would be named
    """Initialise the bias of a forget gate so that the memory keeps ``low`` to ``high`` steps from the start of training.

    The bias is log(u) with u uniform in [low, high − 1], so the memory of an LSTM keeps for about 1 + u steps. The paper
    initialises the input gate's bias to the negative: ``init={"b.f": chrono(1, 100), "b.i": "-b.f"}``.
    Tallec and Ollivier 2018, "Can recurrent neural networks warp time?".

    Args:
        low: least number of steps, above 0; the paper has 1.
        high: largest number of steps, at least ``low`` + 1.

    Raises:
        ValueError: there are no such numbers.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        low, high = finite_number("chrono's low", self.low), finite_number("chrono's high", self.high)
        if low <= 0 or high - 1 < low:
            raise ValueError(f"chrono(low, high) needs 0 < low <= high − 1, not {low:g} and {high:g}")

    def __call__(self, bias: Tensor) -> Tensor:
        return bias.uniform_(self.low, self.high - 1).log_()


def rules(init: Mapping[str, Rule], names: Iterable[str], cell: str) -> dict[str, Rule]:
    """Return the rule of each parameter that a pattern names; of several patterns the last one holds.

    Args:
        init: from patterns, as ``fnmatch`` has them, to rules.
        names: of the parameters, as the equations have them.
        cell: its name.

    Raises:
        ValueError: a pattern that names nothing, or a rule that is none.
        TypeError: for another type.
    """
    names, found = list(names), dict[str, Rule]()
    if not isinstance(init, Mapping):
        raise TypeError(f'init is a dictionary from names to rules, {{"b.f": 1.0}}, not {init!r}')
    for pattern, rule in init.items():
        if not isinstance(pattern, str):
            raise TypeError(f"init: {pattern!r} is no name of a parameter")
        matching = [n for n in names if fnmatchcase(n, pattern)]
        if not matching:
            raise ValueError(f"init: cell {cell} has no parameter {pattern!r}; it has {', '.join(names)}")
        found |= dict.fromkeys(matching, _checked(rule, names, matching))
    for name, other in opposites(found).items():
        if other in opposites(found):
            raise ValueError(f"init: {name} and {other} are both the negative of another parameter")
    return found


def opposites(found: Mapping[str, Rule]) -> dict[str, str]:
    """Return of which parameter each is the negative, among those that are."""
    return {n: rule[1:] for n, rule in found.items() if isinstance(rule, str) and rule.startswith("-")}


def _checked(rule: Any, names: list[str], matching: list[str]) -> Rule:
    if isinstance(rule, str):
        of = rule.removeprefix("-")
        if rule.startswith("-"):
            if of not in names or of in matching:
                raise ValueError(f"init: {rule!r} is the negative of no other parameter; there are {', '.join(names)}")
        elif rule.removesuffix("_") not in functions():
            raise ValueError(f"init: there is no {rule!r}; torch.nn.init has {', '.join(functions())}")
        return rule
    return rule if callable(rule) else finite_number(f"init: the value of {matching[0]}", rule)


@cache
def functions() -> dict[str, Callable[[Tensor], Tensor]]:
    """Return the functions of ``torch.nn.init`` that need no more than the tensor, by their names without underscore."""
    found = {}
    for name, function in vars(nn.init).items():
        if name.endswith("_") and not name.startswith("_") and callable(function):
            _, *others = inspect.signature(function).parameters.values()
            if all(p.default is not p.empty for p in others):
                found[name.removesuffix("_")] = function
    return found


def start_all(found: Mapping[str, Rule], parameters: Mapping[str, Tensor], heads: Mapping[str, int]) -> None:
    """Give parameters their first values, in place, those last that are the negative of another; ``heads``: of each, by name.

    Raises ValueError where a rule cannot give one.
    """
    opposite = opposites(found)
    for name, rule in found.items():
        if name not in opposite:
            start(parameters[name], name, rule, heads[name])
    for name, other in opposite.items():
        start(parameters[name], name, lambda _, other=other: -parameters[other])  # type: ignore[misc]


@torch.no_grad()
def start(parameter: Tensor, name: str, rule: Rule, heads: int = 1) -> None:
    """Give a parameter its first value, in place: a function of ``torch.nn.init`` to each head's block.

    Raises ValueError where the rule cannot give one.
    """
    if isinstance(rule, str):
        rule = functions()[rule.removesuffix("_")]
        if heads > 1:
            for block in parameter:
                start(block, name, rule)
            return
    if isinstance(rule, int | float):
        nn.init.constant_(parameter, rule)
        return
    try:
        given = rule(parameter)
    except ValueError as error:  # of a vector, say, which cannot be orthogonal
        raise ValueError(f"init: {name} of shape {tuple(parameter.shape)}: {error}") from None
    if isinstance(given, Tensor) and given is not parameter:
        if given.shape != parameter.shape:
            raise ValueError(f"init: {name} has shape {tuple(parameter.shape)}, but its function gives {tuple(given.shape)}")
        parameter.copy_(given)
