"""Runs of transcribers that train in a second."""

import numpy as np
import pytest
import small_runs
from small_examples import examples

from carousel.transcription.config import ExamplesConfig, TranscriptionConfig, TranscriptionTraining
from carousel.transcription.model import TranscriberConfig
from carousel.transcription.prepare import prepare

SMALL = {"hidden": 8, "layers": 1, "dropout": 0.0, "reads": "series"}


@pytest.fixture
def data(tmp_path):
    """An .npz file of 120 examples."""
    path = tmp_path / "data.npz"
    np.savez(path, **examples(120))
    return path


@pytest.fixture
def make_run(tmp_path, data):
    """``make_run(name, model options, training options)`` gives a prepared run folder and its configuration."""

    def made(name="run", model=None, files=None, **training):
        options = {"batch_size": 16, "epochs": 3, "log_every": 3, "warmup": 2, "lr": 0.02} | training
        config = TranscriptionConfig(
            ExamplesConfig(**({"train": str(data)} | (files or {}))),
            TranscriberConfig(**(SMALL | (model or {}))),
            TranscriptionTraining(**options),
        )
        return small_runs.made(tmp_path / name, config, prepare)

    return made
