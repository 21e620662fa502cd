"""A step down a gradient is the optimizer's own, clipped where it is long, at the rate that is asked for."""

import math

import pytest
import torch
from torch import nn

from carousel.errors import TrainingError
from carousel.insight.claims.training import Network, train
from carousel.training.descent import Descent, Step
from carousel.training.optimizers import optimizer


def weight(*values):
    return nn.Parameter(torch.tensor(values))


def test_a_step_is_plain_arithmetic():
    w = weight(1.0, 2.0)
    descent = Descent([w], optimizer("sgd", [w], 0.1), clip=0)
    step = descent.step((3 * w).sum(), targets=2)
    assert step.loss == 9 and step.norm == pytest.approx(1.5 * math.sqrt(2)) and not step.clipped
    assert torch.allclose(w, torch.tensor([0.85, 1.85]))  # the gradient of the mean is 1.5
    assert Descent([w], optimizer("sgd", [w], 0.1)).step(w.sum()).norm == 0  # nobody asked for it


def test_a_long_gradient_is_cut_to_the_longest_that_may_be():
    w = weight(0.0, 0.0)
    descent = Descent([w], optimizer("sgd", [w], 1.0), clip=0.5)
    step = descent.step((torch.tensor([3.0, 4.0]) * w).sum())
    assert step.norm == 5 and step.clipped
    assert torch.allclose(w, torch.tensor([-0.3, -0.4]))
    assert not descent.step((torch.tensor([0.3, 0.0]) * w).sum()).clipped


def test_each_group_has_its_rate_at_each_step():
    fast, slow = weight(0.0), weight(0.0)
    groups = optimizer("sgd", [{"params": [fast]}, {"params": [slow]}], 9.0)
    descent = Descent([fast, slow], groups, rates=lambda taken: [1 / (taken + 1), 0.1])
    for _ in range(3):
        descent.step(fast.sum() + slow.sum())
    assert fast.item() == pytest.approx(-(1 + 1 / 2 + 1 / 3)) and slow.item() == pytest.approx(-0.3)


def test_it_goes_over_batches_only_as_far_as_it_is_asked():
    w = weight(0.0)
    descent, drawn = Descent([w], optimizer("sgd", [w], 1.0)), []

    def loss(batch):
        drawn.append(batch)
        return batch * w.sum(), 1

    for batch, step in descent.over(range(10), loss):
        assert isinstance(step, Step) and batch == drawn[-1]
        if batch == 3:
            break
    assert drawn == [0, 1, 2, 3] and w.item() == -6


@pytest.mark.parametrize(
    ("loss", "norm", "wrong"),
    [(1.0, 1.0, None), (math.nan, math.nan, "the loss"), (1.0, math.inf, "the gradient"), (math.inf, 1.0, "the loss")],
)
def test_a_step_tells_what_is_not_finite(loss, norm, wrong):
    assert Step(torch.tensor(loss), torch.tensor(norm), None).not_finite == wrong


def test_a_claim_whose_loss_is_no_number_says_at_which_step():
    network, ticks = Network("rnn", 1, 2, 1), []

    def loss(k):
        return network(torch.zeros(2, 1, 1))[0].sum() * (math.nan if k == 2 else 1)

    with pytest.raises(TrainingError, match="the loss is not finite at step 3"):
        train(network, loss, 5, 0.1, lambda *t: ticks.append(t))
    assert ticks == [(0, 5)]
