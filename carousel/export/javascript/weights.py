"""Weights as text: rounded as in C, compressed, 13 bits in two letters."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping

import numpy as np

from carousel.export.rounding import in_bytes, in_halves, single
from carousel.layers.precision import checked

ALPHABET = np.array([code for code in range(33, 127) if chr(code) not in '"<\\'], np.uint8)


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
            parts += _planes(values, 4)
        elif precision == "bfloat16":
            parts += _planes((in_halves(values).astype(np.uint32) << 16).view(np.float32), 2)
        else:
            whole, scale = in_bytes(values)
            parts += [*_planes(scale, 4), whole.tobytes()]
    for name, given in vectors.items():
        listed.append((name, "float32", given.size, 1))
        parts += _planes(single(name, given), 4)
    # Bytes of weights do not repeat themselves: only how often each comes makes them shorter.
    squeezed = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    return _letters(squeezed.compress(b"".join(parts)) + squeezed.flush()), json.dumps(listed, separators=(",", ":"))


def _planes(values: np.ndarray, width: int) -> list[bytes]:
    """Return the first bytes of numbers sorted by significance: all exponents, which resemble one another, then signs with the
    upper bits of fractions, and so on."""
    bits = values.astype(np.float32).view(np.uint32)
    planes = (bits >> 23, bits >> 24 & 0x80 | bits >> 16 & 0x7F, bits >> 8, bits)
    return [(plane & 0xFF).astype(np.uint8).tobytes() for plane in planes[:width]]


def _letters(content: bytes) -> str:
    """Return bytes as the 91 printable letters that a page and a string can hold as they are: not quotes, <, backslashes.

    Two letters stand for 13 bits, one for the last 6 or fewer.
    """
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    whole, rest = divmod(len(bits), 13)
    padded = np.append(bits, np.zeros(-rest % 13 if rest > 6 else -rest % 6 if rest else 0, np.uint8))
    pairs = padded[: len(padded) // 13 * 13].reshape(-1, 13) @ (1 << np.arange(12, -1, -1))
    digits = np.stack([pairs // 91, pairs % 91], -1).ravel()
    if 0 < rest <= 6:
        digits = np.append(digits, padded[whole * 13 :] @ (1 << np.arange(5, -1, -1)))
    return ALPHABET[digits].tobytes().decode()
