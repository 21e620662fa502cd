"""A transcriber from Python: trained, loaded, gone on with; and settings that are none."""

import numpy as np
import pytest
from small_examples import examples

import carousel
from carousel.cells import CELLS
from carousel.errors import InputError
from carousel.runs.transcriber import TranscriberRun

HOW = {"reads": "series", "layers": 1, "hidden": 6, "batch_size": 16, "threads": 1}


@pytest.fixture
def data(tmp_path):
    np.savez(tmp_path / "data.npz", **examples(60))
    return tmp_path / "data.npz"


def test_it_is_trained_loaded_and_gone_on_with(data, tmp_path):
    run = TranscriberRun.train(data, tmp_path / "run", cell=CELLS["gru"], epochs=1, **HOW)
    loaded = carousel.load(tmp_path / "run")
    assert isinstance(loaded, TranscriberRun) and loaded.config.model.cell == "gru" and loaded.labels == run.labels
    assert loaded.read(data)[0] == run.read(data)[0]
    longer = TranscriberRun.resume(tmp_path / "run", epochs=2)
    assert longer.config.training.epochs == 2 and longer.read(data)[0] != run.read(data)[0]


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"hiden": 3}, TypeError, "train has no setting 'hiden'; did you mean 'hidden'"),
        ({"test_": "x"}, TypeError, "train has no setting 'test_'"),
        ({"hidden": "3"}, TypeError, "`hidden` must be int, not '3'"),
        ({"cell": "lstm-v9"}, InputError, "no cell is called 'lstm-v9'"),
        ({"cell": "mdlstm"}, InputError, "follows several"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_anything_is_written(data, tmp_path, settings, error, said):
    with pytest.raises(error, match=said):
        TranscriberRun.train(data, tmp_path / "run", **HOW | settings)
    assert not (tmp_path / "run").exists()
