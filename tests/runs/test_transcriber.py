"""A transcriber from Python: trained, loaded, gone on with; and settings that are none."""

import numpy as np
import pytest
from small_examples import examples

import carousel
from carousel.cells import CELLS
from carousel.errors import InputError
from carousel.runs.transcriber import TranscriberRun
from carousel.transcription.decoding import log_probabilities

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


def test_runs_that_read_together_take_what_both_find_likeliest(data, tmp_path):
    runs = [TranscriberRun.train(data, tmp_path / str(seed), epochs=2, seed=seed, **HOW) for seed in (1, 2)]
    texts = [[t.text for t in run.read(data)] for run in runs]
    assert texts[0] != texts[1]
    together = runs[0].read(data, others=[runs[1].folder])
    assert [t.text for t in runs[1].read(data, others=[runs[0]])] == [t.text for t in together]
    inputs = runs[0].inputs(data)
    for *logs, found, one, two in zip(*(run.logs(inputs) for run in runs), together, *texts, strict=True):
        candidates = [tuple(1 + "abc".index(c) for c in text) for text in (one, two)]
        chances = sum(log_probabilities(own, candidates) for own in logs) / 2
        assert found.text == (one, two)[chances.argmax()] and found.log_probability == pytest.approx(chances.max(), abs=1e-4)


@pytest.mark.parametrize("first", ["columns", "grid"])
def test_a_run_that_reads_columns_and_one_that_reads_a_grid_read_together(first, tmp_path):
    given = examples(40)
    given["inputs"] = given["inputs"].transpose(0, 2, 1)  # a series is an image, its steps the columns
    np.savez(tmp_path / "images.npz", **given)
    runs = {
        reads: TranscriberRun.train(tmp_path / "images.npz", tmp_path / reads, epochs=1, **HOW | {"reads": reads})
        for reads in ("columns", "grid")
    }
    one, other = runs.pop(first), *runs.values()
    together = one.read(tmp_path / "images.npz", others=[other])
    logs = [run.logs(run.inputs(tmp_path / "images.npz")) for run in (one, other)]
    texts = [[t.text for t in run.read(tmp_path / "images.npz")] for run in (one, other)]
    assert texts[0] != texts[1]
    for *own, found, a, b in zip(*logs, together, *texts, strict=True):
        candidates = [tuple(1 + "abc".index(c) for c in text) for text in (a, b)]
        chances = sum(log_probabilities(these, candidates) for these in own) / 2
        assert found.text == (a, b)[chances.argmax()] and found.log_probability == pytest.approx(chances.max(), abs=1e-4)
    assert one.score("valid", others=[other]).transcriptions == 4


@pytest.mark.parametrize(
    ("letters", "said"), [("abd", "has other labels than"), ("abc", r"has inputs of another size than .* \(4, not 3\)")]
)
def test_runs_with_other_labels_or_inputs_do_not_read_together(letters, said, data, tmp_path):
    other = examples(60, letters=letters)
    if letters == "abc":
        other["inputs"] = np.pad(other["inputs"], ((0, 0), (0, 0), (0, 1)))
    np.savez(tmp_path / "other.npz", **other)
    run, other = (
        TranscriberRun.train(path, tmp_path / path.stem / "run", epochs=1, **HOW) for path in (data, tmp_path / "other.npz")
    )
    with pytest.raises(InputError, match=said):
        run.read(data, others=[other])


def test_a_column_has_whole_pixels(tmp_path):
    images, runs = examples(40), []
    images["inputs"] = images["inputs"].transpose(0, 2, 1)
    for reads, numbers in (("columns", 1), ("grid", 2), ("grid", 6)):  # a column has three numbers
        folder, own = tmp_path / f"{reads}-{numbers}", images | {"inputs": np.stack([images["inputs"]] * numbers, -1)}
        folder.mkdir()
        np.savez(folder / "images.npz", **own)
        runs.append(TranscriberRun.train(folder / "images.npz", folder / "run", epochs=1, **HOW | {"reads": reads}))
    columns, *grids = runs
    for grid in grids:
        for run, other in ((columns, grid), (grid, columns)):
            with pytest.raises(InputError, match="has inputs of another size than"):
                run.score("valid", others=[other])


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
