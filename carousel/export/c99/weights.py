"""Weights as constant arrays of C, in 32, 16 or 8 bits a number, and their products with vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np

from carousel.export.rounding import in_bytes, in_halves, single
from carousel.layers.precision import checked


@dataclass(frozen=True)
class Weight:
    """A dense weight in C: ``text`` declares it; ``bytes`` is its size.

    ``add(y, first, x, n)`` prints the addition of the weight's columns ``first`` to ``first + n``, times the ``n`` numbers at
    ``x``, to the numbers at ``y``; with ``rows`` it takes that many rows from row ``begin`` (an expression of C) on.
    ``number(row, columns)`` prints number k of a row of ``columns`` numbers.
    """

    text: str
    add: Callable[..., str]
    number: Callable[[str, int], str]
    bytes: int


def vector(name: str, values: np.ndarray) -> str:
    """Return a constant array of single precision. Raises InputError for values that are not finite."""
    return _array("float", name, single(name, values))


def weight(name: str, values: np.ndarray, precision: str) -> Weight:
    """Return a dense weight, (rows, columns).

    ``bfloat16`` keeps the upper half of each number, rounded. ``int8`` keeps whole numbers from −127 to 127 and a scale
    for each row.

    Raises:
        InputError: no precision has that name, or values are not finite.
    """
    checked(precision)
    values = single(name, values)
    count, columns = values.shape
    function = "add" if precision == "float32" else f"add_{precision}"

    def add(y: str, first: int, x: str, n: int, rows: int = count, begin: str = "") -> str:
        at = f"{name}{f' + {begin} * {columns}' if begin else ''}{f' + {first}' if first else ''}"
        scales = f", {name}_scale{f' + {begin}' if begin else ''}" if precision == "int8" else ""
        return f"{function}({y}, {at}{scales}, {rows}, {columns}, {x}, {n});"

    def one(row: str, columns: int) -> str:
        return f"{name}[{row} * {columns} + k]"

    if precision == "float32":
        return Weight(vector(name, values), add, one, values.nbytes)
    if precision == "bfloat16":
        text = _array("unsigned short", name, in_halves(values))
        return Weight(text, add, lambda *at: f"widened({one(*at)})", 2 * values.size)
    whole, scale = in_bytes(values)
    text = _array("signed char", name, whole) + vector(f"{name}_scale", scale)
    return Weight(
        text,
        add,
        lambda row, columns: f"{name}_scale[{row}] * (float){one(row, columns)}",
        values.size + scale.size * 4,
    )


def _array(kind: str, name: str, values: np.ndarray) -> str:
    if (taken := _apart.get()) is not None:
        taken[name] = np.ascontiguousarray(values, _TYPES[kind])
        return f"{kind} {name}[{values.size}];\n"
    if kind == "float":
        texts = [f"{x:.9g}" for x in values.astype(np.float32).ravel().tolist()]
        texts = [f"{x}f" if "." in x or "e" in x else f"{x}.0f" for x in texts]
    else:
        texts = list(map(str, values.ravel().tolist()))
    each = 20 if kind == "signed char" else 8
    lines = [f" {', '.join(texts[k : k + each])}," for k in range(0, len(texts), each)]
    return f"static const {kind} {name}[{len(texts)}] = {{\n" + "\n".join(lines) + "\n};\n"


_TYPES = {"float": np.float32, "unsigned short": np.uint16, "signed char": np.int8}
_apart: ContextVar[dict[str, np.ndarray] | None] = ContextVar("_apart", default=None)


@contextmanager
def apart() -> Iterator[dict[str, np.ndarray]]:
    """Collect the arrays of all exports within the context, by name; the file declares them, and a caller fills them."""
    taken: dict[str, np.ndarray] = {}
    token = _apart.set(taken)
    try:
        yield taken
    finally:
        _apart.reset(token)
