"""The trainer knows no words: a task of its own kind trains, is judged by its metric, and carries what it wants to."""

import json
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from carousel.training.checkpoint import read_position
from carousel.training.config import RunConfig, TrainConfig
from carousel.training.processes import Processes
from carousel.training.run_folder import read_metrics
from carousel.training.task import Metric, Trainable
from carousel.training.trainer import Trainer

LIKELIHOOD = Metric("likelihood", "samples", lambda loss, targets: -loss / targets, higher=True)


@dataclass(frozen=True)
class Config(RunConfig):
    kind = "line"
    training: TrainConfig


class Line(Trainable):
    """y = a·x, and how many samples it has seen since the epoch began."""

    kind = "line"
    config = type("Config", (), {"cell": "line"})

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))

    def forward(self, x, y, state):
        seen = torch.zeros(1, 1, 1) if state is None else state
        return ((self.slope * x - y) ** 2).sum(), seen + len(x)


@dataclass(frozen=True)
class Samples:
    x: torch.Tensor
    first: bool

    @property
    def targets(self):
        return len(self.x)

    own_targets = targets

    def arguments(self, state, device):
        return self.x, 3 * self.x, None if self.first else state


class Feed:
    cut = 0

    def __len__(self):
        return 4

    def batches(self, epoch=0, first=0):
        for k in range(first, 4):
            yield Samples(torch.arange(1.0, 6) + k, k == 0)


class LineTask:
    metric, some_unused = LIKELIHOOD, False

    def __init__(self, folder, config, share):
        self.model, self.carried = Line(), []

    def has(self, name):
        return name != "test"

    def feed(self, name, seed=None):
        return Feed()

    def carry(self, state):
        self.carried.append(state.item())
        return state


@pytest.fixture
def trainer(tmp_path):
    config = Config(TrainConfig(epochs=2, lr=0.01, optimizer="sgd", weight_decay=0, clip=0, log_every=2, warmup=0))
    return Trainer(tmp_path, config, Processes(), LineTask)


@pytest.mark.filterwarnings("error")  # as of a curve whose values a logarithm cannot show
def test_a_task_that_is_no_language_trains(trainer, tmp_path):
    end = trainer.run()
    rows = read_metrics(tmp_path, LIKELIHOOD)
    assert [r["event"] for r in rows] == ["train", "train", "valid"] * 2
    assert all(r["likelihood"] == pytest.approx(-r["loss"]) for r in rows)
    assert rows[0].keys() == {"event", "step", "epoch", "loss", "likelihood", "lr", "samples_per_second", "seconds"}
    assert end["valid_likelihood"] == LIKELIHOOD.best([r for r in rows if r["event"] == "valid"])["likelihood"]
    assert abs(trainer.model.slope.item() - 3) < 0.5
    assert trainer.task.carried == [5, 10, 15, 20] * 2


def test_what_is_carried_comes_back_from_a_checkpoint(trainer, tmp_path):
    trainer.observer = lambda event: setattr(trainer, "interrupted", event.get("step") == 3)
    assert trainer.run()["event"] == "interrupted"
    again = Trainer(tmp_path, trainer.config, Processes(), LineTask)
    again.run()
    assert again.task.carried == [20, *[5, 10, 15, 20]]


def test_a_checkpoint_has_the_keys_of_the_first_version(trainer, tmp_path):
    trainer.observer = lambda event: setattr(trainer, "interrupted", event.get("step") == 1)
    trainer.run()
    content = (tmp_path / "checkpoint.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    position = json.loads(header["__metadata__"]["carousel"])["position"]
    assert position["loss_words"] == 5 and position["loss_nats"] > 0
    assert set(position) == {
        *("step", "epoch", "batch", "best", "best_epoch", "bad_epochs"),
        *("decays", "loss_nats", "loss_words", "seconds", "done"),
    }
    assert read_position(tmp_path / "checkpoint.safetensors").targets == 5
