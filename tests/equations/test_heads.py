"""What heads are to a cell: which weights they part, how many numbers and operations are left, what is refused."""

import copy
import json
import pickle

import numpy as np
import pytest

from carousel import cells
from carousel.equations import EquationError, cell, concat, layer_norm, logistic, mean, tanh
from carousel.equations.stored import StoredCell, as_data


def shapes(c, *sizes):
    return {p.name: p.shape for p in c.parameter_specs(*sizes)}


@cell(heads=4)
def own(e, m, h, W, w, b):
    """A cell of its own, with heads."""
    i = logistic(W.ie @ e + W.im @ m + w.ih * h + b.i)
    h = i * h + (1 - i) * tanh(W.he @ e + W.hm @ m + layer_norm(h, w.h, heads=True))
    m = h - mean(h, heads=True)
    return m, h


def test_weights_from_states_are_blocks_and_all_others_as_they_were():
    assert shapes(own, 3, 8) == {
        "W.ie": (8, 3),
        "W.im": (4, 2, 2),
        "w.ih": (8,),
        "b.i": (8,),
        "W.he": (8, 3),
        "W.hm": (4, 2, 2),
        "w.h": (8,),
    }
    assert own.heads == 4 and own.name == "own" and "4 heads" in repr(own)
    recurrent = {p.name for p in own.parameter_specs(3, 8) if p.recurrent}
    assert recurrent == {"W.im", "W.hm"} == {p.name for p in own.parameter_specs(3, 8) if p.heads == 4}


def test_a_projection_shares_both_its_sizes():
    found = shapes(cells.get("lstm-v4").with_heads(2), 3, 8, 6)
    assert found["W.mm"] == (2, 3, 4) and found["W.im"] == (2, 4, 3) and found["W.ie"] == (8, 3)


def test_parameters_and_operations_fall_with_the_number_of_heads():
    plain = cells.get("slstm")
    for heads in (2, 4, 8):
        parted = plain.with_heads(heads)
        assert plain.count(16, 64) - parted.count(16, 64) == 4 * (64 * 64 - 64 * 64 // heads)
        assert parted.work(16, 64).recurrent_products * heads == plain.work(16, 64).recurrent_products
        assert parted.work(16, 64).input_products == plain.work(16, 64).input_products


def test_the_same_cell_each_time_found_by_its_name():
    four = cells.get("slstm-4-heads")
    assert four is cells.get("slstm").with_heads(4) is four.with_heads(2).with_heads(4) is four.with_heads(4)
    assert four.name == "slstm-4-heads" and four.with_heads(1).heads == 1 and four.text == cells.get("slstm").text
    assert cells.get("slstm").with_heads(1) is cells.get("slstm")
    assert four.key != cells.get("slstm").key
    assert pickle.loads(pickle.dumps(four)) is four and copy.deepcopy(four) is four
    with pytest.raises(ValueError, match=r"no cell is called 'slsdm'; did you mean slstm"):
        cells.get("slsdm-4-heads")


@pytest.mark.parametrize("c", [own, own.with_heads(2), cells.get("slstm").with_heads(4)], ids=lambda c: c.name)
def test_a_stored_cell_keeps_its_heads(c):
    data = json.loads(json.dumps(as_data(c, [(3, 8, 0)])))
    kept = StoredCell(data)
    assert kept.heads == c.heads and kept.text == c.text and shapes(kept, 3, 8) == shapes(c, 3, 8)
    assert as_data(pickle.loads(pickle.dumps(kept)).with_heads(8), [])["heads"] == 8
    assert "heads" not in as_data(cells.get("slstm"), [])
    for bad in (0, "4", None, 2.0, True):
        with pytest.raises(EquationError, match=r"heads must be a whole number of at least 1"):
            StoredCell({**data, "heads": bad})


def test_text_and_latex_say_what_goes_over_a_head():
    assert "hₜ = iₜ ⊙ hₜ₋₁ + (1 - iₜ) ⊙ tanh(W.he eₜ + W.hm mₜ₋₁ + head_layer_norm(hₜ₋₁, w.h))" in own.text
    assert r"\operatorname{mean}\left(\mathbf{h}_{t}\right)_{\mathrm{head}}" in own.latex


def test_constants_go_with_another_number_of_heads():
    @cell(constants={"T": lambda n: np.arange(n)})
    def ticking(e, h, W, c):
        h = tanh(W.he @ e + W.hh @ h) * c.T
        return h

    assert ticking.with_heads(2).constants == ticking.constants


def test_sizes_that_heads_cannot_share():
    with pytest.raises(ValueError, match=r"cell slstm-4-heads has 4 heads, and W.im has 30 units to share among them"):
        cells.get("slstm-4-heads").parameter_specs(8, 30)
    with pytest.raises(ValueError, match=r"W.im has 3 units to share"):
        cells.get("lstm-v4-2-heads").parameter_specs(8, 10, 3)

    @cell(heads=2)
    def normal(e, h, W, w):
        h = layer_norm(W.he @ e, heads=True) + w.h * h
        return h

    with pytest.raises(ValueError, match=r"cell normal has 2 heads, and a vector has 5 units to share among them"):
        normal.parameter_specs(5, 5)


def test_what_heads_cannot_part_is_refused_with_the_line():
    with pytest.raises(
        EquationError, match=r"test_heads.py, line \d+, in olah: W.h of olah multiplies a concatenation, which heads"
    ):

        @cell(heads=2)
        def olah(e, h, W):
            h = tanh(W.h @ concat(h, e))
            return h

    with pytest.raises(EquationError, match=r"W.hx of both multiplies the input and a state"):

        @cell(heads=2, input_size="h")
        def both(e, h, W):
            h = tanh(W.hx @ e + W.hx @ tanh(h))
            return h

    with pytest.raises(EquationError, match=r"heads part dense weights from states, and sru has none"):
        cells.get("sru").with_heads(2)
    with pytest.raises(EquationError, match=r"masks: W.hh consists of the blocks of 2 heads, which take no mask"):
        cells.get("clockwork").with_heads(2)
    for bad in (0, -1, 2.0, "4", True, None):
        with pytest.raises(EquationError, match=f"heads must be a whole number of at least 1, not {bad!r}"):
            cells.get("gru").with_heads(bad)


def test_a_transposed_weight_is_parted_as_the_weight_and_constants_are_not():
    @cell(heads=2, matrices={"A": lambda n, m: np.ones((n, m))})
    def turned(e, h, W, c):
        h = tanh(W.he @ e + W.hh @ h - W.hh.T @ h + c.A @ h + W.he @ (W.he.T @ h))
        return h

    assert {p.name: p.heads for p in turned.trace.parameters} == {"W.he": 1, "W.hh": 2, "W.hh.T": 2, "c.A": 1, "W.he.T": 1}
    with pytest.raises(EquationError, match=r"W.eh.T of mixed multiplies the input and a state"):

        @cell(heads=2)
        def mixed(e, h, W):
            x = W.eh @ h
            h = tanh(W.eh.T @ e + W.he @ x)
            return h


def test_one_number_a_row_has_no_heads_to_go_over():
    with pytest.raises(EquationError, match=r"head_mean goes over the units of a vector, and this is one number a row"):

        @cell(heads=2)
        def twice(e, h, W):
            h = tanh(W.he @ e + W.hh @ h) * mean(mean(h), heads=True)
            return h
