"""Output layers: exact probabilities whatever training costs."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from carousel.errors import InputError
from carousel.language import mixture
from carousel.language import softmax as module
from carousel.language.feeding import IGNORED
from carousel.language.softmax import softmax

WORDS, SIZE = 50, 6


@pytest.fixture
def rows():
    """Messages and targets, some of which do not count."""
    torch.manual_seed(0)
    h, y = torch.randn(40, SIZE, requires_grad=True), torch.randint(WORDS, (40,))
    y[::7] = IGNORED
    return h, y


def full_loss(layer, h, y, shared=None):
    return cross_entropy(layer(h, shared), y, ignore_index=IGNORED, reduction="sum")


@pytest.mark.parametrize("at_once", [7, 256])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("fused", [True, False])
def test_full_loss_in_pieces_is_the_loss_of_all(rows, at_once, tied, fused, monkeypatch):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", at_once)
    if not fused:
        monkeypatch.setattr(module, "linear_cross_entropy", None)  # as in older versions of PyTorch
    elif module.linear_cross_entropy is None:
        pytest.skip("this version of PyTorch has no linear_cross_entropy")
    h, y = rows
    shared = torch.randn(WORDS, SIZE, requires_grad=True) if tied else None
    layer = softmax("full", WORDS, SIZE, tied)
    leaves = [h, layer.bias, shared if tied else layer.weight]
    expected = torch.autograd.grad(2 * full_loss(layer, h, y, shared), leaves)
    found = torch.autograd.grad(2 * layer.loss(h, y, shared), leaves)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(layer.loss(h, y, shared), full_loss(layer, h, y, shared))


def test_without_the_fused_loss_no_logits_are_held(monkeypatch):
    monkeypatch.setattr(module, "linear_cross_entropy", None)
    layer = softmax("full", WORDS, SIZE, False)
    h, y = torch.randn(4 * module.ROWS_AT_ONCE, SIZE, requires_grad=True), torch.randint(WORDS, (4 * module.ROWS_AT_ONCE,))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.shape) or x, lambda x: x):
        layer.loss(h, y)
    assert not [shape for shape in kept if shape[-1:] == (WORDS,) and len(shape) == 2]


@pytest.mark.parametrize("kind", ["adaptive", "sampled", "mixture"])
def test_evaluation_is_exact(rows, kind):
    h, y = rows
    layer = softmax(kind, WORDS, SIZE, False).eval()
    layer.learn_frequencies(torch.randint(1, 1000, (WORDS,)))
    torch.testing.assert_close(layer(h).softmax(1).sum(1), torch.ones(40))
    torch.testing.assert_close(layer.loss(h, y), full_loss(layer, h, y))


def test_frequent_words_are_the_first_of_the_adaptive_softmax():
    layer = softmax("adaptive", WORDS, SIZE, False)
    layer.learn_frequencies(torch.arange(WORDS))
    assert layer.rank.tolist() == list(range(WORDS))[::-1]


@pytest.mark.parametrize(("samples", "draws", "tolerance"), [(WORDS - 5, 300, 0.01), (WORDS, 1, 1e-5), (10 * WORDS, 1, 1e-5)])
def test_samples_estimate_the_full_loss_and_its_gradient(rows, samples, draws, tolerance):
    h, y = rows
    layer = softmax("sampled", WORDS, SIZE, False, samples=samples)
    layer.learn_frequencies(torch.randint(1, 1000, (WORDS,)))
    y = layer(h).argmax(1)  # so likely that it matters when a target is drawn as well
    with torch.no_grad():
        layer.weight *= 20
    estimate, loss = sum(layer.loss(h, y) for _ in range(draws)) / draws, full_loss(layer, h, y)
    torch.testing.assert_close(estimate, loss, rtol=tolerance, atol=0)
    a, b = (torch.autograd.grad(x, layer.weight)[0] for x in (estimate, loss))
    assert (a - b).norm() < 10 * tolerance * b.norm()


@pytest.mark.parametrize("at_once", [7, 256])
@pytest.mark.parametrize("tied", [False, True])
def test_the_loss_against_samples_and_its_gradient(rows, tied, at_once, monkeypatch):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", at_once)
    h, y = rows[0].detach().double().requires_grad_(), rows[1]
    layer = softmax("sampled", WORDS, SIZE, tied, samples=20).double()
    layer.learn_frequencies(1000 // torch.arange(1, WORDS + 1))
    with torch.no_grad():
        layer.bias.normal_()
    shared = torch.randn(WORDS, SIZE, dtype=torch.float64, requires_grad=True) if tied else None
    weight = shared if tied else layer.weight
    torch.manual_seed(1)
    drawn, chances = layer.draw()
    assert set(drawn.tolist()) & set(y.tolist())
    expected = 0
    for k, token in enumerate(y.tolist()):
        if token != IGNORED:
            right = h[k] @ weight[token] + layer.bias[token]
            others = [j for j, n in enumerate(drawn.tolist()) if n != token]
            wrong = weight[drawn[others]] @ h[k] + layer.bias[drawn[others]] - chances[others].log()
            expected = expected + torch.cat([right[None], wrong]).logsumexp(0) - right
    torch.manual_seed(1)
    found, leaves = layer.loss(h, y, shared), [h, weight, layer.bias]
    torch.testing.assert_close(found, expected)
    for a, b in zip(torch.autograd.grad(3 * found, leaves), torch.autograd.grad(3 * expected, leaves), strict=True):
        torch.testing.assert_close(a, b)
    assert layer.loss(h, torch.full_like(y, IGNORED), shared) == 0


def test_a_token_that_is_almost_impossible_costs_what_it_costs():
    layer = softmax("sampled", WORDS, SIZE, False, samples=WORDS - 1)
    with torch.no_grad():
        layer.bias[3] = -1000
    h = torch.zeros(1, SIZE, requires_grad=True)
    assert float(layer.loss(h, torch.tensor([3]))) == pytest.approx(1000, rel=0.01)


def test_the_mean_of_many_samples_is_the_sum_over_all_words():
    layer = softmax("sampled", WORDS, SIZE, False, samples=12)
    counts = 10_000 // torch.arange(1, WORDS + 1)
    layer.learn_frequencies(counts)
    by_frequency = module.inclusion((counts.double() + 1) ** 0.75, 12)
    torch.manual_seed(0)
    terms = torch.rand(WORDS, dtype=torch.float64)
    sums = []
    for _ in range(4000):
        drawn, chances = layer.draw()
        assert len(drawn) == len(set(drawn.tolist())) == 12 and torch.allclose(chances, by_frequency[drawn])
        sums.append(float((terms[drawn] / chances).sum()))
    mean = sum(sums) / len(sums)
    deviation = (sum((s - mean) ** 2 for s in sums) / len(sums)) ** 0.5
    assert abs(mean - float(terms.sum())) < 4 * deviation / len(sums) ** 0.5


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=40), st.data())
def test_words_are_drawn_by_their_weight_but_none_twice(weights, data):
    weights = torch.tensor(weights, dtype=torch.float64)
    count = data.draw(st.integers(1, len(weights) - 1))
    chances = module.inclusion(weights, count)
    assert float(chances.sum()) == pytest.approx(count) and float(chances.max()) <= 1
    free = chances < 1 - 1e-9
    scale = chances[free] / weights[free]
    torch.testing.assert_close(scale, scale[:1].expand_as(scale))
    assert free.all() or not free.any() or weights[~free].min() * scale[0] >= 1 - 1e-6


@pytest.mark.parametrize(
    ("kind", "tied", "words"), [("hierarchical", False, 50), ("adaptive", True, 50), ("adaptive", False, 5)]
)
def test_what_cannot_be_is_refused(kind, tied, words):
    with pytest.raises(InputError):
        softmax(kind, words, SIZE, tied)


@pytest.mark.parametrize("at_once", [6, 2560])
@pytest.mark.parametrize("tied", [False, True])
def test_a_mixture_is_the_weighed_mean_of_its_softmaxes(rows, tied, at_once, monkeypatch):
    monkeypatch.setattr(mixture, "LOGITS_AT_ONCE", at_once)
    h, y = rows
    shared = torch.randn(WORDS, SIZE, requires_grad=True) if tied else None
    layer = softmax("mixture", WORDS, SIZE, tied, mixtures=3)
    p = torch.zeros(len(h), WORDS)
    for k in range(3):
        within = slice(k * SIZE, (k + 1) * SIZE)
        latent = torch.tanh(h @ layer.latent.weight[within].T + layer.latent.bias[within])
        share = (h @ layer.prior.weight.T).softmax(1)[:, k : k + 1]
        p = p + share * (latent @ (shared if tied else layer.weight).T + layer.bias).softmax(1)
    torch.testing.assert_close(layer(h, shared).exp(), p)
    expected = -sum(p[k, token].log() for k, token in enumerate(y) if token != IGNORED)
    found = layer.loss(h, y, shared)
    torch.testing.assert_close(found, expected)
    leaves = [h, *layer.parameters(), *([shared] if tied else [])]
    for a, b in zip(torch.autograd.grad(found, leaves), torch.autograd.grad(expected, leaves), strict=True):
        torch.testing.assert_close(a, b)


def test_logarithms_of_a_mixture_have_a_higher_rank_than_those_of_a_softmax():
    torch.manual_seed(0)
    h, ranks = 3 * torch.randn(200, SIZE), []
    for kind in ("full", "mixture"):
        layer = softmax(kind, WORDS, SIZE, False)
        with torch.no_grad():
            layer.weight.normal_()
            layer.double()
            ranks.append(int(torch.linalg.matrix_rank(layer(h.double()).log_softmax(1))))
    assert ranks[0] == SIZE + 1 and ranks[1] > 3 * SIZE


@pytest.mark.parametrize("at_once", [9, 256])
def test_in_bfloat16_the_loss_is_near(rows, at_once, monkeypatch):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", at_once)
    h, y = rows
    for kind in ("full", "adaptive", "mixture"):
        layer = softmax(kind, WORDS, SIZE, False)
        leaves = [h, *layer.parameters()]
        expected = layer.loss(h, y)
        expected_grads = torch.autograd.grad(2 * expected, leaves)
        with torch.autocast("cpu", torch.bfloat16):
            found = layer.loss(h, y)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)
        for a, b in zip(torch.autograd.grad(2 * found, leaves), expected_grads, strict=True):
            assert (a - b).norm() <= 0.01 * b.norm()


def test_in_bfloat16_an_impossible_word_costs_much_but_not_all(rows):
    h, y = rows
    layer = softmax("full", WORDS, SIZE, False)
    with torch.no_grad():
        layer.bias[y[1]] = -1e6
    with torch.autocast("cpu", torch.bfloat16):
        assert 50 < layer.loss(h, y) < torch.inf
