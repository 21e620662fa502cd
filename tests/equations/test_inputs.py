"""What a cell says of its further inputs: sizes, refusals, keys, text, data."""

import json

import pytest

from carousel.drawing.graph import graph
from carousel.equations import EquationError, cell, concat, exp, logistic, tanh
from carousel.equations.stored import StoredCell, as_data


@cell(inputs={"d": 1, "c": None, "k": "h", "m": "e", "l": "c"})
def every(e, d, h, c, k, m, l, W, w, b):  # noqa: E741  # a letter as good as others
    """A cell with an input of each kind."""
    f = logistic(W.fe @ (e * m) + W.fh @ h + W.fc @ c + w.fd * d + b.f)
    h = f * h * exp(-d) + k * tanh(W.h @ concat(c * l, h))
    return h


def test_sizes_are_those_that_are_said():
    assert every.inputs == {"d": 1, "c": None, "k": "h", "m": "e", "l": "c"} and every.sized == ("c",)
    sizes = (3, 5, 0, 7)
    units = {x.name: every.length(x.size, *sizes) for x in every.trace.inputs}
    assert units == {"d": 1, "c": 7, "k": 5, "m": 3, "l": 7}
    shapes = {p.name: p.shape for p in every.parameter_specs(*sizes)}
    assert shapes == {"W.fe": (5, 3), "W.fh": (5, 5), "W.fc": (5, 7), "w.fd": (5,), "b.f": (5,), "W.h": (5, 12)}
    assert {p.name for p in every.parameter_specs(*sizes) if p.recurrent and p.kind == "dense"} == {"W.fh", "W.h"}
    assert every.count(*sizes) == 5 * (3 + 5 + 7 + 1 + 1 + 12)
    assert every.work(*sizes).input_products == 2 * 5 * (3 + 7 + 7)
    with pytest.raises(ValueError, match=r"cell every has inputs of any sizes, c: 0 are given"):
        every.length(every.trace.input_size, 3, 5)


def test_they_are_printed_drawn_and_kept_as_data():
    assert repr(every).startswith("<cell every(e, d, c, k, m, l, h): ")
    assert "w.fd ⊙ dₜ" in every.text and r"\mathbf{w}^{fd} \odot \mathbf{d}_{t}" in every.latex
    assert {n.label for n in graph(every).nodes.values() if n.kind == "input"} == {"e", "d", "c", "k", "m", "l"}
    data = json.loads(json.dumps(as_data(every, [(3, 5, 0, 7)])))
    again = StoredCell(data)
    assert (again.key, again.text, again.inputs, again.sized) == (every.key, every.text, every.inputs, every.sized)
    for wrong in ({"d": 2}, {"d": "x"}, {"e": 1}, {"h": 1}, {"t": 1}, {"hx": 1}, {"a b": 1}, [], {"d": True}):
        with pytest.raises(EquationError):
            StoredCell({**data, "inputs": wrong})
    without = {k: v for k, v in data.items() if k != "inputs"}
    with pytest.raises(EquationError, match=r"\[t\] is not known there"):
        StoredCell(without)


def test_keys_tell_kinds_of_inputs_apart():
    def made(**inputs):
        @cell(name="one", inputs=inputs)
        def one(e, h, d, W):
            h = tanh(W.he @ e) + h * d
            return h

        return one

    assert made(d=1).key != made(d="h").key
    assert made(d=1).key == made(d=1).key


def test_gates_of_inputs_have_no_name_that_would_be_the_inputs():
    @cell(inputs={"k": "h"})
    def inner(e, h, k, W, b):
        h = logistic(W.kh @ h + b.k) * k + tanh(W.he @ e)
        return h

    assert inner.names == ("h",) and "b.k" in inner.learned


def test_a_remainder_has_a_derivative():
    from carousel.equations.derivative import derive
    from carousel.equations.loop import loop

    @cell(inputs={"d": 1})
    def wheel(e, h, s, d, W, w):
        s = s + d
        h = tanh(W.he @ e + W.hh @ h) * ((s - w.s) % w.tau) / w.tau
        return h, s

    assert {"w_s", "w_tau"} == {str(s) for s in derive(loop(wheel.trace, wheel.schedule)).vectors}


class TestRefusals:
    """One line, when the cell is defined."""

    def refused(self, function, message, **options):
        with pytest.raises(EquationError, match=message):
            cell(**options)(function)

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ({"x": 1}, r"inputs names 'x', which is no argument of the function: \(e, h, d, W\)"),
            ({"d": 2}, r"the input d has 1 number a row, as many units as e or h, or None \(a size of its own\), not 2"),
            ({"d": True}, r"the input d has 1 number a row, .* not True"),
            ({"d": "k"}, r"the input d has 1 number a row, .* not 'k'"),
            ({"d": "d"}, r"the input d has 1 number a row, .* not 'd'"),
            ({"e": 1, "d": 1}, r"no further input can be called e, which has a meaning in every cell"),
            ({"W": 1, "d": 1}, r"no further input can be called W"),
            ({"resets": 1, "d": 1}, r"no input can be called resets, which is an argument of a layer's call"),
        ],
    )
    def test_declarations(self, inputs, message):
        def f(e, h, d, W):
            h = tanh(W.he @ e + W.hh @ h) * d
            return h

        self.refused(f, message, inputs=inputs)

    @pytest.mark.parametrize("name", ["input", "hx", "resets", "record", "clamp", "self"])
    def test_names_that_a_layers_call_has(self, name):
        space = {"tanh": tanh}
        exec(f"def f(e, h, {name}, W):\n    h = tanh(W.he @ e) * {name}\n    return h\n", space)
        self.refused(space["f"], rf"no input can be called {name}, .* layer\(x, {name}=…\)", inputs={name: 1})

    def test_constants_keep_their_letter(self):
        def f(e, h, c, W):
            h = tanh(W.he @ e) * c + h
            return h

        self.refused(f, "no further input can be called c", inputs={"c": 1}, constants={"T": lambda n: [1.0] * n})
        assert cell(inputs={"c": 1})(f).inputs == {"c": 1}

    def test_an_input_that_is_returned(self):
        def f(e, h, d, W):
            h = tanh(W.he @ e) * d
            return h, d

        self.refused(f, "d is an input, which a step only reads: return h", inputs={"d": 1})

    def test_a_number_of_some_steps_ago(self):
        def f(e, h, d, W):
            h = tanh(W.he @ e) * d.ago(1)
            return h

        self.refused(f, "d is one number a row, and only vectors have a past", inputs={"d": 1})

    def test_dense_weights_of_numbers(self):
        def product(e, h, d, W):
            h = tanh(W.he @ e + W.hd @ d)
            return h

        def joined(e, h, d, W):
            h = tanh(W.h @ concat(e, d))
            return h

        def into(e, h, d, W, b):
            h = tanh(W.he @ e) * logistic(W.de @ e)
            return h

        def of_an_expression(e, h, d, W):
            h = tanh(W.he @ e + W.hx @ exp(-d))
            return h

        self.refused(product, r"W\.hd is dense, and multiplies one number a row here: write w\.hd \* d", inputs={"d": 1})
        self.refused(joined, r"W\.h is dense, and multiplies one number a row here", inputs={"d": 1})
        self.refused(of_an_expression, r"W\.hx is dense, and multiplies one number a row here", inputs={"d": 1})
        self.refused(into, r"W\.de reads 'into d', but d is an input, one number a row", inputs={"d": 1})

    def test_sizes_that_cannot_agree(self):
        def gate(e, h, c, W):
            h = tanh(W.he @ e) * c
            return h

        def both(e, h, c, W):
            h = tanh(W.he @ (e * c))
            return h

        said = r"'h' has as many units as the hidden state, 'c' as .* W\.hc @ c, .*inputs=\{\"c\": \"h\"\}"
        self.refused(gate, said, inputs={"c": None})
        self.refused(both, r"'c' and 'e' are inputs of any sizes; .*inputs=\{\"c\": \"e\"\}", inputs={"c": None})
        self.refused(gate, "sizes that cannot agree", inputs={"c": "e"})
        self.refused(both, "'c' as many as the layer is given", inputs={"c": None}, input_size="h")
        assert cell(inputs={"c": "e"})(both) and cell(inputs={"c": "h"})(gate)

    def test_a_bias_that_has_an_inputs_symbol(self):
        def f(e, h, b_d_, W, b):
            h = tanh(W.he @ e + b["d_t"]) * b_d_ + h
            return h

        self.refused(f, "b.d_t and the variable b_d_ cannot be told apart", inputs={"b_d_": 1})
