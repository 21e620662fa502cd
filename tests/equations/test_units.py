"""What goes over the units of a step: traced, ordered, derived, printed, stored; and what is refused."""

import json

import pytest
import torch

from carousel.cells import CELLS, get
from carousel.drawing.graph import graph
from carousel.equations import (
    EquationError,
    cell,
    layer_norm,
    logistic,
    mean,
    norm,
    rms_norm,
    softmax,
    tanh,
    total,
    where,
)
from carousel.equations.derivative import derive
from carousel.equations.loop import loop
from carousel.equations.notes import ROW
from carousel.equations.stored import StoredCell, as_data
from carousel.layers import Recurrent


@cell
def normed(e, h, W, w, b):
    a = softmax(W.ah @ h + b.a)
    mu = mean(h)
    x = layer_norm(W.he @ e + W.hh @ h, w.h, b.h)
    y = rms_norm(h, eps=0.1) * layer_norm(h, bias=b.y)
    h = tanh(x + y) * a + mu * norm(h) * total(a * h)
    return h


def test_they_read_as_they_were_written():
    assert normed.text.splitlines() == [
        "aₜ = softmax(W.ah hₜ₋₁ + b.a)",
        "muₜ = mean(hₜ₋₁)",
        "xₜ = layer_norm(W.he eₜ + W.hh hₜ₋₁, w.h, b.h)",
        "yₜ = rms_norm(hₜ₋₁, 1, 0.1) ⊙ layer_norm(hₜ₋₁, 1, b.y)",
        "hₜ = tanh(xₜ + yₜ) ⊙ aₜ + muₜ ⊙ norm(hₜ₋₁) ⊙ total(aₜ ⊙ hₜ₋₁)",
    ]


def test_latex_has_names_of_the_field():
    assert r"\operatorname{LN}\left(W^{he} \mathbf{e}_{t} + W^{hh} \mathbf{h}_{t-1}, \mathbf{w}^{h}" in normed.latex
    assert r"\left\lVert \mathbf{h}_{t-1} \right\rVert" in normed.latex
    assert normed.latex.count("{") == normed.latex.count("}")
    assert normed.latex.count(r"\left") == normed.latex.count(r"\right")


@pytest.mark.parametrize("c", [normed, get("lstm-layer-norm")], ids=lambda c: c.name)
def test_a_cell_that_was_stored_is_the_same(c):
    back = StoredCell(json.loads(json.dumps(as_data(c, [(3, 5, 0)]))))
    assert back.text == c.text
    assert [s.initial for s in back.parameter_specs(3, 5)] == [s.initial for s in c.parameter_specs(3, 5)]


def test_what_is_stored_takes_the_operands_that_there_are():
    data = as_data(normed, [(3, 5, 0)])
    data["equations"] = [e.replace("mean(h[t-1])", "mean(h[t-1], h[t-1])") for e in data["equations"]]
    with pytest.raises(EquationError, match="mean takes 1 to 1 operands"):
        StoredCell(data)


def test_one_number_a_row_is_one_number_in_the_loop():
    made = loop(normed.trace, normed.schedule)
    assert made.goes_over_units
    assert made.sizes[next(s for s in made.definitions if str(s) == "mu_t")] is ROW
    reduced = {r.symbol for s in made.stages for r in s.reductions}
    assert reduced and all(made.sizes[s] is ROW for s in reduced)
    assert not loop(CELLS["lstm-v3"].trace, CELLS["lstm-v3"].schedule).goes_over_units


def test_a_normalisation_is_two_stages_each_way():
    """Sums of the units, then of squared differences; backwards both sums are taken at once."""

    @cell
    def plain(e, h, W):
        h = layer_norm(W.he @ e + W.hh @ h)
        return h

    made = loop(plain.trace, plain.schedule)
    assert [len(s.reductions) for s in made.stages] == [0, 1, 1]
    assert [len(s.reductions) for s in derive(made).stages] == [0, 2]


def test_sums_of_the_input_are_normalised_in_the_loop_and_the_input_before_it():
    @cell
    def both(e, h, W):
        h = tanh(W.hx @ layer_norm(e) + layer_norm(W.he @ e) + W.hh @ h)
        return h

    outside = [r.operand for s in both.schedule.outside for r in s.reductions]
    inside = [r.operand for s in both.schedule.inside for r in s.reductions]
    assert len(outside) == 2 and str(outside[0]) == "e_t"
    assert len(inside) == 2


def test_gains_start_at_one_and_biases_at_zero():
    specs = {s.name: s.initial for s in get("lstm-layer-norm").parameter_specs(3, 5)}
    assert specs["w.im"] == 1.0 and specs["b.im"] == 0.0 and specs["w.mh"] == 1.0
    assert specs["b.i"] == "uniform" and specs["W.im"] == "uniform"
    layer = Recurrent("lstm-layer-norm", 3, 5)
    assert torch.equal(layer.parameter("w.mh"), torch.ones(5))
    specs = {s.name: s.initial for s in get("lstm-layer-norm").parameter_specs(3, 5, forget_bias=1.0)}
    assert specs["b.f"] == 1.0 and specs["b.fm"] == 0.0


def test_work_and_parameters_are_counted():
    c = get("gru-layer-norm")
    assert c.count(3, 5) == 3 * (5 * 5 + 5 * 3) + 6 * 2 * 5
    assert c.work(3, 5).pointwise > CELLS["gru"].work(3, 5).pointwise


def test_drawing_has_a_layer_for_a_normalised_product():
    kinds = {(n.kind, n.label) for n in graph(get("lstm-layer-norm")).nodes.values()}
    assert ("layer", "LN") in kinds and ("function", "LN") in kinds

    @cell
    def scaled(e, h, W):
        h = layer_norm(W.hh @ h, logistic(W.he @ e), tanh(h))
        return h

    assert {"times", "plus"} <= {n.kind for n in graph(scaled).nodes.values()}


def refused(f, line):
    with pytest.raises(EquationError) as caught:
        cell(f)
    assert line in str(caught.value), str(caught.value)


def test_what_has_no_units_is_refused():
    def twice(e, h, W):
        h = tanh(W.he @ e + mean(mean(h)))
        return h

    def clock(e, h, t, W):
        h = tanh(W.he @ e + W.hh @ h + total(t))
        return h

    refused(twice, "mean goes over the units of a vector, and this is one number a row")
    refused(clock, "total goes over the units of a vector")


def test_what_they_are_given_is_checked():
    def many(e, h, W, w, b):
        h = layer_norm(W.hh @ h, w.h, b.h, 1e-5, 3)
        return h

    def unknown(e, h, W, w):
        h = layer_norm(W.hh @ h, gains=w.h)
        return h

    def weight(e, h, W):
        h = layer_norm(W.hh)
        return h

    def wrong(e, h, W, w):
        h = tanh(W.he @ e + W.hh @ h) * layer_norm(e, w.h)
        return h

    refused(many, "layer_norm takes x, gain, bias, eps")
    refused(unknown, "layer_norm takes x, gain, bias, eps")
    refused(weight, "W.hh is dense")
    refused(wrong, "sizes that cannot agree")


def test_pythons_sum_is_told_the_name():
    def summed(e, h, W):
        h = tanh(W.he @ e + W.hh @ h + sum(h))
        return h

    refused(summed, "the sum over its units is total(x)")


def test_a_condition_may_look_at_one_number_a_row():
    @cell
    def choosing(e, h, W):
        h = where(norm(h) > 1, tanh(W.he @ e), tanh(W.hh @ h))
        return h

    layer = Recurrent(choosing, 3, 4, dtype=torch.float64)
    x, before = torch.randn(1, 2, 3, dtype=torch.float64), torch.tensor([[[0.1] * 4, [1.0] * 4]], dtype=torch.float64)
    output, _ = layer(x, before)
    near, far = before[0, 0] @ layer.parameter("W.hh").t(), x[0, 1] @ layer.parameter("W.he").t()
    torch.testing.assert_close(output[0], torch.tanh(torch.stack([near, far])))
