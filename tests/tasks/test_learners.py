"""The Kalman filter against least squares and finite differences; descent along its gradient; Hessian-free."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from carousel.tasks import recipes, runs
from carousel.tasks.lags import VeryLongLag
from carousel.tasks.learners import Kalman, tensors
from carousel.tasks.likelihood import Newton
from carousel.tasks.network import Sparse
from carousel.tasks.pathological import Memorisation, Operation, Ordered
from carousel.tasks.problem import Batch, Problem


class Line(Problem):
    """One number in, as a sequence of one step; the answer is 3x − 1."""

    symbols, inputs, outputs, lag, tolerance = False, 1, 1, 1, 0.1

    def draw(self, random, count):
        x = random.normal(size=(1, count, 1)).astype(np.float32)
        return Batch(x, np.ones(count, np.int64), 3 * x[0] - 1)


class Straight(torch.nn.Module):
    """A network whose message is its input, so that its output is linear in all its weights."""

    embedding = direct = None

    def __init__(self):
        super().__init__()
        self.layer, self.output = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)

    def inner(self):
        return list(self.layer.parameters())

    def uncertainty(self):
        return np.ones(2)

    def messages(self, inputs):
        return inputs + 0 * self.layer(inputs)

    def read(self, messages, symbols):
        return self.output(messages)


def test_on_a_linear_network_the_filter_is_least_squares():
    """With R fixed and no drift the weights after n sequences are those of ridge regression from the first ones."""
    torch.manual_seed(0)
    network = Straight()
    first = np.array([network.output.weight.item(), network.output.bias.item()])
    learner = Kalman(network, False, drift=0.0, least=0.5, memory=1.0, longest=1e9)
    batch = Line().draw(np.random.default_rng(0), 20)
    learner.learn(batch)
    x = np.stack([batch.inputs[0, :, 0], np.ones(20)], axis=1)
    precision = np.eye(2) + x.T @ x / 0.5
    wanted = np.linalg.solve(precision, first + x.T @ batch.targets[:, 0] / 0.5)
    assert np.allclose(learner.weights[-2:], wanted, atol=1e-5)
    assert np.allclose(learner.covariance[-2:, -2:], np.linalg.inv(precision), atol=1e-6)
    assert network.output.weight.item() == pytest.approx(wanted[0], abs=1e-5)


def learner_of(key, seed=0, **settings):
    row = runs.row(key)
    torch.manual_seed(seed)
    return recipes.build(replace(recipes.today(row, "lstm-v1"), **settings), row), row.problem


@pytest.mark.parametrize("key", ["adding-T100", "order", "long-lag", "long-lag-random"])  # fewer outputs than units, and more
def test_the_jacobian_is_that_of_finite_differences(key):
    learner, problem = learner_of(key)
    with torch.no_grad():
        for p in learner.network.parameters():
            p.copy_(torch.empty_like(p).uniform_(-0.4, 0.4))
    inputs = torch.from_numpy(problem.draw(np.random.default_rng(1), 1).inputs)

    def outputs():
        messages = learner.network.messages(inputs)
        return messages[-1, 0], learner.network.output(messages[-1, 0]).detach().double().numpy()

    found = learner._jacobian(outputs()[0])
    weights = [x for p in learner.parameters for x in p.detach().view(-1).split(1)]
    assert found.shape[1] == len(weights)
    for k in np.random.default_rng(2).choice(len(weights), 40):
        sides = []
        for step in (5e-3, -1e-2):
            weights[k].add_(step)
            sides.append(outputs()[1])
        weights[k].add_(5e-3)
        assert np.allclose(found[:, k], (sides[0] - sides[1]) / 1e-2, atol=3e-3)


def test_the_filter_answers_the_sequence_better_than_before():
    for key in ("adding-T100", "order", "long-lag", "long-lag-random"):
        learner, problem = learner_of(key, least=1e-6)
        batch = problem.draw(np.random.default_rng(0), 1)
        errors = [problem.errors(learner.learn(batch), batch) for _ in range(15)]
        if problem.each and not problem.only_end:
            assert (errors[-1] ** 2).sum() < 0.95 * (errors[0] ** 2).sum()  # a step at a time
        else:
            assert (errors[-1] ** 2).sum() < 0.2 * (errors[0] ** 2).sum()


def test_a_sequence_is_learnt_from_at_the_step_that_was_answered_worst():
    learner, problem = learner_of("long-lag")
    batch = problem.draw(np.random.default_rng(0), 1)
    with torch.no_grad():
        learner.network.direct[batch.inputs[41, 0], 7] += 5
    before = learner.network.direct.detach().clone()
    learner.learn(batch)
    moved = (learner.network.direct.detach() != before).any(1).nonzero()[:, 0]
    assert moved.tolist() == [batch.inputs[41, 0]]
    assert learner.direct_uncertainty.argmin() == batch.inputs[41, 0]


@pytest.mark.parametrize("key", ["very-long-lag-q50-p50", "long-lag-random"])
def test_uncertainty_stays_positive(key):
    learner, problem = learner_of(key)
    learner.learn(problem.draw(np.random.default_rng(0), 150))
    assert np.allclose(learner.covariance, learner.covariance.T, atol=1e-14)
    assert np.linalg.eigvalsh(learner.covariance).min() > 0


def test_one_symbol_is_found_among_fifty_that_drown_it():
    """2c with q = 200: after 400 sequences x and y are much further apart than distractors are."""
    learner, problem = learner_of("very-long-lag-q1000-p50")
    problem = VeryLongLag(200, 50)
    learner.learn(problem.draw(np.random.default_rng(0), 400))
    e = learner.network.embedding.detach().numpy()[:, 0]
    distractors, (x, y) = e[:50], e[-2:]
    assert abs(x - y) > 10 * distractors.std()


def test_outputs_are_those_before_the_update():
    row = runs.row("order")
    for recipe in (recipes.today(row, "lstm-v2"), recipes.faithful(row)):
        torch.manual_seed(0)
        learner = recipes.build(recipe, row)
        batch = row.problem.draw(np.random.default_rng(0), 1)
        before = learner.answer(batch)
        assert np.allclose(learner.learn(batch), before, atol=1e-6)
        assert not np.allclose(learner.answer(batch), before, atol=1e-6)


def test_descent_is_descent():
    """One step of the faithful recipe lowers the squared error of logistic outputs, along its gradient."""
    row = runs.row("adding-T100")
    torch.manual_seed(0)
    learner = recipes.build(recipes.faithful(row), row)
    batch = row.problem.draw(np.random.default_rng(0), 1)
    weights = learner.network.weights.detach().clone()
    learner.learn(batch)
    step = (learner.network.weights.detach() - weights).double()
    small, error = 1e-3, []
    for sign in (1, -1):
        with torch.no_grad():
            learner.network.weights.copy_(weights + sign * small * step / step.norm())
        error.append(float(((learner.answer(batch) - batch.targets) ** 2).sum() / 2))
    slope = (error[0] - error[1]) / (2 * small)
    assert slope == pytest.approx(-float(step.norm()) / row.plan.rate, rel=2e-2)


@pytest.mark.parametrize("problem", [Operation(12, "xor"), Ordered(12), Memorisation(12, 2, 2), Operation(12)], ids=str)
def test_hessian_free_descends_and_is_the_same_again(problem):
    def trained():
        torch.manual_seed(0)
        learner = Newton(Sparse(problem, "rnn", 6), problem, iterations=20)
        batch = problem.draw(np.random.default_rng(0), 40)
        objective = learner._objective(batch)
        before = objective.value(learner.optimizer.parameters)
        outputs = [learner.learn(batch) for _ in range(4)]
        assert objective.value(learner.optimizer.parameters) < 0.95 * before
        return outputs

    for a, b in zip(trained(), trained(), strict=True):
        assert np.array_equal(a, b)


def test_states_after_the_end_are_not_held_back():
    problem = Operation(10)
    network = Sparse(problem, "lstm-v1", 3)
    batch = problem.draw(np.random.default_rng(0), 6)
    inputs, lengths, _ = tensors(batch, False)
    z, states = network.watched(inputs, lengths)
    torch.testing.assert_close(z, network(inputs, lengths))
    assert len(states) == 2
    for s in states:
        for k, n in enumerate(batch.lengths):
            assert s[:n, k].all() and not s[n:, k].any()
