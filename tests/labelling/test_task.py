"""The trainer trains labellers: they learn, stop at any instant and go on as if they had not."""

import json

import numpy as np
import pytest
import torch
from small_labels import OF_SERIES, as_text, sentences, table
from small_runs import ends_the_same, train

from carousel.errors import InputError
from carousel.labelling.config import LabellingConfig, LabelsConfig, LabelTraining
from carousel.labelling.folder import load_labeller, sequences_path
from carousel.labelling.model import LabellerConfig
from carousel.labelling.names import Names
from carousel.labelling.prepare import prepare
from carousel.labelling.sequences import SequenceFeed, Sequences
from carousel.language.folder import load_run
from carousel.runs.kinds import check_run
from carousel.runs.labeller import LabellerRun
from carousel.training.gradient_check import TOLERANCE
from carousel.training.processes import Share

WHOLE = {"form": "series", "model": {"whole": True, "bidirectional": True}}


@pytest.mark.parametrize("bidirectional", [True, False])
def test_tags_that_are_the_next_word_need_both_directions(make_run, text, bidirectional):
    text.write_text(as_text(sentences(200)))
    model = {"bidirectional": bidirectional, "dropout": 0.0, "hidden": 24, "embedding": 16}
    folder, config = make_run(model=model, epochs=6, lr=0.03, warmup=5)
    train(folder, config)
    found = LabellerRun(folder).score("valid")
    assert (found.accuracy > 0.97) is bidirectional and found.accuracy > 0.4
    assert (folder / "curve.png").stat().st_size > 1000
    assert json.loads((folder / "result.json").read_text())["parameters"] == load_labeller(folder)[0].count()


@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_whole_series_are_labelled(make_run, series, pooling):
    series.write_text(table(200))
    model = {"whole": True, "pooling": pooling, "dropout": 0.0}
    folder, config = make_run(form="series", model=model, epochs=8, lr=0.03)
    train(folder, config)
    assert LabellerRun(folder).score("valid").accuracy > 0.9


MODELS = {
    "plain": {},
    "both ways, words dropped": {"bidirectional": True, "dropout_words": 0.3, "variational_dropout": True},
    "chain": {"crf": True, "layers": 2},
}


@pytest.mark.parametrize("stop_at", [1, 6, 7, 8, 13])
@pytest.mark.parametrize("name", MODELS)
def test_a_run_that_was_stopped_ends_bit_for_bit_the_same(make_run, stop_at, name):
    assert ends_the_same(make_run, stop_at, model=MODELS[name])


@pytest.mark.parametrize("options", [WHOLE, {"form": "series", "length": 4}], ids=["whole", "parted"])
def test_a_run_over_series_ends_bit_for_bit_the_same(make_run, options):
    assert ends_the_same(make_run, 7, **options)


@pytest.mark.parametrize("options", [WHOLE, {"model": MODELS["chain"]}], ids=["whole", "chain"])
def test_gradients_are_those_of_finite_differences(make_run, options):
    folder, _ = make_run(**options)
    assert max(found.error for found in check_run(folder, directions=1, entries=1)) < TOLERANCE


def test_the_scale_is_that_of_the_training_data_and_is_kept(make_run):
    folder, config = make_run(form="series", epochs=1)
    train(folder, config)
    names, model = Names.load(folder), load_labeller(folder)[0]
    x, held = (Sequences.open(sequences_path(folder, part), names).x for part in ("train", "valid"))
    np.testing.assert_allclose(model.mean, x.mean(0, dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(model.deviation, x.std(0, dtype=np.float64), rtol=1e-5)
    assert not model.training and not np.allclose(model.mean, held.mean(0), rtol=1e-3)


def kept(count=23, whole=False):
    choose = np.random.default_rng(1)
    lengths = choose.integers(1, 9, count)
    x = np.arange(lengths.sum(), dtype=np.float32)[:, None]
    return Sequences(x, lengths.cumsum(), np.arange(count if whole else lengths.sum(), dtype=np.int32) % 5)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("length", [0, 3])
def test_every_step_of_every_sequence_comes_once_an_epoch(whole, seed, length):
    sequences, seen, targets = kept(whole=whole), [], 0
    feed = SequenceFeed(sequences, 4, length, Share(), seed)
    batches = [*feed.batches(epoch=2)]
    assert len(batches) == len(feed)
    for batch in batches:
        targets += batch.targets
        assert batch.targets == batch.own_targets
        for k, n in enumerate(batch.lengths.tolist()):
            seen += batch.x[:n, k, 0].tolist()
            assert not batch.x[n:, k].any() and (whole or (batch.y[n:, k] == -100).all())
            assert whole or n <= length or not length
    assert sorted(seen) == sequences.x[:, 0].tolist() and targets == len(sequences.y)
    again = [*feed.batches(epoch=2, first=3)]
    assert all(torch.equal(a.x, b.x) for a, b in zip(batches[3:], again, strict=True))


def test_processes_share_each_batch():
    both = [[*SequenceFeed(kept(), 4, 0, Share(k, 2), 3).batches(1)] for k in range(2)]
    whole = [*SequenceFeed(kept(), 4, 0, Share(), 3).batches(1)]
    for one, other, batch in zip(*both, whole, strict=True):
        assert one.targets == other.targets == batch.targets == one.own_targets + other.own_targets
    with pytest.raises(InputError, match="23 sequences are too few for 30 processes"):
        SequenceFeed(kept(), 4, 0, Share(0, 30), 3)


def run_of(tmp_path, train, valid=None, test=None, suffix="txt", model=None, **data):
    """A run folder that is to be prepared, of the contents of files."""
    paths = {}
    for part, content in {"train": train, "valid": valid, "test": test}.items():
        if content is not None:
            paths[part] = [str(tmp_path / f"{part}.{suffix}")]
            (tmp_path / f"{part}.{suffix}").write_text(content)
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    return folder, LabellingConfig(LabelsConfig(**paths, **data), LabellerConfig(**(model or {})), LabelTraining())


TEXT = "a X\nb Y\n\n" * 12


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"train": TEXT, "valid": "a X\n\na Z\n"}, r"valid\.txt, line 3: label 'Z' does not occur in the training data"),
        ({"train": TEXT, "test": "a Z\n"}, r"test\.txt, line 1: label 'Z' does not occur"),
        ({"train": TEXT + "c Z\n"}, "label 'Z' does not occur in the training data, which have X, Y"),
        ({"train": "a X\n\n" * 20}, "has one label, 'X', and nothing can be learnt"),
        ({"train": "a X\nb Y\n"}, "has 1 sequences, too few to hold every tenth out"),
        ({"train": TEXT, "model": {"whole": True}}, "a whole sequence has one label, and this one has 'X' and 'Y'"),
        ({"train": "n,k,a\n1,X,1\n", "suffix": "csv"}, "name the column of its labels"),
    ],
)
def test_data_that_cannot_be_are_refused_and_leave_nothing(tmp_path, given, words):
    folder, config = run_of(tmp_path, **given)
    with pytest.raises(InputError, match=words):
        prepare(folder, config)
    assert not [*folder.iterdir()]


def test_files_of_two_forms_are_refused(tmp_path, text, series):
    (tmp_path / "run").mkdir()
    config = LabellingConfig(LabelsConfig([str(text), str(series)], label="kind"))
    with pytest.raises(InputError, match=r"series\.csv is a table and .*text\.txt is text"):
        prepare(tmp_path / "run", config)


def test_held_out_are_the_last_sentences_and_every_tenth_whole_sequence(tmp_path, make_run):
    folder, _ = make_run("text")
    names = Names.load(folder)
    assert [len(Sequences.open(sequences_path(folder, p), names)) for p in ("train", "valid")] == [54, 6]
    rows = "".join(f"{k},{'u' if k < 30 else 'v'},{k}\n" for k in range(60))
    folder, config = run_of(tmp_path, "name,kind,a\n" + rows, suffix="csv", model={"whole": True}, **OF_SERIES)
    prepare(folder, config)
    held = Sequences.open(sequences_path(folder, "valid"), Names.load(folder))
    assert held.x[:, 0].tolist() == [9, 19, 29, 39, 49, 59] and held.y.tolist() == [0, 0, 0, 1, 1, 1]


def test_data_that_were_changed_are_refused(make_run):
    folder, config = make_run()
    path = sequences_path(folder, "train")
    for content in (path.read_bytes()[:-30], b"nothing"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not whole"):
            train(folder, config)
    x = np.zeros((3, 4), np.int32)
    for y, ends in (([0, 1, 9], [3]), ([0, 1, 1], [2]), ([0, 1], [3])):
        Sequences(x, np.array(ends), np.array(y)).save(path)
        with pytest.raises(InputError, match="not of this run"):
            train(folder, config)


def test_one_kind_of_run_is_not_taken_for_the_other(make_run):
    folder, config = make_run()
    assert LabellingConfig.load(folder) == config
    with pytest.raises(InputError, match="run of a labeller, and not of a language model"):
        load_run(folder)
