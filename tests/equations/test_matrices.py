"""Constant matrices, ``c.A @ m``, and dense weights transposed, ``W.hh.T @ h``."""

import json

import numpy as np
import pytest
import torch

from carousel import kernels
from carousel.equations import EquationError, cell, concat, tanh
from carousel.equations.stored import StoredCell, as_data
from carousel.layers import Recurrent


@cell(matrices={"A": lambda rows, columns: np.arange(rows * columns).reshape(rows, columns) / 10})
def given(e, h, W, b, c):
    h = tanh(W.he @ e + W.hh @ h - W.hh.T @ h + c.A @ h + b.h)
    return h


@pytest.mark.parametrize("back_end", ["reference", "cpu"])
def test_a_constant_matrix_multiplies_and_is_not_learned_and_a_transposed_weight_is_the_weight(back_end):
    layer = Recurrent(given, 3, 4, dtype=torch.float64)
    assert [n for n, _ in layer.named_parameters()] == ["W.he_l0", "W.hh_l0", "b.h_l0"]
    x, h, outputs = torch.randn(5, 2, 3, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64), []
    into, of, bias = layer.parameters()
    matrix = torch.arange(16, dtype=torch.float64).reshape(4, 4) / 10
    for row in x:
        h = torch.tanh(row @ into.T + h @ (of - of.T + matrix).T + bias)
        outputs.append(h)
    with kernels.use(back_end):
        found = layer(x)[0]
    torch.testing.assert_close(found, torch.stack(outputs))
    wanted = torch.autograd.grad(torch.stack(outputs).square().sum(), list(layer.parameters()))
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), list(layer.parameters())), wanted)


def test_constant_matrices_and_transposed_weights_are_printed_and_stored():
    assert given.text == "hₜ = tanh(W.he eₜ + W.hh hₜ₋₁ - W.hh.T hₜ₋₁ + c.A hₜ₋₁ + b.h)"
    assert r"{W^{hh}}^{\top} \mathbf{h}_{t-1} + C^{A} \mathbf{h}" in given.latex
    again = StoredCell(json.loads(json.dumps(as_data(given, [(3, 4, 0)]))))
    assert again.text == given.text and again.matrices["A"](4, 4).tolist() == (np.arange(16).reshape(4, 4) / 10).tolist()
    with pytest.raises(EquationError, match=r"has c\.A for 4x4 units, not for 5x5"):
        again.matrices["A"](5, 5)


def test_cells_with_other_matrices_are_told_apart():
    def made(factor):
        @cell(matrices={"A": lambda rows, columns: factor * np.eye(rows, columns)})
        def same(e, h, W, c):
            return tanh(W.he @ e + c.A @ h)

        return Recurrent(same, 3, 4)

    one, two = made(1.0), made(2.0)
    assert one.cell.key != two.cell.key
    two.load_state_dict(one.state_dict())
    x = torch.randn(3, 1, 3)
    assert not torch.allclose(one(x)[0], two(x)[0])


def test_a_matrix_of_another_shape_is_refused():
    @cell(matrices={"A": lambda rows, columns: np.eye(rows + 1, columns)})
    def wrong(e, h, W, c):
        return tanh(W.he @ e + c.A @ h)

    with pytest.raises(ValueError, match=r"c\.A must have shape \(4, 4\), but its function gives \(5, 4\)"):
        Recurrent(wrong, 3, 4)(torch.randn(2, 1, 3))


def turned_twice(e, h, W):
    return tanh(W.he @ e + W.hh.T.T @ h)


def turned_side_by_side(e, h, W):
    return tanh(W.h @ concat(e, h) + W.h.T @ h)


def turned_vector(e, h, W, w):
    return tanh(W.he @ e + w.hh.T * h)


def times(e, h, W):
    return tanh(W.he @ e + W.hh.T * h)


def named_alike(e, h, W):
    return tanh(W.he @ e + W["hh_T"] @ h + W.hh.T @ h)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (turned_twice, "only a dense weight is transposed"),
        (turned_side_by_side, "so it is not transposed"),
        (turned_vector, "has no attribute 'T'"),
        (times, "is dense: multiply it from the left"),
        (named_alike, "cannot be told apart"),
    ],
)
def test_what_cannot_be_transposed_is_refused(function, reason):
    with pytest.raises(EquationError, match=reason):
        cell(function)


def test_a_constant_is_a_vector_or_a_matrix():
    with pytest.raises(TypeError, match=r"c\.A is among the constants and the matrices"):
        cell(constants={"A": np.ones}, matrices={"A": np.eye})(lambda e, h, W, c: h)
