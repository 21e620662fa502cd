"""Equations written as text, and read back: the same cell, and nothing else."""

import copy
import json
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_cells import stored as random_cells

from carousel import kernels
from carousel.cells import CELLS
from carousel.cells.lstm_1997 import lstm_1997_bare
from carousel.equations import EquationError, cell, logistic, tanh
from carousel.equations.notation import read, written
from carousel.equations.stored import StoredCell, as_data
from carousel.layers import Recurrent

ALL = [*CELLS.values(), lstm_1997_bare]
SIZES = (3, 4, 2)


def again(cell, sizes=SIZES):
    """The cell after a journey through a file."""
    return StoredCell(json.loads(json.dumps(as_data(cell, [sizes]))))


def test_it_reads_like_the_slide():
    assert written(CELLS["lstm-v3"].trace) == [
        "i[t] = logistic(W.ie @ e[t] + W.im @ m[t-1] + w.ih*h[t-1] + b.i)",
        "f[t] = logistic(W.fe @ e[t] + W.fm @ m[t-1] + w.fh*h[t-1] + b.f)",
        "h[t] = f[t]*h[t-1] + i[t]*tanh(W.he @ e[t] + W.hm @ m[t-1] + b.h)",
        "o[t] = logistic(W.oe @ e[t] + W.om @ m[t-1] + w.oh*h[t] + b.o)",
        "m[t] = o[t]*tanh(h[t])",
    ]


@pytest.mark.parametrize("cell", ALL, ids=lambda c: c.name)
def test_a_cell_comes_back_as_it_was(cell):
    back = again(cell)
    assert back.text == cell.text and back.latex == cell.latex
    assert (back.name, back.doc, back.citation) == (cell.name, cell.doc, cell.citation)
    assert (back.states, back.gates, back.names) == (cell.states, cell.gates, cell.names)
    assert back.parameter_specs(*SIZES) == cell.parameter_specs(*SIZES)
    assert back.count(*SIZES) == cell.count(*SIZES) and back.work(*SIZES) == cell.work(*SIZES)


def layers_agree(cell, sizes, tolerance):
    """Layers of the cell and of the one that came back, with the same weights, give the same."""
    options = {"proj_size": sizes[2]} if cell.has_projection else {}
    own = dict(zip(cell.sized, sizes[3:], strict=False))
    options |= {"input_sizes": own} if own else {}
    torch.manual_seed(1)
    layer = Recurrent(cell, *sizes[:2], dtype=torch.float64, **options)
    twin = Recurrent(again(cell, sizes), *sizes[:2], dtype=torch.float64, **options)
    assert list(twin.state_dict()) == list(layer.state_dict())  # an optimizer knows parameters by their order
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(5, 2, sizes[0], dtype=torch.float64)
    rest = sizes[2:3] if cell.has_projection else (0,)
    units = {n.name: cell.length(n.size, *sizes[:2], *rest, *own.values()) for n in cell.trace.inputs}
    inputs = {name: torch.randn(5, 2, n, dtype=torch.float64) for name, n in units.items()}
    for a, b in zip(layer(x, **inputs)[0], twin(x, **inputs)[0], strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("cell", ALL, ids=lambda c: c.name)
def test_it_computes_the_same_to_the_last_bit(cell):
    layers_agree(cell, SIZES, 0)


def test_cells_that_nobody_wrote_come_back_too():
    """By the reference: kernels of either are made of the same assignments."""
    with kernels.use("reference"):
        for case in [*random_cells()[:40], *random_cells()[100:]]:
            layers_agree(case.cell, case.every_size, 1e-12)


def test_it_is_pickled_and_copied_by_its_data():
    back = again(CELLS["clockwork"])
    for twin in (pickle.loads(pickle.dumps(back)), copy.deepcopy(back)):
        assert twin.text == back.text and twin.data == back.data


def test_constants_and_masks_are_those_of_the_sizes_that_were_kept():
    back = again(CELLS["clockwork"])
    assert (back.constants["T"](4) == CELLS["clockwork"].constants["T"](4)).all()
    with pytest.raises(EquationError, match=r"has c\.T for 4 units, not for 5"):
        Recurrent(back, 3, 5)(torch.zeros(2, 1, 3))


def test_cells_with_equal_equations_and_other_constants_are_told_apart():
    def made(period):
        @cell(constants={"T": lambda n: period + torch.zeros(n).numpy()})
        def slow(e, h, W, b, c):
            return h + tanh(W.he @ e + b.h) / c.T

        return slow

    one, other = made(1.0), made(2.0)
    assert one.key != other.key
    assert again(one).key != one.key  # its functions are others


def test_letters_that_python_keeps_for_itself():
    @cell
    def odd(e, h, W, b):
        f = logistic(W["if"] @ e + b["is"])
        return f * h + W["if"] @ e

    assert written(odd.trace)[0] == 'f[t] = logistic(W["if"] @ e[t] + b["is"])'
    assert again(odd).text == odd.text


STATES = {"states": ["h"], "parameters": [], "constants": frozenset(), "clock": False}
GOOD = "h[t] = h[t-1] + tanh(e[t])"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("h[t] = __import__('os').system('true')", "nothing of this notation"),
        ("h[t] = open(e[t])", "there is no function open"),
        ("h[t] = e[t].__class__", "nothing of this notation"),
        ("h[t] = W.__class__ @ e[t]", "is no parameter"),
        ("h[t] = (lambda: e[t])()", "nothing of this notation"),
        ("h[t] = [e[t] for x in e[t]]", "nothing of this notation"),
        ("h[t] = x[t]", "is not known there"),
        ("h[t] = h[t-100]", "neither a value at a step"),
        ("h[t] = h[t-99]", "from 1 to 64, not 99"),
        ("h[t] = g[t-2]", "is not known there"),
        ("h[t] = W[t-2]", "is not known there"),
        ("h[t-1] = e[t]", "sets a value at step t"),
        ("e[t] = h[t-1]", "is set already"),
        ("t[t] = h[t-1]", "is set already"),
        ("h = e[t]", "neither a value at a step"),
        ("h[t] = 3", "it sets no vector"),
        ("h[t] = h[t-1] > 0", "it sets no vector"),
        ("h[t] = 'a'", "nothing of this notation"),
        ("h[t] = 1 / 0 + e[t]", "division by zero"),
        ("h[t] = e[t] * 9" + "9" * 400, "too large"),
        ("h[t] = e[t] ** 1e400", "too large"),
        ("h[t] = tanh()", "takes 1 operands"),
        ("h[t] = e[t] * 9007199254740992**9007199254740992", "a power"),
        ("h[t] = (2*e[t])**9007199254740992", "a power"),
        ("h[t] = e[t]**(-2000)", "a power"),
        ("h[t] = e[t] @ h[t-1]", "a dense weight and a vector"),
        ("h[t] = W.he @ 3", "a dense weight and a vector"),
        ("h[t] = e[t]; import os", "no equation"),
        ("import os", "no equation"),
        ("h[t] = " + "(" * 2000, "no equation"),
        ("h[t] = " + "-" * 5000 + "e[t]", "no equation"),
        ("h[t] = " + "e[t] + " * 5000 + "e[t]", "longer than"),
        ("h[t] = c.T * e[t]", "not among the constants"),
    ],
)
def test_a_line_that_is_no_equation_is_refused_and_named(line, reason):
    with pytest.raises(EquationError) as error:
        read("x", equations=[line], **STATES)
    assert reason in str(error.value) and line[:20] in str(error.value) and "\n" not in str(error.value)


def test_a_state_that_is_never_set_and_parameters_of_another_cell():
    with pytest.raises(EquationError, match="state h is never set"):
        read("x", equations=["g[t] = tanh(e[t])"], **STATES)
    with pytest.raises(EquationError, match="parameters are not those"):
        read("x", equations=[GOOD], **{**STATES, "parameters": ["W.he"]})


symbols = st.sampled_from(["h[t]", "h[t-1]", "e[t]", "g[t]", "W.he", "w.h", "b.h", "t", "2", "0.5", "tanh", "where", "concat"])
marks = st.sampled_from([" = ", " + ", "*", " @ ", "(", ")", ", ", "-", "/", "**", " % ", " > ", "[", "]", "."])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(symbols, marks), max_size=12).map("".join))
def test_any_text_is_a_cell_or_refused(text):
    try:
        made = read("x", equations=[f"h[t] = {text}", text][: 1 + (" = " in text)], **STATES)
    except EquationError as error:
        assert "\n" not in str(error)
    else:
        assert written(made)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("name", 3),
        ("states", []),
        ("states", ["h", "h"]),
        ("states", ["h; import os"]),
        ("states", ["W"]),
        ("states", ["e"]),
        ("equations", "h[t] = e[t]"),
        ("equations", [3]),
        ("parameters", ["W.xx"]),
        ("constants", {"T": {"4": ["x"]}}),
        ("constants", {"T": {"4": [1, 2]}}),
        ("constants", {"T": {"2": [1, float("nan")]}}),
        ("masks", {"W.nn": {"1x1": [[1]]}}),
    ],
)
def test_data_that_is_no_stored_cell_is_refused(key, value):
    data = as_data(CELLS["clockwork"], [SIZES])
    with pytest.raises(EquationError):
        StoredCell({**data, key: value})


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ALL), st.randoms(use_true_random=False))
def test_data_that_was_changed_anywhere_is_a_cell_or_refused(cell, choose):
    data = as_data(cell, [SIZES])
    key = choose.choice(list(data))
    value = data[key]
    if isinstance(value, list) and value:
        k = choose.randrange(len(value))
        at = choose.randrange(len(value[k]) + 1)
        changed = (
            value[k][:at] + choose.choice(["", "(", ")", "*", "**", " @ ", "[t]", "h", "0", ">", "where("]) + value[k][at + 1 :]
        )
        value = [*value[:k], changed, *value[k + 1 :]]
    else:
        value = choose.choice([None, 3, "", [], {}, [[]], {"x": 1}, {"x": {"4": "y"}}])
    try:
        StoredCell({**data, key: value})
    except EquationError as error:
        assert "\n" not in str(error)


def test_the_size_of_the_input_is_kept():
    @cell(input_size="h")
    def residual(e, m, h, W):
        h = tanh(W.he @ e + W.hm @ m) + e
        m = W.mh @ h
        return m, h

    found = again(residual, (3, 3, 2))
    assert found.text == residual.text and found.trace.input_like == "h"
    assert found.parameter_specs(3, 3, 2) == residual.parameter_specs(3, 3, 2)
    with pytest.raises(EquationError, match="size of none of its states"):
        StoredCell({**as_data(residual, [(3, 3, 2)]), "input_size": "x"})


def test_a_quantity_may_have_the_letter_of_a_namespace_that_the_cell_does_not_use():
    """So it may in ``@cell``; such a cell could be trained, and its run not be opened."""

    @cell
    def lettered(e, h, c, W):
        w = logistic(W.we @ e)
        c = w * c + tanh(W.ce @ e)
        h = tanh(c)
        return h, c

    assert again(lettered).text == lettered.text


def test_a_gate_whose_bias_has_a_keyword_for_letters_has_no_name():
    @cell
    def named(e, h, W, b):
        h = tanh(W.he @ e + W.hh @ (logistic(b["i", "f"]) * h) + b.h)
        return h

    again = StoredCell(as_data(named, [(3, 4, 0)]))
    assert named.names == ("h",) and again.text == named.text
