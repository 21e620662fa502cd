"""Cells with noise, against plain PyTorch in the papers' letters and a hash in Python's whole numbers: in all a layer does."""

import pytest
import torch
from torch.nn.functional import layer_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint
from whole import agree, as_tuple

from carousel import kernels
from carousel.layers import Recurrent, Streaming

E, H, T, B = 4, 7, 6, 3
σ, tanh = torch.sigmoid, torch.tanh
WORD = 2**32
RATES = {
    "lstm-zoneout": {"h": 0.5, "m": 0.2},
    "lstm-layer-norm-zoneout": {"h": 0.4, "m": 0.1},
    "gru-zoneout": {"h": 0.3},
    "lstm-recurrent-dropout": {"g": 0.4},
    "gru-recurrent-dropout": {"g": 0.5},
    "lstm-variational": {"e": 0.3, "m": 0.5},
}


def pcg(rounds, *words):
    """The hashes pcg3d and pcg4d of Jarzynski and Olano 2020, in the order of their paper's listings."""
    v = [(w * 1664525 + 1013904223) % WORD for w in words]
    # x += y z, y += z x, z += x y of three; x += y w, y += z x, z += x y, w += y z of four.
    factors = [(1, 2), (2, 0), (0, 1)] if len(v) == 3 else [(1, 3), (2, 0), (0, 1), (1, 2)]
    for k in range(rounds):
        for n, (a, b) in enumerate(factors):
            v[n] = (v[n] + v[a] * v[b]) % WORD
        if k == 0:
            v = [x ^ (x >> 16) for x in v]
    return v


def drawn(seed, use, unit, place, rate):
    """Whether a use of noise strikes a unit."""
    x, y, *_ = pcg(2, unit, use, seed % WORD, (seed >> 32) % WORD)
    return pcg(2, x >> 8, y >> 8, place)[0] >> 8 < round(rate * 2**24)


class Draws:
    """The masks of one layer and direction: ``struck(use, rate, size, t)``, (B, size), 1 where noise strikes."""

    def __init__(self, seed, sizes, rates):
        self.seed, self.rates = seed, rates
        self.first = [sum(sizes[:t]) for t in range(len(sizes))]
        self.sizes = sizes

    def struck(self, use, rate, units, t, once=False):
        def one(row, unit):
            place = row if once else self.first[t] + row
            return float(drawn(self.seed, use, unit, place, self.rates[rate]))

        rows = [[one(b, k) if b < self.sizes[t] else 0.0 for k in range(units)] for b in range(B)]
        return torch.tensor(rows, dtype=torch.float64)

    def left(self, use, rate, units, t, once=False):
        """The mask of a dropout, divided by what it leaves on the average."""
        return (1 - self.struck(use, rate, units, t, once)) / (1 - self.rates[rate])


def ln(z, alpha, beta):
    return layer_norm(z, z.shape[-1:], alpha, beta)


def affine(p, k, x, h, state="m"):
    return x @ p[f"W.{k}e"].T + h @ p[f"W.{k}{state}"].T + p[f"b.{k}"]


def normalised(p, k, x, h):
    recurrent = ln(h @ p[f"W.{k}m"].T, p[f"w.{k}m"], p[f"b.{k}m"])
    return recurrent + ln(x @ p[f"W.{k}e"].T, p[f"w.{k}e"], p[f"b.{k}e"]) + p[f"b.{k}"]


def zoneout_lstm(p, x, state, d, t, sums=affine, last=lambda p, c: c):
    """Krueger et al. 2017: c_t = d^c c_{t−1} + (1 − d^c)(f c_{t−1} + i g), h_t = d^h h_{t−1} + (1 − d^h) o tanh(f c + i g)."""
    h, c = state
    i, f, o, g = σ(sums(p, "i", x, h)), σ(sums(p, "f", x, h)), σ(sums(p, "o", x, h)), tanh(sums(p, "h", x, h))
    new = f * c + i * g
    if d is None:  # in evaluation, the expectation
        d_h, d_c = RATES["lstm-zoneout"]["m"], RATES["lstm-zoneout"]["h"]
        if sums is normalised:
            d_h, d_c = RATES["lstm-layer-norm-zoneout"]["m"], RATES["lstm-layer-norm-zoneout"]["h"]
    else:
        d_h, d_c = d.struck(0, "m", H, t), d.struck(1, "h", H, t)
    return d_h * h + (1 - d_h) * (o * tanh(last(p, new))), d_c * c + (1 - d_c) * new


def normalised_zoneout_lstm(p, x, state, d, t):
    return zoneout_lstm(p, x, state, d, t, normalised, lambda p, c: ln(c, p["w.mh"], p["b.mh"]))


def zoneout_gru(p, x, state, d, t):
    (h,) = state
    z, r = σ(affine(p, "z", x, h, "h")), σ(affine(p, "r", x, h, "h"))
    new = (1 - z) * tanh(x @ p["W.ne"].T + p["b.n"] + r * (h @ p["W.nh"].T + p["b.nh"])) + z * h
    d_h = RATES["gru-zoneout"]["h"] if d is None else d.struck(0, "h", H, t)
    return (d_h * h + (1 - d_h) * new,)


def dropout_lstm(p, x, state, d, t):
    """Semeniuta et al. 2016: c_t = f c_{t−1} + i d(g)."""
    h, c = state
    i, f, o, g = σ(affine(p, "i", x, h)), σ(affine(p, "f", x, h)), σ(affine(p, "o", x, h)), tanh(affine(p, "h", x, h))
    c = f * c + i * (g if d is None else g * d.left(0, "g", H, t))
    return o * tanh(c), c


def dropout_gru(p, x, state, d, t):
    """Semeniuta et al. 2016: h_t = (1 − z) h_{t−1} + z d(g)."""
    (h,) = state
    z, r = σ(affine(p, "z", x, h, "h")), σ(affine(p, "r", x, h, "h"))
    g = tanh(x @ p["W.ge"].T + (r * h) @ p["W.gh"].T + p["b.g"])
    return ((1 - z) * h + z * (g if d is None else g * d.left(0, "g", H, t)),)


def variational_lstm(p, x, state, d, t):
    """Gal and Ghahramani 2016: every gate sees x ∘ z_x and h ∘ z_h, the masks the same at all steps."""
    h, c = state
    if d is not None:
        x, h = x * d.left(0, "e", x.shape[1], t, once=True), h * d.left(1, "m", H, t, once=True)
    i, f, o, g = σ(affine(p, "i", x, h)), σ(affine(p, "f", x, h)), σ(affine(p, "o", x, h)), tanh(affine(p, "h", x, h))
    c = f * c + i * g
    return o * tanh(c), c


STEPS = {
    "lstm-zoneout": zoneout_lstm,
    "lstm-layer-norm-zoneout": normalised_zoneout_lstm,
    "gru-zoneout": zoneout_gru,
    "lstm-recurrent-dropout": dropout_lstm,
    "gru-recurrent-dropout": dropout_gru,
    "lstm-variational": variational_lstm,
}


def make(name, **options):
    torch.manual_seed(3)
    layer = Recurrent(name, E, H, dtype=torch.float64, rates=RATES[name], **options)
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.4 * torch.randn_like(p))
    return layer


def seeds(count):
    """The seeds that so many layers and directions of a call draw after ``torch.manual_seed(5)``."""
    torch.manual_seed(5)
    return [int(torch.randint(2**63 - 1, (), dtype=torch.int64)) for _ in range(count)]


def run(layer, *given, **options):
    torch.manual_seed(5)
    return layer(*given, **options)


def eager(name, layer, x, lengths=None, resets=None, direction=0, number=0, seed=None, still=False):
    """One layer and direction, (T, B, …); where a sequence has ended its state stays."""
    p = layer.parameters_of(number, direction)
    state = start = tuple(torch.zeros(B, H, dtype=torch.float64) for _ in layer.cell.states)
    sizes = [B] * len(x) if lengths is None else [int((lengths > t).sum()) for t in range(len(x))]
    d = None if still else Draws(seeds(1)[0] if seed is None else seed, sizes, RATES[name])
    outputs = [None] * len(x)
    for t in reversed(range(len(x))) if direction else range(len(x)):
        if resets is not None:
            state = tuple(torch.where(resets[t, :, None], s0, s) for s, s0 in zip(state, start, strict=True))
        new = STEPS[name](p, x[t], state, d, t)
        goes_on = torch.ones(B, 1, dtype=torch.bool) if lengths is None else (t < lengths)[:, None]
        new = tuple(torch.where(goes_on, a, b) for a, b in zip(new, state, strict=True))
        outputs[t] = torch.where(goes_on, new[0], 0.0)
        state = new
    return torch.stack(outputs), state


@pytest.fixture(params=STEPS)
def name(request):
    return request.param


def inputs():
    torch.manual_seed(4)
    return torch.randn(T, B, E, dtype=torch.float64, requires_grad=True)


def test_whole_sequences(name, back_end):
    layer, x = make(name), inputs()
    output, states = run(layer, x)
    wanted, last = eager(name, layer, x)
    agree([output, *(s[0] for s in as_tuple(states))], [wanted, *last], [x, *layer.parameters()])
    still, _ = eager(name, layer, x, still=True)
    assert not torch.allclose(output, still)


def test_evaluation_has_the_expectation_and_no_noise(name, back_end):
    layer, x = make(name).eval(), inputs()
    output, states = layer(x)
    wanted, last = eager(name, layer, x, still=True)
    agree([output, *(s[0] for s in as_tuple(states))], [wanted, *last], [x, *layer.parameters()])
    assert not layer.cell.quiet.trace.draws


def test_packed(name, back_end):
    layer, x, lengths = make(name), inputs(), torch.tensor([6, 4, 1])
    output, states = run(layer, pack_padded_sequence(x, lengths))
    wanted, last = eager(name, layer, x, lengths)
    agree([pad_packed_sequence(output)[0], *(s[0] for s in as_tuple(states))], [wanted, *last], [x, *layer.parameters()])


def test_two_layers_of_both_directions(name, back_end):
    layer, x = make(name, num_layers=2, bidirectional=True), inputs()
    output, _ = run(layer, x)
    wanted, numbers = x, seeds(4)
    for number in range(2):
        of = numbers[2 * number :]
        both = [eager(name, layer, wanted, direction=d, number=number, seed=of[d])[0] for d in (0, 1)]
        wanted = torch.cat(both, dim=2)
    agree([output], [wanted], [x, *layer.parameters()])


def test_resets(name, back_end):
    layer, x = make(name), inputs()
    resets = torch.rand(T, B, generator=torch.Generator().manual_seed(1)) < 0.4
    output, _ = run(layer, x, resets=resets)
    agree([output], [eager(name, layer, x, resets=resets)[0]], [x, *layer.parameters()])


@pytest.mark.parametrize("direction", [0, 1])
def test_segments_draw_what_the_whole_draws(name, direction):
    layer, x = make(name, segment_length=2, bidirectional=bool(direction)), inputs()
    output = run(layer, x)[0][..., -H:]
    wanted = eager(name, layer, x, direction=direction, seed=seeds(2)[direction])[0]
    agree([output], [wanted], [x, *(p for k, p in layer.named_parameters() if k.endswith("reverse") == bool(direction))])


def test_a_checkpointed_call_draws_the_same_again(name):
    layer, x = make(name), inputs()
    torch.manual_seed(5)
    output = checkpoint(lambda x: layer(x)[0], x, use_reentrant=False)
    agree([output], [eager(name, layer, x)[0]], [x, *layer.parameters()])


@pytest.mark.parametrize("training", [True, False])
def test_streams_have_no_noise(name, training):
    layer, x = make(name).train(training), inputs().detach()
    with torch.no_grad():
        wanted, last = eager(name, layer, x, still=True)
        stream = Streaming(layer, batch=B)
        found = torch.stack([stream(row).clone() for row in x])
        assert stream.steppers is not None
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
        for a, b in zip(as_tuple(stream.hx), last, strict=True):
            torch.testing.assert_close(a[0], b, rtol=1e-9, atol=1e-9)
        clamp = {layer.cell.gates[0]: {2: 0.25}}
        stream = Streaming(layer, batch=B, clamp=clamp)
        found = torch.stack([stream(row).clone() for row in x])
    assert layer.training == training
    torch.testing.assert_close(found, layer.eval()(x, clamp=clamp)[0], rtol=1e-9, atol=1e-9)


def test_forward_mode_and_second_derivatives(name, back_end):
    layer, x = make(name), inputs().detach()
    direction = torch.randn_like(x)

    def ours(x):
        return run(layer, x)[0]

    def theirs(x):
        return eager(name, layer, x)[0]

    for a, b in zip(torch.func.jvp(ours, (x,), (direction,)), torch.func.jvp(theirs, (x,), (direction,)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)

    def curvature(f):
        y = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(f(y).sin().sum(), y, create_graph=True)
        return torch.autograd.grad((g * direction).sum(), [y, *layer.parameters()], allow_unused=True)

    for a, b in zip(curvature(ours), curvature(theirs), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_bfloat16_is_near(name):
    layer, x = make(name).float(), inputs().detach().float()
    expected, _ = run(layer, x)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = run(layer, x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)
    half, _ = run(layer.bfloat16(), x.bfloat16())  # by the reference, which counts in whole numbers
    torch.testing.assert_close(half.float(), expected, rtol=0.1, atol=0.1)


def test_single_precision_draws_the_same(name, back_end):
    layer, x = make(name), inputs().detach()
    expected, _ = run(layer, x)
    found, _ = run(layer.float(), x.float())
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_recorded_and_clamped(name):
    layer, x = make(name), inputs().detach()
    gate = layer.cell.gates[0]
    results = []
    for back_end in ("cpu", "reference"):
        with kernels.use(back_end):
            results.append(run(layer, x, record=list(layer.cell.names), clamp={gate: 0.25}))
    for a, b in zip(results[0][2].values(), results[1][2].values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_vmap_draws_for_each(name):
    layer, x = make(name), inputs().detach()
    batch = torch.stack([x, x])
    with pytest.raises(RuntimeError, match="randomness"):
        torch.func.vmap(lambda x: layer(x)[0])(batch)
    different = torch.func.vmap(lambda x: layer(x)[0], randomness="different")(batch)
    assert not torch.allclose(different[0], different[1])
    same = torch.func.vmap(lambda x: layer(x)[0], randomness="same")(batch)
    torch.testing.assert_close(same[0], same[1])


def test_compiled_steps_draw_anew_and_repeat(name):
    layer, x = make(name), inputs().detach()
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: layer(x)[0], backend="aot_eager", fullgraph=True)
    torch.manual_seed(5)
    first, second = compiled(x), compiled(x)
    torch.testing.assert_close(first, eager(name, layer, x)[0], rtol=1e-9, atol=1e-9)
    assert not torch.allclose(first, second)


def test_export_has_no_noise(name):
    layer, x = make(name).eval(), inputs().detach()
    exported = torch.export.export(layer, (x,))
    torch.testing.assert_close(exported.module()(x)[0], layer(x)[0])
