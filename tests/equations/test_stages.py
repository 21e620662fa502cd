"""What leaves the loop over time, and how many times a step must wait for a dense product."""

import pytest
import torch

from carousel import kernels
from carousel.cells import CELLS, get
from carousel.cells.catalogue import catalogue
from carousel.equations import cell, logistic, tanh
from carousel.kernels import reference
from carousel.kernels.backend import Call
from carousel.kernels.inputs import loop_of

DEEP = {"lstm-v4": 2, "gru-original": 2}


def products(stages):
    return [p for stage in stages for a in stage.accumulators for p in a.products]


def dense_stages(stages):
    return sum(bool(s.accumulators) for s in stages)


@pytest.mark.parametrize("name", CELLS)
def test_one_dense_stage_a_step_unless_a_product_waits_for_another(name):
    inside = CELLS[name].schedule.inside
    assert dense_stages(inside) == DEEP.get(name, 1)


@pytest.mark.parametrize("name", ["lstm-v1", "lstm-v2", "lstm-v3"])
def test_v1_to_v3_are_one_stage(name):
    assert len(CELLS[name].schedule.inside) == 1


@pytest.mark.parametrize("name", ["lstm-v4", "gru-original"])
def test_projection_and_original_gru_are_two_stages(name):
    assert len(CELLS[name].schedule.inside) == 2


@pytest.mark.parametrize("name", CELLS)
def test_products_with_the_input_stand_outside_the_loop(name):
    trace, schedule = CELLS[name].trace, CELLS[name].schedule
    outside, inside = products(schedule.outside), products(schedule.inside)
    assert outside
    assert all(p.operand == trace.input for p in outside)
    assert all(p.operand != trace.input for p in inside)
    assert {p.symbol for p in outside + inside} == set(trace.products)
    assert len(outside + inside) == len(trace.products)  # each product once


@pytest.mark.parametrize("name", CELLS)
def test_every_equation_comes_after_what_it_needs(name):
    trace, schedule = CELLS[name].trace, CELLS[name].schedule
    known = {trace.input, *(p.symbol for p in trace.parameters), *(s.before for s in trace.states), *schedule.counts}
    for k, stage in enumerate((*schedule.outside, *schedule.inside)):
        if k < len(schedule.outside):
            assert not any(s.before in expr.free_symbols for s in trace.states for _, expr in stage.equations)
        for a in stage.accumulators:
            needed = {s for p in a.products for s in p.operand.free_symbols} | set(a.biases)
            assert needed | ({a.start} - {None}) <= known
        assert {r.operand for r in stage.reductions} <= known
        known |= {a.symbol for a in stage.accumulators} | {r.symbol for r in stage.reductions}
        for target, expr in stage.equations:
            assert expr.free_symbols <= known
            known.add(target)
    assert {s.after for s in trace.states} <= known


def test_pointwise_work_on_the_input_alone_leaves_the_loop():
    @cell
    def deep_input(e, h, W, b):
        g = tanh(W.ge @ e + b.g)
        h = logistic(W.hg @ g + W.hh @ h)
        return h

    outside, inside = deep_input.schedule.outside, deep_input.schedule.inside
    assert {p.weight.name for p in products(outside)} == {"W.ge", "W.hg"}
    assert {p.weight.name for p in products(inside)} == {"W.hh"}
    assert [str(t) for s in outside for t, _ in s.equations] == ["g_t"]


def test_biases_are_added_once_outside_where_possible():
    def biases(stages):
        return [str(b) for stage in stages for a in stage.accumulators for b in a.biases]

    schedule = CELLS["rnn"].schedule
    assert biases(schedule.outside) == ["b_h"]
    assert biases(schedule.inside) == []


def test_a_third_stage_where_the_equations_need_it():
    @cell
    def three(e, h, W):
        x = tanh(W.xe @ e + W.xh @ h)
        y = tanh(W.yx @ x)
        h = tanh(W.hy @ y)
        return h

    assert len(three.schedule.inside) == 3


def test_a_product_that_two_sums_share_does_not_bring_the_rest_of_the_other():
    @cell
    def shared(e, h, k, W, b):
        h_new = tanh(W.he @ e + W.hh @ h + b.h)
        k = tanh(W.hh @ h)  # had W.he e + b.h as well
        return h_new, k

    def fresh(n, *shape):
        return torch.randn(*shape, generator=torch.Generator().manual_seed(n), dtype=torch.float64)

    e, h, k = fresh(0, 2, 3), fresh(1, 2, 4), fresh(2, 2, 4)
    parameters = {"W.he": fresh(3, 4, 3), "W.hh": fresh(4, 4, 4), "b.h": fresh(5, 4)}
    _, after, _ = reference.run(Call(shared, e, [2], {"h": h, "k": k}, parameters))
    torch.testing.assert_close(after["k"], torch.tanh(h @ parameters["W.hh"].t()))
    wanted = torch.tanh(e @ parameters["W.he"].t() + h @ parameters["W.hh"].t() + parameters["b.h"])
    torch.testing.assert_close(after["h"], wanted)


@pytest.mark.parametrize("name", [entry.cell.name for entry in catalogue()])
def test_each_product_is_computed_once_whatever_it_is_added_to(name):
    schedule = get(name).schedule
    found = [p.symbol for p in products((*schedule.outside, *schedule.inside))]
    assert len(found) == len(set(found))


def test_sums_of_the_same_products_share_them_outside_the_loop_and_inside():
    @cell
    def twice(e, h, W, b):
        """Two gates of the same products."""
        p = W.pe @ e
        q = W.qh @ h
        i = logistic(p + q + b.i)
        f = logistic(p - q + b.f)
        h = i * tanh(p + b.p) + f * h
        return h

    work, units = twice.work(16, 16), 16
    assert work.input_products == work.recurrent_products == 2 * units * units
    W = torch.randn(2, units, units, dtype=torch.float64)
    b = torch.randn(3, units, dtype=torch.float64)
    e, h = torch.randn(2, 3, units, dtype=torch.float64)
    given = {"W.pe": W[0], "W.qh": W[1], "b.i": b[0], "b.f": b[1], "b.p": b[2]}
    p, q = e @ W[0].T, h @ W[1].T
    wanted = torch.sigmoid(p + q + b[0]) * torch.tanh(p + b[2]) + torch.sigmoid(p - q + b[1]) * h
    call = Call(twice, e, None, {"h": h}, given)
    for run in (reference.run, kernels.run):
        torch.testing.assert_close(run(call).output, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["min-gru", "min-lstm", "sru", "qrnn"])
def test_a_cell_without_a_recurrent_product_has_one_stage_in_its_loop(name):
    assert len(loop_of(get(name)).stages) == 1
