"""Weights in 32, 16 or 8 bits a number; nodes that compute with them read single precision.

Nodes that a runtime computes once, when it loads the model, widen the weights. ONNX Runtime would run DequantizeLinear in each
call (a step of 650 units takes 2 to 5 times as long), with rounded activations.
"""

from __future__ import annotations

import numpy as np

from carousel.errors import InputError
from carousel.export.onnx18.graph import BFLOAT16, Graph, Value
from carousel.export.rounding import in_bytes, in_halves, single

PRECISIONS = ("float32", "float16", "bfloat16", "int8")


class Weights:
    """The weights of a graph.

    Args:
        graph: the outermost graph.
        precision: of dense weights; vectors stay in single precision.

    Raises:
        InputError: no precision has that name.
    """

    def __init__(self, graph: Graph, precision: str):
        if precision not in PRECISIONS:
            raise InputError(f"`precision` must be {' or '.join(PRECISIONS)}, not {precision!r}")
        self.graph, self.precision = graph, precision

    def vector(self, values: np.ndarray, name: str) -> Value:
        """Return a constant in single precision. Raises InputError for numbers that are not finite."""
        return self.graph.constant(single(name, values), name=_identifier(name))

    def dense(self, values: np.ndarray, name: str, *, turned: bool = False) -> Value:
        """Return a dense weight, (…, rows, columns); with ``turned`` its transpose, (…, columns, rows).

        In int8 each row is whole numbers times a scale of its own.

        Raises:
            InputError: numbers are not finite.
        """
        values, name = single(name, values), _identifier(name)
        scale = None
        if self.precision == "int8":
            whole, scales = in_bytes(values.reshape(-1, values.shape[-1]))
            values, scales = whole.reshape(values.shape), scales.reshape(*values.shape[:-1], 1)
            scale = self.graph.constant(scales.swapaxes(-1, -2) if turned else scales, name=f"{name}_scale")
        values = values.swapaxes(-1, -2) if turned else values
        return self.whole(self.stored(values, name), scale, name)

    def stored(self, values: np.ndarray, name: str) -> Value:
        """Return a constant in the precision of the file."""
        if self.precision in ("float32", "int8"):
            return self.graph.constant(values, values.dtype.type, name)
        return self.shorter(values, name)

    def shorter(self, values: np.ndarray, name: str) -> Value:
        """Return a constant in 16 bits."""
        if self.precision == "float16":
            if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
                raise InputError(f"{name} holds numbers that float16 has not; take bfloat16")
            return self.graph.constant(values, np.float16, name)
        return self.graph.constant(in_halves(values), BFLOAT16, name)

    def rows(self, values: np.ndarray, name: str) -> tuple[Value, Value | None]:
        """Return a table of rows as it is stored, and in int8 the scale of each row, (rows, 1)."""
        values, name = single(name, values), _identifier(name)
        if self.precision != "int8":
            return self.stored(values, name), None
        whole, scale = in_bytes(values)
        return self.stored(whole, name), self.graph.constant(scale[:, None], name=f"{name}_scale")

    def whole(self, stored: Value, scale: Value | None, name: str) -> Value:
        """Return a stored table, or rows of it, in single precision."""
        if stored.kind is np.float32:
            return stored
        made = self.graph.node("Cast", stored, outputs=[_like(stored, name)], to=_single())
        return made if scale is None else made * scale


def _like(stored: Value, name: str) -> Value:
    return Value(stored.graph, name, stored.units, stored.rows)


def _single() -> int:
    from onnx import TensorProto

    return int(TensorProto.FLOAT)


def _identifier(name: str) -> str:
    return name.replace(".", "_")
