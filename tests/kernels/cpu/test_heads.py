"""Heads in compiled loops: the same numbers as the cell without heads has with block-diagonal weights, for less work."""

from copy import copy

import numpy as np
import pytest
import torch
from torch import nn

from carousel import cells, kernels
from carousel.equations import cell, layer_norm, logistic, mean, norm, rms_norm, softmax, tanh, total
from carousel.kernels.cpu.program import panels, program_of
from carousel.kernels.cpu.source import source
from carousel.kernels.inputs import loop_of
from carousel.layers import Recurrent, Streaming


@cell
def mixing(e, m, h, W, w, b):
    """Weights of one operand in several stages, a size that only weights have, an input that a state has changed."""
    x = tanh(W.em @ m) * e
    u = logistic(W.um @ m + W.ux @ x + b.u) * h
    i = logistic(W.ix @ x + W.iu @ u + w.ih * h + b.i)
    h = i * h + (1 - i) * tanh(W.hu @ u + W.hm @ m + W.hm @ tanh(h) - W.he @ e)
    m = tanh(h + W.mn @ tanh(W.nh @ h)) + mean(m)
    return m, h


@cell(matrices={"A": lambda n, m: np.cos(np.arange(n * m)).reshape(n, m) / 4})
def turned(e, m, h, W, b, c):
    """Transposed weights, of blocks and of a whole one; a constant matrix beside them; a state of some steps ago."""
    a = logistic(W.ae @ e + W.am @ m + c.A @ m + W.ah @ h.ago(2))
    x = tanh(W.ae.T @ a) * e
    h = tanh(W.am.T @ (a * h) + W.hx @ x + b.h)
    m = m * a + tanh(h)
    return m, h


@cell(inputs={"d": 1, "k": "h", "c": None})
def further(e, h, d, k, c, W, b):
    """Further inputs: a number, one of the states' size, whose weight is an input's, and one of a size of its own."""
    z = logistic(W.ze @ e + W.zk @ k + W.zc @ c + W.zh @ h * d + b.z)
    h = z * h + (1 - z) * tanh(W.he @ e + W.hh @ (k * h) + b.h)
    return h


NAMES = ["lstm-v3", "lstm-v4", "gru", "gru-original", "slstm", "multiplicative-lstm", "lstm-layer-norm", "nas", "mogrifier"]
CELLS = [*(cells.get(n) for n in NAMES), mixing, turned, further]


@pytest.fixture(params=CELLS, ids=lambda c: c.name)
def plain(request):
    return request.param


def whole(parameters):
    return {n: torch.block_diag(*x) if x.dim() == 3 else x for n, x in parameters.items()}


@pytest.fixture
def as_dense(problem):
    """With heads, kernels and reference give what the cell without gives with block-diagonal weights of the same leaves."""

    def check(plain, heads, tolerance=1e-9, **options):
        p = problem(plain.with_heads(heads), **options)
        dense = copy(p)
        dense.cell, dense.parameters = plain, whole(p.parameters)
        expected = dense.solve("reference")
        for back_end in ("reference", "cpu"):
            for name, found in p.solve(back_end).items():
                wanted = expected[name]
                assert found.shape == wanted.shape, name
                difference = (found - wanted).abs().max() / (wanted.abs().max() + 1e-3)
                assert difference <= tolerance, f"{back_end}, {name}: {difference:.1e}"

    return check


OPTIONS = {
    "packed": {},
    "backwards": {"reverse": True},
    "resets": {"resets": True, "batch_sizes": (7,) * 5},
    "backwards, resets": {"reverse": True, "resets": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_block_diagonal_weights(as_dense, plain, options):
    as_dense(plain, 4, sizes=(8, 20, 12), **options)


@pytest.mark.parametrize(
    ("heads", "sizes"), [(2, (2, 2, 2)), (3, (6, 48, 24)), (2, (4, 98, 66)), (8, (8, 256, 128)), (1, (5, 9, 3))]
)
@pytest.mark.parametrize("name", ["slstm", "lstm-v4", "mogrifier"])
def test_heads_smaller_and_larger_than_a_vector(as_dense, name, heads, sizes):
    as_dense(cells.get(name), heads, sizes=sizes, scale=0.1)


@pytest.mark.parametrize("name", ["slstm", "lstm-v4"])
def test_two_hundred_steps_in_single_precision(as_dense, name):
    options = {"sizes": (8, 40, 24), "batch_sizes": (7,) * 200, "dtype": torch.float32, "scale": 0.2}
    as_dense(cells.get(name), 4, 1e-4, **options)


def test_recorded_and_clamped(as_dense, plain):
    names = [n for n in plain.names if n in "fhimu"]
    as_dense(plain, 2, sizes=(4, 10, 6), record=names, clamp=[n for n in names if n in "hi"], resets=True)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["slstm", "lstm-v4", "normal"])
def test_threads(with_threads, name, threads):
    with_threads(normal.with_heads(10) if name == "normal" else cells.get(name).with_heads(10), threads, atol=1e-9)


def test_threads_that_share_rows_wait_for_the_products_of_the_input(monkeypatch):
    monkeypatch.setattr("carousel.kernels.cpu.layout.threads_for", lambda weights, rows, most: most)
    before, x = torch.get_num_threads(), torch.randn(3, 2, 4).double()
    layer = Recurrent("fgr", 4, 40, heads=2, dtype=torch.float64)
    with torch.no_grad(), kernels.use("reference"):
        wanted, _ = layer(x)
    try:
        torch.set_num_threads(3)
        for _ in range(50):  # a thread read what another one was still to write, in a third of the calls
            with torch.no_grad():
                torch.testing.assert_close(layer(x)[0], wanted, rtol=1e-9, atol=1e-9)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("c", [cells.get("slstm").with_heads(2), mixing.with_heads(2)], ids=lambda c: c.name)
def test_gradients_are_those_of_finite_differences(problem, c):
    p = problem(c, sizes=(2, 4, 2), batch_sizes=(2, 2, 1))

    def function(*values):
        return p.at(dict(zip(p.leaves, values, strict=True))).results("cpu")

    leaves = tuple(p.leaves.values())
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)
    moved = tuple(map(torch.randn_like, leaves))
    dense = copy(p)

    def theirs(*values):
        dense.__dict__ |= p.at(dict(zip(p.leaves, values, strict=True))).__dict__
        dense.parameters = whole(dense.parameters)
        dense.cell = c.with_heads(1)
        return dense.results("reference")

    for a, b in zip(torch.func.jvp(function, leaves, moved), torch.func.jvp(theirs, leaves, moved), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_vmap_compile_and_export():
    torch.manual_seed(0)
    layer = Recurrent("gru", 4, 8, heads=2, dtype=torch.float64)
    x = torch.randn(3, 5, 2, 4, dtype=torch.float64)
    wanted = torch.stack([layer(row)[0] for row in x])
    torch.testing.assert_close(torch.func.vmap(lambda row: layer(row)[0])(x), wanted)
    torch.testing.assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x[0])[0], wanted[0])
    exported = torch.export.export(layer, (x[0],)).module()
    torch.testing.assert_close(exported(x[1])[0], wanted[1])


def test_bfloat16_is_near_single_precision_and_what_is_rounded_is_exact():
    torch.manual_seed(0)
    for units, heads in ((48, 4), (22, 2), (33, 3)):
        layer = Recurrent("lstm-v3", 6, units, heads=heads)
        with torch.no_grad():
            for p in layer.parameters():
                p.copy_(p.bfloat16().float())
        x, m = torch.randn(1, 5, 6).bfloat16().float(), torch.randn(1, 5, units).bfloat16().float()
        expected, _ = layer(x, (m, torch.zeros_like(m)))
        with torch.autocast("cpu", torch.bfloat16):
            found, _ = layer(x, (m, torch.zeros_like(m)))
        if kernels.backend() != "reference":
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        x = torch.randn(9, 5, 6, requires_grad=True)
        wanted = torch.autograd.grad(layer(x)[0].square().sum(), [x, *layer.parameters()])
        with torch.autocast("cpu", torch.bfloat16):
            near = torch.autograd.grad(layer(x)[0].square().sum(), [x, *layer.parameters()])
        for a, b in zip(near, wanted, strict=True):
            assert (a - b).norm() <= 0.02 * b.norm() + 1e-6


def test_a_product_reads_its_heads_columns_alone():
    c = cells.get("lstm-v2").with_heads(4)
    program = program_of(loop_of(c))
    (stack,) = program.interface.inner.values()
    assert stack.heads == 4 and len(panels(stack)) == 4
    code = source(program)
    assert "at.head * (c.n_m / 4), c.n_m, nullptr, c.panel_0_0" in code  # forwards, from a row to the next all units
    assert code.count("* (c.n_m / 4), (4 * c.n_m), nullptr, c.panel_0_0_") == 4  # backwards, of each gate
    assert "Cut cut(c.n_m, 4," in code and " / 4" not in source(program_of(loop_of(cells.get("lstm-v2"))))


def test_gradients_of_weights_are_products_of_heads(monkeypatch):
    seen = []
    matrix = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: seen.append((a.shape, b.shape)) or matrix(a, b))
    layer = Recurrent("gru", 4, 8, heads=2)
    layer(torch.randn(5, 3, 4))[0].sum().backward()
    assert [s for s in seen if s == ((2, 4, 15), (2, 15, 4))] == [((2, 4, 15), (2, 15, 4))] * 3


# ---------------------------------------------------------------------------------------------- over the units of a head


@cell(heads=4)
def normal(e, h, s, W, w, b):
    """All functions over the units of each head, of states, sums and the input, with numbers of rows beside them."""
    a = softmax(W.ah @ h + b.a, heads=True)
    mu = mean(h, heads=True) * mean(s) + 0.1 * total(a * h, heads=True)
    h = tanh(layer_norm(W.he @ e + W.hs @ (rms_norm(s, w.s, heads=True) * mu), w.h, b.h, heads=True))
    s = 0.5 * s + norm(h, heads=True) * a + norm(W.se @ e, heads=True) + mean(b.s, heads=True)
    return h, s


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("sizes", [(5, 20, 3), (1, 4, 1), (16, 72, 33)], ids=str)
def test_kernels_do_what_the_reference_does(agree, sizes, options):
    agree(normal, sizes=sizes, **options)
    agree(normal, sizes=sizes, record=["a", "mu", "h"], clamp=["mu", "h"], **options)


def test_functions_over_heads_have_the_derivatives_of_finite_differences(problem):
    p = problem(normal, sizes=(2, 8, 2), batch_sizes=(2, 2, 1))

    def function(*values):
        return p.at(dict(zip(p.leaves, values, strict=True))).results("cpu")

    assert torch.autograd.gradcheck(function, tuple(p.leaves.values()))
    assert torch.autograd.gradcheck(function, tuple(p.leaves.values()), check_forward_ad=True, fast_mode=True)


def parted(x):
    return x.unflatten(-1, (4, -1))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x: layer_norm(x, heads=True), lambda x: nn.functional.group_norm(x[0], 4)[None]),
        (lambda x: rms_norm(x, heads=True), lambda x: nn.functional.rms_norm(parted(x), (9,), eps=1e-5).flatten(-2)),
        (lambda x: softmax(x, heads=True), lambda x: parted(x).softmax(-1).flatten(-2)),
        (lambda x: mean(x, heads=True) * tanh(x), lambda x: (parted(x).mean(-1, True) * parted(x).tanh()).flatten(-2)),
        (lambda x: total(x, heads=True) * tanh(x), lambda x: (parted(x).sum(-1, True) * parted(x).tanh()).flatten(-2)),
        (
            lambda x: norm(x, heads=True) * tanh(x),
            lambda x: (parted(x).norm(dim=-1, keepdim=True) * parted(x).tanh()).flatten(-2),
        ),
    ],
    ids=["layer_norm", "rms_norm", "softmax", "mean", "total", "norm"],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("back_end", ["cpu", "reference"])
def test_pytorchs_own_functions(ours, theirs, dtype, back_end):
    @cell(heads=4)
    def step(e, h, W):
        h = tanh(ours(W.he @ e)) + W.hh @ h
        return h

    torch.manual_seed(0)
    layer = Recurrent(step, 36, 36, dtype=dtype)
    with torch.no_grad():
        layer.parameter("W.he").copy_(torch.eye(36))
        layer.parameter("W.hh").zero_()
    x = (3 * torch.randn(1, 4, 36, dtype=dtype) + 1).requires_grad_()
    given = torch.randn(1, 4, 36, dtype=dtype)
    tolerance = {"rtol": 1e-9, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 2e-5, "atol": 2e-5}
    with kernels.use(back_end):
        found, wanted = layer(x)[0], theirs(x).tanh()
        torch.testing.assert_close(found, wanted, **tolerance)
        pairs = zip(torch.autograd.grad(found, x, given), torch.autograd.grad(wanted, x, given), strict=True)
        for a, b in pairs:
            torch.testing.assert_close(a, b, **tolerance)


def test_a_stream_runs_in_kernels():
    layer = Recurrent(normal, 3, 12, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        wanted, _ = layer(x)
        stream = Streaming(layer, batch=2)
        torch.testing.assert_close(torch.stack([stream(row).clone() for row in x]), wanted)
