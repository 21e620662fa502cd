"""Every cell of a paper against its equations, written here in plain PyTorch with the paper's letters: values and gradients."""

import json
import pickle
from xml.etree import ElementTree

import pytest
import torch

from carousel import kernels
from carousel.cells import CELLS, get
from carousel.cells.catalogue import MEANING, catalogue, found
from carousel.cells.papers import (
    FAMILIES,
    PAPERS,
    coupled_oscillators,
    dilated_lstm,
    higher_order,
    legendre_memory,
    lipschitz,
    mogrifier_lstm,
    recurrent_highway,
)
from carousel.drawing.svg import standalone
from carousel.equations.stored import StoredCell, as_data
from carousel.layers import Recurrent

D, N, P, T, B = 3, 5, 2, 4, 2  # input, units, units of an output of its own size, steps, rows
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
    "cfn": cfn,
    "minimal-rnn": minimal_rnn,
    "ugrnn": ugrnn,
    "intersection-rnn": intersection,
    "atr": atr,
    "brc": lambda p, x, h: bistable(p, x, h, lambda k, h: p[f"w.{k}h"] * h),
    "nbrc": lambda p, x, h: bistable(p, x, h, lambda k, h: p(f"W.{k}h", h)),
    "star": star,
    "multiplicative-lstm": m_lstm,
    "lstm-layer-norm": layer_norm_lstm,
    "nas": nas,
    "ran": ran,
    "sub-lstm": sub_lstm,
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
    layer = Recurrent(cell, size, N, proj_size=P if cell.has_projection else 0, dtype=torch.float64)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    x = torch.randn(T, B, size, dtype=torch.float64, requires_grad=True)
    zeros = layer.initial_state(B)
    before = [torch.randn_like(s).requires_grad_() for s in (zeros if isinstance(zeros, tuple) else (zeros,))]
    parameters = dict(layer.named_parameters())
    p = Weights({k.removesuffix("_l0"): v for k, v in parameters.items()})

    states, outputs = tuple(s[0] for s in before), []
    for row in x:
        states = step(p, row, *states)
        outputs.append(states[0])
    results = [torch.stack(outputs), *states]
    weights = [torch.randn_like(r) for r in results]
    leaves = [x, *before, *parameters.values()]

    def gradients(of):  # of a message that its cell does not hear, None: it is zero
        found = torch.autograd.grad(sum((r * w).sum() for r, w in zip(of, weights, strict=True)), leaves, allow_unused=True)
        return [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]

    wanted = gradients(results)
    assert all(g.any() for g in wanted[1 + len(before) :])
    for back_end in ("reference", "cpu"):
        with kernels.use(back_end):
            output, after = layer(x, tuple(before) if len(before) > 1 else before[0])
        results_of = [output, *(s[0] for s in (after if isinstance(after, tuple) else (after,)))]
        for ours, theirs in zip((*results_of, *gradients(results_of)), (*results, *wanted), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10, msg=lambda m, b=back_end: f"{b}: {m}")


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
    sizes = (N, N, N)
    again = StoredCell(json.loads(json.dumps(as_data(c, [sizes]))))
    assert (again.text, again.gates) == (c.text, c.gates)
    assert again.parameter_specs(*sizes) == c.parameter_specs(*sizes)


def test_the_catalogue_has_every_cell_once():
    entries = catalogue()
    assert sorted(entry.cell.name for entry in entries) == sorted([*CELLS, *PAPERS])
    assert {entry.family for entry in entries} == MEANING.keys()
    for entry in entries:
        ours = entry.cell.name == "vanilla" or "1997" in entry.cell.name
        assert str(entry.year) in entry.cell.citation or ours


def test_the_catalogue_is_searched_in_names_sources_and_equations():
    names = {entry.cell.name for entry in found("peephole", catalogue())}
    assert {"lstm-v3", "vanilla"} <= names and "rnn" not in names
    assert [entry.cell.name for entry in found("maximum(", catalogue())] == ["slstm"]
