"""Cells that normalise, against plain PyTorch in the papers' letters: values and gradients, in all that a layer does."""

import pytest
import torch
from torch.nn.functional import layer_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carousel import kernels
from carousel.layers import Recurrent, Streaming

E, H, T, B = 4, 7, 6, 3


def ln(z, alpha, beta):
    return layer_norm(z, z.shape[-1:], alpha, beta)


def lstm(p, x, state):
    """Ba, Kiros and Hinton 2016: (f, i, o, g) = LN(W_h h; α₁, β₁) + LN(W_x x; α₂, β₂) + b, each gate by itself."""
    h, c = state
    sums = {}
    for ours, gate in zip("fioh", "fiog", strict=True):
        recurrent = ln(h @ p[f"W.{ours}m"].T, p[f"w.{ours}m"], p[f"b.{ours}m"])
        sums[gate] = recurrent + ln(x @ p[f"W.{ours}e"].T, p[f"w.{ours}e"], p[f"b.{ours}e"]) + p[f"b.{ours}"]
    c = torch.sigmoid(sums["f"]) * c + torch.sigmoid(sums["i"]) * torch.tanh(sums["g"])
    h = torch.sigmoid(sums["o"]) * torch.tanh(ln(c, p["w.mh"], p["b.mh"]))
    return h, c


def gru(p, x, state):
    (h,) = state

    def part(letter, k, vector):
        return ln(vector @ p[f"W.{letter}{k}"].T, p[f"w.{letter}{k}"], p[f"b.{letter}{k}"])

    z = torch.sigmoid(part("z", "h", h) + part("z", "e", x))
    r = torch.sigmoid(part("r", "h", h) + part("r", "e", x))
    candidate = torch.tanh(part("n", "e", x) + r * part("n", "h", h))
    return ((1 - z) * h + z * candidate,)


STEPS = {"lstm-layer-norm": lstm, "gru-layer-norm": gru}


def make(name, **options):
    torch.manual_seed(3)
    layer = Recurrent(name, E, H, dtype=torch.float64, **options)
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.4 * torch.randn_like(p))
    return layer


def eager(name, layer, x, state, lengths=None, resets=None, direction=0, number=0):
    """One layer and direction, (T, B, …); where a sequence has ended its state stays."""
    p = layer.parameters_of(number, direction)
    start, outputs = state, [None] * len(x)
    for t in reversed(range(len(x))) if direction else range(len(x)):
        if resets is not None:
            state = tuple(torch.where(resets[t, :, None], s0, s) for s, s0 in zip(state, start, strict=True))
        new = STEPS[name](p, x[t], state)
        if lengths is not None:
            goes_on = (t < lengths)[:, None]
            new = tuple(torch.where(goes_on, a, b) for a, b in zip(new, state, strict=True))
            outputs[t] = torch.where(goes_on, new[0], 0.0)
        else:
            outputs[t] = new[0]
        state = new
    return torch.stack(outputs), state


def zeros(layer):
    return tuple(torch.zeros(B, H, dtype=torch.float64) for _ in layer.cell.states)


def agree(found, wanted, leaves):
    """Values, and gradients of an uneven number made of them, to 1e-9."""
    gradients = []
    for values in (found, wanted):
        loss = sum((x * torch.linspace(-1, 2, x.numel(), dtype=x.dtype).view_as(x)).sum() for x in values)
        gradients.append(torch.autograd.grad(loss, leaves, allow_unused=True))
    for a, b in [*zip(found, wanted, strict=True), *zip(*gradients, strict=True)]:
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.fixture(params=STEPS)
def name(request):
    return request.param


@pytest.fixture(params=["cpu", "reference"])
def back_end(request):
    with kernels.use(request.param):
        yield request.param


def inputs():
    torch.manual_seed(4)
    return torch.randn(T, B, E, dtype=torch.float64, requires_grad=True)


def as_tuple(states):
    return states if isinstance(states, tuple) else (states,)


def test_whole_sequences(name, back_end):
    layer, x = make(name), inputs()
    output, states = layer(x)
    wanted, last = eager(name, layer, x, zeros(layer))
    agree([output, *(s[0] for s in as_tuple(states))], [wanted, *last], [x, *layer.parameters()])


def test_packed(name, back_end):
    layer, x, lengths = make(name), inputs(), torch.tensor([6, 4, 1])
    output, states = layer(pack_padded_sequence(x, lengths))
    wanted, last = eager(name, layer, x, zeros(layer), lengths)
    agree([pad_packed_sequence(output)[0], *(s[0] for s in as_tuple(states))], [wanted, *last], [x, *layer.parameters()])


def test_two_layers_of_both_directions(name, back_end):
    layer, x = make(name, num_layers=2, bidirectional=True), inputs()
    output, _ = layer(x)
    wanted = x
    for number in range(2):
        both = [eager(name, layer, wanted, zeros(layer), direction=d, number=number)[0] for d in (0, 1)]
        wanted = torch.cat(both, dim=2)
    agree([output], [wanted], [x, *layer.parameters()])


def test_resets(name, back_end):
    layer, x = make(name), inputs()
    resets = torch.rand(T, B, generator=torch.Generator().manual_seed(1)) < 0.4
    output, _ = layer(x, resets=resets)
    agree([output], [eager(name, layer, x, zeros(layer), resets=resets)[0]], [x, *layer.parameters()])


def test_segments(name):
    layer, x = make(name, segment_length=2), inputs()
    agree([layer(x)[0]], [eager(name, layer, x, zeros(layer))[0]], [x, *layer.parameters()])


def test_streaming_runs_on_kernels(name):
    layer, x = make(name), inputs().detach()
    with torch.no_grad():
        wanted, last = eager(name, layer, x, zeros(layer))
        stream = Streaming(layer, batch=B)
        found = torch.stack([stream(row).clone() for row in x])
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    for a, b in zip(as_tuple(stream.hx), last, strict=True):
        torch.testing.assert_close(a[0], b, rtol=1e-9, atol=1e-9)


def test_forward_mode_and_second_derivatives(name, back_end):
    layer, x = make(name), inputs().detach()
    direction = torch.randn_like(x)

    def ours(x):
        return layer(x)[0]

    def theirs(x):
        return eager(name, layer, x, zeros(layer))[0]

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
    expected, _ = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = layer(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)


def test_recorded_and_clamped(name):
    layer, x = make(name), inputs().detach()
    gate = layer.cell.gates[0]
    results = []
    for back_end in ("cpu", "reference"):
        with kernels.use(back_end):
            results.append(layer(x, record=list(layer.cell.names), clamp={gate: 0.25}))
    for a, b in zip(results[0][2].values(), results[1][2].values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
