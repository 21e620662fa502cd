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
def softplus(x):  # type: ignore[no-untyped-def]
    small = tl.exp(-tl.abs(x))
    whole = 1.0 + small
    rest = tl.where(whole == 1.0, 1.0, whole - 1.0)  # what rounding has left of ``small``; its quotient undoes that
    return tl.where(x < 0.0, 0.0, x) + tl.where(whole == 1.0, small, tl.log(whole) * tl.math.div_rn(small, rest))


@triton.jit
def silu(x):  # type: ignore[no-untyped-def]
    small = tl.exp(-tl.abs(x))  # and not exp(-x), which is infinite before x times the quotient is zero
    return x * (tl.where(x < 0.0, small, 1.0) / (1.0 + small))


@triton.jit
def elu(x):  # type: ignore[no-untyped-def]
    low = tl.where(x > 0.0, 0.0, x)
    near = 1.0 + low * (0.2 + low * (0.03333333333 + low * (0.004761904762 + low * 0.0005952380952)))
    near = low * (1.0 + low * (0.5 + low * (0.1666666667 + low * 0.04166666667 * near)))
    return tl.where(x > 0.0, x, tl.where(x > -0.5, near, tl.exp(low) - 1.0))


@triton.jit
def softsign(x):  # type: ignore[no-untyped-def]
    return tl.math.div_rn(x, 1.0 + tl.abs(x))


@triton.jit
def sign(x):  # type: ignore[no-untyped-def]
    return tl.where(x > 0.0, 1.0, tl.where(x < 0.0, -1.0, 0.0))


@triton.jit
def erfc(x):  # type: ignore[no-untyped-def]
    # The numbers are those of ``kernels/cpu/functions.h``, fitted there.
    z = tl.abs(x)
    z = tl.where(z > 11.0, 11.0, z)
    u = (3.0 - z) / (z + 3.0)
    p = 8.88782568e-05 + u * (2.257789162e-05 + u * -6.751377339e-06)
    p = -0.0004108609177 + u * (-0.001009694562 + u * (-0.0001692032606 + u * p))
    p = 0.1034891193 + u * (0.0398441256 + u * (0.008942033506 + u * p))
    p = 0.3580023042 + u * (0.2944648173 + u * (0.1967426553 + u * p))
    high = (z * 256.0 + 12582912.0) - 12582912.0  # a multiple of 1/256: its square is exact
    high = high / 256.0
    tail = tl.exp(-high * high) * tl.exp((high - z) * (high + z)) * (3.0 / (z + 3.0) * p)
    return tl.where(x < 0.0, 2.0 - tail, tail)


@triton.jit
def erf(x):  # type: ignore[no-untyped-def]
    z = tl.abs(x)
    s = x * x
    near = 0.005189087423 + s * (-0.0008016864287 + s * 7.875875063e-05)
    near = x * (1.128379166 + s * (-0.3761262667 + s * (0.1128359472 + s * (-0.02685421201 + s * near))))
    far = 1.0 - erfc(z)
    return tl.where(z < 1.0, near, tl.where(x < 0.0, -far, far))


@triton.jit
def gelu(x):  # type: ignore[no-untyped-def]
    return x * (0.5 * erfc(x * -0.7071067811865476))


@triton.jit
def gelu_tanh(x):  # type: ignore[no-untyped-def]
    return x * logistic(1.5957691216057308 * (x + 0.044715 * (x * x * x)))


@triton.jit
def clip(x, low, high):  # type: ignore[no-untyped-def]
    return minimum(maximum(x, low), high)


@triton.jit
def hard_sigmoid(x):  # type: ignore[no-untyped-def]
    return clip(x + 3.0, 0.0, 6.0) / 6.0


@triton.jit
def hard_tanh(x):  # type: ignore[no-untyped-def]
    return clip(x, -1.0, 1.0)


@triton.jit
def next_word(x):  # type: ignore[no-untyped-def]
    return x.to(tl.int32).to(tl.uint32) * 1664525 + 1013904223


@triton.jit
def draw(key, more, first, place):  # type: ignore[no-untyped-def]
    # Noise: the same bits as ``kernels/noise.py``.
    x, y, z = next_word(key), next_word(more), next_word(first.to(tl.int32) + place.to(tl.int32))
    x = x + y * z
    y = y + z * x
    z = z + x * y
    x, y, z = x ^ (x >> 16), y ^ (y >> 16), z ^ (z >> 16)
    return ((x + y * z) >> 8).to(tl.int32).to(tl.float32)


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
def compose(a, b, a_after, b_after):  # type: ignore[no-untyped-def]
    """Return x → a·x + b and another such after it as one."""
    return a * a_after, a_after * b + b_after


@triton.jit
def compose_cut(a, b, cut, a_after, b_after, cut_after):  # type: ignore[no-untyped-def]
    """Return the same, but nothing passes a cut, not even an infinite value, of which zero times would be NaN."""
    return a * a_after, tl.where(cut_after != 0.0, b_after, a_after * b + b_after), maximum(cut, cut_after)


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
