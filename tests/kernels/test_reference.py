"""The reference back end: differentiable twice for every cell, and right for cells that users write."""

from types import SimpleNamespace

import mpmath
import pytest
import torch

from carousel.cells import CELLS
from carousel.equations import absolute, cell, detach, exp, identity, log, logistic, maximum, minimum, relu, tanh, where
from carousel.kernels import reference
from carousel.kernels.backend import Call

E, H, P = 2, 3, 2
BATCH_SIZES = [2, 2, 1]  # packed: the second row is one step shorter


def problem(c, batch_sizes=BATCH_SIZES, seed=1):
    """``function(data, *states, *parameters)`` that runs the cell, and random float64 arguments for it."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return (0.8 * torch.randn(*shape, generator=generator, dtype=torch.float64)).requires_grad_()

    shapes = c.parameter_specs(E, H, P if c.has_projection else 0)
    vectors = [s for s in c.trace.states if s.size is not None]
    states = {s.name: draw(batch_sizes[0], c.length(s.size, E, H, P)) for s in vectors}
    clock = {s.name: torch.ones(batch_sizes[0], 1) for s in c.trace.states if s.size is None}
    arguments = [draw(sum(batch_sizes), E), *states.values(), *(draw(*p.shape) for p in shapes)]

    def function(data, *rest, **options):
        before = dict(zip(states, rest[: len(states)], strict=True)) | clock
        parameters = dict(zip((p.name for p in shapes), rest[len(states) :], strict=True))
        output, after, _ = reference.run(Call(c, data, batch_sizes, before, parameters, **options))
        return (output, *(after[name] for name in states))

    return function, arguments


# The gradient of 1997 is cut on purpose.
WHOLE_GRADIENT = [n for n in CELLS if n != "lstm-1997-truncated"]


@pytest.mark.parametrize("name", WHOLE_GRADIENT)
def test_gradients_agree_with_finite_differences(name):
    function, arguments = problem(CELLS[name])
    assert torch.autograd.gradcheck(function, arguments)


@pytest.mark.parametrize("name", WHOLE_GRADIENT)
def test_second_derivatives_agree_with_finite_differences(name):
    function, arguments = problem(CELLS[name], [2, 1])
    assert torch.autograd.gradgradcheck(function, arguments, fast_mode=True)


@pytest.mark.parametrize("name", ["lstm-v3", "gru"])
def test_gradients_backwards_in_time_with_resets(name):
    c = CELLS[name]
    function, arguments = problem(c)
    resets = torch.tensor([False, True, False, False, True])
    initial = {s: torch.full((2, H), 0.3, dtype=torch.float64) for s in c.states}
    for reverse in (False, True):

        def run(*args, reverse=reverse):
            return function(*args, reverse=reverse, resets=resets, initial=initial)

        assert torch.autograd.gradcheck(run, arguments, fast_mode=True)


def test_slstm_agrees_with_a_loop_written_by_hand(slstm):
    steps, rows = 5, 3
    torch.manual_seed(2)
    p = {s.name: torch.randn(s.shape, dtype=torch.float64, requires_grad=True) for s in slstm.parameter_specs(E, H)}
    x = torch.randn(steps, rows, E, dtype=torch.float64)
    before = {k: torch.zeros(rows, H, dtype=torch.float64) for k in slstm.states}

    def weigh(k, e, m):
        return e @ p[f"W.{k}e"].t() + m @ p[f"W.{k}m"].t() + p[f"b.{k}"]

    m = c = n = s = torch.zeros(rows, H, dtype=torch.float64)
    expected = []
    for e in x:
        log_i, log_f = weigh("i", e, m), torch.nn.functional.logsigmoid(weigh("f", e, m))
        z, o = torch.tanh(weigh("h", e, m)), torch.sigmoid(weigh("o", e, m))
        top = torch.maximum(log_f + s, log_i)
        i, f, s = torch.exp(log_i - top), torch.exp(log_f + s - top), top
        c, n = f * c + i * z, f * n + i
        m = o * c / n
        expected.append(m)
    expected = torch.cat(expected)

    output, after, _ = reference.run(Call(slstm, x.reshape(-1, E), [rows] * steps, before, p))
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-12)
    for name, wanted in (("m", m), ("h", c), ("n", n), ("s", s)):
        torch.testing.assert_close(after[name], wanted, rtol=1e-10, atol=1e-12)
    weights = torch.randn_like(expected)
    ours = torch.autograd.grad((output * weights).sum(), list(p.values()))
    theirs = torch.autograd.grad((expected * weights).sum(), list(p.values()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


POINTWISE = {
    "exp": (lambda x, y: exp(x), lambda x, y: x.exp()),
    "log": (lambda x, y: log(exp(x) + 1), lambda x, y: (x.exp() + 1).log()),
    "relu": (lambda x, y: relu(x), lambda x, y: x.clamp(min=0)),
    "absolute": (lambda x, y: absolute(x) * y, lambda x, y: x.abs() * y),
    "maximum": (lambda x, y: maximum(x, y), lambda x, y: torch.where(x > y, x, y)),
    "maximum with a number": (lambda x, y: maximum(x, 0.25), lambda x, y: x.clamp(min=0.25)),
    "minimum": (lambda x, y: minimum(x, y), lambda x, y: torch.where(x < y, x, y)),
    "minimum with a number": (lambda x, y: minimum(x, 0.25), lambda x, y: x.clamp(max=0.25)),
    "where": (lambda x, y: where(x > y, x * y, 2), lambda x, y: torch.where(x > y, x * y, 2.0)),
    "where, at most": (lambda x, y: where(x <= 0, 0, y), lambda x, y: y * (x > 0)),
    "arithmetic": (
        lambda x, y: 1 - x - y / (2 + y * y) + 3 / exp(x),
        lambda x, y: 1 - x - y / (2 + y**2) + 3 / x.exp(),
    ),
    "signs": (lambda x, y: -x - (1 - y) - (-2), lambda x, y: y - x + 1),
    "identity": (lambda x, y: identity(x) * identity(y), lambda x, y: x * y),
    "same twice": (lambda x, y: x + x - y * y, lambda x, y: 2 * x - y**2),
}


@pytest.mark.parametrize(("ours", "theirs"), POINTWISE.values(), ids=POINTWISE)
def test_every_pointwise_operation_means_what_pytorch_means(ours, theirs):
    @cell
    def one(e, h, W, b):
        x = W.he @ e + b.h
        h = identity(ours(identity(x), h))
        return h

    function, (x, h, weight, bias) = problem(one, [4], seed=7)
    output, expected = function(x, h, weight, bias)[0], theirs(x @ weight.t() + bias, h)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)


def test_masked_connections_carry_nothing_and_learn_nothing():
    c, units = CELLS["clockwork"], 14
    torch.manual_seed(0)
    p = {s.name: torch.randn(s.shape, dtype=torch.float64, requires_grad=True) for s in c.parameter_specs(E, units)}
    x = torch.randn(8, E, dtype=torch.float64)
    before = {"h": torch.randn(1, units, dtype=torch.float64), "t": torch.zeros(1, 1)}

    def run():
        return reference.run(Call(c, x, [1] * 8, before, p))[0]

    output = run()
    (gradient,) = torch.autograd.grad(output.pow(2).sum(), p["W.hh"])
    group = torch.arange(units) // 2  # seven groups of two, the slower the later
    forbidden = group[:, None] > group[None, :]
    assert (gradient[forbidden] == 0).all()
    assert (gradient[~forbidden] != 0).all()
    with torch.no_grad():
        p["W.hh"][forbidden] += 5
    assert torch.equal(run(), output)


def test_resets_return_each_row_to_its_initial_state():
    c = CELLS["rnn"]
    function, (x, h, *parameters) = problem(c, [2, 2])
    start = torch.randn(2, H, dtype=torch.float64)
    resets = torch.tensor([False, False, False, True])
    output, _ = function(x, h, *parameters, resets=resets, initial={"h": start})
    plain, _ = function(x, h, *parameters)
    w, u, b = parameters
    torch.testing.assert_close(output[:3], plain[:3])
    torch.testing.assert_close(output[3], torch.tanh(w @ x[3] + u @ start[1] + b))


def test_recorded_values_are_in_the_inputs_order_in_both_directions():
    c = CELLS["lstm-v3"]
    shapes = c.parameter_specs(E, H)
    p = {s.name: torch.randn(s.shape) for s in shapes}
    x, before = torch.randn(5, E), {k: torch.zeros(2, H) for k in c.states}
    for reverse in (False, True):
        output, after, recorded = reference.run(Call(c, x, BATCH_SIZES, before, p, reverse=reverse, record=("m", "o", "h")))
        assert torch.equal(recorded["m"], output)
        torch.testing.assert_close(recorded["o"] * recorded["h"].tanh(), output)
        ends = [0, 1] if reverse else [4, 3]  # where each row's last step lies
        assert torch.equal(after["m"], output[ends])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_results_have_the_datas_dtype(dtype):
    c = CELLS["lstm-v3"]
    p = {s.name: torch.randn(s.shape, dtype=dtype) for s in c.parameter_specs(E, H)}
    before = {k: torch.zeros(2, H, dtype=dtype) for k in c.states}
    output, after, _ = reference.run(Call(c, torch.randn(4, E, dtype=dtype), [2, 2], before, p))
    assert output.dtype == after["h"].dtype == dtype


def test_a_sum_waits_for_the_last_of_its_operands():
    """A Mogrifier-like cell (Melis et al. 2020): input and message change each other before the gates see them."""

    @cell
    def mogrifier(e, m, h, W, b):
        x = 2 * logistic(W.em @ m) * e
        y = 2 * logistic(W.me @ x) * m
        f = logistic(W.fe @ x + W.fm @ y + b.f)
        h = f * h + (1 - f) * tanh(W.he @ x + W.hm @ y + b.h)
        m = tanh(h)
        return m, h

    function, arguments = problem(mogrifier, [2, 2])
    data, m, h, *weights = arguments
    W = dict(zip((p.name for p in mogrifier.parameter_specs(E, H)), weights, strict=True))
    outputs = []
    for e in data.split(2):
        x = 2 * torch.sigmoid(m @ W["W.em"].T) * e
        y = 2 * torch.sigmoid(x @ W["W.me"].T) * m
        f = torch.sigmoid(x @ W["W.fe"].T + y @ W["W.fm"].T + W["b.f"])
        h = f * h + (1 - f) * torch.tanh(x @ W["W.he"].T + y @ W["W.hm"].T + W["b.h"])
        m = torch.tanh(h)
        outputs.append(m)
    torch.testing.assert_close(function(*arguments)[0], torch.cat(outputs))


def test_what_the_first_product_multiplies_may_be_computed():
    @cell
    def before(e, h, W, b):
        h = W.he @ e + W.hh @ tanh(h) + b.h
        return h

    function, arguments = problem(before, [2, 2, 2])
    data, h, *weights = arguments
    W = dict(zip((p.name for p in before.parameter_specs(E, H)), weights, strict=True))
    outputs = []
    for e in data.split(2):
        h = e @ W["W.he"].T + torch.tanh(h) @ W["W.hh"].T + W["b.h"]
        outputs.append(h)
    torch.testing.assert_close(function(*arguments)[0], torch.cat(outputs))


def test_no_error_flows_back_through_what_is_detached():
    @cell
    def truncated(e, h, W, w):
        h = w.hh * h + tanh(W.he @ e + W.hh @ detach(h))
        return h

    function, arguments = problem(truncated, [2, 2, 2])
    data, h, *weights = arguments
    p = dict(zip((p.name for p in truncated.parameter_specs(E, H)), weights, strict=True))
    outputs = []
    for e in data.split(2):
        h = p["w.hh"] * h + torch.tanh(e @ p["W.he"].T + h.detach() @ p["W.hh"].T)
        outputs.append(h)
    expected = torch.autograd.grad(torch.cat(outputs).square().sum(), arguments)
    found = torch.autograd.grad(function(*arguments)[0].square().sum(), arguments)
    torch.testing.assert_close(found, expected)


def test_what_depends_on_parameters_alone_has_rows_all_the_same():
    @cell
    def drift(e, h, W, b):
        g = tanh(b.g)
        h = g * h + tanh(W.he @ e)
        return h

    shapes = {p.name: torch.randn(p.shape) for p in drift.parameter_specs(E, H)}
    _, _, seen = reference.run(Call(drift, torch.randn(3, E), [2, 1], {"h": torch.zeros(2, H)}, shapes, record=["g"]))
    torch.testing.assert_close(seen["g"], torch.tanh(shapes["b.g"]).expand(3, H))


def test_the_clocks_precision_does_not_leak_into_the_states():
    @cell
    def fading(e, h, t, W):
        h = tanh(W.he @ e) / (t + 1)
        return h

    before = {"h": torch.zeros(2, H, dtype=torch.bfloat16), "t": torch.zeros(2, 1)}
    weights = {"W.he": torch.randn(H, E, dtype=torch.bfloat16)}
    output, after, _ = reference.run(Call(fading, torch.randn(4, E, dtype=torch.bfloat16), [2, 2], before, weights))
    assert (output.dtype, after["h"].dtype, after["t"].dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)


# What a cell does with x and h, by functions of ours or of mpmath.
CONSTANTS = {
    "two numbers to choose from": (lambda f, x, h: f.where(h > 0, 1.0, 0.001) * x),
    "two whole numbers": (lambda f, x, h: f.where(h > 0, 1, 2) / 3 * x),
    "the larger of a whole number and a fraction": (lambda f, x, h: f.maximum(f.where(h > 0, 1, 0), 0.3) * x),
    "the smaller of two": (lambda f, x, h: f.minimum(f.where(h > 0, 1, 2) * 0.7, 1) * x),
    "a number and a vector": (lambda f, x, h: f.where(h > 0, x, 0.001) + f.where(h > 0, 0.003, x)),
    "nested choices": (lambda f, x, h: f.where(h > 0.5, f.where(x > 0, 0.1, 7), f.where(x > 0, -0.7, h))),
    "powers": (lambda f, x, h: (1 + h * h) ** 0.3 * (2 + x) ** -1.7 + (h * h) ** 0.5 + x**3),
    "quotients": (lambda f, x, h: x / 3 + 0.1 / (3 + h) - h / 7),
    "a logarithm of a constant": (lambda f, x, h: f.log(f.where(h > 0, 2, 0.001)) * f.exp(f.where(x > 0, -1, 0.1))),
    "a fraction of seventeen digits": (lambda f, x, h: (0.1 + 0.2) * x + 1.0000000000000002 * h),
    "whole numbers beyond 64 bits": (lambda f, x, h: x * 10**25 / 10**25),
    "no bound": (lambda f, x, h: f.minimum(x, float("inf")) + f.where(h > 0, 0.1, f.maximum(x, float("-inf")))),
    "a remainder": (lambda f, x, h: (x % 0.3) * 0.1 + (h % f.where(x > 0, 0.7, 0.01))),
}
OURS = SimpleNamespace(where=where, maximum=maximum, minimum=minimum, log=log, exp=exp)
EXACT = SimpleNamespace(where=lambda c, a, b: a if c else b, maximum=max, minimum=min, log=mpmath.log, exp=mpmath.exp)


@pytest.mark.parametrize("expression", CONSTANTS.values(), ids=CONSTANTS)
def test_constants_are_as_exact_as_the_data(expression):
    """Beside the same expression in forty digits."""

    @cell
    def one(e, h, W):
        h = identity(expression(OURS, identity(W.he @ e), h))
        return h

    function, (data, h, _) = problem(one, [4], seed=7)
    output = function(data, h, torch.eye(H, E, dtype=torch.float64))[0]
    with mpmath.workdps(40):
        for row in range(4):
            for unit in range(H):
                x = data[row, unit].item() if unit < E else 0.0
                exact = expression(EXACT, mpmath.mpf(x), mpmath.mpf(h[row, unit].item()))
                assert abs(output[row, unit].item() - exact) <= 2e-15 * max(1, abs(exact))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("expression", CONSTANTS.values(), ids=CONSTANTS)
def test_constants_do_not_change_the_datas_dtype(expression, dtype):
    @cell
    def one(e, h, W):
        h = W.hh @ identity(expression(OURS, identity(W.he @ e), h))
        return h

    weights = {p.name: torch.eye(*p.shape, dtype=dtype) for p in one.parameter_specs(E, H)}
    x, h = torch.rand(2, E, dtype=dtype), torch.rand(2, H, dtype=dtype)
    output, _, _ = reference.run(Call(one, x, [2], {"h": h}, weights))
    precise = {n: w.double() for n, w in weights.items()}
    expected, _, _ = reference.run(Call(one, x.double(), [2], {"h": h.double()}, precise))
    assert output.dtype == dtype
    torch.testing.assert_close(output.double(), expected, rtol=0.05, atol=0.05)


def test_what_only_the_clock_says_has_all_units_and_can_be_multiplied():
    @cell
    def clocked(e, h, g, t, W):
        h = tanh(W.he @ e + W.hg @ (g / (t + 1)))
        g = where(t % 2 == 0, 1.0, 0.001)
        return h, g

    for dtype in (torch.float64, torch.bfloat16):
        weights = {p.name: torch.ones(p.shape, dtype=dtype) for p in clocked.parameter_specs(E, H, P)}
        before = {"h": torch.zeros(2, P, dtype=dtype), "g": torch.zeros(2, H, dtype=dtype), "t": torch.zeros(2, 1)}
        x = torch.zeros(6, E, dtype=dtype)
        output, after, _ = reference.run(Call(clocked, x, [2, 2, 2], before, weights))
        assert after["g"].shape == (2, H)
        expected = torch.tensor([0.0, H / 2, H * 0.001 / 3], dtype=torch.float64).tanh()
        precision = {"rtol": 1e-12 if dtype == torch.float64 else 0.01, "atol": 1e-12}
        torch.testing.assert_close(output.double()[::2, 0], expected, **precision)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constants": {"T": lambda n: 2.0}}, r"cell wrong: c\.T must have shape \(3,\), but its function gives \(\)"),
        ({"constants": {"T": lambda n: [1.0] * (n - 1)}}, r"c\.T must have shape \(3,\), but its function gives \(2,\)"),
        ({"masks": {"W.he": lambda a, b: [[1.0] * a] * b}}, r"mask of W\.he must have shape \(3, 2\), .* gives \(2, 3\)"),
        ({"masks": {"W.he": lambda a, b: 1.0}}, r"mask of W\.he must have shape \(3, 2\), .* gives \(\)"),
    ],
)
def test_masks_and_constants_of_another_shape_are_refused(options, message):
    @cell(**({"constants": {"T": lambda n: [1.0] * n}} | options))
    def wrong(e, h, W, c):
        h = tanh(W.he @ e) + c.T * h
        return h

    weights = {p.name: torch.ones(p.shape) for p in wrong.parameter_specs(E, H)}
    with pytest.raises(ValueError, match=message):
        reference.run(Call(wrong, torch.zeros(1, E), [1], {"h": torch.zeros(1, H)}, weights))


def test_a_remainder_in_a_product_that_is_subtracted_is_taken_first():
    @cell
    def late(e, h, t, W, w, b):
        h = logistic(W.he @ e - tanh(h) * (tanh(h) * ((t % 3) * (w.h * b.h))))
        return h

    weights = {s.name: torch.randn(s.shape) for s in late.parameter_specs(E, H)}
    x, h, t = torch.randn(2, E), torch.randn(2, H), torch.full((2, 1), 5.0)
    output = reference.run(Call(late, x, [2], {"h": h, "t": t}, weights)).output
    expected = torch.sigmoid(x @ weights["W.he"].t() - h.tanh() ** 2 * 2 * weights["w.h"] * weights["b.h"])
    torch.testing.assert_close(output, expected)
