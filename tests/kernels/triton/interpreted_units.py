"""What ``test_interpreter.py`` runs of cells that go over the units of a step: reductions and numbers of a row."""

import pytest
import torch
from in_triton import agree

from carousel import cells
from carousel.cells.papers import PAPERS
from carousel.equations import cell, layer_norm, logistic, mean, norm, softmax, tanh, total
from carousel.kernels.triton.backend import usable

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of lanes beyond the last row or unit


@cell
def attending(e, m, h, W, w, b):
    """Sums, a maximum, a norm, numbers of a row that meet vectors of two sizes."""
    a = softmax(W.ae @ e + W.am @ m + b.a)
    n = norm(h)
    mu = mean(a * h)
    h = logistic(W.fe @ e) * h / (1 + n) + a * tanh(mu + w.h * h)
    m = tanh(W.mm @ h) * total(a * a) + mu
    return m, h


@cell(inputs={"d": 1})
def numbered(e, h, t, d, W, w, b):
    """Numbers of a row from outside the loop, in it, and of the step; no product in the loop."""
    mu = mean(h) * d
    h = tanh(W.he @ e + layer_norm(h, w.h, b.h) * d + mean(w.c) * mu / (1 + t))
    return h


@cell(heads=2)
def by_head(e, h, W, w, b):
    """Reductions over each head's units."""
    a = softmax(W.ae @ e + W.ah @ h, heads=True)
    h = h + a * layer_norm(W.he @ e + W.hh @ h, w.h, b.h, heads=True)
    return h


@pytest.mark.parametrize("name", ["gru-layer-norm", "lstm-layer-norm", "lmu"])
def test_cells_of_papers(name, way):
    assert usable(PAPERS[name], torch.zeros(1))
    agree(PAPERS[name], torch.float32, [3, 2, 1], resets=True)


def test_half_precision(way):
    agree(PAPERS["gru-layer-norm"], torch.bfloat16, [3, 2, 1], reverse=True)


@pytest.mark.parametrize("c", [attending, numbered, by_head], ids=lambda c: c.name)
def test_sums_and_maxima(c, way):
    assert usable(c, torch.zeros(1))
    agree(c, torch.float32, [3, 2, 1], resets=True)
    agree(c, torch.float32, [3, 2, 2], reverse=True)


@pytest.mark.parametrize("kind", ["stepwise", "rows"])
@pytest.mark.parametrize("c", [attending, by_head], ids=lambda c: c.name)
def test_several_tiles_of_units(c, kind, monkeypatch):
    monkeypatch.setenv("CAROUSEL_TRITON_WAY", kind)
    agree(c, torch.float32, [3, 2], resets=True, units=70)


@pytest.mark.parametrize("c", [attending, numbered], ids=lambda c: c.name)
def test_numbers_of_rows_are_recorded_and_held(c, way):
    names = [n for n in c.names if n != "t"]
    agree(c, torch.float32, [3, 2, 1], resets=True, record=names, clamp=["mu", "h"])


def test_layer_norm_with_zoneout():
    agree(cells.get("lstm-layer-norm-zoneout"), torch.float32, [3, 2], resets=True)
