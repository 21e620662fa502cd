"""Losses, quantiles and scores of forecasts are those of scikit-learn, torch.distributions, scoringrules and of integrals."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from carousel.forecasting.measures import crps_gaussian, crps_sample, mase_scale
from carousel.forecasting.outputs import Mixture, Point, Quantiles

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.9)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(1)


def mixture(components=3, *shape):
    form = Mixture(components)
    raw = torch.randn(*shape, form.size, dtype=torch.float64)
    log_weights, means, sigma = form.parameters(raw)
    parts = torch.distributions.Normal(means, sigma)
    return form, raw, torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=log_weights), parts)


def crps_by_integral(cdf, y, low=-60.0, high=60.0):
    below, _ = integrate.quad(lambda x: cdf(x) ** 2, low, y, limit=400, epsabs=1e-10)
    above, _ = integrate.quad(lambda x: (1 - cdf(x)) ** 2, y, high, limit=400, epsabs=1e-10)
    return below + above


def test_the_pinball_loss_is_scikit_learns():
    from sklearn.metrics import mean_pinball_loss

    form, raw, y = Quantiles(LEVELS), torch.randn(50, 5, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    theirs = np.mean([mean_pinball_loss(y, raw[:, k], alpha=level) for k, level in enumerate(LEVELS)])
    assert form.loss(raw, y).mean().item() == pytest.approx(theirs, rel=1e-12)


def test_the_mixtures_likelihood_is_that_of_torch_distributions():
    form, raw, theirs = mixture(4, 20)
    y = 3 * torch.randn(20, dtype=torch.float64)
    torch.testing.assert_close(form.loss(raw, y), -theirs.log_prob(y), rtol=1e-12, atol=1e-12)
    assert form.size == 12 and form.loss_name == "nats"


def test_the_mixtures_crps_is_the_integral_of_its_definition():
    form, raw, theirs = mixture(3, 6)
    y = 2 * torch.randn(6, dtype=torch.float64)
    ours = form.crps(raw, y)
    for k in range(6):
        one = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(probs=theirs.mixture_distribution.probs[k]),
            torch.distributions.Normal(theirs.component_distribution.loc[k], theirs.component_distribution.scale[k]),
        )
        expected = crps_by_integral(lambda x, one=one: one.cdf(torch.tensor(x, dtype=torch.float64)).item(), y[k].item())
        assert ours[k].item() == pytest.approx(expected, abs=1e-6)
    assert torch.autograd.gradcheck(lambda r: form.loss(r, y), raw.requires_grad_())


def test_the_mixtures_crps_is_that_of_scoringrules():
    rules = pytest.importorskip("scoringrules", reason="scoringrules is not installed: CRPS is NOT compared with it")
    form, raw, theirs = mixture(3, 10)
    y = torch.randn(10, dtype=torch.float64)
    parts = theirs.component_distribution
    expected = rules.crps_mixnorm(y.numpy(), parts.loc.numpy(), parts.scale.numpy(), theirs.mixture_distribution.probs.numpy())
    np.testing.assert_allclose(form.crps(raw, y).numpy(), expected, rtol=1e-9)
    mean, sigma = torch.randn(10).double().numpy(), torch.rand(10).double().numpy() + 0.1
    np.testing.assert_allclose(crps_gaussian(y.numpy(), mean, sigma), rules.crps_normal(y.numpy(), mean, sigma), rtol=1e-12)
    samples = np.random.default_rng(1).normal(size=(10, 40))
    np.testing.assert_allclose(crps_sample(y.numpy(), samples), rules.crps_ensemble(y.numpy(), samples, estimator="nrg"))


def test_a_mixture_of_one_is_a_gaussian():
    form, raw, theirs = mixture(1, 30)
    y = torch.randn(30, dtype=torch.float64)
    parts = theirs.component_distribution
    mean, sigma = parts.loc[..., 0].numpy(), parts.scale[..., 0].numpy()
    np.testing.assert_allclose(form.crps(raw, y).numpy(), crps_gaussian(y.numpy(), mean, sigma), rtol=1e-10)
    quantiles = form.quantiles(raw, LEVELS)
    np.testing.assert_allclose(quantiles.numpy(), stats.norm.ppf(LEVELS, mean[:, None], sigma[:, None]), atol=1e-9)


def test_the_mixtures_quantiles_have_their_share_below_them():
    form, raw, theirs = mixture(3, 4, 5)
    quantiles = form.quantiles(raw, LEVELS)
    assert quantiles.shape == (4, 5, 5)
    for k, level in enumerate(LEVELS):
        torch.testing.assert_close(theirs.cdf(quantiles[..., k]), torch.full((4, 5), level, dtype=torch.float64))
    torch.testing.assert_close(form.median(raw), quantiles[..., 2])


def test_a_gaussians_crps():
    y, mean, sigma = 0.7, -0.2, 1.3
    expected = crps_by_integral(lambda x: stats.norm.cdf(x, mean, sigma), y)
    assert crps_gaussian(np.array(y), np.array(mean), np.array(sigma)) == pytest.approx(expected, abs=1e-8)
    assert crps_gaussian(np.array(y), np.array(mean), np.array(0.0)) == pytest.approx(0.9)  # a point: the absolute error
    samples = stats.norm.ppf((np.arange(4000) + 0.5) / 4000, mean, sigma)
    assert crps_sample(np.array(y), samples) == pytest.approx(expected, abs=1e-4)


def test_the_crps_of_samples_is_its_definition():
    samples, y = np.random.default_rng(2).normal(size=(3, 7)), np.array([0.1, -2.0, 5.0])
    for k in range(3):
        apart = np.abs(samples[k][:, None] - samples[k][None, :]).mean()
        assert crps_sample(y, samples)[k] == pytest.approx(np.abs(samples[k] - y[k]).mean() - apart / 2)


def test_the_crps_of_quantiles_tends_to_the_distributions():
    y = np.array([-1.5, 0.2, 2.5])
    levels = [(k + 1) / 400 for k in range(399)]
    form = Quantiles(levels)
    raw = torch.from_numpy(stats.norm.ppf(levels, 0.3, 0.8)).expand(3, -1)
    expected = crps_gaussian(y, np.full(3, 0.3), np.full(3, 0.8))
    np.testing.assert_allclose(form.crps(raw, torch.from_numpy(y)).numpy(), expected, atol=2e-3)
    everywhere = torch.full((3, 399), 0.5, dtype=torch.float64)  # all quantiles at one place are a point
    np.testing.assert_allclose(form.crps(everywhere, torch.from_numpy(y)).numpy(), np.abs(y - 0.5), rtol=1e-4)


def test_quantiles_that_cross_are_put_in_order_and_joined_by_lines():
    form = Quantiles((0.1, 0.5, 0.9))
    raw, y = torch.tensor([[4.0, 1.0, 3.0]]), torch.tensor([2.5])
    assert form.median(raw).item() == 3
    assert form.crps(raw, y).item() == form.crps(torch.tensor([[1.0, 3.0, 4.0]]), y).item()
    found = form.quantiles(raw, [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
    torch.testing.assert_close(found, torch.tensor([[1.0, 1.0, 2.0, 3.0, 3.5, 4.0, 4.0]]))
    assert Quantiles((0.5,)).quantiles(torch.tensor([[7.0]]), [0.2, 0.8]).tolist() == [[7.0, 7.0]]


def test_a_point():
    raw, y = torch.tensor([[1.0], [4.0]]), torch.tensor([3.0, 3.5])
    assert Point().loss(raw, y).tolist() == [2.0, 0.5] and Point(squared=True).loss(raw, y).tolist() == [4.0, 0.25]
    assert Point().crps(raw, y).tolist() == [2.0, 0.5] and Point().median(raw).tolist() == [1.0, 4.0]
    assert Point().quantiles(raw, LEVELS) is None
    assert {Point().loss_name, Point(squared=True).loss_name} == {"absolute_error", "squared_error"}


@pytest.mark.parametrize("form", [Mixture(2), Quantiles(LEVELS), Point()])
def test_a_moved_forecast_scores_a_moved_value(form):
    raw, y, by = torch.randn(9, form.size).double(), torch.randn(9).double(), torch.randn(9).double()
    moved = form.moved(raw, by)
    torch.testing.assert_close(form.loss(moved, y + by), form.loss(raw, y))
    torch.testing.assert_close(form.median(moved), form.median(raw) + by)


def test_mases_scale():
    values = np.array([1.0, 4.0, 2.0, 8.0, 3.0])
    assert mase_scale(values, 1) == pytest.approx((3 + 2 + 6 + 5) / 4)
    assert mase_scale(values, 2) == pytest.approx((1 + 4 + 1) / 3)
    assert mase_scale(np.array([1.0, np.nan, 2.0, 8.0, 3.0]), 2) == pytest.approx(1.0)  # of pairs that are there
    assert mase_scale(np.tile([1.0, 2.0], 5), 2) == 0 and math.isfinite(mase_scale(values, 4))
