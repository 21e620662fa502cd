"""Cells whose steps follow several: what they say, how they are printed, stored and drawn, and what is refused."""

import json
from xml.etree import ElementTree

import pytest

from carousel import EquationError, cell, logistic, tanh, together, total
from carousel.cells import fed_alone, get
from carousel.cells.papers import BRANCHED, nary_tree_lstm
from carousel.drawing.graph import graph
from carousel.drawing.svg import standalone
from carousel.equations.derivative import derive
from carousel.equations.loop import loop
from carousel.equations.stored import StoredCell, as_data
from carousel.equations.tangent import tangent

EVERY = [*BRANCHED.values(), nary_tree_lstm(3)]


@pytest.mark.parametrize("known", EVERY, ids=lambda c: c.name)
def test_a_stored_cell_is_the_same(known):
    sizes = (5, 5, 0)
    again = StoredCell(json.loads(json.dumps(as_data(known, [sizes]))))
    assert (again.text, again.latex, again.key, again.before) == (known.text, known.latex, known.key, known.before)
    assert again.parameter_specs(*sizes) == known.parameter_specs(*sizes)
    assert [str(s.before) for s in again.trace.states] == [str(s.before) for s in known.trace.states]


def test_states_are_named_once_and_known_at_each_predecessor():
    known = get("mdlstm")
    assert known.states == ("m", "h") and known.before == ("up", "left") and known.gates == ("i", "u", "f", "o")
    assert [(s.name, s.edge, str(s.before), str(s.after)) for s in known.trace.states] == [
        ("m", "up", "m_up_tm1", "m_t"),
        ("m", "left", "m_left_tm1", "m_t"),
        ("h", "up", "h_up_tm1", "h_t"),
        ("h", "left", "h_left_tm1", "h_t"),
    ]
    assert [s.name for s in known.trace.declared] == ["m", "h"]
    assert "a step follows up, left" in repr(known)


def test_arrows_mark_directions_and_letters_other_names():
    assert get("mdlstm").text.splitlines()[1].startswith("uₜ = logistic(W.ue eₜ + W.uu m↑ + W.ul m← + w.uu ⊙ h↑")
    assert r"\mathbf{h}_{\uparrow}" in get("mdlstm").latex and r"\mathbf{h}_{\leftarrow}" in get("mdlstm").latex
    assert "together(fₜ ⊙ h.child)" in get("child-sum-lstm").text
    assert r"\sum \mathbf{m}_{\mathrm{child}}" in get("child-sum-lstm").latex
    assert "m[up]" in as_data(get("mdlstm"), [])["equations"][0]


@pytest.mark.parametrize("known", EVERY, ids=lambda c: c.name)
def test_a_drawing_has_each_state_at_each_predecessor(known):
    ElementTree.fromstring(standalone(known))
    befores = {n.label for n in graph(known).nodes.values() if n.kind == "before"}
    read = {s for s in known.trace.states if any(str(s.before) in str(e) for e in known.trace.expressions)}
    assert befores == {f"{s.name} {s.edge}" for s in read}
    if known.name == "mdlstm":
        assert ">↑<" in standalone(known) and ">←<" in standalone(known)


def test_values_of_each_of_a_set_stand_apart_from_those_of_the_step():
    known = get("child-sum-lstm")
    inside = loop(known.trace, known.schedule)
    assert inside.over_set and inside.edges == ("child",)
    assert {str(s) for s in inside.each} >= {"m_child_tm1", "h_child_tm1", "f_t"}
    assert not {str(s) for s in inside.each} & {"s_t", "i_t", "o_t", "h_t", "m_t"}
    assert not loop(get("mdlstm").trace, get("mdlstm").schedule).each
    assert tangent(inside).over_set and tangent(inside).each > inside.each


def test_what_each_of_a_set_hands_back_to_the_step_is_summed_over_the_set():
    known = get("child-sum-lstm")
    back = derive(loop(known.trace, known.schedule))
    summed = [r for stage in back.stages for r in stage.reductions]
    assert [r.kind for r in summed] == ["together"]  # of the forget gates, to the input's share
    assert summed[0].operand in back.each and summed[0].symbol not in back.each
    assert any(summed[0].symbol in adjoints for adjoints in back.hoisted)


def test_products_of_the_step_are_taken_once_and_not_for_each_of_a_set():
    @cell(before="child")
    def beside(e, h, W, b):
        s = together(h.child)
        h = tanh(W.he @ e + together(logistic(W.fe @ e + W.fh @ h.child + W.fs @ s + b.f) * h.child))
        return h

    groups = loop(beside.trace, beside.schedule).groups
    assert [[str(x) for x in g.operands] for g in groups] == [["h_child_tm1"], ["s_t"]]


def refused(before, function, **more):
    with pytest.raises(EquationError) as found:
        cell(before=before, **more)(function)
    return found.value.reason


def test_what_such_a_cell_cannot_be():
    def plain(e, h, W, b):
        h = tanh(W.he @ e + W.hh @ h.up + b.h)
        return h

    def bare(e, h, W, b):
        h = tanh(W.he @ e + W.hh @ h + b.h)
        return h

    def added(e, h, W, b):
        h = h + tanh(W.he @ e)
        return h

    def unset(e, h, m, W):
        h = tanh(W.he @ e + W.hm @ m.up + W.hh @ h.up)
        return h, m

    def counted(e, h, t, W):
        return tanh(W.he @ e + W.hh @ h.up) / (t + 1)

    def past(e, h, W):
        return tanh(W.he @ e.ago(1) + W.hh @ h.up)

    def each(e, h, W, b):
        h = tanh(W.he @ e + W.hh @ h.child)
        return h

    def not_each(e, h, W):
        h = tanh(W.he @ e + W.hh @ together(h.child))
        return together(h)

    def number(e, h, W):
        return tanh(W.he @ e + W.hh @ together(h.child) + together(total(h.child)))

    assert refused(("left",), plain) == "a step of this cell does not follow one called up: write h.left"
    assert refused(("up", "left"), bare) == "h is of several steps before this one: write h.up or h.left"
    assert refused(("up", "left"), added) == "h is of several steps before this one: write h.up or h.left"
    assert refused(("up",), unset) == "state m is never set: it is returned as it came in"
    assert "counts the steps of a chain" in refused(("up",), counted)
    assert "only a chain has steps so many ago" in refused(("up",), past)
    assert refused("child", each) == "state h is set to a value of each child: sum them, together(…)"
    assert "this is no value of each" in refused("child", not_each)
    assert "one number a row" in refused("child", number)
    for before, said in (
        (("up", "up"), "twice"),
        (("h",), "the name of something else"),
        (("t",), "the name of something else"),
        (("up left",), "letters and digits"),
        (("up_left",), "letters and digits"),
        ((1,), "letters and digits"),
        (3, "before names what a step follows"),
    ):
        assert said in refused(before, plain)

    @cell(before="child")
    def fine(e, h, W):
        h = logistic(W.he @ e + together(W.hh @ h.child))
        return h

    assert fine.text == "hₜ = logistic(W.he eₜ + together(W.hh h.child))"


def test_noise_is_drawn_along_a_chain_alone():
    from carousel import zoneout

    def noisy(e, h, W, p):
        return zoneout(tanh(W.he @ e + W.hh @ h.up), h.up, p.h)

    assert "noise is drawn along a chain" in refused(("up",), noisy)


def test_whoever_takes_one_step_after_another_refuses_them():
    with pytest.raises(
        ValueError, match=r"^a step of cell mdlstm follows several, and here one follows one: take it in a Grid"
    ):
        fed_alone("mdlstm")


def test_a_hostile_file_is_refused():
    data = as_data(get("mdlstm"), [])
    for before, said in (
        (3, "not as a stored cell has it"),
        (["up", "m"], "the name of something else"),
        (["up"], "does not follow one called left"),
        ([3, "left"], "letters and digits"),
        ("up", "does not follow one called left"),
        ([], "is neither a value at a step"),
    ):
        with pytest.raises(EquationError) as found:
            StoredCell({**data, "before": before})
        assert said in str(found.value)
    with pytest.raises(EquationError, match="have no number"):
        StoredCell({**data, "states": ["m", "h", "t"]})
