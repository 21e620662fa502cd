"""Compiled kernels give what the reference gives: every cell, gradients included."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from many_gates import many_gates

from carousel import kernels
from carousel.cells import CELLS
from carousel.equations import cell, concat, detach, exp, identity, logistic, maximum, minimum, relu, tanh, where
from carousel.layers import Recurrent


@pytest.mark.parametrize("name", CELLS)
def test_packed_backwards_and_with_resets(agree, name):
    for options in ({}, {"reverse": True}, {"resets": True}, {"reverse": True, "resets": True, "sizes": (3, 3, 2)}):
        agree(CELLS[name], **options)


@pytest.mark.parametrize("name", CELLS)
def test_two_hundred_steps_in_single_precision(agree, name):
    scale = 0.05 if name == "cec" else 0.2  # its memory has no gate: larger weights make it grow without bound
    agree(CELLS[name], 1e-4, sizes=(6, 40, 20), batch_sizes=(7,) * 200, dtype=torch.float32, scale=scale)


@pytest.mark.parametrize("gates", [9, 13, 20])
def test_more_gates_than_a_tile_has_sums(agree, gates):
    agree(many_gates(gates))
    agree(many_gates(gates), 1e-4, sizes=(3, 40, 0), batch_sizes=(7, 7), dtype=torch.float32)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["lstm-v3", "lstm-v4", "gru-original", "clockwork", "mlp", "fgr"]),
    sizes=st.tuples(st.integers(1, 9), st.sampled_from([1, 2, 3, 7, 8, 15, 16, 17, 33, 70]), st.integers(1, 20)),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=9),
    reverse=st.booleans(),
    resets=st.booleans(),
)
def test_any_shape(agree, name, sizes, lengths, reverse, resets):
    batch_sizes = tuple(sum(n > step for n in lengths) for step in range(max(lengths)))
    agree(CELLS[name], sizes=sizes, batch_sizes=batch_sizes, reverse=reverse, resets=resets)


@pytest.mark.parametrize("name", ["lstm-v3", "lstm-v4", "gru-original", "clockwork"])
def test_gradients_agree_with_finite_differences(problem, name):
    p = problem(CELLS[name], sizes=(2, 3, 2), batch_sizes=(2, 2, 1))
    leaves = list(p.leaves.values())

    def function(*_):
        output, after, _ = p.run("cpu")
        return (output, *(after[n] for n in p.before))

    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


@cell
def mogrifier(e, m, h, W, b):
    """Input and message gate one another before the LSTM (Melis et al. 2020), in the hidden size: four stages."""
    x = tanh(W.xe @ e + b.x)
    x = 2 * logistic(W.xm @ m) * x
    u = 2 * logistic(W.ux @ x) * m
    i = logistic(W.ix @ x + W.iu @ u + b.i)
    f = logistic(W.fx @ x + W.fu @ u + b.f)
    h = f * h + i * tanh(W.hx @ x + W.hu @ u + b.h)
    m = logistic(W.ox @ x + W.ou @ u + b.o) * tanh(h)
    return m, h


@cell
def odds(e, h, k, t, W, w, b):
    """Every function and operator, the step number among them."""
    a = W.ae @ e + W.ah @ h + b.a
    g = where(a > 0.1, relu(a), minimum(a, 0.3) / (2 + k * k)) - maximum(k, w.gk * h) ** 3
    u = identity(W.ue @ e) * (W.uk @ k)
    h = tanh(g + u + where(t % 3 == 1, 0.5 * h, exp(-h * h)) / (t + 1)) + 0.1 * b.h
    k = where(a <= k, 0.25, -k) * w.kh
    return h, k


@cell
def handed(e, h, p, W, b):
    """A state that is handed the input, and one operand that is a state times a gate."""
    r = logistic(W.rp @ p + b.r)
    h = tanh(W.f @ concat(e, r * h) + W.hh @ h)
    p = e
    return h, p


@cell
def unread(e, h, k, W):
    """A state that nothing reads, and no bias."""
    h = relu(W.he @ e + W.hh @ h)
    k = h * 2
    return h, k


@cell
def before(e, h, W, b):
    """What the first product multiplies is itself computed (Pascanu et al. 2013 write an RNN so)."""
    h = W.he @ e + W.hh @ tanh(h) + b.h
    return h


@cell
def halved(e, h, k, W, w):
    """The same beside a product of the state as it is, of a sum."""
    k = tanh(W.ke @ e + W.kh @ h)
    h = tanh(W.he @ e + W.hk @ (k + w.kh * h) + W.hh @ (h / 2))
    return h, k


@cell
def truncated(e, m, h, W, b):
    """No error flows back through the message."""
    i = logistic(W.ie @ e + W.im @ detach(m) + b.i)
    h = h + i * tanh(W.he @ e + W.hm @ detach(m))
    m = tanh(h)
    return m, h


@cell
def joined(e, h, W, b):
    """A concatenation with a part that is made of parameters alone, whose size nothing decides."""
    f = logistic(W.f @ concat(h, tanh(b.fa), h) + W.ff @ logistic(e))
    h = f * h + tanh(W.he @ e)
    return h


OPTIONS = ({}, {"reverse": True}, {"resets": True}, {"sizes": (3, 16, 2), "batch_sizes": (20,) * 5})


@pytest.mark.parametrize("own", [mogrifier, odds, handed, unread, before, halved, truncated, joined], ids=lambda c: c.name)
def test_cells_that_users_write(agree, own):
    for options in OPTIONS:
        agree(own, **options)


def test_exponential_gates(agree, slstm):
    for options in OPTIONS:
        agree(slstm, **options)


@pytest.mark.parametrize("name", ["lstm-v3", "relu-rnn", "clockwork"])
def test_infinity_and_nan_go_where_the_reference_sends_them(problem, name):
    for bad in (float("nan"), float("inf"), -float("inf")):
        p = problem(CELLS[name], batch_sizes=(3, 3, 3))
        with torch.no_grad():
            p.data[4] = bad
        expected, found = p.solve("reference"), p.solve("cpu")
        for what, wanted in expected.items():
            torch.testing.assert_close(found[what], wanted, equal_nan=True, msg=lambda m, what=what: f"{what}: {m}")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_no_result_but_by_rounding_and_each_is_deterministic(with_threads, threads):
    with_threads(CELLS["lstm-v4"], threads)


def test_cells_of_one_name_that_multiply_something_else_are_two_cells(agree):
    @cell(name="twin")
    def first(e, h, k, W, b):
        h = tanh(W.he @ e + W.hk @ tanh(k))
        k = tanh(W.ke @ e + b.k)
        return h, k

    @cell(name="twin")
    def second(e, h, k, W, b):
        h = tanh(W.he @ e + W.hk @ tanh(h))
        k = tanh(W.ke @ e + b.k)
        return h, k

    assert first.key != second.key  # the operator finds a cell by its key: the second took the first one's place
    for own in (first, second, first):
        agree(own)


def test_cells_of_one_name_that_add_in_another_order_are_two_cells(agree):
    @cell(name="twin")
    def first(e, h, W, w, b):
        h = tanh(W.he @ e) * tanh(b.h + w.hh * h)
        return h

    @cell(name="twin")
    def second(e, h, W, w, b):
        h = tanh(W.he @ e) * tanh(w.hh * h + b.h)
        return h

    assert first.learned != second.learned  # the second ran the first one's loop, which took b.h for w.hh
    for own in (first, second, first):
        agree(own)


def test_cells_of_one_name_whose_states_have_another_order_are_two_cells(agree):
    @cell(name="twin")
    def first(e, m, h, W, b):
        h = 0.5 * h + tanh(W.he @ e + W.hm @ m + b.h)
        m = logistic(W.me @ e) * tanh(h)
        return m, h

    @cell(name="twin")
    def second(e, h, m, W, b):
        h = 0.5 * h + tanh(W.he @ e + W.hm @ m + b.h)
        m = logistic(W.me @ e) * tanh(h)
        return h, m

    assert first.trace.equations == second.trace.equations  # the second ran the first one's loop, and gave m for h
    for own in (first, second, first):
        agree(own)


@cell
def of_parameters_alone(e, h, k, W, b):
    """A product that needs neither input nor state, inside the loop (the kernels read past its end)."""
    a = tanh(b.a)
    h = tanh(W.he @ e + W.ha @ a + W.hh @ h)
    k = W.ka @ a
    return h, k


@cell(constants={"T": lambda n: torch.arange(n).numpy() + 1.0})
def of_a_constant_alone(e, h, W, b, c):
    """A constant's size that nothing else has, and an operand's that nothing else has."""
    a = tanh(c.T)
    u = 1 / c.T
    h = tanh(W.he @ e + W.ha @ a + W.hh @ h) + W.hx @ u
    return h


@pytest.mark.parametrize("own", [of_parameters_alone, of_a_constant_alone], ids=lambda c: c.name)
def test_what_needs_parameters_alone_is_the_same_at_every_step(agree, own):
    for options in OPTIONS:
        agree(own, **options)


@cell
def shared(e, h, k, W, b):
    """Two sums with a product in common, of which one has more."""
    h_new = tanh(W.he @ e + W.hh @ h + b.h)
    k = tanh(W.hh @ h) + k * tanh(W.he @ e)
    return h_new, k


def test_a_product_that_two_sums_share(agree):
    for options in OPTIONS:
        agree(shared, **options)


@cell
def in_two_stacks(e, m, s, W):
    """W.p stands beside W.q, and later beside W.r."""
    a, b = tanh(W.p @ m), tanh(W.q @ m)
    m = tanh(W.p @ s + a + W.me @ e)
    s = tanh(W.r @ s + b)
    return m, s


@cell(input_size="m")
def in_two_orders(e, m, W):
    """Weights multiply the same vectors in another order."""
    a, b = W.p @ concat(e, m), W.q @ concat(m, e)
    m = tanh(a) + e * logistic(b)
    return m


@pytest.mark.parametrize("own", [in_two_stacks, in_two_orders], ids=lambda c: c.name)
def test_gradients_of_weights_that_stand_in_several_stacks(agree, own):
    agree(own, sizes=(5, 5, 5))


def test_gradients_of_large_weights_which_are_multiplied_the_other_way_round():
    torch.manual_seed(0)
    layer, x = Recurrent("lstm", 512, 512), torch.randn(2, 3, 512)
    found = []
    for name in ("reference", "cpu"):
        with kernels.use(name):
            found.append(torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters())))
    for wanted, gradient in zip(*found, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)
