"""Noise in the equations: traced, printed, stored, derived, taken out; and what is refused."""

import json
from xml.etree import ElementTree

import pytest

from carousel.cells import get
from carousel.drawing.svg import standalone
from carousel.equations import EquationError, cell, dropout, logistic, mean, tanh, where, zoneout
from carousel.equations.derivative import derive
from carousel.equations.loop import loop
from carousel.equations.noise import COUNTED
from carousel.equations.stored import StoredCell, as_data


@cell
def noisy(e, m, h, W, w, b, p):
    x = dropout(e, p.e)
    i = logistic(W.ie @ x + W.im @ dropout(m, p.m, once=True) + b.i)
    h_new = (1 - i) * h + i * dropout(tanh(W.he @ x + b.h), p.g)
    h = zoneout(h_new, h, p["in"])
    m = tanh(h)
    return m, h


def test_they_read_as_they_were_written():
    assert noisy.text.splitlines() == [
        "xₜ = dropout(eₜ, p.e)",
        "iₜ = logistic(W.ie xₜ + W.im dropout_once(mₜ₋₁, p.m) + b.i)",
        "h_newₜ = (1 - iₜ) ⊙ hₜ₋₁ + iₜ ⊙ dropout(tanh(W.he xₜ + b.h), p.g)",
        "hₜ = zoneout(h_newₜ, hₜ₋₁, p.in)",
        "mₜ = tanh(hₜ)",
    ]
    assert r"\operatorname{zoneout}_{\mathbf{p}^{in}}\left(" in noisy.latex
    assert r"\operatorname{dropout}^{\mathrm{once}}_{\mathbf{p}^{m}}\left(" in noisy.latex
    assert (noisy.rates, noisy.gates) == (("e", "m", "g", "in"), ("i",))
    assert noisy.learned == ("W.ie", "W.im", "b.i", "W.he", "b.h")
    assert [(d.number, d.rate.letters, d.once) for d in noisy.trace.draws] == [
        (0, "e", False),
        (1, "m", True),
        (2, "g", False),
        (3, "in", False),
    ]


def test_evaluation_knows_nothing_of_noise():
    quiet = noisy.quiet
    assert quiet.text.splitlines() == [
        "xₜ = eₜ",
        "iₜ = logistic(W.ie eₜ + W.im mₜ₋₁ + b.i)",
        "h_newₜ = (1 - iₜ) ⊙ hₜ₋₁ + iₜ ⊙ tanh(W.he eₜ + b.h)",
        "hₜ = p.in ⊙ hₜ₋₁ + (1 - p.in) ⊙ h_newₜ",
        "mₜ = tanh(hₜ)",
    ]
    assert (quiet.given, quiet.quiet, quiet.names) == ({"p.in": "in"}, quiet, noisy.names)
    assert not loop(quiet.trace, quiet.schedule).draws and loop(noisy.trace, noisy.schedule).draws
    assert get("lstm").quiet is get("lstm")


def test_a_rate_of_two_sizes_is_two_numbers_in_evaluation():
    @cell
    def projected(e, m, h, W, p):
        h = zoneout(tanh(W.he @ e + W.hm @ m), h, p.z)
        return zoneout(W.mh @ h, m, p.z), h

    assert projected.has_projection and projected.quiet.has_projection
    assert projected.quiet.given == {"p.z": "z", "p.z_2": "z"}


def test_the_run_backwards_draws_again_and_saves_no_mask():
    inside = loop(noisy.trace, noisy.schedule)
    derived = derive(inside)
    assert any(not COUNTED.isdisjoint(e.free_symbols) for _, e in derived.recomputed)
    assert all(str(s)[0] != "z" and s not in COUNTED for s in derived.saved)


@pytest.mark.parametrize("name", ["lstm-zoneout", "lstm-variational", "noisy"])
def test_a_run_folder_keeps_them(name):
    c = noisy if name == "noisy" else get(name)
    again = StoredCell(json.loads(json.dumps(as_data(c, [(3, 4, 4)]))))
    assert (again.text, again.key, again.rates) == (c.text, c.key, c.rates)
    assert (again.quiet.text, again.quiet.given) == (c.quiet.text, c.quiet.given)
    assert [(d.number, d.once) for d in again.trace.draws] == [(d.number, d.once) for d in c.trace.draws]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("h[t] = zoneout(e[t], h[t-1], p.h)", "takes 3 operands and a number"),
        ("h[t] = zoneout(e[t], h[t-1], p.h, 0.5)", "takes 3 operands and a number"),
        ("h[t] = zoneout(e[t], h[t-1], p.h, 1000000)", "takes 3 operands and a number"),
        ("h[t] = dropout(e[t], 0.5, 0)", "the rate of dropout is one of p"),
        ("h[t] = dropout(h[t-1], p.h, 0) * dropout_once(h[t-1], p.h, 0)", "two uses of noise have the number 0"),
        ("h[t] = dropout(h[t-1], p.h, 0) * dropout(h[t-1], p.m, 0)", "two uses of noise have the number 0"),
    ],
)
def test_stored_noise_that_is_none_is_refused(line, reason):
    data = as_data(get("gru-zoneout"), [(3, 4, 4)])
    with pytest.raises(EquationError, match=reason):
        StoredCell({**data, "equations": [line]})


def test_p_is_an_ordinary_letter_where_nobody_asks_it_for_rates():
    @cell
    def state(e, p, W, b):
        return tanh(W.pe @ e + W.pp @ p + b.p)

    @cell
    def last(e, W, b, p):
        p = tanh(W.pe @ e + W.pp @ p + b.p)
        return p

    @cell
    def variable(e, h, W, b):
        p = logistic(W.pe @ e + b.p)
        return p * h

    assert state.states == last.states == ("p",) and variable.gates == ("p",)
    for c in (state, last, variable):
        assert not c.rates
        assert StoredCell(as_data(c, [(3, 4, 4)])).text == c.text


def test_a_rate_is_a_number_that_a_layer_gives():
    @cell
    def leaky(e, h, W, p):
        h = p.h * h + (1 - p.h) * tanh(W.he @ e + W.hh @ h)
        return h

    assert leaky.rates == ("h",) and leaky.quiet is leaky and leaky.given == {"p.h": "h"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda e, h, W, p: zoneout(W.he @ e, h, 0.5), "the rate of zoneout is one of p, such as zoneout"),
        (lambda e, h, W, p: dropout(h, h) * p.h, "the rate of dropout is one of p"),
        (lambda e, h, W, p: dropout(mean(h), p.h) * h, "drawn for the units of a vector"),
        (lambda e, h, W, p: where(dropout(h, p.h) > 0, h, W.he @ e), "a condition on what noise of this step has chosen"),
        (lambda e, h, W, p: h * p.h + p, "p is where rates come from, not a vector"),
        (lambda e, h, W, p: dropout(W, p.h) * h, "W is where dense weights come from"),
    ],
)
def test_what_cannot_be_is_refused(value, reason):
    with pytest.raises(EquationError, match=reason):
        cell(name="bad")(value)


@pytest.mark.parametrize("name", ["lstm-zoneout", "lstm-variational", "gru-recurrent-dropout"])
def test_they_are_drawn(name):
    c = get(name)
    text = standalone(c)
    ElementTree.fromstring(text)
    assert ("zoneout p." if "zoneout" in name else "dropout p.") in text
