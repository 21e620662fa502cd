"""Functions of the equations in ONNX, by the names in ``Function.onnx``."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from carousel.export.onnx18.graph import Value, operation

# W. H. Press et al., Numerical Recipes: erfc(z) = t · exp(−z² + a polynomial of t), t = 1 / (1 + z/2), to 1.2e-7 of its value.
ERFC = (
    -1.26551223,
    1.00002368,
    0.37409196,
    0.09678418,
    -0.18628806,
    0.27886807,
    -1.13520398,
    1.48851587,
    -0.82215223,
    0.17087277,
)


def erfc(x: Value) -> Value:
    """Return 1 − erf(x), with its digits where erf(x) is nearly 1; a difference with ONNX's Erf would lose them."""
    z = operation("Abs", x)
    t = 1 / (1 + 0.5 * z)
    power: Any = 0.0
    for c in reversed(ERFC):
        power = c + t * power
    right = t * operation("Exp", power - z * z)
    return operation("Where", x < 0, 2 - right, right)


def gelu(x: Value) -> Value:
    """Return x · Φ(x)."""
    return x * erfc(-0.7071067811865476 * x) * 0.5


def log(x: Value) -> Value:
    """Return the natural logarithm, of a logistic by Softplus: runtimes' Sigmoid has no digits where it is nearly 0."""
    node = next((n for n in reversed(x.graph.nodes) if n.outputs[0] is x), None)
    if node is None or node.kind != "Sigmoid" or node.inputs[0] is None:
        return operation("Log", x)
    return -operation("Softplus", -node.inputs[0])


def _of(kind: str) -> Callable[..., Value]:
    return lambda *operands: operation(kind, *operands)


NAMES = {
    "abs": "Abs",
    "cos": "Cos",
    "elu": "Elu",
    "erf": "Erf",
    "exp": "Exp",
    "max": "Max",
    "min": "Min",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "sign": "Sign",
    "sin": "Sin",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
    "where": "Where",
}

OTHERS = {name: _of(kind) for name, kind in NAMES.items()}
WORDS: dict[str, Any] = {"onnx": SimpleNamespace(erfc=erfc, gelu=gelu, log=log, **OTHERS)}
