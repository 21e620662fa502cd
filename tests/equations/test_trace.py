"""A cell's function, run once on symbols: what is understood, and what is refused with line and reason."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from carousel.cells import CELLS
from carousel.equations import EquationError, cell, concat, logistic, relu, tanh, where


def test_names_of_states_gates_and_quantities():
    lstm = CELLS["lstm-v3"]
    assert lstm.states == ("m", "h")
    assert lstm.gates == ("i", "f", "o")
    assert lstm.names == ("i", "f", "h", "o", "m")  # the slide's order


@pytest.mark.parametrize(
    ("name", "gates"),
    [
        ("rnn-logistic", ()),  # a logistic that multiplies nothing is no valve
        ("lstm-v1", ("i", "o")),
        ("lstm", ("f", "i", "o")),
        ("cifg", ("i", "o")),
        ("lstm-coupled", ("f", "o")),  # used as f and as 1 − f
        ("gru", ("r", "z")),
        ("gru-original", ("r", "z")),
        ("fgr", ("i", "f", "o")),
        ("lstm-v4", ("i", "f", "o")),  # o acts inside the projection
    ],
)
def test_gates_are_the_logistics_that_multiply(name, gates):
    assert CELLS[name].gates == gates


def test_a_gate_without_a_variable_is_named_by_its_bias():
    @cell
    def inline(e, h, W, b):
        h = logistic(W.ze @ e + W.zh @ h + b.z) * h
        return h

    assert inline.gates == ("z",)
    assert "z" in inline.names


def test_every_parameter_is_found_once():
    @cell
    def twice(e, h, W, w, b):
        k = tanh(W.he @ e + b.h)
        h = k + tanh(W.he @ e + w.hh * h + b.h)
        return h

    found = [(p.name, p.kind) for p in twice.trace.parameters]
    assert found == [("W.he", "dense"), ("b.h", "bias"), ("w.hh", "diagonal")]


def test_unused_parameters_are_left_out():
    @cell
    def drops(e, h, W, b):
        W.xe @ e
        h = tanh(W.he @ e + W.hh @ h + b.h)
        return h

    assert {p.name for p in drops.trace.parameters} == {"W.he", "W.hh", "b.h"}


def test_pairs_of_letters_that_are_keywords_are_written_in_brackets():
    @cell
    def keyword(e, h, f, W, b):
        f = logistic(W.fe @ e + W["i", "f"] @ f + b.f)
        h = f * h + tanh(W["he"] @ e)
        return h, f

    assert {p.name for p in keyword.trace.parameters} == {"W.fe", "W.if", "b.f", "W.he"}


def test_message_of_a_projection_has_a_size_of_its_own():
    states = {s.name: s.size.root for s in CELLS["lstm-v4"].trace.states}
    assert states["m"] is not states["h"]
    assert CELLS["lstm-v4"].has_projection
    states = {s.name: s.size.root for s in CELLS["lstm-v3"].trace.states}
    assert states["m"] is states["h"]
    assert not CELLS["lstm-v3"].has_projection


def test_states_that_keep_the_input_have_its_size():
    trace = CELLS["mlp"].trace
    sizes = {s.name: s.size.root for s in trace.states}
    assert sizes["p"] is sizes["q"] is trace.input_size.root
    assert sizes["h"] is not trace.input_size.root


def test_clock_is_a_state_that_counts():
    trace = CELLS["clockwork"].trace
    assert [s.name for s in trace.states] == ["h", "t"]
    after = dict(trace.equations)[trace.states[1].after]
    assert after - trace.states[1].before == 1


def test_exponential_gates_and_stabiliser_can_be_written(slstm):
    assert slstm.states == ("m", "h", "n", "s")
    assert {"i", "f", "o", "m", "h", "n", "s"} <= set(slstm.names)
    assert "o" in slstm.gates
    assert len(slstm.schedule.inside) == 1


def test_a_condition_belongs_in_where():
    @cell
    def leaky(e, h, W):
        h = where(h > 0, relu(W.he @ e), 0.5 * h)
        return h

    assert leaky.names == ("h",)


HEAD = "import math\nimport numpy as np\nimport torch\nfrom carousel.equations import *\n\n@cell\n"

# (why, what the reason says, the equations); the line that the error must name ends in "# wrong".
WRONG = [
    (
        "sizes that cannot agree",
        r"sizes that cannot agree.*bring e to that size.*W.[fh]e @ e, or say .* size of a state: @cell\(input_size=\"h\"\)",
        """def f(e, h, W, b):
    f = logistic(W.fe @ e + W.fh @ h + b.f)
    h = f * h + e  # wrong
    return h""",
    ),
    (
        "a peephole on the input",
        "sizes that cannot agree",
        """def f(e, h, W, w, b):
    h = tanh(W.he @ e + W.hh @ h)
    h = h + w.he * e  # wrong
    return h""",
    ),
    (
        "a state returned as it came in",
        "state h is never set",
        """def f(e, m, h, W, b):
    m = tanh(W.me @ e + W.mh @ h + b.m)
    return m, h  # wrong""",
    ),
    (
        "a state not returned",
        "state h is never set.*return m, h",
        """def f(e, m, h, W, b):
    m = tanh(W.me @ e + W.mh @ h + b.m)
    return m  # wrong""",
    ),
    (
        "too many values",
        "2 values are returned for 1 states",
        """def f(e, h, W, b):
    h = tanh(W.he @ e + W.hh @ h + b.h)
    return h, h  # wrong""",
    ),
    (
        "a number for a state",
        "set to something that is no vector",
        """def f(e, h, W, b):
    h = tanh(W.he @ e + W.hh @ h + b.h)
    return 1.0  # wrong""",
    ),
    (
        "product of two dense terms",
        "product of two dense terms",
        """def f(e, h, W, b):
    i = W.ie @ e + b.i
    h = i * (W.he @ e + W.hh @ h)  # wrong
    return h""",
    ),
    (
        "undefined function",
        "unknown function or variable mish.*logistic",
        """def f(e, h, W, b):
    i = logistic(W.ie @ e + b.i)
    h = i * mish(W.he @ e + W.hh @ h)  # wrong
    return h""",
    ),
    (
        "a function of PyTorch",
        "carousel.equations are logistic, tanh",
        """def f(e, h, W, b):
    h = torch.tanh(W.he @ e + W.hh @ h + b.h)  # wrong
    return h""",
    ),
    (
        "a function of math",
        "unknown function",
        """def f(e, h, W, b):
    h = math.tanh(W.he @ e + W.hh @ h + b.h)  # wrong
    return h""",
    ),
    (
        "a function of NumPy",
        "carousel.equations are logistic, tanh",
        """def f(e, h, W, b):
    h = np.tanh(W.he @ e + W.hh @ h + b.h)  # wrong
    return h""",
    ),
    (
        "a weight that reads something else",
        "W.im reads 'into i from m', but multiplies e.*W.ie @ e",
        """def f(e, m, h, W, b):
    i = logistic(
        W.ie @ e
        + W.im @ e  # wrong
        + b.i
    )
    h = i * h
    m = tanh(h)
    return m, h""",
    ),
    (
        "a dense weight with *",
        "W.hh is dense.*W.hh @",
        """def f(e, h, W, b):
    h = tanh(W.he @ e + W.hh * h + b.h)  # wrong
    return h""",
    ),
    (
        "a diagonal weight with @",
        "only a dense weight multiplies with @",
        """def f(e, h, W, w, b):
    h = tanh(W.he @ e + w.hh @ h + b.h)  # wrong
    return h""",
    ),
    (
        "a branch on a value",
        "use where",
        """def f(e, h, W, b):
    if h > 0:  # wrong
        h = tanh(W.he @ e + b.h)
    return h""",
    ),
    (
        "a concatenation without a weight",
        "concat.* can only be multiplied by a dense weight",
        """def f(e, h, W, b):
    h = tanh(concat(h, e) + b.h)  # wrong
    return h""",
    ),
    (
        "one weight on one vector and on two",
        "W.h multiplies 1 vectors here and 2 elsewhere",
        """def f(e, h, W, b):
    g = tanh(W.h @ concat(h, e))
    h = g + tanh(W.h @ h)  # wrong
    return h""",
    ),
    (
        "division by a dense term",
        "division by a dense term",
        """def f(e, h, W, b):
    h = h / (W.he @ e + b.h)  # wrong
    return h""",
    ),
    (
        "an array among the terms",
        "not ndarray|carousel.equations are",
        """def f(e, h, W, b):
    h = tanh(W.he @ e + W.hh @ h) + np.ones(3)  # wrong
    return h""",
    ),
    (
        "states returned in another order",
        "h is returned in place 1, which is state m's: .* in the order of the arguments, m, h",
        """def f(e, m, h, W, b):
    h = h + tanh(W.he @ e + W.hm @ m + b.h)
    m = tanh(h)
    return h, m  # wrong""",
    ),
    (
        "the same under other names",
        "h_new is returned in place 1, which is state m's",
        """def f(e, m, h, W, b):
    h_new = h + tanh(W.he @ e + W.hm @ m + b.h)
    m_new = tanh(h_new)
    return h_new, m_new  # wrong""",
    ),
    (
        "two of three in another order",
        "n is returned in place 2, which is state h's",
        """def f(e, m, h, n, W, b):
    h = h + tanh(W.he @ e + W.hm @ m + b.h)
    n = n + h
    m = tanh(n)
    return m, n, h  # wrong""",
    ),
    (
        "a state that is called as the biases are",
        r"b is where biases come from, not a vector: write b\.h for one of them, or another letter",
        """def f(e, h, b, W):
    h = b * h + tanh(W.he @ e)  # wrong
    return h, b""",
    ),
    (
        "a state that is called as the diagonal weights are, and assigned first",
        "w is where diagonal weights come from, so no state can be called w",
        """def f(e, h, w, W):
    w = tanh(W.he @ e)
    h = w * h
    return h, w  # wrong""",
    ),
    (
        "all biases at once",
        "b is where biases come from, not a vector",
        """def f(e, h, W, b):
    h = tanh(W.he @ e + W.hh @ h + b)  # wrong
    return h""",
    ),
    (
        "all dense weights at once",
        "W is where dense weights come from, not a vector",
        """def f(e, h, W, b):
    h = tanh(W)  # wrong
    return h""",
    ),
    (
        "a clock that is returned",
        "t is the number of the step and goes on by itself: return h",
        """def f(e, h, t, W):
    h = tanh(W.he @ e) / (t + 1)
    return h, t  # wrong""",
    ),
    (
        "a parameter that reads as a variable does",
        r"b\.x_t and the variable b_x_ cannot be told apart",
        """def f(e, h, W, b):  # wrong
    b_x_ = tanh(W.he @ e + b.x_t)
    h = b_x_ * h
    return h""",
    ),
    (
        "a choice without a condition",
        "where takes a condition",
        """def f(e, h, W):
    h = where(h, W.he @ e, h)  # wrong
    return h""",
    ),
    (
        "a division by zero",
        "/ gives a number that is not finite",
        """def f(e, h, W):
    h = tanh(W.he @ e) / 0  # wrong
    return h""",
    ),
    (
        "an infinite number",
        r"\* gives a number that is not finite",
        """def f(e, h, W):
    h = float("inf") * tanh(W.he @ e)  # wrong
    return h""",
    ),
    (
        "a function without a state",
        "a cell needs a state",
        """def f(e, W):  # wrong
    return W.he @ e""",
    ),
    (
        "a function without the input",
        "the first argument of a cell is its input, e",
        """def f(h, W):  # wrong
    return tanh(W.hh @ h)""",
    ),
]


@pytest.mark.parametrize(("reason", "source"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_wrong_equations_are_refused_when_defined_with_line_and_reason(reason, source, tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text(HEAD + source + "\n")
    with pytest.raises(EquationError, match=reason) as caught:
        runpy.run_path(str(path))
    error = caught.value
    assert Path(error.filename) == path
    offending = path.read_text().splitlines()[error.line - 1]
    # Decorated functions count from their decorator.
    assert "# wrong" in offending or offending == "@cell"
    assert (offending == "@cell") == source.splitlines()[0].endswith("# wrong")
    assert f"line {error.line}" in str(error) and "in f" in str(error)


def test_an_error_far_below_is_shown_at_the_cells_own_line():
    """A helper may be called from a cell; the line named is one of the cell's file all the same."""
    with pytest.raises(EquationError, match="dense") as caught:

        @cell
        def helped(e, h, W):
            h = tanh(W.hh * h + W.he @ e)  # wrong
            return h

    assert "# wrong" in Path(__file__).read_text().splitlines()[caught.value.line - 1]


def test_constants_must_be_declared():
    with pytest.raises(EquationError, match=r"c\.K is not among the constants"):

        @cell(constants={"T": lambda n: n})
        def undeclared(e, h, W, c):
            h = tanh(W.he @ e) * c.K
            return h


def test_masks_must_be_of_dense_weights():
    with pytest.raises(EquationError, match=r"masks: W\.xx is no dense weight"):

        @cell(masks={"W.xx": lambda rows, columns: rows})
        def masked(e, h, W):
            h = tanh(W.he @ e + W.hh @ h)
            return h


def test_concatenated_parts_are_blocks_of_one_weight():
    @cell
    def olah(e, h, W, b):
        h = tanh(W.h @ concat(h, e) + b.h)
        return h

    (weight,) = (p for p in olah.trace.parameters if p.kind == "dense")
    assert len(weight.columns) == 2
    assert [p.part for p in olah.trace.products.values()] == [0, 1]


def test_a_gate_inside_a_product_is_named_too():
    @cell
    def inline(e, m, h, W, b):
        h = logistic(b.f) * h + tanh(W.he @ e)
        m = W.mm @ (logistic(W.oe @ e + b.o) * tanh(h))
        return m, h

    assert inline.gates == ("f", "o")


@pytest.mark.parametrize(
    "step",
    [
        lambda e, m, c, W: c * tanh(W.me @ e),
        lambda e, m, c, W: 1 - c,
        lambda e, m, c, W: tanh(c),
        lambda e, m, c, W: W.mc @ c,
        lambda e, m, c, W: W.m @ concat(m, c),
        lambda e, m, c, W: where(c == 0, m, tanh(m)),
        lambda e, m, c, W: where(c > 0, m, tanh(m)),
    ],
)
def test_a_state_called_c_is_refused_beside_constants(step):
    with pytest.raises(EquationError, match=r"c is where constants come from, not a vector: write c\.T .* another letter"):

        @cell(constants={"T": lambda n: n})
        def memory(e, m, c, W):
            m = step(e, m, c, W)
            return m, c

    with pytest.raises(EquationError, match=r"c is where constants come from, so no state can be called c"):

        @cell(constants={"T": lambda n: n})
        def assigned(e, m, c, W):
            c = tanh(W.ce @ e)
            m = tanh(c)
            return m, c


def test_orders_that_are_meant_are_let_through():
    @cell
    def delayed(e, h, p, W):
        new = tanh(W.he @ e + W.hp @ p)
        return new, h  # what h was

    @cell
    def twice(e, h, p, W):
        h = tanh(W.he @ e + W.hp @ p)
        return h, h

    @cell
    def exchanged(e, h, p, W):
        h = tanh(W.he @ e + W.hp @ p)
        p = tanh(h)
        h, p = p, h
        return h, p

    @cell
    def one_value(e, h, p, W):
        h = p = tanh(W.he @ e + W.hp @ p + h)
        return p, h

    for c in (delayed, twice, exchanged, one_value, *CELLS.values()):
        assert all(s.after in dict(c.trace.equations) for s in c.trace.states)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": {"W.hh": np.ones((3, 3))}}, r"masks: W\.hh must be a function of \(rows, columns\) .*, not an? ndarray"),
        ({"masks": {"W.hh": torch.ones(3, 3)}}, r"masks: W\.hh must be a function of \(rows, columns\) .*, not a Tensor"),
        ({"constants": {"T": [1.0, 2.0]}}, r"constants: T must be a function of the number of units .*, not a list"),
    ],
)
def test_masks_and_constants_are_functions(options, message):
    with pytest.raises(TypeError, match=message):
        cell(**options)


@pytest.mark.parametrize("given", ["lstm-v3", 3, torch.nn.Tanh()])
def test_cell_takes_a_function(given):
    with pytest.raises(TypeError, match="@cell stands above a function that states equations, not a"):
        cell(given)
