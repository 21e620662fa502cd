"""Means of weights are those of their definitions; a run validates and keeps the mean, and learns on with its own weights."""

import pytest
import torch
from safetensors.torch import load_file
from small_runs import ends_the_same, train
from torch import nn

from carousel.training.averaging import Average
from carousel.training.checkpoint import read_position
from carousel.training.config import TrainConfig


def means(steps, **training):
    """The weights of some steps, and the mean after each."""
    model = nn.Linear(3, 2)
    average, weights, found = Average(TrainConfig(**training), model), [], []
    average.begin()
    for n in range(1, steps + 1):
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 3))
        average.add(n)
        weights.append(model.weight.detach().clone())
        found.append(average.mean["weight"].clone())
    return weights, found


def test_the_mean_of_all_steps():
    weights, found = means(5, average="nt-asgd")
    for n in range(1, 6):
        torch.testing.assert_close(found[n - 1], torch.stack(weights[:n]).mean(0))


def test_the_exponential_mean():
    weights, found = means(40, average="ema", average_decay=0.7)
    mean = weights[0]
    for n, w in enumerate(weights, 1):
        decay = min(0.7, (n - 1) / (n + 8))
        mean = decay * mean + (1 - decay) * w
        torch.testing.assert_close(found[n - 1], mean)
    assert (22 - 1) / (22 + 8) == 0.7  # from the 22nd step on it is the one that was asked for


def test_it_begins_when_validation_is_no_better_than_some_epochs_before():
    average = Average(TrainConfig(average="nt-asgd", average_after=2), nn.Linear(1, 1))
    losses = [5.0, 4.0, 4.5, 4.4, 3.9, 3.8, 3.95]
    due = [average.due(loss, losses[:n]) for n, loss in enumerate(losses)]
    # All but the last two losses before count: at 4.4 those are 5.0 alone.
    assert due == [False, False, False, False, False, False, False]
    assert average.due(4.1, losses[:6]) and not average.due(3.9, losses[:6])
    average.begin()
    assert not average.due(9.0, losses)
    assert not Average(TrainConfig(), nn.Linear(1, 1)).due(9.0, losses)


def test_the_mean_takes_the_weights_place_for_a_while():
    model = nn.Linear(2, 2)
    average, own = Average(TrainConfig(average="ema"), model), model.weight.detach().clone()
    with average.in_place():
        assert torch.equal(model.weight, own)  # there is no mean yet
    average.begin()
    average.mean["weight"].fill_(7)
    with pytest.raises(KeyError), average.in_place():
        assert bool((model.weight == 7).all())
        raise KeyError
    assert torch.equal(model.weight, own)


WILD = {"lr": 100.0, "schedule": "constant", "weight_decay": 0.0}  # so that validation gets worse soon
KINDS = {"ema": {"average": "ema", "average_decay": 0.9}, "nt-asgd": {"average": "nt-asgd", "average_after": 0, **WILD}}
STOPS = {"ema": (30, 2), "nt-asgd": (90, 5)}  # the step where it is stopped, and the epochs in all


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_keeps_the_mean_and_goes_on_bit_for_bit(make_run, tmp_path, kind):
    stop, epochs = STOPS[kind]
    assert ends_the_same(make_run, stop, epochs=epochs, **KINDS[kind])
    checkpoint, kept = (load_file(tmp_path / "whole" / f"{name}.safetensors") for name in ("checkpoint", "model"))
    position = read_position(tmp_path / "whole" / "checkpoint.safetensors")
    assert 0 < position.averaged <= position.step and (position.averaged < position.step) == (kind == "nt-asgd")
    assert position.averaged > position.step - stop  # it had begun where the run was stopped
    assert len(position.validations) == (epochs if kind == "nt-asgd" else 0)
    name = "recurrent.W.im_l0"
    mean, own = checkpoint[f"average.{name}"], checkpoint[f"model.{name}"]
    assert not torch.equal(mean, own) and not torch.equal(kept[name], own)
    if position.best_epoch == epochs:
        assert torch.equal(kept[name], mean)


def test_a_run_without_a_mean_keeps_none(make_run):
    folder, config = make_run(epochs=1)
    train(folder, config)
    assert not any(k.startswith("average.") for k in load_file(folder / "checkpoint.safetensors"))
