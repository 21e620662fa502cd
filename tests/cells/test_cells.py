"""Every cell of the lectures against its equations written out in NumPy, and against the lecture's own Theano step."""

import numpy as np
import pytest
import torch
from torch import nn

from carousel.cells import CELLS, get
from carousel.layers import Recurrent

E, H, P, T, B = 3, 5, 2, 6, 2


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(p, e, m, h, *, block="h", gates="ifo", peepholes=False, squash_in=np.tanh, squash_out=np.tanh, extra=None):
    """One step of the LSTM family on rows, with the gates that it has; others are open."""

    def gate(letter, memory):
        if letter not in gates:
            return 1.0
        total = e @ p[f"W.{letter}e"].T + m @ p[f"W.{letter}m"].T + p[f"b.{letter}"]
        if peepholes:
            total = total + p[f"w.{letter}h"] * memory
        for other, value in (extra or {}).items():
            total = total + value @ p[f"W.{letter}{other}"].T
        return sigmoid(total)

    new = squash_in(e @ p[f"W.{block}e"].T + m @ p[f"W.{block}m"].T + p[f"b.{block}"])
    i, f = gate("i", h), gate("f", h)
    if gates == "io" and "coupled" in p:
        f = 1 - i
    h = f * h + i * new
    o = gate("o", h)
    return o * squash_out(h), h, i, f, o


def greff(**options):
    return lambda p, e, m, h, t: lstm(p, e, m, h, block="g", **{"peepholes": True, **options})[:2]


def linear(x):
    return x


def olah(p, e, m, h, t):
    x = np.concatenate([m, e], axis=1)
    f, i, o = (sigmoid(x @ p[f"W.{k}"].T + p[f"b.{k}"]) for k in "fio")
    h = f * h + i * np.tanh(x @ p["W.h"].T + p["b.h"])
    return o * np.tanh(h), h


def coupled(p, e, m, h, t):
    x = np.concatenate([m, e], axis=1)
    f, o = (sigmoid(x @ p[f"W.{k}"].T + p[f"b.{k}"]) for k in "fo")
    h = f * h + (1 - f) * np.tanh(x @ p["W.h"].T + p["b.h"])
    return o * np.tanh(h), h


def elman(squash):
    return lambda p, e, h, t: (squash(e @ p["W.he"].T + h @ p["W.hh"].T + p["b.h"]),)


def carousel(p, e, m, h, t):
    h = h + np.tanh(e @ p["W.he"].T + m @ p["W.hm"].T + p["b.h"])
    return np.tanh(h), h


def projected(p, e, m, h, t):
    m, h, *_ = lstm(p, e, m, h, peepholes=True)
    return m @ p["W.mm"].T, h


def full_gate_recurrence(p, e, m, h, i, f, o, t):
    return lstm(p, e, m, h, block="g", peepholes=True, extra={"i": i, "f": f, "o": o})


def gru(p, e, h, t):
    r, z = (sigmoid(e @ p[f"W.{k}e"].T + h @ p[f"W.{k}h"].T + p[f"b.{k}"]) for k in "rz")
    n = np.tanh(e @ p["W.ne"].T + p["b.n"] + r * (h @ p["W.nh"].T + p["b.nh"]))
    return ((1 - z) * n + z * h,)


def gru_original(p, e, h, t):
    r, z = (sigmoid(e @ p[f"W.{k}e"].T + h @ p[f"W.{k}h"].T + p[f"b.{k}"]) for k in "rz")
    n = np.tanh(e @ p["W.ne"].T + (r * h) @ p["W.nh"].T + p["b.n"])
    return ((1 - z) * n + z * h,)


def mlp(p, e, h, last, before_last, t):
    return np.tanh(e @ p["W.he"].T + last @ p["W.hp"].T + before_last @ p["W.hq"].T + p["b.h"]), e, last


def clockwork(p, e, h, clock, t):
    """Koutník et al. 2014: module k is computed when 2^k divides t, from the modules of its period and longer ones."""
    new = h.copy()
    for unit in range(H):  # five units: five modules of one
        if t % 2**unit == 0:
            from_states = sum(p["W.hh"][unit, k] * h[:, k] for k in range(unit, H))
            new[:, unit] = np.tanh(e @ p["W.he"][unit] + from_states + p["b.h"][unit])
    return new, clock + 1


def lstm_1997(p, e, m, i, o, h, t):
    """Hochreiter and Schmidhuber 1997, appendix A.1, with g and h written as the paper has them."""
    i_new, o_new, net = (
        e @ p[f"W.{k}e"].T + m @ p[f"W.{k}m"].T + i @ p[f"W.{k}i"].T + o @ p[f"W.{k}o"].T + p[f"b.{k}"] for k in "ioh"
    )
    h = h + sigmoid(i_new) * (4 / (1 + np.exp(-net)) - 2)
    return sigmoid(o_new) * (2 / (1 + np.exp(-h)) - 1), sigmoid(i_new), sigmoid(o_new), h


STEPS = {
    "mlp": mlp,
    "rnn": elman(np.tanh),
    "rnn-logistic": elman(sigmoid),
    "relu-rnn": elman(lambda x: np.maximum(x, 0)),
    "cec": carousel,
    "lstm-v1": lambda p, e, m, h, t: lstm(p, e, m, h, gates="io")[:2],
    "lstm-v2": lambda p, e, m, h, t: lstm(p, e, m, h)[:2],
    "lstm-v3": lambda p, e, m, h, t: lstm(p, e, m, h, peepholes=True)[:2],
    "lstm-v4": projected,
    "clockwork": clockwork,
    "lstm": olah,
    "vanilla": greff(),
    "nig": greff(gates="fo"),
    "nfg": greff(gates="io"),
    "nog": greff(gates="if"),
    "niaf": greff(squash_in=linear),
    "noaf": greff(squash_out=linear),
    "cifg": lambda p, e, m, h, t: greff(gates="io")({**p, "coupled": True}, e, m, h, t),
    "np": greff(peepholes=False),
    "fgr": full_gate_recurrence,
    "lstm-coupled": coupled,
    "gru-original": gru_original,
    "gru": gru,
    "lstm-1997": lstm_1997,
    "lstm-1997-truncated": lstm_1997,
}


def make(name, **options):
    """A float64 layer with random parameters, and those parameters as arrays by their slide names."""
    torch.manual_seed(5)
    layer = Recurrent(name, E, H, proj_size=P if name == "lstm-v4" else 0, dtype=torch.float64, **options)
    for p in layer.parameters():
        nn.init.normal_(p, std=0.7)
    return layer, {k.removesuffix("_l0"): v.numpy() for k, v in layer.state_dict().items()}


def random_states(layer):
    states = layer.initial_state(B)
    states = [states] if isinstance(states, torch.Tensor) else list(states)
    return [s if n == "t" else torch.randn_like(s) for n, s in zip(layer.cell.states, states, strict=True)]


def test_every_cell_has_an_oracle():
    assert set(STEPS) == set(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_cell_agrees_with_numpy(name):
    layer, p = make(name)
    x, before = torch.randn(T, B, E, dtype=torch.float64), random_states(layer)
    output, after = layer(x, tuple(before) if len(before) > 1 else before[0])
    after = [after] if isinstance(after, torch.Tensor) else after

    states, outputs = [s[0].numpy() for s in before], []
    for t in range(T):
        states = STEPS[name](p, x[t].numpy(), *states, t)
        outputs.append(states[0])
    np.testing.assert_allclose(output.detach().numpy(), outputs, rtol=1e-10, atol=1e-12)
    for ours, expected in zip(after, states, strict=True):
        np.testing.assert_allclose(ours[0].detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def theano_step(x_t, m_tm1, h_tm1, w):
    """The lecture's ``lstm_step``, its slip corrected: the memory is called h throughout, and h is given back."""
    dot = np.dot
    e_t = dot(x_t, w["xe"])
    i_t = sigmoid(dot(e_t, w["ei"]) + dot(m_tm1, w["mi"]) + h_tm1 * w["hi"] + w["b_i"])
    f_t = sigmoid(dot(e_t, w["ef"]) + dot(m_tm1, w["mf"]) + h_tm1 * w["hf"] + w["b_f"])
    h_t = f_t * h_tm1 + i_t * np.tanh(dot(e_t, w["eh"]) + dot(m_tm1, w["mh"]) + w["b_h"])
    o_t = sigmoid(dot(e_t, w["eo"]) + dot(m_tm1, w["mo"]) + h_t * w["ho"] + w["b_o"])
    m_t = dot(o_t * np.tanh(h_t), w["mm"])
    y_t = softmax(dot(m_t, w["my"]))
    return m_t, h_t, y_t


def test_the_lectures_theano_step_is_lstm_v4():
    vocabulary, rng = 11, np.random.default_rng(3)
    w = {"xe": rng.normal(size=(vocabulary, E)), "mm": rng.normal(size=(H, P)), "my": rng.normal(size=(P, vocabulary))}
    for k in "ifho":
        w |= {f"e{k}": rng.normal(size=(E, H)), f"m{k}": rng.normal(size=(P, H)), f"b_{k}": rng.normal(size=H)}
        w |= {} if k == "h" else {f"h{k}": rng.normal(size=H)}
    words = rng.integers(vocabulary, size=(9, B))

    m, h, predicted = np.zeros((B, P)), np.zeros((B, H)), []
    for t in range(len(words)):
        m, h, y = theano_step(np.eye(vocabulary)[words[t]], m, h, w)
        predicted.append(y)

    def tensor(array):
        return torch.from_numpy(np.ascontiguousarray(array))

    layer, _ = make("lstm-v4")
    state = {f"W.{k}e_l0": tensor(w[f"e{k}"].T) for k in "ifho"} | {f"W.{k}m_l0": tensor(w[f"m{k}"].T) for k in "ifho"}
    state |= {f"b.{k}_l0": tensor(w[f"b_{k}"]) for k in "ifho"} | {f"w.{k}h_l0": tensor(w[f"h{k}"]) for k in "ifo"}
    layer.load_state_dict(state | {"W.mm_l0": tensor(w["mm"].T)})
    embedding = nn.Embedding.from_pretrained(tensor(w["xe"]))
    output, (m_last, h_last) = layer(embedding(tensor(words)))
    ours = torch.softmax(output @ tensor(w["my"]), dim=-1)
    np.testing.assert_allclose(ours.detach().numpy(), predicted, rtol=1e-10)
    np.testing.assert_allclose(m_last[0].detach().numpy(), m, rtol=1e-10)
    np.testing.assert_allclose(h_last[0].detach().numpy(), h, rtol=1e-10)


def test_mlp_is_a_linear_layer_over_the_last_three_words():
    layer, p = make("mlp")
    window = nn.Linear(3 * E, H, dtype=torch.float64)
    window.load_state_dict(
        {
            "weight": torch.from_numpy(np.concatenate([p["W.he"], p["W.hp"], p["W.hq"]], axis=1)),
            "bias": torch.from_numpy(p["b.h"]),
        }
    )
    x = torch.randn(T, B, E, dtype=torch.float64)
    padded = torch.cat([x.new_zeros(2, B, E), x])
    expected = torch.tanh(window(torch.cat([padded[2:], padded[1:-1], padded[:-2]], dim=2)))
    torch.testing.assert_close(layer(x)[0], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("variant", "gate", "bias"),
    [("nig", "i", 1e3), ("nfg", "f", 1e3), ("nog", "o", 1e3)],
)
def test_a_variant_without_a_gate_is_vanilla_with_that_gate_forced_open(variant, gate, bias):
    vanilla, p = make("vanilla")
    less, _ = make(variant)
    with torch.no_grad():
        for name, parameter in vanilla.named_parameters():
            if name.split(".")[1][0] == gate:
                parameter.fill_(bias if name.startswith("b.") else 0.0)
    kept = {k: torch.from_numpy(p[k.removesuffix("_l0")]) for k in less.state_dict()}
    less.load_state_dict(kept)
    x = torch.randn(T, B, E, dtype=torch.float64)
    torch.testing.assert_close(less(x)[0], vanilla(x)[0], rtol=1e-12, atol=0)


def test_constant_error_carousel_carries_the_error_unchanged():
    """Without recurrent weights ∂h_T/∂h_0 is exactly the identity."""
    layer, _ = make("cec")
    nn.init.zeros_(layer.W["hm_l0"])
    h = torch.zeros(1, 1, H, dtype=torch.float64, requires_grad=True)
    _, (_, last) = layer(torch.randn(50, 1, E, dtype=torch.float64), (torch.zeros(1, 1, H, dtype=torch.float64), h))
    last.sum().backward()
    assert torch.equal(h.grad, torch.ones_like(h))


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_says_what_it_is_and_where_it_is_from(name):
    c = CELLS[name]
    assert c.name == name
    assert c.doc.endswith(".")
    assert any(source in c.citation for source in ("Renshaw", "SuperDataScience", "Greff", "Hochreiter and Schmidhuber 1997"))


def test_get_by_name_or_cell():
    assert get("lstm-v3") is CELLS["lstm-v3"]
    assert get(CELLS["gru"]) is CELLS["gru"]


def test_unknown_cell_suggests_near_names():
    with pytest.raises(ValueError, match=r"no cell is called 'lstm-v5'; did you mean .*lstm-v\d"):
        get("lstm-v5")
    with pytest.raises(ValueError, match=r"there are mlp, rnn, .*gru"):
        get("zzz")
