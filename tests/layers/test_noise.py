"""A layer's noise: its rates, its weights' noise, and that nothing else changes."""

import copy
import math
import pickle

import pytest
import torch

from carousel import export
from carousel.equations import cell, tanh, zoneout
from carousel.kernels.cpu import compiler
from carousel.layers import Recurrent


def seeded(layer, x, **options):
    torch.manual_seed(1)
    return layer(x, **options)[0]


def test_rates_are_checked_and_shown():
    layer = Recurrent("lstm-zoneout", 3, 4, rates={"h": 0.5})
    assert layer.rates == {"m": 0.0, "h": 0.5} and "rates={'m': 0.0, 'h': 0.5}" in repr(layer)
    assert "rates" not in repr(Recurrent("lstm-zoneout", 3, 4)) and "rates" not in repr(Recurrent("lstm-v2", 3, 4))
    with pytest.raises(ValueError, match=r"cell lstm-zoneout has no rate 'x'; its rates are m, h"):
        Recurrent("lstm-zoneout", 3, 4, rates={"x": 0.5})
    with pytest.raises(ValueError, match=r"cell lstm-v2 has no rate 'h'; it has none"):
        Recurrent("lstm-v2", 3, 4, rates={"h": 0.5})
    for wrong in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"the rate h is a probability in \[0, 1\)"):
            Recurrent("lstm-zoneout", 3, 4, rates={"h": wrong})
    with pytest.raises(TypeError):
        Recurrent("lstm-zoneout", 3, 4, rates={"h": "0.5"})
    with pytest.raises(ValueError, match="weight_noise is a standard deviation"):
        Recurrent("lstm-v2", 3, 4, weight_noise=-1.0)


def test_a_rate_that_is_set_later_is_checked():
    layer, x = Recurrent("lstm-zoneout", 3, 4, rates={"h": 0.5}), torch.randn(5, 2, 3)
    layer.rates["h"] = 1.5
    with pytest.raises(ValueError, match="rate h"):
        layer(x)
    layer.rates = {"H": 0.5}
    with pytest.raises(ValueError, match="has no rate 'H'"):
        layer(x)


def test_without_rates_a_layer_in_training_is_the_plain_one():
    torch.manual_seed(0)
    plain, noisy = Recurrent("lstm-v2", 3, 4), Recurrent("lstm-zoneout", 3, 4)
    noisy.load_state_dict(plain.state_dict())
    x, state = torch.randn(5, 2, 3), torch.get_rng_state()
    torch.testing.assert_close(noisy(x)[0], plain(x)[0])
    assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn


def test_changing_a_rate_compiles_nothing(monkeypatch):
    layer, x = Recurrent("lstm-zoneout", 3, 4, rates={"h": 0.5, "m": 0.1}), torch.randn(5, 2, 3)
    for training in (True, False):
        seeded(layer.train(training), x).sum().backward()
    monkeypatch.setattr(compiler.Compiler, "library", None)
    before = seeded(layer.train(), x), seeded(layer.eval(), x)
    layer.rates["h"] = 0.25
    after = seeded(layer.train(), x), seeded(layer.eval(), x)
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_generator_of_pytorch_decides():
    layer, x = Recurrent("gru-zoneout", 3, 4, 2, bidirectional=True, rates={"h": 0.5}), torch.randn(5, 2, 3)
    assert torch.equal(seeded(layer, x), seeded(layer, x))
    assert not torch.equal(layer(x)[0], layer(x)[0])
    state = torch.get_rng_state()
    first = layer(x)[0]
    torch.set_rng_state(state)
    assert torch.equal(layer(x)[0], first)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(seeded(other, x), seeded(layer, x))


def test_the_mean_of_many_draws_is_near_evaluation():
    @cell
    def averaged(e, h, p):
        h = zoneout(e, h, p.h)
        return h

    layer = Recurrent(averaged, 6, 6, rates={"h": 0.4}, dtype=torch.float64)
    x = torch.randn(4, 1, 6, dtype=torch.float64)
    many = layer(x.expand(4, 20000, 6))[0].mean(1)
    torch.testing.assert_close(many, layer.eval()(x)[0][:, 0], rtol=0, atol=0.05)


def test_weights_are_noisy_in_training_alone():
    layer, x = Recurrent("lstm-v2", 3, 40, weight_noise=0.1, dtype=torch.float64), torch.randn(5, 2, 3, dtype=torch.float64)
    assert "weight_noise=0.1" in repr(layer)
    plain = Recurrent("lstm-v2", 3, 40, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer.eval()(x)[0], plain(x)[0])
    layer.train()
    assert torch.equal(seeded(layer, x), seeded(layer, x)) and not torch.equal(layer(x)[0], layer(x)[0])

    torch.manual_seed(1)
    noise = {n: torch.randn_like(w) for n, w in layer.parameters_of().items() if n.startswith("W.")}
    assert 0.9 < float(torch.cat([n.flatten() for n in noise.values()]).std()) < 1.1
    with torch.no_grad():
        for n, z in noise.items():
            plain.parameter(n).add_(0.1 * z)
    output = seeded(layer, x)
    torch.testing.assert_close(output, plain(x)[0])
    ours = torch.autograd.grad(output.square().sum(), list(layer.parameters()))
    theirs = torch.autograd.grad(plain(x)[0].square().sum(), list(plain.parameters()))
    for a, b in zip(ours, theirs, strict=True):  # the gradient at the noisy weights is the gradient of the weights
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["lstm-zoneout", "lstm-variational", "lstm-layer-norm-zoneout"])
def test_what_is_exported_has_no_noise(name):
    layer = Recurrent(name, 3, 4, rates=dict.fromkeys(Recurrent(name, 3, 4).rates, 0.25))
    text = export.c(layer)
    assert "draw" not in text.partition("static void layer0")[2]
    assert ("l0_p_h" in text) == ("zoneout" in name)


def test_a_rate_of_a_plain_cell_is_a_number_of_the_layer():
    @cell
    def leaky(e, h, W, p):
        h = p.h * h + (1 - p.h) * tanh(W.he @ e + W.hh @ h)
        return h

    layer, x = Recurrent(leaky, 3, 4, rates={"h": 0.75}, dtype=torch.float64), torch.randn(5, 2, 3, dtype=torch.float64)
    h, p = torch.zeros(2, 4, dtype=torch.float64), layer.parameters_of()
    for row in x:
        h = 0.75 * h + 0.25 * torch.tanh(row @ p["W.he"].T + h @ p["W.hh"].T)
    torch.testing.assert_close(layer(x)[1][0], h)
