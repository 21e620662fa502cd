"""A small run to look at: prepared text, and configurations that train in a second."""

import pytest
import small_runs

from carousel.language.config import Config, TextConfig
from carousel.language.model import ModelConfig
from carousel.language.prepare import prepare
from carousel.training.config import TrainConfig

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

    def make(name="run", cell="lstm-v2", vocabulary="word", model=None, **training):
        options = {"batch_size": 4, "length": 6, "epochs": 3, "log_every": 3, "warmup": 2} | training
        network = ModelConfig(cell, **{"embedding": 8, "hidden": 8, "dropout": 0.2, **(model or {})})
        config = Config(TextConfig([str(text)], vocabulary=vocabulary), network, TrainConfig(**options))
        return small_runs.made(tmp_path / name, config, prepare)

    return make
