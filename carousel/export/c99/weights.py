"""Weights as constant arrays of C, in 32, 16 or 8 bits a number, and their products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.errors import InputError

PRECISIONS = ("float32", "bfloat16", "int8")


@dataclass(frozen=True)
class Weight:
    """A dense weight in C: ``text`` declares it, and it takes so many ``bytes``.

    ``row(k, first, x, n)`` prints row k from column ``first`` on, times the ``n`` numbers at ``x``; ``number(row, columns)``
    number k of a row of so many.
    """

    text: str
    row: Callable[[str, int, str, int], str]
    number: Callable[[str, int], str]
    bytes: int


def numbers(x: Any) -> np.ndarray:
    """Return a tensor's numbers in double precision."""
    found: np.ndarray = x.detach().double().cpu().numpy()
    return found


def vector(name: str, values: np.ndarray) -> str:
    """Return a constant array of single precision. Raises InputError for values that are not finite."""
    _check(name, values)
    return _array("float", name, [f"{x:.9g}" for x in values.astype(np.float32).ravel().tolist()], ".f")


def weight(name: str, values: np.ndarray, precision: str) -> Weight:
    """Return a dense weight, (rows, columns).

    ``bfloat16`` keeps the upper half of each number, rounded. ``int8`` keeps whole numbers from −127 to 127 and for each row
    the number that one of them stands for.

    Raises:
        InputError: there is no such precision, or values are not finite.
    """
    if precision not in PRECISIONS:
        raise InputError(f"`precision` must be {' or '.join(PRECISIONS)}, not {precision!r}")
    _check(name, values)
    values = values.astype(np.float32)
    columns = values.shape[1]

    def dot(function: str) -> Callable[[str, int, str, int], str]:
        return lambda k, first, x, n: f"{function}({name} + {k} * {columns}{f' + {first}' if first else ''}, {x}, {n})"

    def one(row: str, columns: int) -> str:
        return f"{name}[{row} * {columns} + k]"

    if precision == "float32":
        return Weight(vector(name, values), dot("dot"), one, values.nbytes)
    if precision == "bfloat16":
        bits = values.view(np.uint32).astype(np.uint64)
        upper = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16  # to the nearest, ties to even
        text = _array("unsigned short", name, upper.ravel().tolist())
        return Weight(text, dot("dot_bfloat16"), lambda *at: f"widened({one(*at)})", 2 * values.size)
    scale = np.abs(values).max(1) / 127
    whole = np.rint(values / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8)
    text = _array("signed char", name, whole.ravel().tolist()) + vector(f"{name}_scale", scale)
    product = dot("dot_int8")
    return Weight(
        text,
        lambda k, *rest: f"{name}_scale[{k}] * {product(k, *rest)}",
        lambda row, columns: f"{name}_scale[{row}] * (float){one(row, columns)}",
        values.size + scale.size * 4,
    )


def _check(name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds numbers that are not finite; was the model trained to the end?")


def _array(kind: str, name: str, numbers: list[str] | list[int], suffix: str = "") -> str:
    def number(x: str | int) -> str:
        text = str(x)
        return text if not suffix else f"{text}f" if "." in text or "e" in text else f"{text}.0f"

    lines, line = [], ""
    for x in map(number, numbers):
        if len(line) + len(x) > 118:
            lines.append(line)
            line = ""
        line += f" {x},"
    return f"static const {kind} {name}[{len(numbers)}] = {{\n" + "\n".join([*lines, line]) + "\n};\n"
