"""What a layer takes, and what it says of the rest; a batch of no rows; a cell of no parameters."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from carousel import kernels
from carousel.cells import CELLS
from carousel.equations import cell, tanh, where
from carousel.layers import Recurrent, Streaming


def plain(e, h, W, b):
    h = tanh(W.he @ e + W.hh @ h + b.h)
    return h


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": plain}, r"a cell is wanted, or the name of one, not function plain: write @cell above plain"),
        ({"cell": 3}, r"a cell is wanted, or the name of one, not int"),
        ({"hidden_size": 16.0}, r"hidden_size must be a whole number, not 16\.0"),
        ({"hidden_size": True}, r"hidden_size must be a whole number, not True"),
        ({"input_size": "3"}, r"input_size must be a whole number, not '3'"),
        ({"num_layers": np.float64(2)}, r"num_layers must be a whole number"),
        ({"proj_size": 2.0}, r"proj_size must be a whole number, not 2\.0"),
        ({"segment_length": 0.5}, r"segment_length must be a whole number, not 0\.5"),
        ({"dropout": True}, r"dropout must be a number, not True"),
        ({"dropout": "0.5"}, r"dropout must be a number, not '0\.5'"),
        ({"forget_bias": "1"}, r"forget_bias must be a number, not '1'"),
        ({"bidirectional": "no"}, r"bidirectional must be True or False, not 'no'"),
        ({"batch_first": 2}, r"batch_first must be True or False, not 2"),
    ],
)
def test_options_of_another_type_are_refused(options, message):
    with pytest.raises(TypeError, match=message):
        Recurrent(**({"cell": "lstm-v4", "input_size": 3, "hidden_size": 4} | options))


def test_a_size_beyond_all_memory_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"hidden_size must be below 2147483648, not 1000000000000000000000$"):
        Recurrent("lstm", 3, 10**21)


def test_numbers_of_numpy_are_numbers():
    layer = Recurrent("lstm-v4", np.int64(3), np.int32(4), np.int8(2), proj_size=np.int64(2), dropout=np.float32(0.5))
    assert all(type(x) is int for x in (layer.input_size, layer.hidden_size, layer.num_layers, layer.proj_size))
    assert repr(layer) == "Recurrent(lstm-v4, 3, 4, num_layers=2, proj_size=2, dropout=0.5)"
    assert layer(torch.zeros(2, 1, 3))[0].shape == (2, 1, 2)


def test_dropout_of_one_layer_warns():
    with pytest.warns(UserWarning, match="with num_layers=1 it has no effect"):
        Recurrent("lstm", 3, 4, dropout=0.5)


X, ZERO = torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)


@pytest.mark.parametrize(
    ("input", "options", "error", "message"),
    [
        ([[1.0]], {}, TypeError, r"input must be a tensor, not a list: torch\.tensor makes one"),
        (X.numpy(), {}, TypeError, r"input must be a tensor, not an ndarray: torch\.from_numpy makes one"),
        (None, {}, TypeError, r"input must be a tensor, not None"),
        (torch.tensor(1.0), {}, ValueError, r"input must have 2 or 3 dimensions, not 0"),
        (
            PackedSequence(torch.zeros(2, 1, 3), torch.tensor([2])),
            {},
            ValueError,
            r"packed input must have 2 dimensions, not 3",
        ),
        (PackedSequence(torch.zeros(0, 3), torch.tensor([], dtype=torch.long)), {}, ValueError, r"at least one step"),
        (X, {"hx": ZERO.numpy()}, TypeError, r"hx must be a tensor, not an ndarray: torch\.from_numpy makes one"),
        (X, {"hx": (ZERO, ZERO.tolist())}, TypeError, r"state h in hx must be a tensor, not a list: torch\.tensor makes one"),
        (X, {"hx": {"m": ZERO, "h": ZERO}}, TypeError, r"hx must be a tensor, not a dict"),
        (X[:, 0], {"hx": (torch.tensor(0.0), ZERO)}, ValueError, r"state m in hx has shape \(\), expected \(1, 4\)"),
        (X, {"resets": [[True]]}, TypeError, r"resets must be a tensor, not a list"),
        (X, {"resets": torch.zeros(5, 2, 1)}, ValueError, r"resets must have one element per step and row, shape \(5, 2\)"),
        (X, {"record": "f"}, TypeError, r"record is a list of names: record=\['f'\]"),
    ],
)
def test_inputs_of_another_type_or_shape_are_refused(input, options, error, message):
    with pytest.raises(error, match=message):
        Recurrent("lstm", 3, 4)(input, **options)


def test_states_in_a_list_are_as_in_a_tuple():
    layer, hx = Recurrent("lstm", 3, 4), [torch.randn(1, 2, 4), torch.randn(1, 2, 4)]
    assert torch.equal(layer(X, hx)[0], layer(X, tuple(hx))[0])


def test_a_name_that_is_asked_for_twice_is_recorded_once():
    seen = Recurrent("lstm", 3, 4)(X, record=iter(["f", "h", "f"]))[2]
    assert {k: v.shape for k, v in seen.items()} == {"f": (1, 5, 2, 4), "h": (1, 5, 2, 4)}


# ---------------------------------------------------------------------------------------------------------- no rows

SHAPES = {
    "one layer": {},
    "two layers, both directions": {"num_layers": 2, "bidirectional": True, "dropout": 0.3},
    "batch first": {"batch_first": True},
    "segments": {"segment_length": 2},
    "learned states": {"learned_initial": True},
}


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", ["lstm-v3", "lstm-v4", "gru", "clockwork", "mlp"])
def test_no_rows_give_no_rows(name, options):
    layer = Recurrent(name, 8, 4, **options)
    x = torch.zeros((0, 5, 8) if layer.batch_first else (5, 0, 8), requires_grad=True)
    output, hx, seen = layer(x, record=layer.cell.names)
    states = [hx] if isinstance(hx, torch.Tensor) else hx
    wide = layer.output_size * layer.directions
    assert output.shape == (*x.shape[:2], wide)
    assert all(s.shape[:2] == (layer.num_layers * layer.directions, 0) for s in states)
    assert all(v.shape[:3] == (layer.num_layers * layer.directions, *x.shape[:2]) for v in seen.values())
    output, _ = layer(x, hx, resets=torch.zeros(x.shape[:2], dtype=torch.bool))
    output.sum().backward()
    assert x.grad.shape == x.shape
    assert all(p.grad is not None and not p.grad.any() for k, p in layer.named_parameters() if not k.startswith("initial"))
    packed, _ = layer(PackedSequence(torch.zeros(0, 8), torch.tensor([0, 0])))
    assert packed.data.shape == (0, wide)


def test_no_rows_give_what_torch_gives():
    for options in ({}, {"num_layers": 2, "bidirectional": True}, {"proj_size": 2}):
        theirs = nn.LSTM(3, 4, **options)
        ours = Recurrent("lstm-v4" if "proj_size" in options else "lstm", 3, 4, **options)
        for x in (torch.zeros(5, 0, 3), PackedSequence(torch.zeros(0, 3), torch.tensor([0, 0]))):
            expected, after = theirs(x)
            output, hx = ours(x)
            same = (output.data, *hx), (expected.data, *after)
            assert [t.shape for t in same[0]] == [t.shape for t in same[1]]
        for module in (ours, theirs):
            with pytest.raises((ValueError, RuntimeError)):
                module(torch.zeros(0, 2, 3))


def test_no_rows_when_compiled():
    layer = torch.compile(Recurrent("gru", 3, 4), backend="eager")
    assert layer(torch.zeros(5, 0, 3))[0].shape == (5, 0, 4)


# ----------------------------------------------------------------------------------------------------- no parameters


@cell
def leaky(e, h):
    """An exponential average."""
    h = 0.75 * h + 0.25 * e
    return h


@cell
def counting(e, h, g, t):
    """States that the input does not reach."""
    h = where(t % 2 == 0, 1.0, 0.001) * g
    g = tanh(g + 1 / (t + 1))
    return h, g


@pytest.mark.parametrize("back_end", ["cpu", "reference"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}, {"learned_initial": True}])
def test_a_cell_without_parameters_works(back_end, options):
    with kernels.use(back_end):
        layer = deepcopy(Recurrent(leaky, 3, 3, **options).double())
        x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
        output, _ = layer(x)
        output.sum().backward()
        h, expected = torch.zeros(2, 3, dtype=torch.float64), []
        if not options:
            for e in x.detach():
                h = 0.75 * h + 0.25 * e
                expected.append(h)
            torch.testing.assert_close(output.detach(), torch.stack(expected))
            torch.testing.assert_close(x.grad[-1], torch.full((2, 3), 0.25, dtype=torch.float64))
            stream = Streaming(layer, batch=2)
            torch.testing.assert_close(torch.stack([stream(e).clone() for e in x.detach()]), output.detach())
        assert output.dtype == torch.float64 and x.grad.all()
        assert len(layer.state_dict()) == len(layer.initial)  # what remembers the dtype is not saved


@pytest.mark.parametrize("back_end", ["cpu", "reference"])
def test_a_cell_without_parameters_or_input_works(back_end):
    with kernels.use(back_end):
        layer = Recurrent(counting, 2, 3, dtype=torch.float64)
        output, (_, g, t) = layer(torch.zeros(2, 1, 2, dtype=torch.float64))
    first = torch.ones(1, 1, 3, dtype=torch.float64).tanh()
    torch.testing.assert_close(output, torch.cat([torch.zeros_like(first), 0.001 * first]))
    torch.testing.assert_close(g, (first + 0.5).tanh())
    assert t.item() == 2


def test_a_cell_without_parameters_works_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert Recurrent(leaky, 3, 3)(torch.ones(1, 1, 3))[0].tolist() == [[[0.25] * 3]]


def test_a_hidden_size_that_nothing_has_is_refused():
    with pytest.raises(ValueError, match=r"cell leaky has no weights .* hidden_size must be input_size, 3, not 4"):
        Recurrent(leaky, 3, 4)
    assert all(c.has_hidden for c in CELLS.values())


# -------------------------------------------------------------------------------------------------------------- names


@cell
def memory(e, m, c, W, b):
    i = tanh(W.ie @ e + W.im @ m + b.c)
    c = c + i
    m = tanh(c)
    return m, c


@cell
def named(e, h_new, c_t, W):
    b = tanh(W.c_in @ e)
    t = tanh(b)
    w = b * t
    c_t = c_t + w
    h_new = tanh(c_t)
    return h_new, c_t


@pytest.mark.parametrize("c", [memory, named], ids=["memory", "named"])
def test_states_and_variables_of_any_name_run(c):
    torch.manual_seed(1)
    layer = Recurrent(c, 3, 4, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    results = []
    for name in ("cpu", "reference"):
        with kernels.use(name):
            output, _ = layer(x)
            results.append((output, *torch.autograd.grad(output.sum(), list(layer.parameters()))))
    torch.testing.assert_close(*results)
    assert set(layer(x, record=c.names)[2]) == set(c.names)


@pytest.mark.parametrize("name", ["lstm-v4", "clockwork"])
def test_resets_without_numbers_are_refused_not_answered(name):
    layer = Recurrent(name, 4, 4)
    with pytest.raises((ValueError, RuntimeError)):
        layer(torch.randn(3, 2, 4), resets=torch.zeros(3, 2, dtype=torch.bool, device="meta"))


def test_a_step_number_without_numbers_is_refused_not_answered():
    layer = Recurrent("clockwork", 4, 4)
    h, t = layer.initial_state(2)
    with pytest.raises(ValueError, match="on meta"):
        layer(torch.randn(3, 2, 4), (h, t.to("meta")))
