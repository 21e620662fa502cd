"""Every cell of a paper against its equations, written here in plain PyTorch with the paper's letters: values and gradients."""

import json
import math
import pickle
from xml.etree import ElementTree

import pytest
import torch

from carousel import kernels
from carousel.cells import CELLS, get
from carousel.cells.catalogue import MEANING, catalogue, found
from carousel.cells.papers import (
    BRANCHED,
    FAMILIES,
    PAPERS,
    coupled_oscillators,
    dilated_lstm,
    higher_order,
    legendre_memory,
    lipschitz,
    liquid,
    mogrifier_lstm,
    recurrent_highway,
)
from carousel.drawing.svg import standalone
from carousel.equations.stored import StoredCell, as_data
from carousel.layers import Recurrent

D, N, P, T, B = 3, 5, 2, 4, 2  # input, units, units of an output of its own size, steps, rows
C = 4  # units of a further input
σ, tanh, relu = torch.sigmoid, torch.tanh, torch.relu


class Weights(dict):
    """``p("W.fe", x)`` is the product of that weight and x, ``p["b.f"]`` a vector."""

    def __call__(self, name, x):
        return torch.einsum("ij,bj->bi", self[name], x)

    def sum(self, into, e, h, state="h", bias=True):
        """W x + U h (+ b) of one gate."""
        total = self(f"W.{into}e", e) + self(f"W.{into}{state}", h)
        return total + self[f"b.{into}"] if bias else total


def mgu(p, x, h):
    f = σ(p.sum("f", x, h))
    h_tilde = tanh(p("W.ne", x) + p("W.nh", f * h) + p["b.n"])
    return ((1 - f) * h + f * h_tilde,)


def ugrnn(p, x, h):
    c, g = tanh(p.sum("n", x, h)), σ(p.sum("g", x, h))
    return (g * h + (1 - g) * c,)


def intersection(p, x, y, h):
    y_in, h_in, g_y, g_h = relu(p.sum("y", x, h)), tanh(p.sum("n", x, h)), σ(p.sum("u", x, h)), σ(p.sum("g", x, h))
    return g_y * x + (1 - g_y) * y_in, g_h * h + (1 - g_h) * h_in


def mut1(p, x, h):
    z, r = σ(p("W.ze", x) + p["b.z"]), σ(p.sum("r", x, h))
    return (tanh(p("W.hh", r * h) + tanh(x) + p["b.h"]) * z + h * (1 - z),)


def mut2(p, x, h):
    z, r = σ(p.sum("z", x, h)), σ(x + p("W.rh", h) + p["b.r"])
    return (tanh(p("W.hh", r * h) + p("W.he", x) + p["b.h"]) * z + h * (1 - z),)


def mut3(p, x, h):
    z, r = σ(p("W.ze", x) + p("W.zh", tanh(h)) + p["b.z"]), σ(p.sum("r", x, h))
    return (tanh(p("W.hh", r * h) + p("W.he", x) + p["b.h"]) * z + h * (1 - z),)


def cfn(p, x, h):
    θ, η = σ(p.sum("f", x, h)), σ(p.sum("i", x, h))
    return (θ * tanh(h) + η * tanh(p("W.he", x)),)


def minimal_rnn(p, x, h):
    z = tanh(p("W.ne", x) + p["b.n"])
    u = σ(p("W.uh", h) + p("W.un", z) + p["b.u"])
    return (u * h + (1 - u) * z,)


def star(p, x, h):
    z, k = tanh(p("W.ne", x) + p["b.n"]), σ(p.sum("k", x, h))
    return (tanh((1 - k) * h + k * z),)


def atr(p, x, h):
    p_t, q_t = p("W.pe", x) + p["b.p"], p("W.qh", h)
    return (σ(p_t + q_t) * p_t + σ(p_t - q_t) * h,)


def bistable(p, x, h, hears):
    a, c = 1 + tanh(p("W.ae", x) + hears("a", h)), σ(p("W.ce", x) + hears("c", h))
    return (c * h + (1 - c) * tanh(p("W.he", x) + a * h),)


def m_lstm(p, x, h, c):
    m = p("W.ne", x) * p("W.nm", h)
    i, f, o = (σ(p.sum(k, x, m, "n")) for k in "ifo")
    c = f * c + i * tanh(p.sum("h", x, m, "n"))
    return tanh(c) * o, c


def janet(p, x, h):
    s = p.sum("f", x, h)
    return (σ(s) * h + (1 - σ(s - 1.0)) * tanh(p.sum("h", x, h)),)


def sub_lstm(p, x, h, c):
    z, i, f, o = (σ(p.sum(k, x, h, "m")) for k in "zifo")
    c = f * c + z - i
    return σ(c) - o, c


def ran(p, x, h, c):
    i, f = (σ(p.sum(k, x, h, "m")) for k in "if")
    c = i * p("W.ne", x) + f * c
    return tanh(c), c


def nas(p, x, m, c):
    left, right = ([p(f"W.{k}{s}", y) + (p[f"b.{k}"] if s == "m" else 0) for k in "pqrsuvxy"] for s, y in (("e", x), ("m", m)))
    first = [f(a + b) for f, a, b in zip((σ, relu, σ, None, tanh, σ, tanh, σ), left, right, strict=True) if f]
    first.insert(3, relu(left[3] * right[3]))
    second = [tanh(first[0] * first[1]), tanh(first[2] + first[3]), tanh(first[4] * first[5]), σ(first[6] + first[7])]
    c = tanh(second[0] + c) * second[1]
    return tanh(tanh(c) * tanh(second[2] + second[3])), c


def slstm(p, x, h, c, n, m):
    i, f, z, o = (p.sum(k, x, h, "m") for k in "ifho")
    log_f = -torch.log1p(torch.exp(-f))
    m_new = torch.maximum(log_f + m, i)
    i, f = torch.exp(i - m_new), torch.exp(log_f + m - m_new)
    c, n = f * c + i * tanh(z), f * n + i
    return σ(o) * c / n, c, n, m_new


def mogrifier(rounds):
    def step(p, x, h, c):
        for k in range(1, rounds + 1):  # Q for odd, R for even
            if k % 2:
                x = 2 * σ(p(f"W.e{k}", h)) * x
            else:
                h = 2 * σ(p(f"W.m{k}", x)) * h
        i, f, o = (σ(p.sum(k, x, h, "m")) for k in "ifo")
        c = f * c + i * tanh(p.sum("h", x, h, "m"))
        return o * tanh(c), c

    return step


def t_rnn(p, x, h):
    f = σ(p("W.fe", x) + p["b.f"])
    return (f * h + (1 - f) * p("W.ne", x),)


def qrnn(p, x, h, c, x_before):
    z, f, o = (p(f"W.{k}p", x_before) + p(f"W.{k}e", x) for k in "nfo")
    c = σ(f) * c + (1 - σ(f)) * tanh(z)
    return σ(o) * c, c, x


def gilr(p, x, h):
    g, i = σ(p("W.ge", x) + p["b.g"]), tanh(p("W.ie", x) + p["b.i"])
    return (g * h + (1 - g) * i,)


def sru(p, x, h, c):
    f, r = (σ(p(f"W.{k}e", x) + p[f"w.{k}h"] * c + p[f"b.{k}"]) for k in "fr")
    c = f * c + (1 - f) * p("W.he", x)
    return r * c + (1 - r) * x, c


def min_gru(p, x, h):
    z = σ(p("W.ze", x) + p["b.z"])
    return ((1 - z) * h + z * (p("W.he", x) + p["b.h"]),)


def min_lstm(p, x, h):
    f, i = σ(p("W.fe", x) + p["b.f"]), σ(p("W.ie", x) + p["b.i"])
    return (f / (f + i) * h + i / (f + i) * (p("W.he", x) + p["b.h"]),)


def m_rnn(p, x, h):
    f = torch.stack([torch.diag(p["W.fe"] @ row) @ p["W.fh"] @ h_row for row, h_row in zip(x, h, strict=True)])
    return (tanh(p("W.hf", f) + p("W.he", x) + p["b.h"]),)


def scrn(p, x, h, s):
    α = 0.95
    s = (1 - α) * p("W.se", x) + α * s
    return σ(p("W.hs", s) + p("W.he", x) + p("W.hh", h)), s


def ind_rnn(p, x, h):
    return (relu(p("W.he", x) + p["w.hh"] * h + p["b.h"]),)


def fast_rnn(p, x, h):
    return (σ(p["b.alpha"]) * tanh(p.sum("h", x, h)) + σ(p["b.beta"]) * h,)


def fast_grnn(p, x, h):
    both = p("W.he", x) + p("W.hh", h)
    z, h_tilde = σ(both + p["b.z"]), tanh(both + p["b.h"])
    return ((σ(p["b.zeta"]) * (1 - z) + σ(p["b.nu"])) * h_tilde + z * h,)


def highway(depth):
    def step(p, x, s):
        for k in range(1, depth + 1):
            h, t = (p(f"W.{a}{k}", s) + p[f"b.{a}{k}"] + (p(f"W.{a}e", x) if k == 1 else 0) for a in "hg")
            s = tanh(h) * σ(t) + s * (1 - σ(t))
        return (s,)

    return step


def oscillators(dt, γ, ε):
    def step(p, u, y, z):
        z = z + dt * tanh(p("W.zy", y) + p("W.zz", z) + p("W.ze", u) + p["b.z"]) - dt * γ * y - dt * ε * z
        return y + dt * z, z

    return step


def antisymmetric(p, x, h):
    matrix = p["W.hh"] - p["W.hh"].T - 0.01 * torch.eye(N, dtype=x.dtype)
    return (h + 0.1 * tanh(h @ matrix.T + p("W.he", x) + p["b.h"]),)


def antisymmetric_gated(p, x, h):
    flow = h @ (p["W.hh"] - p["W.hh"].T - 0.01 * torch.eye(N, dtype=x.dtype)).T
    return (h + 0.1 * σ(flow + p("W.ze", x) + p["b.z"]) * tanh(flow + p("W.he", x) + p["b.h"]),)


def lipschitz_step(ε, β, γ):
    def matrix(m):
        return (1 - β) * (m + m.T) + β * (m - m.T) - γ * torch.eye(N, dtype=m.dtype)

    def step(p, x, h):
        flow = tanh(h @ matrix(p["W.sh"]).T + p("W.he", x) + p["b.h"])
        return (h + ε * (h @ matrix(p["W.ah"]).T + flow),)

    return step


def legendre(θ):
    """The memory as a delay line that is fed one number, by the series of its differential equation's solution."""

    def a_and_b(d):
        a = torch.tensor([[(2 * i + 1) * (-1.0 if i < j else (-1.0) ** (i - j + 1)) for j in range(d)] for i in range(d)])
        b = torch.tensor([(2 * i + 1) * (-1.0) ** i for i in range(d)])
        return a.double() / θ, b.double() / θ

    def step(p, x, h, m):
        u = x @ p["w.e"] + h @ p["w.h"] + m @ p["w.m"]
        a, b = a_and_b(m.shape[1])
        term, new = m @ a.T + u[:, None] * b, m
        for k in range(1, 40):  # m' = Am + Bu with u held: the series of its solution after one step
            new = new + term
            term = term @ a.T / (k + 1)
        return tanh(p("W.he", x) + p("W.hh", h) + p("W.hm", new)), new

    return step


def lem(p, u, y, z):
    dt, dt_bar = σ(p.sum("d", u, y, "y")), σ(p.sum("u", u, y, "y"))
    z = (1 - dt) * z + dt * tanh(p.sum("z", u, y, "y"))
    return (1 - dt_bar) * y + dt_bar * tanh(p("W.yz", z) + p("W.ye", u) + p["b.y"]), z


def phased_lstm(p, x, h, c, time):
    s, τ, r_on, α = p["b.s"], p["b.tau"].exp(), 0.05, 0.001
    φ = torch.remainder(time - s, τ) / τ
    k = torch.where(φ < r_on / 2, 2 * φ / r_on, torch.where(φ < r_on, 2 - 2 * φ / r_on, α * φ))
    i, f = (σ(p.sum(g, x, h, "m") + p[f"w.{g}h"] * c) for g in "if")
    c_tilde = f * c + i * tanh(p.sum("h", x, h, "m"))
    h_tilde = σ(p.sum("o", x, h, "m") + p["w.on"] * c_tilde) * tanh(c_tilde)
    return k * h_tilde + (1 - k) * h, k * c_tilde + (1 - k) * c


def time_lstm(p, x, h, c, d):
    i, f = (σ(p.sum(g, x, h, "m") + p[f"w.{g}h"] * c) for g in "if")
    T_m = σ(p("W.ge", x) + σ(d * p["w.gd"]) + p["b.g"])
    c = f * c + i * T_m * tanh(p.sum("h", x, h, "m"))
    o = σ(p.sum("o", x, h, "m") + d * p["w.od"] + p["w.oh"] * c)
    return o * tanh(c), c


def t_lstm(p, x, h, c, d):
    c_short = tanh(p("W.sh", c) + p["b.s"])
    c_star = (c - c_short) + c_short / torch.log(torch.e + d)
    f, i, o = (σ(p.sum(g, x, h, "m")) for g in "fio")
    c = f * c_star + i * tanh(p.sum("h", x, h, "m"))
    return o * tanh(c), c


def gru_d(p, x, h, x_last, k, d):
    m, δ, x_mean = k, d, 0
    γ_x = torch.exp(-torch.clamp(p["w.ed"] * δ + p["b.e"], min=0))
    γ_h = torch.exp(-torch.clamp(p("W.ud", δ) + p["b.u"], min=0))
    x_hat, h = m * x + (1 - m) * (γ_x * x_last + (1 - γ_x) * x_mean), γ_h * h
    r, z = (σ(p(f"W.{g}x", x_hat) + p(f"W.{g}u", h) + p(f"W.{g}k", m) + p[f"b.{g}"]) for g in "rz")
    h_tilde = tanh(p("W.hx", x_hat) + p("W.hu", r * h) + p("W.hk", m) + p["b.h"])
    return (1 - z) * h + z * h_tilde, m * x + (1 - m) * x_last


def hawkes(p, x, _, c, c_bar, δ, o, d):
    c_t = c_bar + (c - c_bar) * torch.exp(-δ * d)
    h_t = o * (2 * σ(2 * c_t) - 1)
    i, f, o, i_bar, f_bar = (σ(p.sum(g, x, h_t, "m")) for g in "ifojg")
    z, δ = 2 * σ(p.sum("z", x, h_t, "m")) - 1, torch.nn.functional.softplus(p.sum("v", x, h_t, "m"))
    return h_t, f * c_t + i * z, f_bar * c_bar + i_bar * z, δ, o


def attention_gru(p, x, h, a):
    r = σ(p.sum("r", x, h))
    return (a * tanh(p("W.ne", x) + r * p("W.nh", h) + p["b.n"]) + (1 - a) * h,)


def augru(p, x, h, a):
    u, r = σ(p.sum("u", x, h)), σ(p.sum("r", x, h))
    return ((1 - a * u) * h + a * u * tanh(p("W.ne", x) + r * p("W.nh", h) + p["b.n"]),)


def contextual_lstm(p, x, h, c_before, c):
    T, c = c, c_before
    i, f = (σ(p.sum(g, x, h, "m") + p[f"w.{g}h"] * c + p(f"W.{g}c", T)) for g in "if")
    c = f * c + i * tanh(p.sum("h", x, h, "m") + p("W.hc", T))
    return σ(p.sum("o", x, h, "m") + p["w.oh"] * c + p("W.oc", T)) * tanh(c), c


def liquid_time(steps):
    def step(p, I, x, d):  # noqa: E741  # the paper's letter
        for _ in range(steps):
            f, Δt = σ(p.sum("f", I, x)), d / steps
            x = (x + Δt * f * p["b.a"]) / (1 + Δt * (torch.nn.functional.softplus(p["b.tau"]) + f))
        return (x,)

    return step


def closed_form(p, x, h, d):
    z = 1.7159 * tanh(0.666 * p.sum("x", x, h))
    f, g, a, b = (p(f"W.{k}x", z) + p[f"b.{k}"] for k in "fgak")
    gate = σ(a * d + b)
    return (tanh(f) * (1 - gate) + gate * tanh(g),)


def layer_norm(p, letters, x):
    return torch.nn.functional.layer_norm(x, x.shape[1:], p[f"w.{letters}"], p[f"b.{letters}"])


def layer_norm_lstm(p, x, h, c):
    def gate(k):
        return layer_norm(p, f"{k}m", p(f"W.{k}m", h)) + layer_norm(p, f"{k}e", p(f"W.{k}e", x)) + p[f"b.{k}"]

    c = σ(gate("f")) * c + σ(gate("i")) * tanh(gate("h"))
    return σ(gate("o")) * tanh(layer_norm(p, "mh", c)), c


def narx(p, x, y1, x1, y2, y3):
    hidden = tanh(p("W.he", x) + p("W.hx", x1) + p("W.hm", y1) + p("W.hn", y2) + p("W.ho", y3) + p["b.h"])
    return p("W.mh", hidden) + p["b.m"], x, y1, y2


def higher(order):
    def step(p, x, *h):
        new = tanh(p("W.he", x) + sum(p(f"W.h{n}", h[n - 1]) for n in range(1, order + 1)) + p["b.h"])
        return new, *h[:-1]

    return step


def dilated(s):
    def step(p, x, y1, c1, *past):
        y, c = [y1, *past[: s - 1]], [c1, *past[s - 1 :]]
        i, f, o = (σ(p.sum(k, x, y[-1], "m")) for k in "ifo")
        new = f * c[-1] + i * tanh(p.sum("h", x, y[-1], "m"))
        return o * tanh(new), new, *y[:-1], *c[:-1]

    return step


def layer_norm_gru(p, x, h):
    def part(k, other, y):
        return layer_norm(p, k + other, p(f"W.{k}{other}", y))

    z, r = (σ(part(k, "h", h) + part(k, "e", x)) for k in "zr")
    return ((1 - z) * h + z * tanh(part("n", "e", x) + r * part("n", "h", h)),)


# Cells with noise, of which a layer draws none by default.


def lstm(p, x, h, c):
    i, f, o = (σ(p.sum(k, x, h, "m")) for k in "ifo")
    c = f * c + i * tanh(p.sum("h", x, h, "m"))
    return o * tanh(c), c


def gru_with_reset_after(p, x, h):
    z, r = σ(p.sum("z", x, h)), σ(p.sum("r", x, h))
    return ((1 - z) * tanh(p("W.ne", x) + p["b.n"] + r * (p("W.nh", h) + p["b.nh"])) + z * h,)


def gru_with_reset_before(p, x, h):
    z, r = σ(p.sum("z", x, h)), σ(p.sum("r", x, h))
    return ((1 - z) * h + z * tanh(p("W.ge", x) + p("W.gh", r * h) + p["b.g"]),)


STEPS = {
    "multiplicative-rnn": m_rnn,
    "scrn": scrn,
    "narx": narx,
    "horn": higher(3),
    "lstm-dilated": dilated(2),
    "rhn": highway(5),
    "ind-rnn": ind_rnn,
    "fast-rnn": fast_rnn,
    "fast-grnn": fast_grnn,
    "mut1": mut1,
    "mut2": mut2,
    "mut3": mut3,
    "mgu": mgu,
    "gru-layer-norm": layer_norm_gru,
    "gru-recurrent-dropout": gru_with_reset_before,
    "cfn": cfn,
    "minimal-rnn": minimal_rnn,
    "ugrnn": ugrnn,
    "intersection-rnn": intersection,
    "gru-zoneout": gru_with_reset_after,
    "atr": atr,
    "brc": lambda p, x, h: bistable(p, x, h, lambda k, h: p[f"w.{k}h"] * h),
    "nbrc": lambda p, x, h: bistable(p, x, h, lambda k, h: p(f"W.{k}h", h)),
    "star": star,
    "multiplicative-lstm": m_lstm,
    "lstm-layer-norm": layer_norm_lstm,
    "lstm-recurrent-dropout": lstm,
    "lstm-variational": lstm,
    "nas": nas,
    "ran": ran,
    "sub-lstm": sub_lstm,
    "lstm-zoneout": lstm,
    "lstm-layer-norm-zoneout": layer_norm_lstm,
    "janet": janet,
    "mogrifier": mogrifier(5),
    "slstm": slstm,
    "t-rnn": t_rnn,
    "qrnn": qrnn,
    "gilr": gilr,
    "sru": sru,
    "min-gru": min_gru,
    "min-lstm": min_lstm,
    "cornn": oscillators(0.042, 2.7, 4.7),
    "lem": lem,
    "antisymmetric-rnn": antisymmetric,
    "antisymmetric-gated": antisymmetric_gated,
    "lipschitz-rnn": lipschitz_step(0.1, 0.75, 0.001),
    "lmu": legendre(100.0),
    "ltc": liquid_time(6),
    "cfc": closed_form,
    "phased-lstm": phased_lstm,
    "attention-gru": attention_gru,
    "contextual-lstm": contextual_lstm,
    "time-lstm": time_lstm,
    "t-lstm": t_lstm,
    "neural-hawkes": hawkes,
    "gru-d": gru_d,
    "augru": augru,
}
MADE = {
    "mogrifier-2": (mogrifier_lstm(2), mogrifier(2)),
    "lipschitz-rnn-0.03-0.9-0.1": (lipschitz(0.03, 0.9, 0.1), lipschitz_step(0.03, 0.9, 0.1)),
    "lmu-7.5": (legendre_memory(7.5), legendre(7.5)),
    "horn-5": (higher_order(5), higher(5)),
    "lstm-dilated-1": (dilated_lstm(1), dilated(1)),
    "lstm-dilated-4": (dilated_lstm(4), dilated(4)),
    "rhn-1": (recurrent_highway(1), highway(1)),
    "rhn-3": (recurrent_highway(3), highway(3)),
    "ltc-2": (liquid(2), liquid_time(2)),
    "cornn-0.1-1-0.5": (coupled_oscillators(0.1, 1.0, 0.5), oscillators(0.1, 1.0, 0.5)),
}


def test_every_cell_has_an_independent_step():
    assert STEPS.keys() == PAPERS.keys()


@pytest.mark.parametrize("name", [*STEPS, *MADE])
def test_values_and_gradients_are_those_of_the_papers_equations(name):
    cell, step = MADE[name] if name in MADE else (PAPERS[name], STEPS[name])
    assert cell.name == name
    torch.manual_seed(3)
    size = N if cell.trace.input_like else D
    own = dict.fromkeys(cell.sized, C)
    layer = Recurrent(cell, size, N, proj_size=P if cell.has_projection else 0, input_sizes=own, dtype=torch.float64)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    x = torch.randn(T, B, size, dtype=torch.float64, requires_grad=True)
    zeros = layer.initial_state(B)
    before = [torch.randn_like(s).requires_grad_() for s in (zeros if isinstance(zeros, tuple) else (zeros,))]
    inputs = {
        x.name: (0.1 + torch.rand(T, B, cell.length(x.size, *layer.sizes()), dtype=torch.float64)).requires_grad_()
        for x in cell.trace.inputs
    }
    parameters = dict(layer.named_parameters())
    p = Weights({k.removesuffix("_l0"): v for k, v in parameters.items()})

    states, outputs = tuple(s[0] for s in before), []
    for k, row in enumerate(x):
        states = step(p, row, *states, **{name: values[k] for name, values in inputs.items()})
        outputs.append(states[0])
    results = [torch.stack(outputs), *states]
    weights = [torch.randn_like(r) for r in results]
    leaves = [x, *before, *inputs.values(), *parameters.values()]

    def gradients(of):  # of a message that its cell does not hear, None: it is zero
        found = torch.autograd.grad(sum((r * w).sum() for r, w in zip(of, weights, strict=True)), leaves, allow_unused=True)
        return [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]

    wanted = gradients(results)
    assert all(g.any() for g in wanted[1 + len(before) :])
    for back_end in ("reference", "cpu"):
        with kernels.use(back_end):
            output, after = layer(x, tuple(before) if len(before) > 1 else before[0], **inputs)
        results_of = [output, *(s[0] for s in (after if isinstance(after, tuple) else (after,)))]
        for ours, theirs in zip((*results_of, *gradients(results_of)), (*results, *wanted), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10, msg=lambda m, b=back_end: f"{b}: {m}")


def test_the_phased_gate_opens_and_shuts_in_its_rhythm():
    layer = Recurrent("phased-lstm", 1, 1, dtype=torch.float64)
    with torch.no_grad():
        layer.parameter("b.s").fill_(2.0)
        layer.parameter("b.tau").fill_(math.log(10))
    φ = torch.tensor([0.005, 0.01, 0.02499, 0.0251, 0.04, 0.0501, 0.5, 0.999], dtype=torch.float64)
    time = 2 + 10 * (φ + torch.tensor([-1, 0, 3, 0, 1, -2, 7, 0]))
    _, _, seen = layer(torch.zeros(8, 1, dtype=torch.float64), record=["k"], time=time)
    wanted = [0.2, 0.4, 0.9996, 2 - 0.0251 * 40, 0.4, 0.0000501, 0.0005, 0.000999]
    torch.testing.assert_close(seen["k"].flatten(), torch.tensor(wanted, dtype=torch.float64), rtol=1e-9, atol=1e-9)


def test_missing_inputs_of_gru_d_are_not_looked_at():
    torch.manual_seed(0)
    layer, x = Recurrent("gru-d", D, N), torch.randn(T, B, D)
    mask, gaps = (torch.rand(T, B, D) < 0.5).float(), torch.rand(T, B, D)
    torch.testing.assert_close(*(layer(y, k=mask, d=gaps)[0] for y in (x, torch.where(mask > 0, x, 99.0))))


def test_cfc_is_the_packages():
    ncps = pytest.importorskip("ncps.torch")
    torch.manual_seed(0)
    theirs = ncps.CfC(D, N, backbone_units=N, backbone_layers=1, mode="default").double()
    ours, state = Recurrent("cfc", D, N, dtype=torch.float64), dict(theirs.named_parameters())
    found = {name.split("rnn_cell.")[1]: value for name, value in state.items()}
    first = found["backbone.0.weight"]
    weights = {"W.xe_l0": first[:, :D], "W.xh_l0": first[:, D:], "b.x_l0": found["backbone.0.bias"]}
    for letter, name in (("f", "ff1"), ("g", "ff2"), ("a", "time_a"), ("k", "time_b")):
        weights |= {f"W.{letter}x_l0": found[f"{name}.weight"], f"b.{letter}_l0": found[f"{name}.bias"]}
    ours.load_state_dict(weights)
    x, gaps = torch.randn(B, T, D, dtype=torch.float64), torch.rand(B, T, dtype=torch.float64)
    found, _ = ours(x.transpose(0, 1), d=gaps.t())
    for row in range(B):  # theirs takes the gaps of one sequence alone
        wanted, _ = theirs(x[row : row + 1], timespans=gaps[row : row + 1])
        torch.testing.assert_close(found[:, row], wanted[0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", PAPERS)
def test_every_cell_is_named_cited_and_picklable(name):
    c = get(name)
    year = next(year for years in FAMILIES.values() for year, cells in years.items() if c in cells)
    assert c is PAPERS[name] and c.doc.endswith(".") and f" {year}, " in c.citation
    assert pickle.loads(pickle.dumps(c)) is c


@pytest.mark.parametrize("name", PAPERS)
def test_every_cell_is_drawn_printed_and_kept_as_data(name):
    c = PAPERS[name]
    drawn = ElementTree.fromstring(standalone(c))
    assert {g.get("data-name") for g in drawn.iter() if g.get("data-name")} >= {s.name for s in c.trace.declared} | {*c.gates}
    assert c.latex.count("{") == c.latex.count("}")
    sizes = (N, N, N, *[C] * len(c.sized))
    again = StoredCell(json.loads(json.dumps(as_data(c, [sizes]))))
    assert (again.text, again.gates) == (c.text, c.gates)
    assert again.parameter_specs(*sizes) == c.parameter_specs(*sizes)


def test_the_catalogue_has_every_cell_once():
    entries = catalogue()
    assert sorted(entry.cell.name for entry in entries) == sorted([*CELLS, *PAPERS, *BRANCHED])
    assert {entry.family for entry in entries} == MEANING.keys()
    for entry in entries:
        ours = entry.cell.name == "vanilla" or "1997" in entry.cell.name
        assert str(entry.year) in entry.cell.citation or ours


def test_the_catalogue_is_searched_in_names_sources_and_equations():
    names = {entry.cell.name for entry in found("peephole", catalogue())}
    assert {"lstm-v3", "vanilla"} <= names and "rnn" not in names
    assert [entry.cell.name for entry in found("maximum(", catalogue())] == ["slstm"]
