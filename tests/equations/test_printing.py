"""Equations as they stand on the slide."""

import pytest

from carousel.cells import CELLS
from carousel.equations import absolute, cell, concat, exp, logistic, maximum, minimum, relu, tanh, where

V3 = """\
iₜ = logistic(W.ie eₜ + W.im mₜ₋₁ + w.ih ⊙ hₜ₋₁ + b.i)
fₜ = logistic(W.fe eₜ + W.fm mₜ₋₁ + w.fh ⊙ hₜ₋₁ + b.f)
hₜ = fₜ ⊙ hₜ₋₁ + iₜ ⊙ tanh(W.he eₜ + W.hm mₜ₋₁ + b.h)
oₜ = logistic(W.oe eₜ + W.om mₜ₋₁ + w.oh ⊙ hₜ + b.o)
mₜ = oₜ ⊙ tanh(hₜ)"""


def test_lstm_v3_reads_as_the_slide():
    assert CELLS["lstm-v3"].text == V3


def test_projection_shows_what_it_projects():
    assert CELLS["lstm-v4"].text.splitlines()[-1] == "mₜ = W.mm (oₜ ⊙ tanh(hₜ))"
    assert r"\mathbf{m}_{t} &= W^{mm} \left(\mathbf{o}_{t} \odot \tanh" in CELLS["lstm-v4"].latex


def test_concatenation_is_printed_whole_and_once():
    first = CELLS["lstm"].text.splitlines()[0]
    assert first == "fₜ = logistic(W.f [mₜ₋₁; eₜ] + b.f)"
    assert CELLS["lstm"].latex.count(r"W^{f} [\mathbf{m}_{t-1}; \mathbf{e}_{t}]") == 1


def test_a_function_that_is_multiplied_needs_no_parentheses_of_its_own():
    @cell
    def before(e, h, W, b):
        h = W.he @ e + W.hh @ tanh(h) + b.h
        return h

    assert before.text == "hₜ = W.he eₜ + W.hh tanh(hₜ₋₁) + b.h"
    assert r"W^{hh} \tanh" in before.latex


def test_condition_and_clock():
    assert CELLS["clockwork"].text == "hₜ = where(t mod c.T = 0, tanh(W.he eₜ + W.hh hₜ₋₁ + b.h), hₜ₋₁)"
    latex = CELLS["clockwork"].latex
    assert r"\begin{cases}" in latex and r"t \bmod \mathbf{c}^{T} = 0" in latex


def test_original_gru_resets_before_the_product():
    assert "W.nh (rₜ ⊙ hₜ₋₁)" in CELLS["gru-original"].text
    assert "rₜ ⊙ (W.nh hₜ₋₁ + b.nh)" in CELLS["gru"].text


def test_latex_of_one_equation():
    lines = CELLS["lstm-v3"].latex.splitlines()
    assert lines[0] == r"\begin{aligned}" and lines[-1] == r"\end{aligned}"
    assert lines[1] == (
        r"\mathbf{i}_{t} &= \operatorname{logistic}\left(W^{ie} \mathbf{e}_{t} + W^{im} \mathbf{m}_{t-1}"
        r" + \mathbf{w}^{ih} \odot \mathbf{h}_{t-1} + \mathbf{b}^{i}\right) \\"
    )


def test_other_functions_have_words():
    @cell
    def wordy(e, h, W, b):
        h = relu(W.he @ e) + maximum(h, 0.5 * h) + minimum(exp(h), tanh(b.h))
        return h

    assert wordy.text == "hₜ = relu(W.he eₜ) + maximum(hₜ₋₁, 0.5 hₜ₋₁) + minimum(exp(hₜ₋₁), tanh(b.h))"
    assert r"\max\left(0, W^{he} \mathbf{e}_{t}\right)" in wordy.latex


def test_a_memory_called_c_prints_as_any_other():
    @cell
    def memory(e, m, c, W, b):
        c = c + tanh(W.ce @ e + W.cm @ m + b.c)
        m = tanh(c)
        return m, c

    assert memory.text == "cₜ = cₜ₋₁ + tanh(W.ce eₜ + W.cm mₜ₋₁ + b.c)\nmₜ = tanh(cₜ)"
    assert r"\mathbf{c}_{t} &= \mathbf{c}_{t-1} + " in memory.latex
    assert r"\mathbf{m}_{t} &= \tanh{\left(\mathbf{c}_{t} \right)}" in memory.latex


def test_variables_called_as_the_namespaces_and_the_clock_print_as_any_other():
    @cell
    def named(e, h, W):
        b = tanh(W.he @ e)
        w = relu(b)
        t = exp(h)
        h = w + b * t
        return h

    assert named.text == "bₜ = tanh(W.he eₜ)\nwₜ = relu(bₜ)\ntₜ = exp(hₜ₋₁)\nhₜ = wₜ + bₜ ⊙ tₜ"
    assert r"\mathbf{t}_{t} &= " in named.latex and r"\mathbf{b}_{t} \odot \mathbf{t}_{t}" in named.latex


def test_names_with_underscores():
    @cell
    def long(e, h_new, c_t, W, b):
        c_t = c_t + tanh(W.c_in @ e + b.c_t)
        h_new = tanh(c_t)
        return h_new, c_t

    assert long.text == "c_tₜ = c_tₜ₋₁ + tanh(W.c_in eₜ + b.c_t)\nh_newₜ = tanh(c_tₜ)"
    assert r"\mathbf{\mathrm{c\_t}}_{t} &= \mathbf{\mathrm{c\_t}}_{t-1} + " in long.latex
    assert r"W^{c\_in}" in long.latex and r"\mathbf{b}^{c\_t}" in long.latex  # a bare _ would be an index


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_prints_an_equation_for_each_name_and_each_parameter(name):
    c = CELLS[name]
    lines, latex = c.text.splitlines(), c.latex
    assert [line.split("ₜ = ")[0] for line in lines] == [n for n in c.names if n != "t"]
    for p in c.trace.parameters:
        assert p.name in c.text
        assert f"^{{{p.letters}}}" in latex
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left") == latex.count(r"\right")
    assert "P0" not in c.text + latex and "tm1" not in c.text + latex  # no symbol of the trace shows through


def test_between_two_numbers_the_sign_of_multiplication_stays():
    @cell
    def numbers(e, h, t, W):
        h = tanh(W.he @ e) / (2 + (1 / (t + 1)) * (1 / (t + 1))) + h
        return h

    assert "1 1" not in numbers.text and "1 ⊙ 1/" in numbers.text


def test_powers_of_functions_keep_their_exponent():
    @cell
    def raised(e, h, W):
        h = where(h > 0, tanh(h), 0.5) ** 2 + logistic(h) ** 3 + maximum(h, 1) ** 4 + absolute(h) ** 5 + tanh(W.he @ e)
        return h

    first = r"\left(\begin{cases} \tanh{\left(\mathbf{h}_{t-1} \right)} & \text{for}\: \mathbf{h}_{t-1} > 0 \\0.5"
    assert first in raised.latex and r"\end{cases}\right)^{2}" in raised.latex
    assert r"\operatorname{logistic}\left(\mathbf{h}_{t-1}\right)^{3}" in raised.latex
    assert r"\max\left(1, \mathbf{h}_{t-1}\right)^{4}" in raised.latex
    assert r"\left|{\mathbf{h}_{t-1}}\right|^{5}" in raised.latex
    assert raised.text.startswith("hₜ = where(hₜ₋₁ > 0, tanh(hₜ₋₁), 0.5)^2 + logistic(hₜ₋₁)^3 + ")


def test_concatenations_that_begin_alike_are_told_apart():
    @cell
    def alike(e, h, k, W, b):
        h = tanh(W.h @ concat(k, h) - W.h @ concat(k, tanh(k)) + W.he @ e)
        return h, tanh(h)

    assert alike.text.splitlines()[0] == "hₜ = tanh(W.h [kₜ₋₁; hₜ₋₁] - W.h [kₜ₋₁; tanh(kₜ₋₁)] + W.he eₜ)"


def test_a_sum_that_begins_a_denominator_of_several_factors_stands_in_parentheses():
    @cell
    def ratio(e, h, W, w, b):
        o = -b.o / (2 + (-b.o) * (-b.o))
        h = tanh(W.he @ e) + (w.h * o) * (w.h * o)
        return h

    assert ratio.text.splitlines()[-1].endswith("/((2 - 1 b.o ⊙ (-1) ⊙ b.o) ⊙ (2 - 1 b.o ⊙ (-1) ⊙ b.o))")


def test_a_remainder_in_a_product_stands_in_parentheses():
    @cell
    def late(e, h, t, W, b):
        h = W.he @ e - tanh(h) * (t % 3) * b.h
        return h

    assert late.text == "hₜ = W.he eₜ - tanh(hₜ₋₁) ⊙ (t mod 3) ⊙ b.h"
