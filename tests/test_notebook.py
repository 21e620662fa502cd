"""What a notebook shows of a cell and a layer."""

import math

import pytest
import sympy
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import carousel
from carousel import Grid, Recurrent, Tree, cell, notebook, tanh
from carousel.cells import CELLS, get, paper_cells
from carousel.equations.stored import StoredCell, as_data


@pytest.fixture
def shell():
    made = InteractiveShell.instance()
    carousel.load_ipython_extension(made)
    yield made
    InteractiveShell.clear_instance()


@pytest.fixture
def own():
    @cell
    def mine(e, h, W, b):
        """Mine."""
        h = tanh(W.he @ e + W.hh @ h + b.h)
        return h

    return mine


def shown(shell, what):
    """The bundles of data that a notebook gets for a last line that is ``what``."""
    with capture_output() as captured:
        data, _ = shell.display_formatter.format(what)
    assert data == {}  # all of it is published
    return [output.data for output in captured.outputs]


@pytest.mark.parametrize("kind", ["cell", "stored", "layer", "subclass"])
def test_drawing_equations_and_counts(shell, own, kind):
    class Own(Recurrent):
        pass

    what = {
        "cell": own,
        "stored": StoredCell(as_data(own, [(3, 4, 0)])),
        "layer": Recurrent(own, 3, 4),
        "subclass": Own(own, 3, 4),
    }[kind]
    drawing, equations, counts = shown(shell, what)
    assert drawing["image/svg+xml"].startswith("<svg") and drawing["text/plain"] == repr(what)
    assert equations["text/latex"].startswith("$$\n\\begin{aligned}\n\\mathbf{h}_{t} &= ")
    assert equations["text/plain"] == "hₜ = tanh(W.he eₜ + W.hh hₜ₋₁ + b.h)"
    last = counts["text/plain"].splitlines()[-1].split()
    assert last == (["all", "E", "H", "+", "H²", "+", "H"] if kind in ("cell", "stored") else ["all", "32"])
    assert "<table" in counts["text/html"]


def test_counts_of_any_cell_are_its_parameters():
    for c in CELLS.values():
        *_, counts = notebook.bundles(Recurrent(c, 6, 6))
        assert int(counts["text/plain"].split()[-1].replace(",", "")) == sum(p.numel() for p in Recurrent(c, 6, 6).parameters())


@pytest.mark.parametrize("name", [*paper_cells(), "slstm-4-heads", "lstm-v4-2-heads"])
def test_counts_by_size_are_those_of_the_cell(name):
    known = get(name)
    *_, counts = notebook.bundles(known)
    polynomial = counts["text/plain"].splitlines()[-1].removeprefix("all").strip()
    letters = ["E", "H", "P", *(name.upper() for name in known.sized)]
    sizes = [8, 8, 4 if known.has_projection else 0, *[5] * (len(letters) - 3)]
    terms = polynomial.replace("²", "**2").replace(" ", "*").replace("*+*", "+")
    value = sympy.sympify(terms, locals=dict(zip(letters, sizes, strict=True)))
    whole = sum(math.prod(spec.shape) for spec in known.parameter_specs(*sizes))
    assert value == whole


def test_layers_over_images_and_trees_show_themselves(shell):
    for layer in (Grid("mdlstm", 3, 4, directions=2), Tree("child-sum-lstm", 3, 4)):
        drawing, _, counts = shown(shell, layer)
        assert drawing["image/svg+xml"].startswith("<svg") and drawing["text/plain"] == repr(layer)
        assert counts["text/plain"].split()[-1] == f"{sum(p.numel() for p in layer.parameters()):,}"


def test_a_representation_in_text_says_what_it_is(own):
    assert repr(own) == "<cell mine(e, h): parameters 2 W, 1 b; Mine.>"
    assert repr(CELLS["lstm-v3"]).startswith("<cell lstm-v3(e, m, h): gates i, f, o; parameters 8 W, 3 w, 4 b; LSTM v3: gates")
    assert repr(Recurrent(own, 3, 4, 2, False, dropout=0.5)) == "Recurrent(mine, 3, 4, num_layers=2, bias=False, dropout=0.5)"
