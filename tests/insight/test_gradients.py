"""The error flowing back, against autograd, finite differences, PyTorch's own LSTM cell and the lecture's theory."""

import numpy as np
import pytest
import torch
from torch import nn

from carousel.cells import CELLS
from carousel.insight import jacobian, theory
from carousel.insight.gradient_decay import at_first_weights, of_text, while_training
from carousel.insight.gradients import Decay, gradient_flow
from carousel.insight.jacobian import first_input_sensitivity, singular_values
from carousel.layers import Recurrent, Tree, from_torch


@pytest.mark.parametrize("name", CELLS)
def test_the_parts_that_pass_through_each_step_sum_to_autograds_gradient(name):
    torch.manual_seed(0)
    layer, x = Recurrent(name, 6, 6, num_layers=2).double(), torch.randn(9, 3, 6).double()
    direction = torch.randn(layer.output_size).double()
    flow = gradient_flow(layer, x, ends=[8, 4], loss=lambda m, t: m @ direction)
    for j, t in enumerate(flow.ends):
        error = (layer(x)[0][t] @ direction).sum()
        expected = torch.autograd.grad(error, list(layer.parameters()), allow_unused=True)
        for (n, p), g in zip(layer.named_parameters(), expected, strict=True):
            torch.testing.assert_close(flow.totals[n][j], torch.zeros_like(p) if g is None else g, rtol=1e-8, atol=1e-10)
            assert np.isnan(flow.parts[n][j, t + 1 :]).all()


@pytest.mark.parametrize(
    "options", [{"hidden_size": (7, 5, 3)}, {"hidden_size": 6, "num_layers": 3, "skip": "residual"}], ids=str
)
def test_parts_of_unequal_and_of_residual_layers_sum_to_autograds_gradient(options):
    torch.manual_seed(0)
    layer, x = Recurrent("lstm-v3", 4, **options).double(), torch.randn(9, 3, 4).double()
    direction = torch.randn(layer.output_size).double()
    flow = gradient_flow(layer, x, loss=lambda m, t: m @ direction)
    assert flow.sizes["h"].shape == (1, 9, 3, 3)
    expected = torch.autograd.grad((layer(x)[0][-1] @ direction).sum(), list(layer.parameters()))
    for (n, _), g in zip(layer.named_parameters(), expected, strict=True):
        torch.testing.assert_close(flow.totals[n][0], g, rtol=1e-8, atol=1e-10)


def test_in_single_precision_the_sum_holds_to_a_hundred_thousandth(model):
    x, y = torch.randint(2, 10, (20, 4)), torch.randint(2, 10, (20, 4))
    flow = gradient_flow(model, (x, y), ends=[19])
    logits, _ = model(x)
    error = nn.functional.cross_entropy(logits[19], y[19], reduction="sum")
    for name, p in model.recurrent.named_parameters():
        (expected,) = torch.autograd.grad(error, p, retain_graph=True)
        assert (flow.totals[name][0] - expected).norm() <= 1e-5 * expected.norm()


def test_a_converted_lstm_gives_what_pytorchs_cell_gives():
    torch.manual_seed(0)
    theirs = nn.LSTM(4, 5).double()
    x = torch.randn(12, 2, 4).double()
    direction = torch.randn(5).double()
    flow = gradient_flow(from_torch(theirs), x, loss=lambda m, t: m @ direction)
    cell = nn.LSTMCell(4, 5).double()
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in theirs.state_dict().items()})
    m, c, kept = torch.zeros(2, 5).double(), torch.zeros(2, 5).double(), []
    for e in x:
        m, c = (s.clone() for s in cell(e, (m, c)))  # of a state each, what it gives to the next step alone
        m.retain_grad(), c.retain_grad()
        kept.append((m, c))
    (m @ direction).sum().backward()
    for k, (m, c) in enumerate(kept[:-1]):
        np.testing.assert_allclose(flow.sizes["m"][0, k, 0], m.grad.norm(dim=1), rtol=1e-9)
        np.testing.assert_allclose(flow.sizes["h"][0, k, 0], c.grad.norm(dim=1), rtol=1e-9)


def test_sizes_agree_with_finite_differences():
    torch.manual_seed(0)
    layer, x = Recurrent("lstm-v3", 3, 4).double(), torch.randn(5, 1, 3).double()
    direction = torch.randn(4).double()
    flow = gradient_flow(layer, x, loss=lambda m, t: m @ direction)
    _, (m, h) = layer(x[:2])
    slopes = []
    for unit in range(4):
        step = torch.zeros_like(h)
        step[..., unit] = 1e-5
        with torch.no_grad():
            ends = [layer(x[2:], (m, h + sign * step))[0][-1, 0] @ direction for sign in (1, -1)]
        slopes.append(float(ends[0] - ends[1]) / 2e-5)
    assert flow.sizes["h"][0, 1, 0, 0] == pytest.approx(np.linalg.norm(slopes), rel=1e-6)


def test_dropout_is_left_out_and_the_model_is_left_as_it_was(model):
    model.train()
    x, y = torch.randint(2, 10, (6, 2)), torch.randint(2, 10, (6, 2))
    state = torch.get_rng_state()
    first = gradient_flow(model, (x, y)).mean()
    assert np.array_equal(first, gradient_flow(model, (x, y)).mean())
    assert model.training and model.recurrent.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in model.parameters())


def test_by_lag_and_by_quantile():
    layer, x = Recurrent("gru", 3, 4), torch.randn(6, 5, 3)
    flow = gradient_flow(layer, x, ends=[5, 2], parameters=False)
    curves = flow.by_lag("h")
    assert curves.shape == (6, 10)
    assert np.isnan(curves[3:, 5:]).all() and not np.isnan(curves[:3]).any()
    np.testing.assert_allclose(curves[0, :5], flow.sizes["h"][0, 5, 0])
    low, middle, high = flow.quantiles((0.1, 0.5, 0.9))
    assert (low <= middle).all() and (middle <= high).all()


def test_half_life_of_a_known_decay():
    decay = Decay.of(3 * 0.5 ** (np.arange(40) / 7))
    assert decay.half_life == pytest.approx(7)
    assert Decay.of(1.1 ** np.arange(9.0)).half_life == float("inf")


# ------------------------------------------------------------------------------------------------- the lecture's claims


@pytest.mark.parametrize("name", ["rnn", "rnn-logistic", "relu-rnn"])
def test_the_bound_of_the_lecture_holds_at_every_lag(name):
    torch.manual_seed(0)
    layer, x = Recurrent(name, 12, 12), torch.randn(40, 12)
    limit = theory.bound(layer)
    for lag, size in singular_values(layer, x).items():
        assert size <= limit**lag * (1 + 1e-5)


def test_small_weights_vanish_large_ones_explode_and_the_carousel_does_neither():
    small, large = (at_first_weights("rnn", steps=80, scale=theory.SCALES[s]) for s in ("small", "large"))
    assert small.bound == pytest.approx(0.5, rel=1e-5) and small.decay.half_life < 1
    assert large.bound == pytest.approx(4.0, rel=1e-5) and large.at(10) > 2
    for scale in theory.SCALES.values():
        assert 0.1 < at_first_weights("cec", steps=80, scale=scale).at(10) < 10
    forgetful, remembering = (at_first_weights("lstm-v2", steps=80, forget_bias=b) for b in (0.0, 4.0))
    assert remembering.decay.half_life > 5 * forgetful.decay.half_life


def test_what_one_step_keeps_of_the_memory():
    paths = {n: theory.memory_path(CELLS[n]) for n in ("rnn", "cec", "lstm-v1", "lstm-v2", "nfg", "gru")}
    assert {n: p and f"{p[0]}: {p[1]}" for n, p in paths.items()} == {
        "rnn": None, "cec": "h: 1", "lstm-v1": "h: 1", "lstm-v2": "h: f_t", "nfg": "h: 1", "gru": "h: z_t",
    }  # fmt: skip
    assert [n for n in CELLS if theory.bound(Recurrent(n, 4, 4)) is not None] == ["rnn", "rnn-logistic", "relu-rnn"]


def test_the_carousels_theory_is_the_product_of_forget_gates():
    layer, x = Recurrent("lstm-v2", 3, 4), torch.randn(5, 1, 3)
    with torch.no_grad():
        f = layer(x, record=["f"])[2]["f"].numpy()
    curve = theory.carousel(layer, {"f": f}, 5)
    product = f[0, 4, 0] * f[0, 3, 0]
    assert curve[0] == 1 and curve[2] == pytest.approx(np.sqrt((product**2).mean()), rel=1e-6)


# --------------------------------------------------------------------------------------------------------- the Jacobian


@pytest.mark.parametrize("name", ["rnn", "lstm-v3", "lstm-v4", "clockwork"])
def test_singular_values_are_those_of_the_product_of_jacobians(name, monkeypatch):
    torch.manual_seed(0)
    layer, x = Recurrent(name, 4, 4, num_layers=2).double(), torch.randn(7, 4).double()
    vectors = [s.size is not None for s in layer.cell.trace.states]

    def after(*states):
        given = iter(states)
        hx = [next(given) if v else s for v, s in zip(vectors, before, strict=True)]
        _, out = layer(x[3:].unsqueeze(1), hx[0] if len(hx) == 1 else tuple(hx))
        out = [out] if len(hx) == 1 else list(out)
        return torch.cat([s.flatten() for s, v in zip(out, vectors, strict=True) if v])

    _, state = layer(x[:3].unsqueeze(1))
    before = [state] if isinstance(state, torch.Tensor) else list(state)
    blocks = torch.autograd.functional.jacobian(after, tuple(s for s, v in zip(before, vectors, strict=True) if v))
    expected = float(torch.linalg.matrix_norm(torch.cat([b.flatten(1) for b in blocks], 1), 2))
    assert singular_values(layer, x)[4] == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(jacobian, "EXACT", 0)
    assert singular_values(layer, x, lags=[4])[4] == pytest.approx(expected, rel=1e-3)


def test_sensitivity_to_the_first_input_is_autograds():
    torch.manual_seed(0)
    layer, x = Recurrent("lstm-v3", 3, 4, num_layers=2), torch.randn(5, 3)
    found = first_input_sensitivity(layer, x)
    first = x[0].clone().requires_grad_()
    _, _, recorded = layer(torch.cat([first.unsqueeze(0), x[1:]]).unsqueeze(1), record=["h"])
    for unit in range(4):
        (slope,) = torch.autograd.grad(recorded["h"][1, 3, 0, unit], first, retain_graph=True)
        assert found["h"][1, 3, unit] == pytest.approx(float(slope.norm()), rel=1e-4)


# ------------------------------------------------------------------------------------------------------------- commands


def test_of_a_text(model, vocabulary):
    found = of_text(model, vocabulary, "the boy lost his hat .")
    assert found["words"] == ["<eos>", "the", "boy", "lost", "his", "hat"] and found["predicted"] == "."
    assert np.shape(found["size"]["h"]) == (2, 6)
    assert all(sum(shares) == pytest.approx(1, abs=1e-3) for shares in found["parts"].values())


def test_of_a_text_of_lines_whose_model_begins_each_anew(model, vocabulary):
    model.fresh_at = vocabulary.end
    one = of_text(model, vocabulary, "the boy lost his hat .")
    two = of_text(model, vocabulary, "the girl\nthe boy lost his hat .")
    assert two["words"] == ["<eos>", "the", "girl", *one["words"]]
    assert np.array(two["size"]["h"])[:, :3].max() == 0
    np.testing.assert_allclose(np.array(two["size"]["h"])[:, 3:], one["size"]["h"])
    assert two["half_life"] == one["half_life"]


def test_while_training_nothing_is_changed(model):
    class Batch:
        x, y = torch.randint(2, 10, (12, 3)), torch.randint(2, 10, (12, 3))

    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert set(while_training(model, Batch)) == {"half_life", "slope"}
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_backwards_reading_layers_and_steps_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="through one direction"):
        gradient_flow(Recurrent("gru", 2, 2, bidirectional=True), torch.randn(3, 1, 2))
    with pytest.raises(ValueError, match="no step 3"):
        gradient_flow(Recurrent("gru", 2, 2), torch.randn(3, 1, 2), ends=[3])
    with pytest.raises(ValueError, match="follows several, and the error is followed through a Recurrent"):
        gradient_flow(Tree("tree-lstm", 2, 2), torch.randn(3, 1, 2))


def test_five_hundred_steps_are_no_matter_of_memory():
    flow = gradient_flow(Recurrent("lstm-v2", 32, 32), torch.randn(500, 2, 32), parameters=False)
    assert flow.sizes["h"].shape == (1, 500, 1, 2)
