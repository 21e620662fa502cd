"""A small run to look at: prepared text, and configurations that train in a second."""

import pytest

from carousel.language.config import Config, TextConfig
from carousel.language.model import ModelConfig
from carousel.language.prepare import prepare
from carousel.language.task import LanguageTask
from carousel.training.config import TrainConfig
from carousel.training.processes import Processes
from carousel.training.trainer import Trainer

LINES = ["the cat sat on the mat and the dog sat on the cat", "a dog and a cat", "on the mat sat a dog"] * 20


@pytest.fixture
def text(tmp_path):
    """A text file of 60 lines."""
    path = tmp_path / "text.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.fixture
def make_run(tmp_path, text):
    """``make_run(name, **options)`` gives a prepared run folder and its configuration."""

    def make(name="run", cell="lstm-v2", vocabulary="word", **training):
        folder = tmp_path / name
        options = {"batch_size": 4, "length": 6, "epochs": 3, "log_every": 3, "warmup": 2} | training
        model = ModelConfig(cell, 8, 8, dropout=0.2)
        config = Config(TextConfig([str(text)], vocabulary=vocabulary), model, TrainConfig(**options))
        folder.mkdir(exist_ok=True)
        config.save(folder)
        prepare(folder, config)
        return folder, config

    return make


@pytest.fixture
def train():
    """``train(folder, config, stop_at=None)`` trains, or is interrupted after that step; gives the last event."""

    def run(folder, config, stop_at=None):
        trainer = Trainer(folder, config, Processes(), LanguageTask)

        def watch(event):
            if event["event"] == "step" and event["step"] == stop_at:
                trainer.interrupted = True

        trainer.observer = watch
        return trainer.run()

    return run
