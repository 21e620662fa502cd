"""Hessian-free optimization beside dense matrices."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from carousel.cells import get
from carousel.layers import Recurrent
from carousel.training.hessian_free import HessianFree, Linearized, Objective, conjugate_gradients

STEPS, ROWS = 4, 3


class Net(nn.Module):
    def __init__(self, cell, outputs=3):
        super().__init__()
        self.layer = Recurrent(get(cell), 2, 3, dtype=torch.float64)
        self.output = nn.Linear(3, outputs, dtype=torch.float64)

    def forward(self, x):
        messages, _, recorded = self.layer(x, record=self.layer.cell.states)
        return self.output(messages[-1]), [s[0] for s in recorded.values()]


def problem(cell, seed=0):
    torch.manual_seed(seed)
    net, x, y = Net(cell), torch.randn(STEPS, ROWS, 2, dtype=torch.float64), torch.randint(3, (ROWS,))

    def entropy(z):
        return nn.functional.cross_entropy(z, y, reduction="none")

    return net, Objective(lambda p: functional_call(net, p, (x,)), entropy)


def flat(found, parameters):
    """Return Jacobians by parameter as one matrix, results in rows."""
    return torch.cat([found[n].reshape(-1, p.numel()) for n, p in parameters.items()], 1)


@pytest.mark.parametrize("cell", ["rnn", "lstm-v3"])
def test_products_with_the_damped_gauss_newton_matrix(cell):
    net, objective = problem(cell)
    here = {n: p.detach() for n, p in net.named_parameters()}
    of_outputs = flat(torch.func.jacrev(lambda p: objective.predict(p)[0])(here), here)
    of_states = sum(flat(j, here).T @ flat(j, here) for j in torch.func.jacrev(lambda p: list(objective.predict(p)[1]))(here))
    z = objective.predict(here)[0]
    bent = torch.func.hessian(lambda z: objective.losses(z).mean())(z).reshape(z.numel(), z.numel())
    v = torch.randn(of_outputs.shape[1], dtype=torch.float64)
    plain, damped = (Linearized(objective, here, structural).times(v) for structural in (0.0, 0.7))
    torch.testing.assert_close(plain, of_outputs.T @ bent @ of_outputs @ v, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(damped - plain, 0.7 / ROWS * of_states @ v, atol=1e-10, rtol=1e-10)


def test_gradient_and_the_squares_of_the_sequences_gradients():
    net, objective = problem("rnn")
    here = {n: p.detach() for n, p in net.named_parameters()}
    each = flat(torch.func.jacrev(lambda p: objective.losses(objective.predict(p)[0]))(here), here)
    at = Linearized(objective, here)
    torch.testing.assert_close(at.gradient(), each.mean(0), atol=1e-12, rtol=1e-12)
    found = at.squares(torch.Generator().manual_seed(0), 2000)
    torch.testing.assert_close(found, each.square().mean(0), atol=2e-3, rtol=0.15)


def test_conjugate_gradients_solve():
    random = np.random.default_rng(0)
    root = random.normal(size=(30, 30))
    a, b = root @ root.T + np.eye(30), random.normal(size=30)
    matrix, wanted = torch.from_numpy(a), np.linalg.solve(a, b)
    for diagonal, start in ((None, None), (matrix.diagonal(), torch.ones(30, dtype=torch.float64))):
        kept = conjugate_gradients(lambda x: matrix @ x, torch.from_numpy(b), start, diagonal=diagonal, tolerance=0, most=90)
        np.testing.assert_allclose(kept[-1].x, wanted, rtol=1e-8, atol=1e-10)
        values = [k.value for k in kept]
        assert values == sorted(values, reverse=True) and values[-1] == pytest.approx(-b @ wanted / 2)
        assert [k.steps for k in kept] == sorted({k.steps for k in kept}) and len(kept) < kept[-1].steps


def test_conjugate_gradients_end_when_little_is_gained():
    scale, b = torch.logspace(0, 3, 400, dtype=torch.float64), torch.ones(400, dtype=torch.float64)
    soon, whole = (conjugate_gradients(lambda x: scale * x, b, most=4000, tolerance=t)[-1] for t in (5e-4, 0.0))
    assert 10 < soon.steps < whole.steps / 2 and whole.value < soon.value < 0.98 * whole.value


def test_a_quadratic_is_solved_in_one_step():
    torch.manual_seed(0)
    x, y = torch.randn(40, 5, dtype=torch.float64), torch.randn(40, 2, dtype=torch.float64)
    weight = nn.Parameter(torch.zeros(5, 2, dtype=torch.float64))
    optimizer = HessianFree({"weight": weight}, damping=1e-14, structural=0.0, tolerance=0.0)
    step = optimizer.step(Objective(lambda p: (x @ p["weight"], ()), lambda z: (z - y).square().sum(1) / 2))
    torch.testing.assert_close(weight.detach(), torch.linalg.lstsq(x, y).solution, atol=1e-8, rtol=1e-8)
    assert step.length == 1 and step.ratio == pytest.approx(1, abs=1e-6) and optimizer.damping < 1e-14


def test_it_descends_and_goes_on_bit_for_bit():
    def train(steps, stop=None):
        net, objective = problem("rnn")
        optimizer, taken = HessianFree(dict(net.named_parameters()), seed=3), []
        for k in range(steps):
            if k == stop:
                state, weights = optimizer.state_dict(), net.state_dict()
                net, objective = problem("rnn")
                net.load_state_dict(weights)
                optimizer = HessianFree(dict(net.named_parameters()), seed=3)
                optimizer.load_state_dict(state)
            taken.append(optimizer.step(objective))
        return taken, net.state_dict()

    (whole, weights), (parted, again) = train(6), train(6, stop=3)
    assert whole == parted and all(torch.equal(weights[n], again[n]) for n in weights)
    assert all(s.after <= s.before for s in whole) and whole[-1].after < 0.05 * whole[0].before


def test_a_step_that_no_length_makes_better_is_not_taken():
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = HessianFree({"weight": weight}, structural=0.0)
    objective = Objective(lambda p: (p["weight"][None], ()), lambda z: (z - 1).square().sum(1))  # it is at its minimum
    cliff = Objective(objective.predict, lambda z: torch.where(z == 1, z, torch.nan).sum(1))
    step = optimizer.step(cliff, objective)
    assert step.length == 0 and weight == 1 and optimizer.damping > 0.1 and optimizer.last is None
