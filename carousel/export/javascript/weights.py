"""Weights as text: rounded as in C, compressed, in base64."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping

import numpy as np

from carousel.export.rounding import in_bytes, in_halves, single
from carousel.layers.precision import checked


def packed(matrices: Mapping[str, np.ndarray], vectors: Mapping[str, np.ndarray], precision: str) -> tuple[str, str]:
    """Return the text of weights, and its table of contents for ``weights.js``: name, precision, rows and columns of each.

    Args:
        matrices: dense weights by name, (rows, columns), which are rounded to the precision.
        vectors: all other parameters by name, in single precision.
        precision: float32, bfloat16 or int8.

    Raises:
        InputError: no precision has that name, or values are not finite.
    """
    checked(precision)
    parts: list[bytes] = []
    listed: list[tuple[str, str, int, int]] = []
    for name, given in matrices.items():
        values = single(name, given)
        listed.append((name, precision, *values.shape))
        if precision == "float32":
            parts += _planes(values.view(np.uint32), (24, 16, 8, 0))
        elif precision == "bfloat16":
            parts += _planes(in_halves(values), (8, 0))
        else:
            whole, scale = in_bytes(values)
            parts += [*_planes(scale.astype(np.float32).view(np.uint32), (24, 16, 8, 0)), whole.tobytes()]
    for name, given in vectors.items():
        listed.append((name, "float32", given.size, 1))
        parts += _planes(single(name, given).view(np.uint32), (24, 16, 8, 0))
    return base64.b64encode(zlib.compress(b"".join(parts), 9)).decode(), json.dumps(listed, separators=(",", ":"))


def _planes(bits: np.ndarray, shifts: Iterable[int]) -> list[bytes]:
    """Return the bytes of numbers sorted by significance: upper bytes resemble one another, so they compress well."""
    return [(bits >> shift & 0xFF).astype(np.uint8).tobytes() for shift in shifts]
