"""Forward mode and torch.func's transforms through the compiled kernels, beside the reference and finite differences."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.nn.utils.rnn import pack_sequence

from carousel import kernels
from carousel.cells import CELLS
from carousel.equations import absolute, cell, maximum, minimum, tanh
from carousel.equations.tangent import tangent
from carousel.kernels.interface import interface_of
from carousel.kernels.registry import loop_called, register
from carousel.layers import Recurrent


def close(found, wanted, tolerance=1e-9):
    assert found.shape == wanted.shape
    difference = (found - wanted).abs().max() / (wanted.abs().max() + 1e-3)
    assert difference <= tolerance, f"{difference:.1e}"


def directions(problem):
    generator = torch.Generator().manual_seed(5)
    return {k: torch.randn(x.shape, generator=generator, dtype=x.dtype) for k, x in problem.leaves.items()}


def at(problem, back_end, leaves):
    """The outputs and the states after the last steps, for other values of all that a run is given."""
    return problem.at(leaves).results(back_end)


@cell
def kinks(e, h, k, W, w):
    """Of what SymPy derives to Abs, sign, Heaviside and DiracDelta, some of it twice."""
    k = tanh((k**2) ** 0.5 + 1 / ((h**2) ** 0.5 + 1) + absolute(W.ke @ e + h) * absolute(k) ** 3)
    h = tanh(W.he @ e + W.hk @ k + maximum(h, 0.3 * k) * minimum(w.hh * h, 0.1))
    return h, k


@cell
def named(e, h, W, w):
    """Parameters that are called as what kernels derive from others is: from W.hh its tangent, from w.hh its gradient."""
    h = tanh(W.he @ e + W.hh @ h + W.hh_d1 @ tanh(h) + w.hh * h + w.hh_bar * tanh(h) ** 2)
    return h


OWN = {"kinks": kinks, "named": named}
OPTIONS = {"packed": {}, "backwards": {"reverse": True}, "resets": {"resets": True}}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", CELLS)
def test_tangents_of_every_cell(problem, name, options):
    p = problem(CELLS[name], **options)
    leaves, along = {k: x.detach() for k, x in p.leaves.items()}, directions(p)
    values, found = torch.func.jvp(lambda x: at(p, "cpu", x), (leaves,), (along,))
    _, wanted = torch.func.jvp(lambda x: at(p, "reference", x), (leaves,), (along,))
    step = 1e-6
    ahead, behind = (at(p, "cpu", {k: x + s * along[k] for k, x in leaves.items()}) for s in (step, -step))
    for value, same, tangent_, reference_, a, b in zip(values, at(p, "cpu", leaves), found, wanted, ahead, behind, strict=True):
        assert torch.equal(value, same)
        close(tangent_, reference_)
        if name != "lstm-1997-truncated":  # whose gradient is cut on purpose
            close(tangent_, (a - b) / (2 * step), 1e-6)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", ["lstm-v3", "lstm-v4", "gru-original", "clockwork", *OWN])
def test_products_of_hessian_and_vector_by_forward_over_reverse(problem, name, options):
    p = problem(OWN.get(name) or CELLS[name], **options)
    leaves, along = {k: x.detach() for k, x in p.leaves.items()}, directions(p)

    def gradient(back_end):
        return torch.func.grad(
            lambda x: sum((y * w).square().sum() for y, w in zip(at(p, back_end, x), p.weights, strict=True))
        )

    _, found = torch.func.jvp(gradient("cpu"), (leaves,), (along,))
    _, wanted = torch.func.jvp(gradient("reference"), (leaves,), (along,))
    for k in leaves:
        close(found[k], wanted[k])


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return Recurrent("lstm-v3", 3, 4, num_layers=2, bidirectional=True).double()


@pytest.fixture
def x():
    return torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def both(function):
    """With the kernels, and with the reference."""
    with kernels.use("cpu"):
        found = function()
    with kernels.use("reference"):
        wanted = function()
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_dual_numbers(layer, x):
    def run():
        with forward_ad.dual_level():
            output, (m, h) = layer(forward_ad.make_dual(x, x.cos()))
            return [forward_ad.unpack_dual(y).tangent for y in (output, m, h)]

    both(run)
    assert all(t.abs().max() > 1e-3 for t in run())


def test_dual_numbers_of_packed_sequences(layer):
    pieces = [torch.randn(n, 3, dtype=torch.float64) for n in (5, 3, 1)]

    def run():
        with forward_ad.dual_level():
            packed = pack_sequence(pieces)  # PyTorch's own packing has no tangent
            output, _ = layer(packed._replace(data=forward_ad.make_dual(packed.data, packed.data.cos())))
            return forward_ad.unpack_dual(output.data).tangent

    both(run)


def test_backward_through_dual_numbers(layer, x):
    def run():
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x.clone().requires_grad_(), x.cos())
            (gradient,) = torch.autograd.grad(layer(dual)[0].square().sum(), dual, create_graph=True)
            return forward_ad.unpack_dual(gradient).tangent

    both(run)


TRANSFORMS = {
    "grad": lambda f, x: torch.func.grad(f)(x),
    "vjp": lambda f, x: torch.func.vjp(f, x)[1](torch.tensor(2.0, dtype=x.dtype))[0],
    "jacrev": lambda f, x: torch.func.jacrev(f)(x),
    "jacfwd": lambda f, x: torch.func.jacfwd(f)(x),
    "hessian": lambda f, x: torch.func.hessian(f)(x),
    "reverse over reverse": lambda f, x: torch.func.jacrev(torch.func.jacrev(f))(x),
    "third order": lambda f, x: torch.func.grad(lambda z: torch.func.hessian(f)(z).square().sum())(x),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_of_the_input(transform):
    torch.manual_seed(0)
    x = torch.randn(3, 1, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    small = Recurrent("lstm-v3", 3, 2).double()
    both(lambda: transform(lambda z: small(z)[0].square().sum(), x))


def test_gradients_of_each_sample(layer, x):
    parameters = dict(layer.named_parameters())

    def loss(p, sample):
        return torch.func.functional_call(layer, p, (sample.unsqueeze(1),))[0].square().sum()

    both(lambda: torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1))(parameters, x))


def test_an_ensemble(x):
    torch.manual_seed(3)
    layers = [Recurrent("gru", 3, 4).double() for _ in range(3)]
    stacked, buffers = torch.func.stack_module_state(layers)
    found = torch.func.vmap(
        lambda p, b: torch.func.functional_call(layers[0], (p, b), (x,))[0], in_dims=(0, 0), randomness="same"
    )(stacked, buffers)
    torch.testing.assert_close(found, torch.stack([one(x)[0] for one in layers]))


def test_the_operator_itself_has_derivatives_too_but_no_transforms():
    key, batch_sizes = register(CELLS["rnn"]), [2] * 5
    interface = interface_of(loop_called(key))
    lengths = {**interface.lengths({"before": [(2, 4)], "data": [(10, 3)]}), "rows": 10, "batch": 2}
    dense, biases, before = (
        [torch.randn(t.at(lengths), dtype=torch.float64) for t in interface.tensors[k]] for k in ("dense", "biases", "before")
    )
    x = torch.randn(10, 3, dtype=torch.float64)

    def run(data):
        return torch.ops.carousel.loop(
            "cpu", key, data, dense, biases, [], [], before, [], None, None, batch_sizes, False, None, False
        )[0]

    finite = (run(x + 1e-6 * x.cos()) - run(x - 1e-6 * x.cos())) / 2e-6
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(run(leaf).sum(), leaf)
    torch.testing.assert_close((gradient * x.cos()).sum(), finite.sum())
    with forward_ad.dual_level():
        torch.testing.assert_close(forward_ad.unpack_dual(run(forward_ad.make_dual(x, x.cos()))).tangent, finite)
    with pytest.raises(RuntimeError, match=r"call a layer, or carousel\.kernels\.run"):
        torch.func.grad(lambda z: run(z).sum())(x)


def test_a_tangent_of_a_tangent_is_a_loop_again():
    """A user's derivatives can be nested: names never meet."""
    loop = loop_called(register(CELLS["lstm-v3"]))
    twice = tangent(tangent(loop))
    assert len(twice.states) == 4 * len(loop.states)
    assert len({str(s.before) for s in twice.states}) == len(twice.states)
    names = {p.weight.name for g in twice.groups for ps in g.products for p in ps}
    assert {"W.im", "W.im.d1", "W.im.d2", "W.im.d1.d2"} <= names
