"""Layers of several sizes: the same numbers as a stack of torch.nn.LSTM, and states side by side."""

import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from carousel.equations import cell, tanh
from carousel.layers import Clamp, Recurrent, Streaming, from_torch_state, to_torch

SIZES = (7, 5, 3)


def stack(both=False, cell="lstm", **options):
    """Three layers, and PyTorch's with the same weights."""
    torch.manual_seed(1)
    ways = 1 + both
    theirs = [nn.LSTM(e, h, bidirectional=both).double() for e, h in zip((4, *(n * ways for n in SIZES)), SIZES, strict=False)]
    ours = Recurrent(cell, 4, SIZES, bidirectional=both, dtype=torch.float64, **options)
    state = {}
    for k, module in enumerate(theirs):
        state |= {name.replace("_l0", f"_l{k}"): value for name, value in module.state_dict().items()}
    ours.load_state_dict(from_torch_state(state, ours))
    return ours, theirs


def run(theirs, x):
    ends = []
    for module in theirs:
        x, hx = module(x)
        ends.append(hx)
    return x, [torch.cat([each[k] for each in ends], -1) for k in range(2)]


def near(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "lstm-v2"])
def test_outputs_states_and_gradients_are_those_of_a_stack_of_pytorchs_layers(both, cell):
    ours, theirs = stack(both, cell)
    x, theirs_x = (torch.randn(6, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) for _ in range(2))
    x, theirs_x = x.requires_grad_(), theirs_x.requires_grad_()
    y, hx = ours(x)
    wanted, states = run(theirs, theirs_x)
    assert ours.output_size == SIZES[-1]
    near(y, wanted)
    for found, expected in zip(hx, states, strict=True):
        assert found.shape == (1 + both, 2, sum(SIZES))
        near(found, expected)
    (y.square().sum() + hx[1].sum()).backward()
    (wanted.square().sum() + states[1].sum()).backward()
    near(x.grad, theirs_x.grad)
    near(ours.parameter("b.f", 1).grad, theirs[1].bias_ih_l0.grad[5:10])


def test_packed_sequences_are_read_as_a_stack_reads_them():
    ours, theirs = stack(both=True)
    x = pack_padded_sequence(torch.randn(6, 3, 4, dtype=torch.float64), torch.tensor([2, 6, 4]), enforce_sorted=False)
    y, hx = ours(x)
    wanted, states = run(theirs, x)
    near(y.data, wanted.data)
    for found, expected in zip(hx, states, strict=True):
        near(found, expected)


def test_a_sequence_goes_on_where_it_was_cut_and_begins_anew_at_a_reset():
    ours, _ = stack(learned_initial=True)
    for p in ours.parameters():
        nn.init.normal_(p, std=0.5)
    x = torch.randn(6, 2, 4, dtype=torch.float64)
    whole, last = ours(x)
    first, hx = ours(x[:2])
    second, after = ours(x[2:], hx)
    near(torch.cat([first, second]), whole)
    for found, expected in zip(after, last, strict=True):
        near(found, expected)
    resets = torch.zeros(6, 2, dtype=torch.bool)
    resets[3, 1] = True
    near(ours(x, resets=resets)[0][3:, 1], ours(x[3:, 1])[0])


@pytest.mark.parametrize("rows", [1, 3])
def test_a_stream_gives_the_same(rows):
    ours, _ = stack()
    x = torch.randn(5, rows, 4, dtype=torch.float64)
    y, hx = ours(x)
    stream = Streaming(ours, batch=rows)
    for step, wanted in zip(x, y, strict=True):
        near(stream(step).clone(), wanted)
    for found, expected in zip(stream.hx, hx, strict=True):
        near(found, expected)


def test_what_is_recorded_is_a_list_with_each_layers_own_size():
    ours, _ = stack()
    y, hx, seen = ours(torch.randn(6, 2, 4, dtype=torch.float64), record=["m", "f"])
    assert [x.shape for x in seen["f"]] == [(6, 2, n) for n in SIZES]
    near(seen["m"][-1], y)
    near(torch.cat([x[-1] for x in seen["m"]], -1), hx[0][0])


def test_a_clamp_holds_in_the_layers_that_have_the_unit():
    ours, _ = stack()
    x = torch.randn(4, 2, 4, dtype=torch.float64)
    _, _, seen = ours(x, record=["f"], clamp=[Clamp("f", 0.25, (6,), layer=0)])
    assert (seen["f"][0][..., 6] == 0.25).all()
    with pytest.raises(ValueError, match=r"f has no unit 6 to clamp; units are 0 to [24]"):
        ours(x, clamp={"f": {6: 0.25}})


def test_first_weights_are_drawn_by_each_layers_own_size():
    torch.manual_seed(3)
    layer = Recurrent("lstm", 4, (400, 4))
    assert layer.parameter("b.i", 0).abs().max() <= 400**-0.5 < layer.parameter("b.i", 1).abs().max() <= 4**-0.5


def test_the_projection_is_half_of_each_layer_or_one_of_all():
    assert Recurrent("lstm-v4", 3, (8, 4)).proj_sizes == (4, 2)
    layer = Recurrent("lstm-v4", 3, (8, 4), proj_size=5)
    y, (m, h) = layer(torch.randn(3, 2, 3))
    assert (y.shape[-1], m.shape[-1], h.shape[-1]) == (5, 10, 12)


def test_a_cell_that_keeps_its_input_may_have_several_layers():
    layer = Recurrent("mlp", 2, 3, 2)
    x = torch.randn(5, 2, 2)
    _, hx = layer(x[:2])
    torch.testing.assert_close(layer(x[2:], hx)[0], layer(x)[0][2:])


def test_one_size_in_a_list_is_that_of_all():
    assert Recurrent("lstm", 4, [6, 6])(torch.randn(3, 4))[1][0].shape == (2, 6)
    assert repr(Recurrent("lstm", 4, [6, 6])) == repr(Recurrent("lstm", 4, 6, 2))
    assert repr(Recurrent("lstm", 4, [6, 5])) == "Recurrent(lstm, 4, (6, 5))"


def test_a_copy_by_pickle_is_the_same():
    ours, _ = stack()
    x = torch.randn(3, 2, 4, dtype=torch.float64)
    near(pickle.loads(pickle.dumps(ours))(x)[0], ours(x)[0])


@pytest.mark.parametrize(
    ("sizes", "layers", "message"),
    [
        ((), 1, "one number for all layers or one for each, not 0 for 1"),
        ((4, 5), 3, "one number for all layers or one for each, not 2 for 3"),
        ((4, 0), 1, "hidden_size must be at least 1, not 0"),
    ],
)
def test_other_sizes_are_refused(sizes, layers, message):
    with pytest.raises(ValueError, match=message):
        Recurrent("lstm", 4, sizes, layers)


def test_what_takes_one_size_says_so():
    ours, _ = stack()
    with pytest.raises(ValueError, match=r"one size for all layers, not \(7, 5, 3\)"):
        to_torch(ours)
    with pytest.raises(ValueError, match=r"state m in hx has shape \(3, 2, 7\), expected \(1, 2, 15\)"):
        ours(torch.randn(3, 2, 4, dtype=torch.float64), (torch.zeros(3, 2, 7), torch.zeros(3, 2, 7)))


@pytest.mark.parametrize("both", [False, True])
def test_residual_layers_add_their_input_to_their_output(both):
    torch.manual_seed(4)
    ways = 1 + both
    theirs = [nn.LSTM(n, 5, bidirectional=both).double() for n in (4, 5 * ways, 5 * ways)]
    ours = Recurrent("lstm", 4, 5, 3, bidirectional=both, dtype=torch.float64, skip="residual")
    state = {}
    for k, module in enumerate(theirs):
        state |= {name.replace("_l0", f"_l{k}"): value for name, value in module.state_dict().items()}
    ours.load_state_dict(from_torch_state(state, ours))
    x = torch.randn(6, 2, 4, dtype=torch.float64)
    h = theirs[0](x)[0]
    for module in theirs[1:]:
        h = h + module(h)[0]
    near(ours(x)[0], h)
    near(ours(pack_padded_sequence(x, torch.tensor([6, 6])))[0].data.view_as(h), h)
    if not both:
        stream = Streaming(ours, batch=2)
        near(torch.stack([stream(step).clone() for step in x]), h)


def test_what_passes_a_layer_by_is_not_dropped():
    layer = Recurrent("lstm", 4, 5, 2, dropout=0.5, skip="residual")
    x = torch.randn(3, 2, 4)
    with torch.no_grad():
        for name, p in layer.named_parameters():
            p.mul_(0 if name.endswith("_l1") else 1)  # the upper layer says nothing
    y, _, seen = layer(x, record=["m"])
    torch.testing.assert_close(y, seen["m"][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skip": "dense"}, "skip must be 'none' or 'residual', not 'dense'"),
        ({"skip": "residual", "hidden_size": (5, 4)}, "add outputs of one size, and the layers' have 5, 4 numbers"),
    ],
)
def test_other_connections_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recurrent("lstm", 4, **{"hidden_size": (5, 5), **options})
    with pytest.raises(ValueError, match="no skip connections"):
        to_torch(Recurrent("lstm", 4, 5, 2, skip="residual"))


def test_a_quantity_of_the_inputs_size_is_recorded_in_a_list():
    @cell
    def scaled(e, h, W):
        u = tanh(e)
        h = tanh(W.hu @ u + W.hh @ h)
        return h

    layer = Recurrent(scaled, 3, 5, 2)
    _, hx, seen = layer(torch.randn(4, 2, 3), record=["u", "h"])
    assert [x.shape[-1] for x in seen["u"]] == [3, 5] and seen["h"].shape == (2, 4, 2, 5) and hx.shape == (2, 2, 5)
    assert not layer.alike and Recurrent(scaled, 5, 5, 2).alike


@pytest.mark.parametrize("what", ["input_size", "hidden_size"])
def test_the_sizes_of_a_layer_that_is_made_stay(what):
    layer = Recurrent("lstm", 4, SIZES)
    setattr(layer, what, 9)
    with pytest.raises(ValueError, match=r"cannot be set to \(.*\) once it is made"):
        layer.initial_state(1)
