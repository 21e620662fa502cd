"""Weights as text: rounded as in C, compressed, in base64."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping

import numpy as np

from carousel.errors import InputError
from carousel.export.c99.weights import PRECISIONS


def packed(matrices: Mapping[str, np.ndarray], vectors: Mapping[str, np.ndarray], precision: str) -> tuple[str, str]:
    """Return the text of weights, and what ``weights.js`` reads it by, as JSON: name, precision, rows and columns of each.

    Args:
        matrices: dense weights by name, (rows, columns), which have the precision.
        vectors: the others, in single precision.
        precision: float32, bfloat16 or int8.

    Raises:
        InputError: there is no such precision, or values are not finite.
    """
    parts: list[bytes] = []
    listed: list[tuple[str, str, int, int]] = []
    for name, given in matrices.items():
        check(name, given, precision)
        values = given.astype(np.float32)
        listed.append((name, precision, *values.shape))
        if precision == "float32":
            parts += _planes(values.view(np.uint32), (24, 16, 8, 0))
        elif precision == "bfloat16":
            parts += _planes(halves(values), (8, 0))
        else:
            whole, scale = in_bytes(values)
            parts += [*_planes(scale.astype(np.float32).view(np.uint32), (24, 16, 8, 0)), whole.tobytes()]
    for name, given in vectors.items():
        check(name, given)
        listed.append((name, "float32", given.size, 1))
        parts += _planes(given.astype(np.float32).view(np.uint32), (24, 16, 8, 0))
    return base64.b64encode(zlib.compress(b"".join(parts), 9)).decode(), json.dumps(listed, separators=(",", ":"))


def halves(values: np.ndarray) -> np.ndarray:
    """Return the upper 16 bits of numbers in single precision, rounded to the nearest, ties to even."""
    bits = values.view(np.uint32).astype(np.uint64)
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def in_bytes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whole numbers from −127 to 127, and for each row the number that one of them stands for."""
    scale = np.abs(values).max(1) / 127
    return np.rint(values / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8), scale


def check(name: str, values: np.ndarray, precision: str = PRECISIONS[0]) -> None:
    """Raise InputError where there is no such precision, or values are not finite."""
    if precision not in PRECISIONS:
        raise InputError(f"`precision` must be {' or '.join(PRECISIONS)}, not {precision!r}")
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds numbers that are not finite; was the model trained to the end?")


def _planes(bits: np.ndarray, shifts: Iterable[int]) -> list[bytes]:
    """Return the bytes of numbers, those of one place together: the upper ones are alike, and become short."""
    return [(bits >> shift & 0xFF).astype(np.uint8).tobytes() for shift in shifts]
