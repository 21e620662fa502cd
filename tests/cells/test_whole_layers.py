"""Cells that normalise and cells with heads, against plain PyTorch in the papers' letters: values and gradients, in all that a
layer does."""

import pytest
import torch
from torch.nn.functional import layer_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from whole import agree, as_tuple

from carousel import kernels
from carousel.layers import Recurrent, Streaming

E, H, T, B = 4, 12, 6, 3


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


def of_heads(r, h):
    """R h, where R (heads, d, d) has one block a head."""
    return torch.einsum("koi,bki->bko", r, h.unflatten(-1, (len(r), -1))).flatten(1)


def raw(p, letter, x, h, message="m"):
    return x @ p[f"W.{letter}e"].T + of_heads(p[f"W.{letter}{message}"], h) + p[f"b.{letter}"]


def slstm_heads(p, x, state):
    """Beck et al. 2024, equations (8) to (17), with R block-diagonal: "multiple heads with memory mixing within each head"."""
    h, c, n, m = state
    i, f, z, o = (raw(p, letter, x, h) for letter in "ifho")
    log_f = torch.nn.functional.logsigmoid(f)
    m_new = torch.maximum(log_f + m, i)
    i, f = torch.exp(i - m_new), torch.exp(log_f + m - m_new)
    c, n = f * c + i * torch.tanh(z), f * n + i
    return torch.sigmoid(o) * (c / n), c, n, m_new


def flash_lstm(p, x, state):
    """Pöppel, Beck and Hochreiter 2024: i, f, z, o = W x + R h + b, R with one block a head."""
    h, c = state
    i, f, z, o = (raw(p, letter, x, h) for letter in "ifho")
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(z)
    return torch.sigmoid(o) * torch.tanh(c), c


def flash_gru(p, x, state):
    (h,) = state
    r, z = (torch.sigmoid(raw(p, letter, x, h, "h")) for letter in "rz")
    g = of_heads(p["W.nh"], h) + p["b.nh"]
    return (z * h + (1 - z) * torch.tanh(x @ p["W.ne"].T + p["b.n"] + r * g),)


def flash_elman(p, x, state):
    (h,) = state
    return (torch.tanh(raw(p, "h", x, h, "h")),)


STEPS = {
    "lstm-layer-norm": lstm,
    "gru-layer-norm": gru,
    "slstm-4-heads": slstm_heads,
    "lstm-v2-3-heads": flash_lstm,
    "gru-4-heads": flash_gru,
    "rnn-2-heads": flash_elman,
}


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


@pytest.fixture(params=STEPS)
def name(request):
    return request.param


def inputs():
    torch.manual_seed(4)
    return torch.randn(T, B, E, dtype=torch.float64, requires_grad=True)


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
    gate = next(iter(layer.cell.gates), "h")
    results = []
    for back_end in ("cpu", "reference"):
        with kernels.use(back_end):
            results.append(layer(x, record=list(layer.cell.names), clamp={gate: 0.25}))
    for a, b in zip(results[0][2].values(), results[1][2].values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def of_package(name):
    """The loop of a package that has the same cells, and the place of our letters in its gates."""
    if name == "slstm-4-heads":
        return pytest.importorskip("xlstm.blocks.slstm.src.vanilla").slstm_forward, "ifho"
    return pytest.importorskip("flashrnn.flashrnn.vanilla").flashrnn_forward, {"gru": "grzn", "lst": "ifho", "rnn": "h"}[
        name[:3]
    ]


@pytest.mark.parametrize("name", ["slstm-4-heads", "lstm-v2-3-heads", "gru-4-heads", "rnn-2-heads"])
def test_packages_of_the_papers_authors(name):
    forward, letters = of_package(name)
    layer, x = make(name), inputs()
    p, heads, state = layer.parameters_of(0), layer.cell.heads, layer.cell.states[0]
    given = {letter: letter for letter in letters} if name != "gru-4-heads" else {"g": "nh", "r": "r", "z": "z", "n": "n"}
    inner = ["nh" if v == "nh" else v + state for k, v in given.items() if (k, name[:3]) != ("n", "gru")]
    wx = torch.stack([x @ p[f"W.{v}e"].T for v in given.values() if v != "nh"], 2)  # (T, B, gates, H)
    r = torch.stack([p[f"W.{v}"] for v in inner])  # (gates, heads, into, from)
    b = torch.stack([p[f"b.{v}"] for v in given.values()])
    if name == "slstm-4-heads":
        from xlstm.blocks.slstm.src.vanilla import slstm_pointwise_function_registry as known

        begun = torch.zeros(4, B, H, dtype=torch.float64)
        found = forward(wx.flatten(2), begun, r.transpose(0, 1).flatten(1, 2), b.flatten(), known["slstm"])[0][0, 1:]
    else:
        from flashrnn.flashrnn.vanilla import flashrnn_pointwise_function_registry as known

        kind = {"lst": "lstm", "gru": "gru", "rnn": "elman"}[name[:3]]
        begun = torch.zeros(1, B, len(layer.cell.states), heads, H // heads, dtype=torch.float64)
        each = r.permute(1, 3, 0, 2)  # (heads, from, gates, into)
        parted = wx.unflatten(-1, (heads, -1))
        found = forward(parted, begun, each, b.unflatten(-1, (heads, -1)), known[kind])[0][:, :, 0].flatten(2)
    agree([layer(x)[0]], [found], [x, *layer.parameters()])
