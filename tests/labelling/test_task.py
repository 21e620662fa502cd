"""The trainer trains labellers: they learn, stop at any instant and go on as if they had not."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from small_labels import OF_SERIES, as_text, sentences, table, trees
from small_runs import ends_the_same, train

from carousel.errors import InputError
from carousel.labelling.config import LabellingConfig, LabelsConfig, LabelTraining
from carousel.labelling.folder import load_labeller, sequences_path
from carousel.labelling.model import LabellerConfig
from carousel.labelling.names import Names
from carousel.labelling.prepare import prepare
from carousel.labelling.sequences import SequenceFeed, Sequences
from carousel.labelling.task import LabellingTask
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


TREES = {
    "nodes": {"form": "labelled", "model": {"cell": "tree-lstm"}},
    "roots": {"form": "plain", "model": {"cell": "child-sum-lstm", "whole": True, "layers": 2, "dropout_words": 0.1}},
}


@pytest.mark.parametrize("cell", ["tree-lstm", "recursive"])
def test_what_a_tree_says_is_learnt_at_every_node(make_run, forests, cell):
    forests["labelled"].write_text("\n".join(trees(400)) + "\n")
    model = {"cell": cell, "dropout": 0.0, "hidden": 16, "embedding": 16}
    folder, config = make_run(form="labelled", model=model, epochs=12, lr=0.02)
    train(folder, config)
    run = LabellerRun(folder)
    # "recursive" reads no word above a leaf, so it knows what is written there, and one of two parts only
    assert run.score("valid").accuracy > (0.97 if cell == "tree-lstm" else 0.7)


def test_a_chain_reads_the_same_files(make_run):
    folder, config = make_run(form="labelled")
    names = Names.load(folder)
    kept = Sequences.open(sequences_path(folder, "train"), names)
    lines = trees(80)[:72]
    assert kept.parents is None and len(kept) == 72 and len(kept.x) == sum(line.count("(") for line in lines)
    assert [names.labels[n] for n in kept.y[: kept.ends[0]]] == [part[0] for part in lines[0].split("(")[1:]]
    train(folder, config)


def test_files_of_both_forms_are_the_same_trees(make_run):
    nodes, _ = make_run("nodes", form="labelled", model={"cell": "tree-lstm", "whole": True})
    roots, _ = make_run("roots", form="plain", model={"cell": "tree-lstm-3", "whole": True})
    one, other = (Sequences.open(sequences_path(f, "train"), Names.load(f), True) for f in (nodes, roots))
    assert one.y.tolist() == other.y.tolist() == [int(line[1]) for k, line in enumerate(trees(80), 1) if k % 10]
    assert (other.x[:, 0] == -1).any() and not (one.x[:, 0] == -1).any()  # plain ones have tokens at leaves alone


def test_batches_of_trees_are_the_trees(make_run):
    folder, config = make_run(form="labelled", model={"cell": "tree-lstm"})
    feed = LabellingTask(folder, config, Share()).feed("train", 3)
    kept, seen, targets, labelled = feed.sequences, 0, 0, []
    for batch in feed.batches(epoch=1):
        labelled += torch.column_stack([batch.x, batch.y]).tolist()
        forest, targets = batch.forest, targets + batch.targets
        assert batch.targets == batch.own_targets == len(batch.x) == len(forest)
        seen += len(forest.roots)
        below = batch.x[torch.from_numpy(forest.parent >= 0)]
        assert len(below) == len(forest) - len(forest.roots)
    assert seen == len(kept) == 72 and targets == len(kept.y)
    assert sorted(labelled) == sorted(np.column_stack([kept.x, kept.y]).tolist())
    one = kept.trees(np.array([5]))
    span = slice(kept.begins[5], kept.ends[5])
    assert (
        one.parent.tolist() == kept.parents[span].tolist()
        and one.place.tolist() == np.where(one.parent >= 0, kept.ranks[span], 0).tolist()
    )


@pytest.mark.parametrize("stop_at", [1, 9, 14])
@pytest.mark.parametrize("name", TREES)
def test_a_run_over_trees_ends_bit_for_bit_the_same(make_run, name, stop_at):
    assert ends_the_same(make_run, stop_at, **TREES[name])


def test_trees_that_were_changed_are_refused(make_run):
    folder, config = make_run(form="labelled", model={"cell": "tree-lstm"})
    path, names = sequences_path(folder, "train"), Names.load(folder)
    good = Sequences.open(path, names, True)
    above, own = good.parents.copy(), good.parents.copy()
    above[1], own[1] = 2, 1  # below a node that stands after it, and below itself
    for wrong in (
        {"parents": above},
        {"parents": own},
        {"parents": np.where(good.parents == -1, 0, good.parents)},
        {"parents": good.parents[:-1]},
        {"ranks": good.ranks - 1},
        {"ranks": np.zeros_like(good.ranks)},
        {"ranks": good.ranks + len(good.x)},
        {"ranks": good.ranks.astype(float)},
        {"x": good.x - 9},
        {"x": good.x + 999},
        {"parents": None, "ranks": None},
    ):
        dataclasses.replace(good, **wrong).save(path)
        with pytest.raises(InputError, match="not of this run"):
            train(folder, config)
    good.save(path)
    with pytest.raises(InputError, match="not of this run"):
        Sequences.open(path, names)


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


@pytest.mark.parametrize("options", [WHOLE, {"model": MODELS["chain"]}, *TREES.values()], ids=["whole", "chain", *TREES])
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
TREE, WIDE, OF_TREES = "(1 (0 a) (1 b))\n(0 (0 a))\n" * 12, "(1 a)\n(1 (0 a) (0 a) (0 b))\n", {"cell": "tree-lstm"}


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
        ({"train": TREE, "model": OF_TREES}, "a step of cell tree-lstm follows several, so it reads trees: say with `trees`"),
        ({"train": TREE, "trees": "plain"}, "plain `trees` have one label each, so the model needs `whole`"),
        ({"train": TREE, "trees": "plain", "model": WHOLE["model"]}, r"train\.txt, line 1 has no label"),
        ({"train": TREE + "(1 (0 a) (1 b)\n", "trees": "labelled"}, r"train\.txt, line 25 leaves 1 bracket open"),
        (
            {"train": TREE, "test": "(1 (7 a))\n", "trees": "labelled", "model": OF_TREES},
            r"test\.txt, line 1: label '7' does not",
        ),
        ({"train": TREE, "valid": WIDE, "trees": "labelled", "model": OF_TREES}, r"valid\.txt, line 2: a node has 3 children"),
        ({"train": "n,k,a\n1,X,1\n", "suffix": "csv", "trees": "labelled"}, "is a table, and `trees` are lines of text"),
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
