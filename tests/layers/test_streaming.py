"""Fed step by step, a layer gives what it gives for the whole sequence."""

import pytest
import torch
from many_gates import many_gates

from carousel import kernels
from carousel.cells import CELLS
from carousel.equations import cell, tanh
from carousel.kernels.cpu import compiler
from carousel.layers import Recurrent, Streaming
from carousel.layers.precision import rounded_layer


@cell
def squashed(e, h, W, b):
    """Its input's tanh leaves the loop, which a stepper does not do."""
    h = tanh(W.he @ tanh(W.ee @ e) + W.hh @ h + b.h)
    return h


@pytest.mark.parametrize("name", ["lstm-v2", "lstm-v4", "gru", "gru-original", "clockwork", "rnn", "mlp", "fgr", squashed])
@pytest.mark.parametrize("back_end", ["cpu", "reference"])
def test_the_same_step_by_step(name, back_end):
    torch.manual_seed(0)
    layer = Recurrent(name, 9, 9, num_layers=1 if name == "lstm-v4" else 2).double().eval()
    x = torch.randn(6, 3, 9, dtype=torch.float64)
    with torch.no_grad():
        _, hx = layer(x[:2])
        expected, after = layer(x[2:], hx)
    with kernels.use(back_end):
        stream = Streaming(layer, hx)
        found = torch.stack([stream(step).clone() for step in x[2:]])
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(stream.hx, after)


@pytest.mark.parametrize("simd", ["avx512", "avx2", "generic"])
@pytest.mark.parametrize("name", ["lstm-v3", "lstm", "lstm-v4", "gru-3-heads", many_gates(13)])
def test_weights_of_eight_bits_are_the_rounded_ones(name, simd, monkeypatch):
    """Sums of whole numbers are exact on every processor; what weights multiply is rounded to 16 bits besides."""
    monkeypatch.setenv("CAROUSEL_SIMD", simd)
    try:
        compiler.simd()
    except ValueError as error:
        pytest.skip(str(error))
    torch.manual_seed(0)
    wide = name == "lstm"  # more columns than are rounded at once, and no whole number of words
    layer = Recurrent(name, 1030 if wide else 9, 33, num_layers=2, proj_size=5 if name == "lstm-v4" else 0).eval()
    x = torch.randn(8, 3, layer.input_size)
    stream = Streaming(layer, batch=3, precision="int8")
    assert stream.steppers is not None
    found = torch.stack([stream(step).clone() for step in x])
    with torch.no_grad(), kernels.use("reference"):
        wanted = rounded_layer(layer, "int8").double()(x.double())[0].float()
        exact = layer.double()(x.double())[0].float()
    assert (found - wanted).abs().max() < 0.05 * (exact - wanted).abs().max()


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_fewer_bits_without_kernels_for_them_are_rounded_weights(precision):
    torch.manual_seed(0)
    layer = Recurrent("lstm-v3", 4, 5).eval()
    x = torch.randn(6, 1, 4)
    with torch.no_grad():
        wanted = rounded_layer(layer, precision)(x)[0]
        shut = rounded_layer(layer, precision)(x, clamp={"f": 0.0})[0]
    with kernels.use("reference"):
        stream = Streaming(layer, precision=precision)
        torch.testing.assert_close(torch.stack([stream(step).clone() for step in x]), wanted)
    stream = Streaming(layer, precision=precision, clamp={"f": 0.0})
    torch.testing.assert_close(torch.stack([stream(step).clone() for step in x]), shut)
    stream = Streaming(layer.double(), precision=precision)
    torch.testing.assert_close(torch.stack([stream(step.double()).clone() for step in x]).float(), wanted, atol=1e-4, rtol=1e-4)


def test_what_is_no_number_is_none_in_eight_bits():
    layer = Recurrent("rnn", 3, 40).eval()
    for wrong in (torch.nan, torch.inf):
        assert Streaming(layer, precision="int8")(torch.tensor([[1.0, wrong, 0.0]])).isnan().all()
    assert not Streaming(layer, precision="int8")(torch.zeros(1, 3)).isnan().any()
    with torch.no_grad():
        layer.W["he_l0"][7, 1] = torch.nan
    assert Streaming(layer, precision="int8")(torch.ones(1, 3)).isnan().nonzero().tolist() == [[0, 7]]


@torch.no_grad()
def test_whole_numbers_are_of_the_weights_that_are_used():
    """What a mask leaves out does not make the others coarse, and a row of zeros stays one."""
    layer, clean, x = Recurrent("clockwork", 4, 8), Recurrent("clockwork", 4, 8), torch.randn(6, 1, 4)
    layer.W["he_l0"][3] = 0
    clean.load_state_dict(layer.state_dict())
    assert layer.cell.masks
    for name in layer.cell.masks:
        left = torch.as_tensor(layer.cell.array(name, *layer.parameter(name).shape)) == 0
        layer.parameter(name)[left], clean.parameter(name)[left] = 1000.0, 0.0
    found, wanted = (rounded_layer(each, "int8")(x)[0] for each in (layer, clean))
    assert torch.equal(found, wanted) and not found.isnan().any()


def test_a_precision_that_is_none_is_refused():
    with pytest.raises(ValueError, match="`precision` must be float32 or bfloat16 or int8, not 'int4'"):
        Streaming(Recurrent("rnn", 2, 3), precision="int4")


def test_it_begins_with_the_layers_own_states():
    layer = Recurrent("lstm-v3", 4, 5, learned_initial=True)
    with torch.no_grad():
        for p in layer.initial.values():
            p.normal_()
        x = torch.randn(3, 2, 4)
        stream = Streaming(layer, batch=2)
        torch.testing.assert_close(torch.stack([stream(step).clone() for step in x]), layer(x)[0])


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("layout", [lambda x: x.mT.contiguous().mT, lambda x: x.repeat_interleave(2, -1)[..., ::2]])
def test_states_in_any_layout_are_those_numbers(layout, precision):
    torch.manual_seed(0)
    layer, x = Recurrent("lstm-v2", 5, 7), torch.randn(3, 5)
    hx = tuple(torch.randn(1, 3, 7) for _ in range(2))
    found = [Streaming(layer, states, precision=precision)(x).clone() for states in (hx, tuple(map(layout, hx)))]
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_both_directions_are_refused():
    with pytest.raises(ValueError, match="needs the whole sequence"):
        Streaming(Recurrent("rnn", 2, 3, bidirectional=True))


def test_every_cell_is_stepped_by_kernels_but_those_whose_input_is_squashed():
    for c in (*CELLS.values(), squashed):
        stream = Streaming(Recurrent(c, 4, 4).eval())
        assert (stream.steppers is None) == (c is squashed or c.name == "mlp")


def test_states_that_are_no_states_are_refused():
    layer = Recurrent("gru", 3, 4)
    for wrong in ("x", torch.zeros(()), torch.zeros(1, 2, 5)):
        with pytest.raises((TypeError, ValueError)):
            Streaming(layer, wrong)
    with pytest.raises(TypeError, match="a step's input is a tensor"):
        Streaming(layer)([0.0, 0.0, 0.0])


def test_a_parameter_on_another_device_is_refused_before_its_address_is_taken():
    layer = Recurrent("rnn", 3, 4)
    layer.b["h_l0"] = torch.nn.Parameter(layer.b["h_l0"].detach().to("meta"))
    with pytest.raises(ValueError, match=r"b\.h is on meta, but the layer's parameters are on cpu"):
        Streaming(layer)


def test_a_step_number_on_another_device_is_refused():
    layer = Recurrent("clockwork", 3, 4)
    h, t = layer.initial_state(1)
    with pytest.raises(ValueError, match="state t is on meta"):
        Streaming(layer, (h, t.to("meta")))
