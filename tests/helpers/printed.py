"""Read a cell's printed equations and compute with them: what is printed is what is run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from exact_functions import EXACT
from torch import Tensor


def step(text: str, given: Mapping[str, Any], inputs: Mapping[str, Tensor], heads: int = 1) -> dict[str, Tensor]:
    """One step of the printed equations, by name. ``given``: e, the states before, t, and parameters as ``W.he``, masked."""
    rows = len(given["e"])
    values: dict[str, Any] = {f"{name}_now": x for name, x in inputs.items()}
    values |= {"e_now": given["e"], "t": given["t"].double() if "t" in given else None}
    values |= {f"{name}_before": x for name, x in given.items() if name not in ("e", "t") and "." not in name}
    values |= _FUNCTIONS | _by_head(heads) | {"given": given, "times": lambda weight, x: x @ given[weight].t()}
    values["cat"] = lambda *xs: torch.cat([x.expand(rows, -1) for x in xs], dim=1)
    found = {}
    for line in text.splitlines():
        name, _, expression = line.partition(" = ")
        value = eval(python(expression), {}, values)
        values[python(name)] = found[name.removesuffix("ₜ")] = value
    return found


def python(text: str) -> str:
    """A printed expression as Python: ``W.he eₜ`` becomes ``times("W.he", e_now)``."""
    text = re.sub(r"(\w+?)ₜ₋([₀-₉]+)", _ago, text).replace("ₜ", "_now").replace("^", "**").replace("⊙", "*")
    text = text.replace(" mod ", " % ").replace(" = ", " == ")
    text = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?) (?=[A-Za-z(])", r"\1 * ", text)
    text = re.sub(r"(?<![\w.])([wbp]\.\w+|c\.T)", r'given["\1"]', text)
    while weights := list(re.finditer(r"(?<![\w.\"])(W\.\w+(?:\.T)?|c\.A) ", text)):
        weight = weights[-1]  # what it multiplies may be a product itself
        begin, end = weight.end(), _end(text, weight.end())
        operand = text[begin:end]
        if operand.startswith("["):
            operand = f"cat({_split(operand[1:-1])})"
        text = f'{text[: weight.start()]}times("{weight[1]}", {operand}){text[end:]}'
    return text


def _ago(found: re.Match[str]) -> str:
    name, steps = found[1], int(found[2].translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")))
    return f"{name}_before" if steps == 1 and name != "e" else f"{name}_ago{steps}_before"


def _end(text: str, begin: int) -> int:
    """Where an operand ends: a name, a function's call, or something in parentheses or brackets."""
    place = begin + re.match(r"\w*", text[begin:]).end()  # type: ignore[union-attr]  # it may be empty
    if place == len(text) or text[place] not in "([":
        return place
    depth = 0
    for last in range(place, len(text)):
        depth += (text[last] in "([") - (text[last] in ")]")
        if depth == 0:
            return last + 1
    raise AssertionError(f"parentheses do not match: {text}")


def _split(text: str) -> str:
    depth, letters = 0, []
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        letters.append("," if letter == ";" and depth == 0 else letter)
    return "".join(letters)


def _tensors(function: Any) -> Any:
    def apply(*xs: Any) -> Tensor:
        return function(*(x if isinstance(x, Tensor) else torch.tensor(float(x), dtype=torch.float64) for x in xs))

    return apply


def _by_head(heads: int) -> dict[str, Any]:
    """Functions over the units of each head, by those over the units of a vector."""

    def parted(x: Any) -> Any:
        return x.unflatten(-1, (heads, -1)) if isinstance(x, Tensor) else x

    def twin(function: Any) -> Any:
        def by_head(x: Tensor, *rest: Any, **named: Any) -> Tensor:
            value = function(parted(x), *map(parted, rest), **{k: parted(v) for k, v in named.items()})
            return value.expand(parted(x).shape).flatten(-2)

        return by_head

    return {f"head_{n}": twin(_FUNCTIONS[n]) for n in ("mean", "total", "norm", "softmax", "layer_norm", "rms_norm")}


_FUNCTIONS = {
    **{name: _tensors(exact.torch) for name, exact in EXACT.items() if name != "clip"},
    "clip": _tensors(torch.clamp),
    "maximum": _tensors(torch.maximum),
    "minimum": _tensors(torch.minimum),
    "detach": _tensors(lambda x: x),
    "mean": _tensors(lambda x: x.mean(-1, keepdim=True)),
    "total": _tensors(lambda x: x.sum(-1, keepdim=True)),
    "norm": _tensors(lambda x: torch.linalg.vector_norm(x, dim=-1, keepdim=True)),
    "softmax": _tensors(lambda x: x.softmax(-1)),
    "layer_norm": lambda x, gain=1, bias=0, eps=1e-5: torch.nn.functional.layer_norm(x, x.shape[-1:], eps=eps) * gain + bias,
    "rms_norm": lambda x, gain=1, eps=1e-5: torch.nn.functional.rms_norm(x, x.shape[-1:], eps=eps) * gain,
    "where": lambda c, a, b: torch.where(c, *(_tensors(lambda x: x)(y) for y in (a, b))),
}
