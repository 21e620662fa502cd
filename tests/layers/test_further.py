"""Further inputs of a layer's steps: values, layouts, what goes with them, and what is refused."""

import inspect

import pytest
import torch
from compiled_c import needs_compiler, outputs
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carousel import export, kernels
from carousel.equations import cell, concat, exp, logistic, tanh
from carousel.equations.inputs import TAKEN
from carousel.kernels import segments
from carousel.layers import Recurrent, Streaming

T, B, E, H, C = 6, 3, 4, 5, 2


@cell(inputs={"d": 1, "c": None, "k": "h", "m": "e"})
def gated(e, d, m, h, s, c, k, W, w, b):
    """Of each kind of input one, unit by unit and through weights: in the loop, and hoisted."""
    f = logistic(W.fe @ (m * e) + W.fh @ h + w.fd * d + b.f)
    h = f * h * exp(-abs(d)) + (1 - f) * tanh(W.hc @ c + W.h @ concat(c, h) + b.h) * k
    s = 0.5 * s + d * h
    return h, s


def by_hand(layer, x, d, c, k, m, h=None, s=None):
    """The same in plain PyTorch, (T, B, ·)."""
    p = {n.removesuffix("_l0"): v for n, v in layer.named_parameters()}
    h = torch.zeros(x.shape[1], H, dtype=x.dtype) if h is None else h
    s, found = torch.zeros_like(h) if s is None else s, []
    for e, gap, c_t, k_t, m_t in zip(x, d.unsqueeze(-1), c, k, m, strict=True):
        f = torch.sigmoid((m_t * e) @ p["W.fe"].T + h @ p["W.fh"].T + p["w.fd"] * gap + p["b.f"])
        new = torch.tanh(c_t @ p["W.hc"].T + torch.cat([c_t, h], 1) @ p["W.h"].T + p["b.h"])
        h = f * h * torch.exp(-gap.abs()) + (1 - f) * new * k_t
        s = 0.5 * s + gap * h
        found.append(h)
    return torch.stack(found), (h, s)


def made(**options):
    torch.manual_seed(1)
    return Recurrent(gated, E, H, input_sizes={"c": C}, **{"dtype": torch.float64, **options})


def drawn(dtype=torch.float64, grad=False):
    """An input, and the further ones."""
    torch.manual_seed(2)
    shapes = {"d": (T, B), "c": (T, B, C), "k": (T, B, H), "m": (T, B, E)}
    given = {n: torch.randn(*s, dtype=dtype, requires_grad=grad) for n, s in shapes.items()}
    return torch.randn(T, B, E, dtype=dtype, requires_grad=grad), given


def through(function, given):
    return {n: function(x) for n, x in given.items()}


def close(a, b, tolerance=1e-9):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("back_end", ["reference", "cpu"])
def test_values_and_gradients_are_those_of_a_loop_by_hand(back_end):
    layer, (x, given) = made(), drawn(grad=True)
    leaves = [x, *given.values(), *layer.parameters()]
    found = []
    with kernels.use(back_end):
        for output, states in (layer(x, **given), by_hand(layer, x, **given)):
            flat = [output, *(s.reshape(B, H) for s in states)]
            found.append([*flat, *torch.autograd.grad(sum((y * y.detach().cos()).sum() for y in flat), leaves)])
    assert all(g.any() for g in found[0])
    close(*found)


class TestLayouts:
    """However the inputs are laid out, the same rows come of it."""

    def test_batch_first_and_one_sequence(self):
        x, given = drawn()
        wanted, _ = made()(x, **given)
        found, _ = made(batch_first=True)(x.transpose(0, 1), **through(lambda y: y.transpose(0, 1), given))
        close(found.transpose(0, 1), wanted)
        close(made()(x[:, 1], **through(lambda y: y[:, 1], given))[0], wanted[:, 1])

    def test_numbers_with_a_dimension_of_their_own(self):
        x, given = drawn()
        wanted, found = (made()(x, **{**given, "d": d})[0] for d in (given["d"], given["d"].unsqueeze(-1)))
        assert torch.equal(wanted, found)

    @pytest.mark.parametrize("batch_first", [False, True])
    @pytest.mark.parametrize("packs", [True, False], ids=["packed", "padded"])
    def test_packed(self, packs, batch_first):
        lengths = torch.tensor([3, 6, 2])

        def pack(y):
            return pack_padded_sequence(y.transpose(0, 1) if batch_first else y, lengths, batch_first, enforce_sorted=False)

        x, given = drawn()
        inputs = through(pack if packs else lambda y: y.transpose(0, 1) if batch_first else y, given)
        output, states = made(batch_first=batch_first)(pack(x), **inputs)
        padded, _ = pad_packed_sequence(output)
        for row, n in enumerate(lengths):
            wanted, last = made()(x[:n, row], **through(lambda y, n=n, row=row: y[:n, row], given))
            close(padded[:n, row], wanted)
            close([s[:, row] for s in states], list(last))

    def test_packed_otherwise_is_refused(self):
        x, given = drawn()
        packed = pack_padded_sequence(x, [6, 4, 2])
        for lengths in ([6, 5, 1], torch.tensor([6, 4, 2])):
            other = pack_padded_sequence(given["d"], lengths, enforce_sorted=isinstance(lengths, list))
            with pytest.raises(ValueError, match="input d is packed, but not as the input is"):
                made()(packed, **{**given, "d": other})
        with pytest.raises(ValueError, match="input d is packed, but not as the input is"):
            made()(x, **{**given, "d": pack_padded_sequence(given["d"], [6, 6, 6])})
        with pytest.raises(ValueError, match=r"packed input k has data of shape \(12, 2\), expected vectors of size 5"):
            made()(packed, **{**given, "k": pack_padded_sequence(given["c"], [6, 4, 2])})


def test_a_reset_begins_anew():
    x, given = drawn()
    resets = torch.zeros(T, B, dtype=torch.bool)
    resets[4] = True
    found, states = made()(x, resets=resets, **given)
    first, _ = made()(x[:4], **through(lambda y: y[:4], given))
    rest, last = made()(x[4:], **through(lambda y: y[4:], given))
    close([found, *states], [torch.cat([first, rest]), *last])


def test_both_directions_and_every_layer_have_them():
    @cell(inputs={"d": 1, "c": None})
    def small(e, h, d, c, W, w, b):
        h = tanh(W.he @ e + W.hh @ h + W.hc @ c + w.hd * d + b.h)
        return h

    layer = Recurrent(small, E, H, 2, bidirectional=True, input_sizes={"c": C}, dtype=torch.float64)
    assert layer.W.hc_l1_reverse.shape == (H, C)
    (x, given), p = drawn(), dict(layer.named_parameters())
    data = x
    for k in range(2):
        both = []
        for end in (f"_l{k}", f"_l{k}_reverse"):
            turn = (lambda y: y.flip(0)) if "reverse" in end else lambda y: y
            h, found = torch.zeros(B, H, dtype=x.dtype), []
            for e, d, c in zip(turn(data), turn(given["d"]), turn(given["c"]), strict=True):
                total = sum(v @ p[f"W.h{n}{end}"].T for n, v in (("e", e), ("h", h), ("c", c)))
                h = torch.tanh(total + p[f"w.hd{end}"] * d.unsqueeze(1) + p[f"b.h{end}"])
                found.append(h)
            both.append(turn(torch.stack(found)))
        data = torch.cat(both, 2)
    close(layer(x, d=given["d"], c=given["c"])[0], data)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_stream_takes_them_at_each_step(batch_first):
    layer, (x, given) = made(batch_first=batch_first), drawn()
    wanted, states = made()(x, **given)
    stream = Streaming(layer, batch=B)
    steps = [stream(e, **through(lambda y, k=k: y[k], given)).clone() for k, e in enumerate(x)]
    close([torch.stack(steps), *stream.hx], [wanted, *states])
    with pytest.raises(TypeError, match=r"cell gated needs the input c of each step"):
        stream(x[0], d=given["d"][0])
    with pytest.raises(TypeError, match=r"cell lstm has no input 'd': it takes one input alone"):
        Streaming(Recurrent("lstm", E, H))(torch.zeros(1, E), d=torch.zeros(1))


def test_a_vector_has_a_past():
    @cell(inputs={"c": None, "k": "h"})
    def echo(e, h, c, k, W, b):
        h = tanh(W.he @ e + W.hc @ c.ago(2) + b.h) * k.ago(1) + 0.5 * h
        return h

    torch.manual_seed(0)
    layer, (x, given) = Recurrent(echo, E, H, input_sizes={"c": C}, dtype=torch.float64), drawn(grad=True)
    inputs = {n: given[n] for n in "ck"}
    found, _ = layer(x, **inputs)
    h, wanted = torch.zeros(B, H, dtype=torch.float64), []
    p = {n: layer.parameter(n) for n in ("W.he", "W.hc", "b.h")}
    for t in range(T):
        c, k = (
            given["c"][t - 2] if t > 1 else torch.zeros(B, C).double(),
            given["k"][t - 1] if t else torch.zeros(B, H).double(),
        )
        h = torch.tanh(x[t] @ p["W.he"].T + c @ p["W.hc"].T + p["b.h"]) * k + 0.5 * h
        wanted.append(h)
    leaves = [x, *inputs.values(), *layer.parameters()]
    both = [[y, *torch.autograd.grad(y.square().sum(), leaves)] for y in (found, torch.stack(wanted))]
    close(*both)
    stream = Streaming(layer, batch=B)
    steps = [stream(e, **through(lambda y, k=k: y[k], inputs)).clone() for k, e in enumerate(x)]
    close(torch.stack(steps), found)


@pytest.mark.parametrize("back_end", ["reference", "cpu"])
@pytest.mark.parametrize("sizes", [(4, 6), (5, 5), (2, 7)], ids=str)  # of the first, the sum is 2 H
def test_inputs_of_any_sizes_around_a_state_in_one_product(sizes, back_end):
    @cell(inputs={"c": None, "d": None})
    def around(e, c, d, h, W, w, b):
        x = 2 * w.x
        h = tanh(W.he @ e + W.h @ concat(c, tanh(h), d, x))
        return h

    torch.manual_seed(0)
    layer = Recurrent(around, E, H, input_sizes=dict(zip("cd", sizes, strict=True)), dtype=torch.float64)
    x, *given = (torch.randn(T, B, n, dtype=torch.float64, requires_grad=True) for n in (E, *sizes))
    with kernels.use(back_end):
        found, _ = layer(x, c=given[0], d=given[1])
    h, wanted = torch.zeros(B, H, dtype=torch.float64), []
    p = {n: layer.parameter(n) for n in ("W.he", "W.h", "w.x")}
    for e, c, d in zip(x, *given, strict=True):
        h = torch.tanh(e @ p["W.he"].T + torch.cat([c, torch.tanh(h), d, (2 * p["w.x"]).expand(B, -1)], 1) @ p["W.h"].T)
        wanted.append(h)
    leaves = [x, *given, *layer.parameters()]
    close(*[[y, *torch.autograd.grad(y.square().sum(), leaves)] for y in (found, torch.stack(wanted))])


def test_segments_give_the_same_gradients(monkeypatch):
    ran, inner = [], segments.run
    monkeypatch.setattr(segments, "run", lambda *a: (ran.append(1), inner(*a))[1])
    found = []
    for length in (0, 2):
        x, given = drawn(grad=True)
        layer = made(segment_length=length)
        output, states = layer(x, **given)
        loss = output.square().sum() + states[1].sum()
        found.append([output, *torch.autograd.grad(loss, [x, *given.values(), *layer.parameters()])])
    assert ran
    close(*found)


def test_what_depends_on_them_alone_is_recorded_and_the_rest_clamped():
    @cell(inputs={"d": 1, "k": "h"})
    def windowed(e, h, d, k, W, w, b):
        g = exp(-d)
        u = k * w.u
        h = g * h + tanh(W.he @ e + b.h) * u
        return h

    torch.manual_seed(0)
    layer, (x, given) = Recurrent(windowed, E, H, dtype=torch.float64), drawn()
    inputs = {n: given[n] for n in "dk"}
    for back_end in ("reference", "cpu"):
        with kernels.use(back_end):
            _, _, seen = layer(x, record=["g", "u", "h"], clamp={"h": {2: 0.25}}, **inputs)
        close(seen["g"][0].squeeze(-1), torch.exp(-given["d"]))
        close(seen["u"][0], given["k"] * layer.parameter("w.u"))
        assert (seen["h"][0, ..., 2] == 0.25).all() and not (seen["h"][0, ..., 1] == 0.25).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_types(dtype):
    layer, (x, given) = made(dtype=dtype), drawn(dtype)
    wanted, _ = layer.double()(x.double(), **through(lambda y: y.double(), given))
    found, _ = layer.to(dtype)(x, **given)
    assert found.dtype is dtype
    close(found.double(), wanted, 1e-5 if dtype is torch.float32 else 5e-2)


def test_autocast_takes_them_in_any_type():
    layer, (x, given) = made(dtype=torch.float32), drawn(torch.float32)
    wanted, _ = layer(x, **given)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = layer(x, **through(lambda y: y.bfloat16(), given))
    close(found.float(), wanted, 5e-2)


class TestTransforms:
    """torch.func, graphs and exported programs."""

    def test_forward_mode_and_gradients_of_gradients(self):
        layer, (x, given) = made(), drawn()
        names = list(given)

        def run(back_end):
            def function(*values):
                with kernels.use(back_end):
                    return layer(values[0], **dict(zip(names, values[1:], strict=True)))[0]

            return function

        values, directions = (x, *given.values()), tuple(torch.randn_like(v) for v in (x, *given.values()))
        close(*(torch.func.jvp(run(k), values, directions) for k in ("cpu", "reference")))
        few = tuple(v[:2, :1].clone().requires_grad_() for v in values)
        assert torch.autograd.gradcheck(run("cpu"), few)
        assert torch.autograd.gradgradcheck(run("cpu"), few, fast_mode=True)

    def test_vmap_and_gradients_of_each(self):
        layer, (x, given) = made(), drawn()

        def loss(e, d, k):
            return layer(e, d=d, c=given["c"][:, 0], k=k, m=given["m"][:, 0])[0].square().sum()

        inputs = (x, given["d"], given["k"])
        found = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1, 2)), in_dims=1)(*inputs)
        for row in range(B):
            wanted = torch.func.grad(loss, argnums=(0, 1, 2))(*(y[:, row] for y in inputs))
            close([y[row] for y in found], list(wanted))

    def test_torch_compile(self):
        layer = made()
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        for steps in (6, 4):
            found = []
            for function in (layer, compiled):
                x, given = drawn(grad=True)
                output, _ = function(x[:steps], **through(lambda y, n=steps: y[:n], given))
                found.append([output, *torch.autograd.grad(output.square().sum(), [x, *given.values(), *layer.parameters()])])
            close(*found)

    def test_an_exported_program_takes_sequences_of_any_length(self, tmp_path):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = made()

            def forward(self, x, d, c, k, m):
                return self.layer(x, d=d, c=c, k=k, m=m)[0]

        model, (x, given) = Model(), drawn()
        free = {0: torch.export.Dim("time", min=2, max=100), 1: torch.export.Dim("batch", min=2, max=100)}
        shapes = dict.fromkeys(["x", *given], free)
        with kernels.use("cpu"):  # the reference writes steps out one by one
            program = torch.export.export(model, (x,), given, dynamic_shapes=shapes)
        torch.export.save(program, tmp_path / "model.pt2")
        again = torch.export.load(tmp_path / "model.pt2").module()
        close(again(x[:4], **through(lambda y: y[:4], given)), model(x[:4], **through(lambda y: y[:4], given)))


@needs_compiler
@pytest.mark.parametrize("layers", [1, 2])
def test_c_takes_them_in_order(layers, tmp_path):
    torch.manual_seed(0)
    layer = Recurrent(gated, H, H, layers, input_sizes={"c": C})
    x, given = torch.randn(T, H), {"d": torch.randn(T), "c": torch.randn(T, C), "k": torch.randn(T, H), "m": torch.randn(T, H)}
    text = export.c(layer)
    said = "(model_state *s, const float *x, float d_t, const float *c_t, const float *k_t, const float *m_t, float *y);"
    assert f"void model_step{said}" in text
    with torch.no_grad():
        close(torch.tensor(outputs(text, tmp_path, x, H, further=given.values())), layer(x, **given)[0], 1e-5)


class TestRefusals:
    """One clear line for what cannot be."""

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"z": torch.zeros(T, B)}, TypeError, r"cell gated has no input 'z': it takes d, c, k, m beside its input"),
            ({"d": torch.zeros(T)}, ValueError, r"input d has shape \(6,\), expected \(6, 3\), one number a row"),
            ({"d": torch.zeros(T, B, 2)}, ValueError, r"input d has shape \(6, 3, 2\), expected \(6, 3\), one number a row"),
            ({"k": torch.zeros(T, B, C)}, ValueError, r"input k has shape \(6, 3, 2\), expected \(6, 3, 5\)"),
            ({"k": torch.zeros(T, B)}, ValueError, r"input k has shape \(6, 3\), expected \(6, 3, 5\)"),
            ({"c": torch.zeros(B, T, C)}, ValueError, r"input c has shape \(3, 6, 2\), expected \(6, 3, 2\)"),
            ({"d": 0.5}, TypeError, r"input d must be a tensor, not a float"),
            ({"d": None}, TypeError, r"input d must be a tensor, not None"),
            ({"d": torch.zeros(T, B)}, ValueError, r"input d is torch.float32, but the layer's parameters are torch.float64"),
            ({"m": torch.ones(T, B, E).bool()}, ValueError, r"input m is torch.bool, .*\.to\(torch.float64\)$"),
            ({"d": torch.zeros(T, B, device="meta").double()}, ValueError, r"input d is on meta, but the layer's parameters"),
        ],
    )
    def test_inputs(self, change, error, message):
        x, given = drawn()
        for back_end in ("reference", "cpu"):
            with kernels.use(back_end), pytest.raises(error, match=message) as caught:
                made()(x, **{**given, **change})
            assert "\n" not in str(caught.value)

    def test_one_that_is_missing(self):
        x, given = drawn()
        del given["c"]
        with pytest.raises(TypeError, match=r"cell gated needs the input c of each step: layer\(x, c=…\)"):
            made()(x, **given)
        with pytest.raises(TypeError, match=r"cell gru has no input 'd': it takes one input alone"):
            Recurrent("gru", E, H)(x, d=given["d"])

    @pytest.mark.parametrize(
        ("sizes", "error", "message"),
        [
            (None, ValueError, r"the input c of cell gated has a size of its own: input_sizes=\{'c': 10\}"),
            ({"c": 2, "d": 1}, ValueError, r"input_sizes names 'd', but of cell gated only c has a size of its own"),
            ({"c": 0}, ValueError, r"the size of input c must be at least 1, not 0"),
            ({"c": 2.0}, TypeError, r"the size of input c must be a whole number"),
        ],
    )
    def test_sizes(self, sizes, error, message):
        with pytest.raises(error, match=message):
            Recurrent(gated, E, H, input_sizes=sizes)

    def test_layers_whose_inputs_are_of_several_sizes(self):
        with pytest.raises(ValueError, match=r"the input m of cell gated has as many units as e: with several layers"):
            Recurrent(gated, E, H, 2, input_sizes={"c": C})
        assert Recurrent(gated, H, H, 2, input_sizes={"c": C}).sizes(1) == (H, H, 0, C)

    def test_kernels_that_are_called_with_other_tensors(self):
        layer, (x, given) = made(), drawn()
        flat = {n: v.reshape(T * B, -1) for n, v in given.items()}
        states = {n: s[0] for n, s in zip(gated.states, layer.initial_state(B), strict=True)}

        def run(**change):
            call = kernels.Call(gated, x.reshape(T * B, E), [B] * T, states, layer.parameters_of(), inputs={**flat, **change})
            return kernels.run(call).output

        close(run().view(T, B, H), layer(x, **given)[0])
        for name, wrong in (
            ("d", flat["d"][1:]),
            ("d", flat["k"]),
            ("k", flat["c"]),
            ("m", flat["m"][0]),
            ("c", flat["c"][:5]),
        ):
            with pytest.raises(ValueError, match=f"input {name} of cell gated has shape"):
                run(**{name: wrong})
        for wrong in (flat["k"], flat["c"][:, :1]):
            with pytest.raises(ValueError, match=r"parameter W.hc? of cell gated has shape \(5, \d\), expected \d+ columns"):
                run(c=wrong)

    def test_names_that_a_call_has_itself(self):
        own = [p.name for p in inspect.signature(Recurrent.forward).parameters.values() if p.kind is not p.VAR_KEYWORD]
        assert set(own) <= set(TAKEN)

        @cell(inputs={"x": 1, "y": 1, "s": "h", "k": 1})  # names that C and streams have themselves
        def called(e, h, x, y, s, k, W):
            h = tanh(W.he @ e + W.hh @ h) * x + s * y * k
            return h

        torch.manual_seed(0)
        layer, e = Recurrent(called, E, H), torch.randn(T, E)
        given = {"x": torch.rand(T), "y": torch.rand(T), "s": torch.rand(T, H), "k": torch.rand(T)}
        wanted, _ = layer(e, **given)
        stream = Streaming(layer)
        steps = [stream(e[k : k + 1], **through(lambda v, k=k: v[k : k + 1], given)).clone() for k in range(T)]
        close(torch.cat(steps), wanted.detach(), 1e-5)
        assert "float *y);" in export.c(layer)


def test_what_a_layer_says_of_itself():
    layer = made()
    assert repr(layer) == "Recurrent(gated, 4, 5, input_sizes={'c': 2})"
    assert layer.sizes() == (E, H, 0, C)
    groups = {kind: len(found) for kind, found in layer.parameter_groups().items()}
    assert groups == {"recurrent": 2, "input": 2, "peephole": 1, "bias": 2, "initial": 0}
    with kernels.use("cpu"):
        assert layer.explain(drawn()[0]) == "cpu: a compiled loop"
