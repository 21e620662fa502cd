"""Small data to look at: words whose tags are the word after them, series that rise or fall, trees of what is true."""

import pytest
import small_runs
from small_labels import OF_SERIES, as_text, plain, sentences, table, trees

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
def forests(tmp_path):
    """Files of 80 trees, labelled and plain."""
    found = {"labelled": trees(80), "plain": plain(trees(80))}
    for form, lines in found.items():
        (tmp_path / f"{form}.txt").write_text("\n".join(lines) + "\n")
    return {form: tmp_path / f"{form}.txt" for form in found}


@pytest.fixture
def make_run(tmp_path, text, series, forests):
    """``make_run(name, data, model, form="series", **training)`` gives a prepared run folder and its configuration.

    ``form``: text, series, or the form of trees.
    """

    def made(name="run", data=None, model=None, form="text", **training):
        options = {"batch_size": 8, "epochs": 3, "log_every": 3, "warmup": 2, "lr": 0.01} | training
        data = {"text": {}, "series": OF_SERIES}.get(form, {"trees": form, "least_count": 1}) | (data or {})
        config = LabellingConfig(
            LabelsConfig([str({"text": text, "series": series, **forests}[form])], **data),
            LabellerConfig(**(SMALL | (model or {}))),
            LabelTraining(**options),
        )
        return small_runs.made(tmp_path / name, config, prepare)

    return made
