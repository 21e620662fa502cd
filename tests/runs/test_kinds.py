"""The gradients of every kind of run, also with the parts that ask for single precision of what is in half."""

import numpy as np
import pytest
from small_examples import examples
from small_labels import as_text, sentences

import carousel
from carousel.runs.kinds import check_run
from carousel.training.gradient_check import TOLERANCE

SMALL = {"hidden": 5, "epochs": 1, "batch_size": 4, "threads": 1}


def language(here, **settings):
    (here / "text.txt").write_text(" ".join(f"w{k}" for k in range(30)) + "\n" + "the cat sat on the mat\n" * 30)
    carousel.train(here / "text.txt", here / "run", length=4, **SMALL, **settings)


def transcriber(here, **settings):
    np.savez(here / "data.npz", **examples(30))
    carousel.TranscriberRun.train(here / "data.npz", here / "run", layers=1, **SMALL, **settings)


def labeller(here, **settings):
    (here / "text.txt").write_text(as_text(sentences(20)))
    carousel.LabellerRun.train(here / "text.txt", here / "run", **SMALL, **settings)


def forecaster(here, **settings):
    columns = {"x": np.sin(np.arange(80) / 3)}
    how = SMALL | {"horizon": 2, "season": 6, "length": 8, "windows": 8, "test": 6}
    carousel.ForecastRun.train(columns, here / "run", **how, **settings)


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (language, {}),
        (language, {"softmax": "adaptive"}),
        (language, {"softmax": "mixture", "mixtures": 3}),
        (transcriber, {"reads": "series"}),
        (labeller, {}),
        (labeller, {"crf": True}),
        (forecaster, {}),
    ],
    ids=lambda x: getattr(x, "__name__", str(x)),
)
def test_gradients_are_those_of_finite_differences(make, settings, tmp_path):
    make(tmp_path, **settings)
    assert max(found.error for found in check_run(tmp_path / "run", directions=1, entries=1)) < TOLERANCE
