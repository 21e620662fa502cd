"""What is recorded and clamped at the kernels' speed is what the reference says, derivatives included."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from carousel import kernels
from carousel.cells import CELLS
from carousel.equations import cell, logistic, tanh, where
from carousel.equations.stored import as_data
from carousel.equations.variants import computed
from carousel.kernels.cpu import compiler
from carousel.kernels.inputs import loop_of
from carousel.kernels.registry import key_of, loop_called, register, registered
from carousel.layers import Clamp, Recurrent, Streaming


def inside(c):
    return [n for n in c.names if computed(loop_of(c), n)]


@pytest.fixture
def compiled(monkeypatch):
    """The reference runs only where it is asked for by name: a call that kernels do not support would agree with it too."""
    allowed = kernels.BACKENDS["reference"]
    run = allowed.run

    def asked(call):
        assert kernels.backend() == "reference", "the reference ran instead of a kernel"
        return run(call)

    monkeypatch.setattr(allowed, "run", asked)


OPTIONS = {"packed": {}, "backwards, resets": {"reverse": True, "resets": True, "sizes": (3, 16, 2)}}


@pytest.mark.parametrize("name", CELLS)
def test_every_quantity_of_every_cell(agree, compiled, name):
    c = CELLS[name]
    for options in OPTIONS.values():
        agree(c, record=c.names, **options)
        agree(c, record=c.names, clamp=inside(c), **options)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["lstm-v3", "lstm-v4", "gru-original", "clockwork", "mlp", "fgr"]),
    sizes=st.tuples(st.integers(1, 9), st.sampled_from([1, 2, 3, 7, 8, 15, 16, 17, 33, 70]), st.integers(1, 20)),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=9),
    reverse=st.booleans(),
    resets=st.booleans(),
    clamped=st.booleans(),
)
def test_any_shape(agree, name, sizes, lengths, reverse, resets, clamped):
    batch_sizes, c = tuple(sum(n > step for n in lengths) for step in range(max(lengths))), CELLS[name]
    clamp = inside(c) if clamped else ()
    agree(c, sizes=sizes, batch_sizes=batch_sizes, reverse=reverse, resets=resets, record=c.names, clamp=clamp)


@cell
def everywhere(e, m, h, k, t, W, w, b):
    """Quantities outside the loop (u, v), of the input but in it (q, k), of the clock (g), that nothing reads (d)."""
    u = tanh(W.ue @ e + b.u)
    q = tanh(W.qu @ u)
    v = tanh(b.v)
    g = where(t % 2 == 0, 1, 0.5) * v
    a = w.ah * h
    r = logistic(W.rm @ m + W.re @ e)
    h = g * h + u * q * tanh(W.hm @ m) + a
    d = h * h  # noqa: F841
    k = e
    m = tanh(W.mr @ r + W.mh @ h)
    return m, h, k


def test_quantities_of_every_kind(agree, compiled):
    assert {"u", "q", "v", "g", "r", "d", "k", "t"} <= set(everywhere.names)
    assert not {"u", "v"} & set(inside(everywhere)) and {"q", "k"} <= set(inside(everywhere))
    for options in OPTIONS.values():
        agree(everywhere, record=everywhere.names, **options)
        agree(everywhere, record=everywhere.names, clamp=inside(everywhere), **options)


@pytest.mark.parametrize("name", ["lstm-v3", "lstm-v4", "gru-original", "clockwork", "everywhere"])
def test_tangents_and_products_of_hessian_and_vector(problem, compiled, name):
    c = everywhere if name == "everywhere" else CELLS[name]
    p = problem(c, record=c.names, clamp=inside(c), reverse=True, resets=True)
    leaves = {k: x.detach() for k, x in p.leaves.items()}
    generator = torch.Generator().manual_seed(5)
    along = {k: torch.randn(x.shape, generator=generator, dtype=x.dtype) for k, x in leaves.items()}

    def loss(back_end):
        return lambda x: sum((y * w).square().sum() for y, w in zip(p.at(x).results(back_end), p.weights, strict=True))

    each = {}
    for back_end in ("reference", "cpu"):
        _, tangent = torch.func.jvp(lambda x, b=back_end: p.at(x).results(b), (leaves,), (along,))
        _, product = torch.func.jvp(torch.func.grad(loss(back_end)), (leaves,), (along,))
        each[back_end] = [*tangent, *product.values()]
    for wanted, found in zip(*each.values(), strict=True):
        difference = (found - wanted).abs().max() / (wanted.abs().max() + 1e-3)
        assert difference <= 1e-9


def test_gradients_and_their_gradients_agree_with_finite_differences(problem, compiled):
    p = problem(CELLS["lstm-v3"], sizes=(2, 3, 2), batch_sizes=(2, 2, 1), record=["i", "h"], clamp=["f", "m"])
    names, leaves = list(p.leaves), list(p.leaves.values())

    def function(*values):
        return p.at(dict(zip(names, values, strict=True))).results("cpu")

    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("asked", [["h"], ["o"], ["m", "f"]], ids="+".join)
def test_a_gradient_of_some_of_what_is_recorded_alone(problem, compiled, asked):
    """Gradients that do not arrive are zero, that of the output among them."""
    p = problem(CELLS["lstm-v3"], record=("i", "f", "h", "o", "m"))
    found = []
    for back_end in ("reference", "cpu"):
        recorded = p.run(back_end).recorded
        loss = sum(recorded[n].square().sum() for n in asked)
        found.append(torch.autograd.grad(loss, list(p.leaves.values()), allow_unused=True))
    for wanted, given_ in zip(*found, strict=True):
        torch.testing.assert_close(given_, torch.zeros_like(given_) if wanted is None else wanted, rtol=1e-9, atol=1e-12)


CLAMPS = [Clamp("f", 0.25, (1, 4), 2, 5), Clamp("h", -0.5, (0,), 3, None, layer=1), Clamp("i", 1.0, None, 0, 1)]


@pytest.mark.parametrize("segment_length", [0, 1, 3])
def test_layers_directions_resets_and_segments(compiled, segment_length):
    torch.manual_seed(0)
    options = {"bidirectional": True, "batch_first": True, "learned_initial": True, "dtype": torch.float64}
    layer = Recurrent("lstm-v4", 4, 6, 2, proj_size=5, segment_length=segment_length, **options)
    x = [torch.randn(n, 4, dtype=torch.float64, requires_grad=True) for n in (3, 8, 7, 7)]
    resets = torch.rand(4, 8) < 0.2
    found = []
    for back_end in ("reference", "cpu"):
        layer.segment_length = segment_length if back_end == "cpu" else 0
        with kernels.use(back_end):
            packed = pack_sequence(x, enforce_sorted=False)
            output, hx, seen = layer(packed, resets=resets, record=["h", "m", "o"], clamp=CLAMPS)
        loss = output.data.square().sum() + sum((s * s.detach().roll(1)).sum() for s in (*hx, *seen.values()))
        found.append([output.data, *hx, *seen.values(), *torch.autograd.grad(loss, [*layer.parameters(), *x])])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_segments_keep_less_with_recorded_values_too():
    kept = {}
    for length in (0, 16):
        layer = Recurrent("lstm-v3", 8, 32, segment_length=length)
        seen = {}

        def pack(t, seen=seen):
            seen[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            layer(torch.randn(256, 4, 8), record=["h"], clamp={"f": 0.5})
        kept[length] = sum(seen.values())
    assert kept[16] < kept[0] / 3


@pytest.mark.skipif(not compiler.bfloat16(), reason="this processor does not multiply bfloat16")
def test_autocast(compiled):
    torch.manual_seed(0)
    layer, x = Recurrent("lstm-v3", 36, 18), torch.randn(8, 7, 36)

    def run():
        output, _, seen = layer(x, record=["h", "o"], clamp=CLAMPS[:1])
        return [output, *seen.values(), *torch.autograd.grad(seen["h"].square().sum() + output.sum(), layer.parameters())]

    expected = run()
    with torch.autocast("cpu", torch.bfloat16):
        found = run()
    for a, b in zip(found, expected, strict=True):
        assert a.dtype is torch.float32
        assert 0 < (a - b).norm() <= 0.02 * b.norm() + 1e-6


def test_a_compiled_model_records_and_clamps_in_one_graph(compiled):
    torch.manual_seed(0)
    layer, x = Recurrent("lstm-v3", 3, 4, 2, bidirectional=True), torch.randn(5, 2, 3)

    def run(x):
        output, _, seen = layer(x, record=["h", "i"], clamp={"f": {1: 0.5}})
        return output, seen["h"], seen["i"]

    torch._dynamo.reset()
    found, expected = torch.compile(run, fullgraph=True, backend="aot_eager")(x), run(x)
    torch.testing.assert_close(found, expected)
    wanted = layer.parameter("W.hm"), layer.parameter("b.f", 1)
    for a, b in zip(*(torch.autograd.grad(y[1].square().sum(), wanted) for y in (found, expected)), strict=True):
        torch.testing.assert_close(a, b)


def test_the_first_call_of_a_cell_is_compiled_in_one_graph():
    """A cell keeps what it has made of itself; torch.compile meets one that has made nothing yet."""

    @cell
    def fresh(e, h, W, b):
        r = logistic(W.re @ e + W.rh @ h + b.r)
        h = tanh(W.he @ e + W.hh @ (r * h))
        return h

    layer, x = Recurrent(fresh, 3, 4), torch.randn(5, 2, 3)
    torch._dynamo.reset()
    found = torch.compile(lambda x: layer(x, record=["r"]), fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(found, layer(x, record=["r"]))


class Watched(torch.nn.Module):
    """The memories of a layer with a unit held, of one module, since a program has tensors alone."""

    def __init__(self):
        super().__init__()
        self.layer = Recurrent("lstm-v3", 3, 4, 2)

    def forward(self, x):
        output, _, seen = self.layer(x, record=["h"], clamp={"f": {1: 0.5}})
        return output, seen["h"]


def test_an_exported_program_records_and_clamps_at_any_length(compiled):
    torch.manual_seed(0)
    module = Watched().eval()
    time, batch = torch.export.Dim("time", min=2), torch.export.Dim("batch", min=2)
    program = torch.export.export(module, (torch.randn(6, 2, 3),), dynamic_shapes={"x": {0: time, 1: batch}}).module()
    for shape in ((6, 2, 3), (9, 4, 3)):
        x = torch.randn(shape)
        torch.testing.assert_close(program(x), module(x))


def test_a_stream_is_clamped_by_kernels(compiled):
    layer, x = Recurrent("lstm-v3", 3, 4), torch.randn(5, 2, 3)
    stream = Streaming(layer, batch=2, clamp=[Clamp("f", 0.0, None, 2, 4)])
    with torch.no_grad():
        found = torch.stack([stream(e).clone() for e in x])
        torch.testing.assert_close(found, layer(x, clamp=[Clamp("f", 0.0, None, 2, 4)])[0])


def test_a_clamp_that_holds_nowhere_asks_for_no_kernel(compiled, monkeypatch):
    layer, x = Recurrent("lstm-v3", 3, 4), torch.randn(5, 2, 3)
    plain, _ = layer(x)
    calls = []
    monkeypatch.setattr(kernels, "run", lambda call, run=kernels.run: calls.append(call.clamp) or run(call))
    assert torch.equal(layer(x, clamp=[Clamp("f", 0.0, None, 5), Clamp("f", 0.0, None, 0, 0)])[0], plain)
    assert calls == [{}]


@pytest.mark.parametrize("name", ["u", "v"])
def test_what_the_loop_does_not_compute_is_not_clamped(name):
    layer = Recurrent(everywhere, 3, 3)
    with pytest.raises(ValueError, match=f"{name} is computed for all steps before the loop"):
        layer(torch.randn(4, 2, 3), clamp={name: 0.0})


@cell
def ticking(e, h, t, W):
    """A number that the step number decides has a name."""
    s = 1 / (t + 1)
    h = tanh(W.he @ e + s * (W.hh @ h))
    return h


def test_a_number_of_the_clock_is_recorded_by_the_reference():
    layer, x = Recurrent(ticking, 3, 4), torch.randn(4, 2, 3)
    _, _, seen = layer(x, record=["s", "t"])
    torch.testing.assert_close(seen["s"][0, :, 0, 0], 1 / torch.arange(1.0, 5.0))
    torch.testing.assert_close(layer(x, record=["t"])[2]["t"], seen["t"])


def test_keys_name_their_loops_whatever_a_cell_is_called():
    @cell(name="odd|name:x|y|z")
    def odd(e, h, W):
        r = logistic(W.re @ e + W.rh @ h)
        h = tanh(W.he @ e + W.hh @ (r * h))
        return h

    register(odd)
    assert loop_called(key_of(odd)) is loop_of(odd)
    assert [str(s) for s in loop_called(key_of(odd, ["r"])).recorded] == ["r_t"]
    assert len(loop_called(key_of(odd, clamp=["r", "h"])).hoisted) == len(loop_of(odd).hoisted) + 2
    with pytest.raises(ValueError, match="computes no 'q'"):
        loop_called(key_of(odd, ["q"]))
    exported = registered(json.dumps(as_data(odd, [(3, 4, 4)])))  # whose key is itself, as data
    assert loop_called(key_of(exported)) is loop_of(exported)
    assert [str(s) for s in loop_called(key_of(exported, ["r"])).recorded] == ["r_t"]
