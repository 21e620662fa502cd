"""Functions that all printed kernels call: of a tile, and the barrier of programs between two steps.

Triton's compiler takes no annotations but its own, so mypy is told not to ask for them.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def logistic(x):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def tanh(x):  # type: ignore[no-untyped-def]
    # Near zero the quotient has few correct places; there a polynomial is right to the last one.
    small = tl.exp(-2.0 * tl.abs(x))
    quotient = (1.0 - small) / (1.0 + small)
    s = x * x
    near = x * (1.0 + s * (-0.3333333333 + s * (0.1333333333 - s * 0.05396825397)))
    return tl.where(tl.abs(x) < 0.12, near, tl.where(x < 0.0, -quotient, quotient))


@triton.jit
def maximum(a, b):  # type: ignore[no-untyped-def]
    return tl.where((a > b) | (a != a), a, b)


@triton.jit
def minimum(a, b):  # type: ignore[no-untyped-def]
    return tl.where((a < b) | (a != a), a, b)


@triton.jit
def modulo(a, b):  # type: ignore[no-untyped-def]
    return a - tl.floor(tl.math.div_rn(a, b)) * b


@triton.jit
def power(a, b):  # type: ignore[no-untyped-def]
    return tl.exp(b * tl.log(a))


@triton.jit
def times(x, w, total, PRECISION: tl.constexpr):  # type: ignore[no-untyped-def]
    """total + x @ w; "widened" is for the interpreter, which knows no product of bfloat16."""
    if PRECISION == "widened":
        return tl.dot(x.to(tl.float32), w.to(tl.float32), total, input_precision="ieee")
    else:
        return tl.dot(x, w, total, input_precision=PRECISION)


@triton.jit
def arrive(counter):  # type: ignore[no-untyped-def]
    """Say that this program has come so far; what it has written is seen by those who wait for it."""
    tl.debug_barrier()
    tl.atomic_add(counter, 1, sem="release", scope="gpu")


@triton.jit
def wait(counter, arrived):  # type: ignore[no-untyped-def]
    """Wait until ``arrived`` programs have come."""
    while tl.atomic_add(counter, 0, sem="acquire", scope="gpu") < arrived:
        pass
    tl.debug_barrier()
