"""The learning rate of a step is what its schedule says."""

import pytest
import torch

from carousel.errors import InputError
from carousel.training.config import TrainConfig
from carousel.training.optimizers import rate


def rates(steps, **training):
    config = TrainConfig(**training)
    config.check()
    return [rate(config, step, steps, 0) for step in range(steps)]


@pytest.mark.parametrize("steps", [10, 47, 400])
def test_one_cycle_is_pytorchs(steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=steps, cycle_momentum=False)
    expected = []
    for _ in range(steps):
        expected.append(theirs.get_last_lr()[0])
        optimizer.step()
        if len(expected) < steps:
            theirs.step()
    assert rates(steps, schedule="one-cycle", lr=0.3) == pytest.approx(expected, rel=1e-6)


def test_one_cycle_of_a_few_steps():
    assert all(0 < r <= 1.0 for steps in (1, 2, 3, 4) for r in rates(steps, schedule="one-cycle", lr=1.0))


def test_linear_rises_and_falls_to_zero():
    found = rates(100, schedule="linear", lr=2.0, warmup=10)
    assert found[:3] == pytest.approx([0.2, 0.4 * 0.99, 0.6 * 0.98])
    assert found[50] == pytest.approx(1.0) and found[-1] == pytest.approx(0.02)


def test_epochs_fall_one_after_the_other():
    """Zaremba et al. 2014, medium: the rate is 1 for six epochs, then divided by 1.2 after each."""
    found = rates(39 * 10, schedule="epochs", lr=1.0, decay=1 / 1.2, decay_after=6, epochs=39, warmup=0)
    assert found[:60] == [1.0] * 60 and found[60:80] == pytest.approx([1 / 1.2] * 10 + [1 / 1.2**2] * 10)
    assert found[-1] == pytest.approx(1.2**-33)


def test_sentences_do_not_vary():
    with pytest.raises(InputError, match="`vary_length` is for a stream"):
        TrainConfig(feed="sentences", vary_length=True).check()
    with pytest.raises(InputError, match="`vary_length` needs a `length` of 10 or more, not 9"):
        TrainConfig(length=9, vary_length=True).check()
