"""Every cell has a text that one could have typed: its own where it can stand alone, else one made of its equations."""

import inspect
import textwrap

import numpy as np
import pytest

from carousel.cells.catalogue import catalogue
from carousel.cells.sources import functions, source
from carousel.equations import EquationError, cell, identity, tanh
from carousel.equations.retyped import retyped
from carousel.equations.typed import typed

EVERY = [entry.cell for entry in catalogue()]


def same(found, each):
    """The order of the parameters is that of writing, which equations alone do not tell."""
    assert (found.text, found.latex, found.doc, found.citation) == (each.text, each.latex, each.doc, each.citation)
    assert (found.name, found.states, found.gates, found.before) == (each.name, each.states, each.gates, each.before)
    sizes = (6, 6, 6, *[6] * len(each.sized))
    specs, wanted = (sorted(c.parameter_specs(*sizes), key=lambda shape: shape.name) for c in (found, each))
    assert specs == wanted


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.name)
def test_the_text_makes_the_same_cell(each):
    same(typed(source(each), functions()), each)
    same(typed(retyped(each, functions()), functions()), each)


def test_most_texts_are_those_of_the_lectures_and_papers_themselves():
    own = [each for each in EVERY if source(each) == textwrap.dedent(inspect.getsource(each.function))]
    assert len(own) > 0.7 * len(EVERY)
    assert source(next(c for c in EVERY if c.name == "lstm-v1")).startswith("@cell\ndef lstm_v1(e, m, h, W, b):\n")


def test_a_name_that_is_read_later_is_not_taken_and_a_power_is_of_no_dense_term():
    """What no cell of the catalogue needs."""

    @cell(before=("up", "left"))
    def grid(e, h, c, W, b):
        new = tanh(W.he @ e + W.hh @ h.left + b.h)
        c = tanh(W.ce @ e) * h.up + new * c.up
        return new, c

    @cell
    def power(e, h, W):
        h = identity(W.he @ e) ** 2 + h
        return h

    for each in (grid, power):
        same(typed(retyped(each, {}), {}), each)


def test_a_function_without_a_name_has_no_text():
    @cell(constants={"T": lambda n: np.ones(n)})
    def one(e, h, W, c):
        h = tanh(W.he @ e) * c.T
        return h

    with pytest.raises(EquationError, match="the function of T has no name"):
        retyped(one, functions())
