"""The past of inputs handed to the loop beforehand: output, states and gradients are those of a loop that carries it."""

from dataclasses import replace

import pytest
import torch

from carousel import cells
from carousel.equations import cell, logistic, tanh
from carousel.kernels import BACKENDS, Call
from carousel.kernels.past import handed_past, without_past


@cell(inputs={"d": "h"})
def looking_back(e, h, d, W, b):
    """Inputs of one and three steps ago, one multiplied, and another input."""
    h = logistic(b.h) * h + tanh(W.he @ e + W.hx @ e.ago(3)) + d.ago(1)
    return h


def solved(c, batch_sizes, reverse, resets, handed):
    """Output, states, gradients by the reference, the past handed over or not; ``batch_sizes`` None: five steps of two rows."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    total, rows = (10, 2) if batch_sizes is None else (sum(batch_sizes), batch_sizes[0])
    sizes = {s.name: c.length(s.size, 3, 4) for s in c.trace.states}
    parameters = {s.name: draw(*s.shape) for s in c.parameter_specs(3, 4)}
    inputs = {x.name: draw(total, c.length(x.size, 3, 4)) for x in c.trace.inputs}
    before, initial = ({n: draw(rows, units) for n, units in sizes.items()} for _ in range(2))
    call = Call(c, draw(total, 3), batch_sizes, before, parameters, reverse, inputs=inputs)
    if resets:
        where = torch.rand(total, generator=generator) < 0.4
        call = Call(c, call.data, batch_sizes, before, parameters, reverse, where, initial, inputs=inputs)
    leaves = [call.data, *parameters.values(), *inputs.values(), *before.values(), *(initial.values() if resets else ())]
    run, past = handed_past(call) if handed else (call, {})
    output, states, _ = BACKENDS["reference"].run(run)
    states = dict(sorted({**states, **past}.items()))
    loss = sum((x * draw(*x.shape).detach()).sum() for x in (output, *states.values()))
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return [output, *states.values(), *gradients]


@pytest.mark.parametrize("batch_sizes", [None, [2] * 5, [3, 3, 2, 1, 1]], ids=str)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("c", [looking_back, cells.get("qrnn")], ids=lambda c: c.name)
def test_handed_over_it_is_what_the_states_would_have_carried(c, batch_sizes, reverse, resets):
    found, expected = (solved(c, batch_sizes, reverse, resets, handed) for handed in (True, False))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("handed", [True, False])
@pytest.mark.parametrize("reverse", [False, True])
def test_an_input_that_is_overwritten_afterwards_leaves_the_states_as_they_are(reverse, handed):
    c = looking_back
    sizes = {s.name: c.length(s.size, 3, 4) for s in c.trace.states}
    parameters = {s.name: torch.randn(*s.shape) for s in c.parameter_specs(3, 4)}
    call = Call(c, torch.randn(8, 3), None, {n: torch.randn(2, units) for n, units in sizes.items()}, parameters, reverse)
    call = replace(call, inputs={"d": torch.randn(8, 4)})
    run, past = handed_past(call) if handed else (call, {})
    states = {**BACKENDS["reference"].run(run).states, **past}
    assert set(states) == set(c.states)
    expected = {n: x.clone() for n, x in states.items()}
    for x in (call.data, call.inputs["d"], *call.before.values()):
        x.fill_(7)
    torch.testing.assert_close(states, expected, rtol=0, atol=0)


def test_cells_whose_loop_keeps_a_product_stay_as_they_are():
    @cell
    def mixed(e, h, W):
        h = tanh(W.he @ e.ago(1) + W.hh @ h)
        return h

    assert without_past(mixed) is mixed and without_past(cells.get("gru")) is cells.get("gru")
    made = without_past(looking_back)
    assert made.inputs == {"d": "h", "e_ago1": "e", "d_ago1": "d", "e_ago2": "e", "e_ago3": "e"} and made.states == ("h",)


def test_a_call_that_records_keeps_its_states():
    call = Call(cells.get("qrnn"), torch.randn(2, 3), [2], {}, {}, record=["h"])
    assert handed_past(call) == (call, {})
