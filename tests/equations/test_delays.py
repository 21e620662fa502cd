"""The input and states of some steps ago: ``h.ago(2)``."""

import pytest
import torch

from carousel import kernels
from carousel.drawing.svg import standalone
from carousel.equations import EquationError, cell, logistic, mean, tanh
from carousel.equations.stored import StoredCell, as_data
from carousel.layers import Recurrent, Streaming


@cell
def past(e, h, W, b):
    f = logistic(W.fe @ e.ago(2) + W.fh @ h.ago(3) + b.f)
    h = f * h.ago(2) + (1 - f) * tanh(W.he @ e + W.hh @ h + b.h)
    return h


def by_hand(layer, x, resets=None):
    """The same in a loop over a list of all that was."""
    p = {n: layer.parameter(n, 0) for n in past.learned}
    inputs, outputs = [torch.zeros_like(x[0])] * 2, [x.new_zeros(x.shape[1], 4)] * 3
    for t, e in enumerate(x):
        if resets is not None:
            begins = resets[t].unsqueeze(1)
            inputs = [torch.where(begins, 0, y) for y in inputs]
            outputs = [torch.where(begins, 0, y) for y in outputs]
        f = torch.sigmoid(inputs[-2] @ p["W.fe"].T + outputs[-3] @ p["W.fh"].T + p["b.f"])
        new = torch.tanh(e @ p["W.he"].T + outputs[-1] @ p["W.hh"].T + p["b.h"])
        outputs = [*outputs, f * outputs[-2] + (1 - f) * new]
        inputs = [*inputs, e]
        yield outputs[-1]


@pytest.fixture
def layer():
    torch.manual_seed(2)
    return Recurrent(past, 3, 4, dtype=torch.float64)


X = torch.randn(7, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("back_end", ["reference", "cpu"])
@pytest.mark.parametrize("with_resets", [False, True])
def test_a_delay_is_the_value_of_that_many_steps_ago_and_zero_before_the_first(layer, back_end, with_resets):
    resets = torch.rand(7, 2, generator=torch.Generator().manual_seed(3)) < 0.3 if with_resets else None
    with kernels.use(back_end):
        output, _ = layer(X, resets=resets)
        found = torch.autograd.grad(output.square().sum(), list(layer.parameters()))
    wanted = torch.stack(list(by_hand(layer, X, resets)))
    torch.testing.assert_close(output, wanted)
    torch.testing.assert_close(found, torch.autograd.grad(wanted.square().sum(), list(layer.parameters())))


def test_what_was_is_among_the_states_so_a_sequence_can_be_cut(layer):
    whole, last = layer(X)
    first, hx = layer(X[:3])
    second, cut = layer(X[3:], hx)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(cut, last)
    stream = Streaming(layer, batch=2)
    torch.testing.assert_close(torch.stack([stream(x).clone() for x in X]), whole)


def test_steps_are_printed_and_only_quantities_of_the_cell_have_names():
    assert past.text.splitlines()[0] == "fₜ = σ(W.fe eₜ₋₂ + W.fh hₜ₋₃ + b.f)".replace("σ", "logistic")
    assert r"\mathbf{h}_{t-3}" in past.latex
    assert past.states == ("h", "e_ago1", "e_ago2", "h_ago2", "h_ago3") and past.names == ("f", "h")
    assert ">t−3<" in standalone(past)


def test_a_stored_cell_keeps_delays():
    data = as_data(past, [(3, 4, 0)])
    assert data["states"] == ["h"] and data["equations"][0] == "f[t] = logistic(W.fe @ e[t-2] + W.fh @ h[t-3] + b.f)"
    again = StoredCell(data)
    assert (again.text, again.states) == (past.text, past.states)


def test_one_step_ago_is_the_state_itself_and_none_the_input_itself():
    @cell
    def same(e, h, W):
        return tanh(W.he @ e.ago(0) + W.hh @ h.ago(1))

    assert same.text == "hₜ = tanh(W.he eₜ + W.hh hₜ₋₁)" and same.states == ("h",)


def gate(e, h, W):
    f = logistic(W.fe @ e)
    return f.ago(2) * h


def after(e, h, W):
    h = tanh(W.he @ e + W.hh @ h)
    return h + h.ago(2)


def to_come(e, h, W):
    return tanh(W.he @ e + W.hh @ h.ago(-1))


def this_step(e, h, W):
    return tanh(W.he @ e + W.hh @ h.ago(0))


def far(e, h, W):
    return tanh(W.he @ e + W.hh @ h.ago(65))


def half(e, h, W):
    return tanh(W.he @ e + W.hh @ h.ago(1.5))


def number(e, h, W):
    return tanh(W.he @ e + mean(h).ago(2) * h)


def taken(e, h, W):
    h_ago2 = tanh(W.he @ e)
    h = h_ago2 + h.ago(2)
    return h


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (gate, "only the input and the states as they come in have a past"),
        (after, "only the input and the states as they come in have a past"),
        (to_come, "a whole number of steps from 1 to 64, not -1"),
        (this_step, "a whole number of steps from 1 to 64, not 0"),
        (far, "a whole number of steps from 1 to 64, not 65"),
        (half, "a whole number of steps from 1 to 64, not 1.5"),
        (number, "only the input and the states as they come in have a past"),
        (taken, "h_ago2 is the name of h.ago(2)"),
    ],
)
def test_what_has_no_past_is_refused(function, reason):
    with pytest.raises(EquationError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        cell(function)


def test_layers_that_keep_inputs_of_several_sizes_go_on_where_they_were_cut():
    layer, x = Recurrent(past, 3, 4, num_layers=2), torch.randn(5, 2, 3)
    _, hx = layer(x[:2])
    torch.testing.assert_close(layer(x[2:], hx)[0], layer(x)[0][2:])
