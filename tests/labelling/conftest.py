"""Small data to look at: words whose tags are the word after them, series that rise or fall."""

import pytest
import small_runs
from small_labels import OF_SERIES, as_text, sentences, table

from carousel.labelling.config import LabellingConfig, LabelsConfig, LabelTraining
from carousel.labelling.model import LabellerConfig
from carousel.labelling.prepare import prepare

SMALL = {"embedding": 8, "hidden": 9, "dropout": 0.2}


@pytest.fixture
def text(tmp_path):
    """A file of 60 sentences with tags."""
    path = tmp_path / "text.txt"
    path.write_text(as_text(sentences(60)))
    return path


@pytest.fixture
def series(tmp_path):
    """A table of 60 series."""
    path = tmp_path / "series.csv"
    path.write_text(table(60))
    return path


@pytest.fixture
def make_run(tmp_path, text, series):
    """``make_run(name, data, model, form="series", **training)`` gives a prepared run folder and its configuration."""

    def made(name="run", data=None, model=None, form="text", **training):
        options = {"batch_size": 8, "epochs": 3, "log_every": 3, "warmup": 2, "lr": 0.01} | training
        data = ({} if form == "text" else OF_SERIES) | (data or {})
        config = LabellingConfig(
            LabelsConfig([str(text if form == "text" else series)], **data),
            LabellerConfig(**(SMALL | (model or {}))),
            LabelTraining(**options),
        )
        return small_runs.made(tmp_path / name, config, prepare)

    return made
