"""The functions of equations know their derivatives."""

import math

import pytest
import sympy

from carousel.equations.functions import FUNCTIONS, detach, logistic, relu, tamed, where

x = sympy.Symbol("x", real=True)
NUMERIC = {logistic: lambda v: 1 / (1 + math.exp(-v)), relu: lambda v: max(0.0, v)}


def evaluate(expr, at):
    """The number of an expression at x = ``at``, logistic and relu computed by ``math``."""
    expr = expr.subs(x, at)
    for function, numeric in NUMERIC.items():
        expr = expr.replace(function.symbol, lambda a, numeric=numeric: sympy.Float(numeric(float(a)), 30))
    return float(expr)


@pytest.mark.parametrize("function", [logistic, relu])
@pytest.mark.parametrize("at", [-3.1, -0.4, 0.2, 2.7])
def test_derivative_agrees_with_finite_differences(function, at):
    numeric, step = NUMERIC[function], 1e-6
    expected = (numeric(at + step) - numeric(at - step)) / (2 * step)
    assert evaluate(function(x).diff(x), at) == pytest.approx(expected, abs=1e-8)


def test_second_derivative_of_logistic():
    s, step = NUMERIC[logistic], 1e-4
    expected = (s(0.7 + step) - 2 * s(0.7) + s(0.7 - step)) / step**2
    assert evaluate(logistic(x).diff(x, 2), 0.7) == pytest.approx(expected, abs=1e-6)


def test_chain_rule_goes_through():
    inner = logistic(2 * x)
    assert evaluate(inner.diff(x), 0.3) == pytest.approx(2 * NUMERIC[logistic](0.6) * (1 - NUMERIC[logistic](0.6)))


def test_detach_hands_nothing_back():
    assert detach(3 * x).diff(x) == 0


def test_relu_has_no_slope_at_zero():
    assert evaluate(relu(x).diff(x), 0) == 0


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda f: f.name)
def test_every_function_can_be_differentiated_twice(function):
    """No Derivative or Subs stays behind, nor a function that only SymPy knows: the kernels' backward needs a closed form."""
    y = sympy.Symbol("y", real=True)
    operands = {1: (x,), 2: (x, y), 3: (y > 0 if function is where else 2 * y, x, y)}[function.operands]
    expr = function(*operands)
    for _ in range(2):
        expr = tamed(expr.diff(x))
        assert not expr.has(sympy.Derivative, sympy.Subs)
        assert all(type(node) in FUNCTIONS for node in expr.atoms(sympy.Function))
