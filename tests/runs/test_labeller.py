"""A labeller from Python: trained, loaded, asked, scored."""

import numpy as np
import pytest
from small_labels import OF_SERIES, as_text, sentences, table

import carousel
from carousel.errors import InputError
from carousel.runs.labeller import LabellerRun

HOW = {"hidden": 16, "dropout": 0.0, "lr": 0.03, "warmup": 2, "batch_size": 8, "threads": 1}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "text.txt").write_text(as_text(sentences(200)))
    return LabellerRun.train(tmp_path / "text.txt", tmp_path / "run", bidirectional=True, epochs=6, **HOW)


def test_it_is_trained_loaded_and_asked(run, tmp_path):
    loaded = carousel.load(tmp_path / "run")
    assert isinstance(loaded, carousel.LabellerRun) and loaded.labels == ("E", "X", "Y")
    found = loaded.predict([["x", "x", "y"], ["y"]])
    assert [f.labels for f in found] == [("X", "Y", "E"), ("E",)]
    assert found == run.predict([["x", "x", "y"], ["y"]])
    assert loaded.score("valid").accuracy == pytest.approx(run.score(tmp_path / "text.txt").accuracy, abs=0.1)
    assert "3 labels" in repr(loaded)
    loaded.figure(loaded.score("valid")).savefig(tmp_path / "x.png")
    longer = LabellerRun.resume(tmp_path / "run", epochs=7)
    assert longer.config.training.epochs == 7


def test_series_are_arrays(tmp_path):
    (tmp_path / "series.csv").write_text(table(100))
    how = HOW | OF_SERIES | {"whole": True, "crf": False}
    run = LabellerRun.train(tmp_path / "series.csv", tmp_path / "run", cell="gru", epochs=6, **how)
    assert run.names.columns == ("a", "b")
    up = np.array([[100.0, 0], [102, 0], [104, 0]])
    assert [f.labels for f in run.predict([up, 200 - up])] == [("up",), ("down",)]
    for wrong in (up[:, :1], up[:0], np.full((2, 2), np.nan)):
        with pytest.raises(InputError, match="sequence 1"):
            run.predict([wrong])


def test_what_cannot_be_asked_is_refused(run, tmp_path):
    for wrong in ("xy", [], [1, 2]):
        with pytest.raises(InputError, match="sequence 1 must be a list of tokens"):
            run.predict([wrong])
    with pytest.raises(TypeError, match="no setting 'bidirectionl'; did you mean 'bidirectional'"):
        LabellerRun.train(tmp_path / "text.txt", tmp_path / "other", bidirectionl=True)
    with pytest.raises(InputError, match="has no test data"):
        run.score("test")
