"""Functions over units in compiled loops: PyTorch's own as oracles, precision, NaN and infinity, threads, numbers a row."""

import pytest
import torch
from torch import nn

from carousel import kernels
from carousel.equations import (
    cell,
    concat,
    detach,
    layer_norm,
    logistic,
    maximum,
    mean,
    norm,
    rms_norm,
    softmax,
    tanh,
    total,
)
from carousel.kernels.inputs import loop_of
from carousel.layers import Recurrent, Streaming


@cell
def everything(e, h, s, W, w, b):
    """Stages of several sizes, numbers of rows, states that normalisations reach through products and around them."""
    mu = mean(e) + 0.1 * norm(s)
    a = softmax(W.ah @ h + b.a)
    h = tanh(layer_norm(W.he @ e + W.hs @ (rms_norm(s, w.s) * mu), w.h, b.h) + total(a * h))
    s = 0.5 * s + maximum(mean(h), -mu) * a + mean(b.s)
    return h, s


@cell
def projected(e, m, h, W, w, b):
    """Sizes that differ: a memory and a message."""
    i = logistic(layer_norm(W.i @ concat(m, e), w.i, b.i))
    h = i * h + (1 - i) * softmax(W.he @ e + mean(m))
    m = rms_norm(W.mm @ h, 1 + w.m) * norm(h)
    return m, h


@cell
def ticking(e, h, t, W, b):
    """One number a row that the step number has a part in, and one that the input alone decides."""
    z = mean(e) / (t + 1)
    h = layer_norm(h + W.he @ e, eps=0.1) * z + tanh(b.h + W.hh @ detach(softmax(h)))
    return h


CELLS = [everything, projected, ticking]


@pytest.mark.parametrize("c", CELLS, ids=lambda c: c.name)
@pytest.mark.parametrize("options", [{}, {"reverse": True, "resets": True}, {"resets": True, "batch_sizes": (7,) * 5}])
@pytest.mark.parametrize("sizes", [(5, 17, 3), (1, 1, 1), (16, 40, 33)], ids=str)
def test_kernels_do_what_the_reference_does(agree, c, sizes, options):
    agree(c, sizes=sizes, **options)


@pytest.mark.parametrize("c", CELLS, ids=lambda c: c.name)
def test_numbers_of_rows_are_recorded_and_held(agree, c):
    names = [n for n in c.names if n != "t"]
    held = [n for n in names if n in ("mu", "a", "h")]
    agree(c, record=names, clamp=held if c is not ticking else ["h"], resets=True)


@pytest.mark.parametrize("c", CELLS, ids=lambda c: c.name)
def test_gradients_are_those_of_finite_differences(problem, c):
    p = problem(c, sizes=(2, 3, 2), batch_sizes=(2, 2, 1))
    names = list(p.leaves)

    def function(*values):
        return p.at(dict(zip(names, values, strict=True))).results("cpu")

    if c is not ticking:  # detach makes it another function's
        assert torch.autograd.gradcheck(function, tuple(p.leaves.values()))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x: layer_norm(x), nn.LayerNorm(37, elementwise_affine=False)),
        (lambda x: rms_norm(x), nn.RMSNorm(37, eps=1e-5, elementwise_affine=False)),
        (lambda x: softmax(x), nn.Softmax(dim=-1)),
        (lambda x: mean(x) * tanh(x), lambda x: x.mean(-1, keepdim=True) * x.tanh()),
        (lambda x: total(x) * tanh(x), lambda x: x.sum(-1, keepdim=True) * x.tanh()),
        (lambda x: norm(x) * tanh(x), lambda x: x.norm(dim=-1, keepdim=True) * x.tanh()),
    ],
    ids=["layer_norm", "rms_norm", "softmax", "mean", "total", "norm"],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_pytorchs_own_functions(ours, theirs, dtype):
    @cell
    def step(e, h, W):
        h = tanh(ours(W.he @ e)) + W.hh @ h
        return h

    torch.manual_seed(0)
    layer = Recurrent(step, 37, 37, dtype=dtype)
    with torch.no_grad():
        layer.parameter("W.he").copy_(torch.eye(37))
        layer.parameter("W.hh").zero_()
    x = (3 * torch.randn(1, 4, 37, dtype=dtype) + 1).requires_grad_()
    given = torch.randn(1, 4, 37, dtype=dtype)
    tolerance = {"rtol": 1e-9, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 2e-5, "atol": 2e-5}
    found, wanted = layer(x)[0], theirs(x).tanh()
    torch.testing.assert_close(found, wanted, **tolerance)
    pairs = zip(torch.autograd.grad(found, x, given), torch.autograd.grad(wanted, x, given), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, **tolerance)


@cell
def summing(e, h, W):
    mu = total(h)
    h = h + 0 * (W.he @ e) * mu
    return h


def test_long_sums_of_single_precision_are_as_good_as_pytorchs():
    torch.manual_seed(0)
    before = (torch.rand(3, 4001) * 10 ** torch.randn(3, 4001)).float()
    layer = Recurrent(summing, 2, 4001)
    _, _, recorded = layer(torch.zeros(1, 3, 2), before.unsqueeze(0), record=["mu"])
    exact = before.double().sum(-1)
    ours = (recorded["mu"][0, :, 0].double() - exact).abs() if recorded["mu"].dim() == 3 else None
    if ours is None:
        ours = (recorded["mu"].reshape(3).double() - exact).abs()
    assert (ours <= exact.abs() * 2**-23).all()  # half a unit in the last place, and the rounding of the last sums


def test_a_variance_beside_a_large_mean_is_right():
    """The mean of squared differences, not the difference of two large numbers."""

    @cell
    def centred(e, h, W):
        h = layer_norm(W.he @ e) + W.hh @ h
        return h

    layer = Recurrent(centred, 64, 64)
    with torch.no_grad():
        layer.parameter("W.he").copy_(torch.eye(64))
        layer.parameter("W.hh").zero_()
    x = 4096 + torch.randint(-8, 8, (1, 5, 64)).float()
    torch.testing.assert_close(layer(x)[0], nn.functional.layer_norm(x.double(), (64,)).float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("c", CELLS, ids=lambda c: c.name)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_infinity_and_nan_go_where_the_reference_sends_them(problem, c, bad):
    p = problem(c, batch_sizes=(3, 3, 3))
    with torch.no_grad():
        p.data[4, 0] = bad
    for name in ("cpu", "reference"):
        p.solve(name)
    expected, found = p.results("reference"), p.results("cpu")
    for ours, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, wanted, equal_nan=True)


def test_an_infinite_sum_stays_infinite():
    layer = Recurrent(summing, 2, 20)
    before = torch.zeros(1, 2, 20)
    before[0, 0, 3], before[0, 1, 19] = float("inf"), float("-inf")
    with torch.no_grad():
        _, _, recorded = layer(torch.zeros(1, 2, 2), before, record=["mu"])
    assert recorded["mu"].flatten().tolist() == [float("inf"), float("-inf")]


def test_a_norm_of_nothing_hands_no_error_back(agree):
    @cell
    def length(e, h, W):
        h = tanh(W.he @ e) * norm(h)
        return h

    layer = Recurrent(length, 3, 5, dtype=torch.float64)
    for back_end in ("cpu", "reference"):
        with kernels.use(back_end):
            x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
            layer(x)[0].sum().backward()
            assert x.grad.isfinite().all()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("c", CELLS, ids=lambda c: c.name)
def test_the_number_of_threads_changes_no_result_but_by_rounding_and_each_is_deterministic(with_threads, c, threads):
    with_threads(c, threads, atol=1e-9)


def test_half_precision_runs_the_reference_with_sums_in_single():
    """A sum of squares that half precision cannot hold."""
    layer = Recurrent("gru-layer-norm", 8, 1024).half()
    x = 40 * torch.randn(2, 3, 8).half()
    found, _ = layer(x)
    assert found.dtype == torch.float16 and found.isfinite().all()
    wanted, _ = layer.float()(x.float())
    torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.02)


def test_a_stream_runs_in_kernels():
    for c in (everything, projected):
        layer = Recurrent(c, 3, 6, dtype=torch.float64, **({"proj_size": 2} if c.has_projection else {}))
        x = torch.randn(5, 2, 3, dtype=torch.float64)
        with torch.no_grad():
            wanted, _ = layer(x)
            stream = Streaming(layer, batch=2)
            torch.testing.assert_close(torch.stack([stream(row).clone() for row in x]), wanted)
    assert len(loop_of(projected).hoisted) == len(loop_of(projected).outer)


def test_a_vector_that_is_only_summed_has_a_size(agree):
    @cell
    def summed(e, h, W, w):
        h = tanh(W.he @ e + h * mean(w.c))
        return h

    agree(summed)
