"""Calls that are remembered compute what they computed the first time, and refuse what they refused."""

import pytest
import torch
from torch import nn

from carousel.kernels.cpu import plan
from carousel.layers import Recurrent

CELLS = [
    "lstm-v2",
    "lstm-v3",
    "lstm-v4",
    "gru",
    "gru-original",
    "rnn",
    "lstm",
    "min-gru",
    "lstm-layer-norm",
    "lstm-v2-2-heads",
    "horn",
]


OPTIONS = [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True}]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(plan, "_plans", {})


@pytest.fixture
def remembered(monkeypatch):
    """How many calls a plan has run."""
    found = []
    forward = plan.Plan.forward
    monkeypatch.setattr(plan.Plan, "forward", lambda self, tensors: found.append(self) or forward(self, tensors))
    return found


@pytest.fixture
def back(monkeypatch):
    """The runs backwards of plans."""
    found = []
    run = plan._Back.__call__
    monkeypatch.setattr(plan._Back, "__call__", lambda self, *given: found.append(run(self, *given)) or found[-1])
    return found


def made(cell="lstm-v3", **options):
    torch.manual_seed(1)
    return Recurrent(cell, 4, 6, **options).eval(), torch.randn(7, 3, 4)


def flat(result):
    output, hx = result
    return [output, *(hx if isinstance(hx, tuple) else [hx])]


def trained(layer, *given):
    """Return outputs, states and the gradients of all that was given, of a weighted sum of what a layer gives."""
    leaves = [*(flat(given) if len(given) > 1 else given), *layer.parameters()]
    for leaf in leaves:
        leaf.requires_grad_().grad = None
    results = flat(layer(*given))
    torch.manual_seed(2)
    sum((r * torch.randn_like(r)).sum() for r in results).backward()
    return [*results, *(leaf.grad for leaf in leaves)]


@torch.no_grad()
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_a_remembered_call_gives_the_same_bits_from_other_numbers_too(name, options, remembered, monkeypatch):
    layer, x = made(name, **options)
    others = torch.randn_like(x), layer(x)[1]
    for given in ((x,), others, (x,)):
        with monkeypatch.context() as without:
            without.setattr(plan, "usual", lambda call: False)
            fresh = flat(layer(*given))
        plan._plans.clear()
        layer(*given)
        count = len(remembered)
        again = flat(layer(*given))
        assert len(remembered) > count
        assert all(torch.equal(a, b) for a, b in zip(fresh, again, strict=True))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_a_remembered_training_gives_the_same_bits(name, options, remembered, back, monkeypatch):
    layer, x = made(name, **options)
    with torch.no_grad():
        others = torch.randn_like(x), layer(x)[1]
    for given in ((x,), others, (x,)):
        with monkeypatch.context() as without:
            without.setattr(plan, "usual", lambda call: False)
            fresh = trained(layer, *given)
        plan._plans.clear()
        trained(layer, *given)
        counts = len(remembered), len(back)
        again = trained(layer, *given)
        assert len(remembered) > counts[0] and len(back) > counts[1]
        assert all(torch.equal(a, b) for a, b in zip(fresh, again, strict=True))


def test_a_gradient_of_a_remembered_gradient(remembered):
    layer, x = made()
    x.requires_grad_()

    def bent():
        first = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)[0]
        return torch.autograd.grad(first.square().sum(), [x, *layer.parameters()])

    fresh = bent()
    again = bent()
    assert remembered and all(torch.equal(a, b) for a, b in zip(fresh, again, strict=True))


def test_outputs_of_which_no_gradient_arrives(remembered):
    layer, x = made()
    for result in (0, 1, 2):
        fresh, again = (torch.autograd.grad(flat(layer(x))[result].sum(), layer.W["im_l0"])[0] for _ in range(2))
        assert torch.equal(fresh, again)
    assert remembered


def test_saved_tensors_may_be_packed_elsewhere_but_not_changed(remembered, back):
    layer, x = made()
    trained(layer, x)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy().copy() if not t.requires_grad else t, unpacked):
        kept = flat(layer(x))[0]
    kept.sum().backward()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t[:1] if t.dim() == 2 else t):
        short = flat(layer(x))[0]
    with pytest.raises(ValueError):
        short.sum().backward()
    changed = flat(layer(x))[0]
    with torch.no_grad():
        layer.W["im_l0"].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        changed.sum().backward()
    assert len(remembered) == 3


def test_saved_values_of_another_shape_are_refused(back):
    layer, x = made()
    trained(layer, x)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t[:5] if t.shape == (21, 6) else t):
        output = flat(layer(x.detach()))[0]
    with pytest.raises(ValueError, match="saved value"):
        output.sum().backward()
    assert back[-1] is None


def test_a_gradient_that_lies_otherwise_goes_the_long_way(back):
    layer, x = made()
    trained(layer, x)
    given = torch.randn(7, 3, 6)
    found = []
    for gradient in (given, torch._neg_view(-given), given.mT.contiguous().mT):
        layer.zero_grad()
        flat(layer(x))[0].backward(gradient)
        found.append([p.grad for p in layer.parameters()])
    assert [each is None for each in back] == [False, True, False]  # what is turned round is copied
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_other_threads_backwards_than_forwards_go_the_long_way(back, monkeypatch):
    layer, x = made()
    before = trained(layer, x)
    results = flat(layer(x))
    monkeypatch.setattr(plan, "most_threads", lambda: torch.get_num_threads() + 1)
    torch.manual_seed(2)
    layer.zero_grad()
    x.grad = None
    sum((r * torch.randn_like(r)).sum() for r in results).backward()
    assert not back
    assert all(torch.equal(a, b) for a, b in zip(before[3:], [x.grad, *(p.grad for p in layer.parameters())], strict=True))


def unpacked(kept):
    return kept if isinstance(kept, torch.Tensor) else torch.from_numpy(kept)


@torch.no_grad()
def test_parameters_are_read_anew_at_each_call(remembered):
    layer, x = made()
    layer(x)
    layer.W["im_l0"].add_(0.5)
    layer.b["f_l0"] = nn.Parameter(torch.ones(6))
    changed = flat(layer(x))
    assert len(remembered) == 1
    plan._plans.clear()
    assert all(torch.equal(a, b) for a, b in zip(changed, flat(layer(x)), strict=True))


CHANGED = {
    "a weight of another shape": lambda layer: setattr(layer.W["im_l0"], "data", torch.zeros(6, 5)),
    "a peephole of another shape": lambda layer: setattr(layer.w["ih_l0"], "data", torch.zeros(5)),
    "a bias of another type": lambda layer: setattr(layer.b["f_l0"], "data", torch.zeros(6, dtype=torch.float64)),
    "a weight without numbers": lambda layer: layer.W._parameters.update(im_l0=nn.Parameter(torch.zeros(6, 6, device="meta"))),
}


@torch.no_grad()
@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_what_does_not_fit_is_refused_also_after_a_call_that_did(change, remembered):
    layer, x = made()
    layer(x), layer(x)
    assert len(remembered) == 1
    change(layer)
    with pytest.raises(ValueError):
        layer(x)
    assert len(remembered) == 1


@torch.no_grad()
@pytest.mark.parametrize("given", ["double", "neg", "strided"])
def test_tensors_that_compiled_code_cannot_read_as_they_lie_go_the_long_way(given, remembered):
    layer, x = made()
    wanted = flat(layer(x))
    if given == "double":
        with pytest.raises(ValueError, match="float64"):
            layer(x.double())
    elif given == "neg":
        assert all(torch.equal(a, b) for a, b in zip(flat(layer(torch._neg_view(-x))), wanted, strict=True))
    else:
        weight = layer.W["im_l0"]
        weight.data = weight.data.t().contiguous().t()
        assert all(torch.equal(a, b) for a, b in zip(flat(layer(x)), wanted, strict=True))
    assert not remembered


def test_derivatives_and_transforms_see_every_call(remembered):
    layer, x = made()
    with torch.no_grad():
        layer(x)
    layer(x)[0].sum().backward()
    assert layer.W["im_l0"].grad is not None
    with torch.no_grad():
        tangent = torch.func.jvp(lambda x: layer(x)[0], (x,), (torch.ones_like(x),))[1]
        each = torch.func.vmap(lambda x: layer(x)[0])(torch.stack([x, x]))
    assert tangent.abs().max() > 0 and each.shape == (2, 7, 3, 6) and not remembered


@torch.no_grad()
def test_recorded_clamped_reset_and_packed_calls_are_not_taken_for_plain_ones(remembered):
    layer, x = made()
    plain = layer(x)[0]
    assert not torch.equal(layer(x, clamp={"f": 0.0})[0], plain)
    assert not torch.equal(layer(x, clamp={"h": lambda h: 2 * h})[0], plain)
    assert not torch.equal(layer(x, resets=torch.ones(7, 3, dtype=torch.bool))[0], plain)
    assert layer(x, record=["i"])[2]["i"].shape == (1, 7, 3, 6)
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([7, 5, 2]))
    assert layer(packed)[0].data.shape == (14, 6)
    noisy = Recurrent("lstm-zoneout", 4, 6, rates={"h": 0.5})
    assert not torch.equal(noisy(x)[0], noisy(x)[0])
    assert not remembered
    assert torch.equal(noisy.eval()(x)[0], noisy(x)[0]) and len(remembered) == 1


@torch.no_grad()
def test_plans_are_bounded_and_follow_threads_and_vector_extensions(monkeypatch, remembered):
    monkeypatch.setattr(plan, "MOST", 4)
    layer, x = made()
    for steps in range(1, 8):
        layer(x[:steps])
    assert len(plan._plans) <= 4
    monkeypatch.setattr(plan, "most_threads", lambda: torch.get_num_threads() + 1)
    layer(x)
    assert not remembered
    monkeypatch.setenv("CAROUSEL_SIMD", "generic")
    assert torch.equal(layer(x)[0], layer(x)[0])
    assert len(remembered) == 1 and remembered[0].entry is list(plan._plans.values())[-1].entry


@torch.no_grad()
def test_what_is_traced_or_exported_holds_the_loop_and_not_its_numbers():
    layer, x = made()
    layer(x), layer(x)
    other = torch.randn_like(x)
    wanted = layer(other)[0]
    traced = torch.jit.trace(layer, (x,), check_trace=False)
    assert torch.equal(traced(other)[0], wanted)
    program = torch.export.export(layer, (x,))
    assert torch.equal(program.module()(other)[0], wanted)
