"""The networks of 1997: as many weights as the paper's tables say, and the same numbers as written out by hand."""

import numpy as np
import pytest
import torch

from carousel.tasks.original import Original, Plan
from carousel.tasks.rows import ROWS

IN_THE_PAPER = [r for r in ROWS if r.plan is not None]


@pytest.mark.parametrize("row", IN_THE_PAPER, ids=lambda r: r.key)
def test_weights_as_in_the_tables(row):
    problem = row.problem
    network = Original(row.plan, problem.inputs, problem.outputs, problem.symbols)
    assert sum(p.numel() for p in network.parameters()) == row.weights
    used = set(network.table.tolist()) - {0}
    assert used == set(range(1, row.weights + 1))  # each stands somewhere


def test_the_other_network_of_experiment_1():
    assert sum(p.numel() for p in Original(Plan(4, 1, 0.2, 0.1, "gates"), 7, 7, True).parameters()) == 264


def test_first_weights():
    torch.manual_seed(0)
    plan = Plan(3, 2, 0.1, 0.5, "all", input_gates=(-2, -4, -6))
    network = Original(plan, 8, 8, True)
    weights = network.weights.detach().numpy()
    assert sorted(weights[np.abs(weights) > 0.1]) == [-6, -4, -2]
    whole = np.concatenate([[0], weights])[network.table.numpy()]
    at, found = 0, {}
    for (name, shape), size in zip(network.shapes, network.sizes, strict=True):
        found[name] = whole[at : at + size].reshape(shape)
        at += size
    assert list(found["b.i"]) == [-2, -2, -4, -4, -6, -6]  # a block's cells share their gate
    assert np.array_equal(found["W.ie"][0], found["W.ie"][1]) and not np.array_equal(found["W.ie"][0], found["W.ie"][2])
    assert not np.array_equal(found["W.he"][0], found["W.he"][1])
    assert not found["W.hi"][:, 1::2].any() and found["W.hi"][:, ::2].all()  # each gate is heard once


def test_the_same_as_written_out():
    """Two blocks of two cells, unit by unit, in the paper's words."""
    torch.manual_seed(1)
    network = Original(Plan(2, 2, 0.9, 0.5, "all"), 2, 1, False)
    x = torch.randn(7, 1, 2)
    z = network(x, torch.tensor([7]))
    w = np.concatenate([[0], network.weights.detach().double().numpy()])[network.table.numpy()]
    parts = dict(zip([n for n, _ in network.shapes], np.split(w, np.cumsum(network.sizes)[:-1]), strict=True))
    parts = {n: parts[n].reshape(s) for n, s in network.shapes}

    def f(v):
        return 1 / (1 + np.exp(-v))

    state, cells, gate_in, gate_out = np.zeros(4), np.zeros(4), np.zeros(2), np.zeros(2)
    for value in x[:, 0].double().numpy():
        new_in, new_out, new_cells, new_state = np.zeros(2), np.zeros(2), np.zeros(4), np.zeros(4)

        def net(unit, k, value=value, cells=cells, gate_in=gate_in, gate_out=gate_out):
            return (
                parts[f"W.{unit}e"][k] @ value
                + parts[f"W.{unit}m"][k] @ cells
                + parts[f"W.{unit}i"][k, ::2] @ gate_in
                + parts[f"W.{unit}o"][k, ::2] @ gate_out
                + parts[f"b.{unit}"][k]
            )

        for block in range(2):
            new_in[block], new_out[block] = f(net("i", 2 * block)), f(net("o", 2 * block))
            for c in (2 * block, 2 * block + 1):
                g = 4 * f(net("h", c)) - 2
                new_state[c] = state[c] + new_in[block] * g
                new_cells[c] = new_out[block] * (2 * f(new_state[c]) - 1)
        state, cells, gate_in, gate_out = new_state, new_cells, new_in, new_out
    assert z.item() == pytest.approx(parts["output"][0] @ cells + parts["bias"][0], abs=1e-5)


def test_the_truncated_gradient_is_that_of_the_memory_alone():
    """The same outputs; no error reaches the first step's input through gates and messages, only along the states' sum."""
    plan, x = Plan(2, 2, 0.9, 0.5, "all"), torch.randn(7, 1, 2, requires_grad=True)
    found = {}
    for truncated in (False, True):
        torch.manual_seed(1)
        network = Original(plan, 2, 1, False, truncated=truncated)
        z = network(x, torch.tensor([7]))
        found[truncated] = z.detach(), torch.autograd.grad(z.sum(), network.weights)[0]
    assert torch.equal(found[False][0], found[True][0])
    assert not torch.allclose(found[False][1], found[True][1], rtol=1e-2)

    # Along the states' sum: the messages, gates included, are given numbers, not functions of the weights.
    torch.manual_seed(1)
    network = Original(plan, 2, 1, False)
    whole = torch.cat([network.weights.new_zeros(1), network.weights])[network.table]
    w = {n: p.view(s) for (n, s), p in zip(network.shapes, whole.split(network.sizes), strict=True)}
    m, i, o, h = (torch.zeros(1, 4) for _ in range(4))
    for value in x.detach():
        heard = torch.cat([value, m, i, o], 1).detach()
        i, o, g = (heard @ torch.cat([w[f"W.{u}{v}"] for v in "emio"], 1).t() + w[f"b.{u}"] for u in "ioh")
        i, o = i.sigmoid(), o.sigmoid()
        h = h + i * 2 * torch.tanh(g / 2)
        m = o * torch.tanh(h / 2)
    (expected,) = torch.autograd.grad((m @ w["output"].t() + w["bias"]).sum(), network.weights)
    torch.testing.assert_close(found[True][1], expected)


def test_the_network_of_2a_hears_its_input_directly():
    network = Original(Plan(1, 1, 0.2, 1.0, "none", bare=True), 5, 5, True)
    x = torch.randint(0, 5, (6, 3))
    whole = network(x, None)
    network.cell_joined = False
    alone = network(x, None)
    assert torch.equal(alone[0][x[0] == x[1]], alone[1][x[0] == x[1]])  # without the cell the past does not matter
    assert not torch.equal(whole, alone)
