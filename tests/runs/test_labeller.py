"""A labeller from Python: trained, loaded, asked, scored."""

import numpy as np
import pytest
import torch
from small_labels import OF_SERIES, as_text, plain, sentences, table, trees

import carousel
from carousel.errors import InputError
from carousel.labelling.trees import written
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


@pytest.fixture(scope="module")
def of_trees(tmp_path_factory):
    place = tmp_path_factory.mktemp("trees")
    (place / "trees.txt").write_text("\n".join(trees(300)) + "\n")
    how = HOW | {"trees": "labelled", "least_count": 1, "epochs": 8}
    return LabellerRun.train(place / "trees.txt", place / "run", cell="tree-lstm", **how)


def test_trees_are_lines_or_nodes_with_the_numbers_of_their_children(of_trees):
    loaded = carousel.load(of_trees.folder)
    assert "Tree(tree-lstm, 16, 16)" in repr(loaded)
    line = "(? a (? t) (? n (? f)))"
    (found,) = loaded.predict([line])
    assert found.labels == ("1", "1", "1", "0") and all(p > 0.5 for p in found.probabilities)
    nodes = (["f", "n", "a", "t"], [[], [0], [3, 1], []])  # in any order, and the labels in the same
    assert [f.labels for f in loaded.predict([nodes, line])] == [("0", "1", "1", "1"), found.labels]
    assert loaded.score("valid").accuracy > 0.95
    assert loaded.predict([]) == []


def test_a_tree_is_viewed_in_the_order_of_writing(of_trees, tmp_path):
    line, nodes = "(? a (? t) (? n (? f)))", (["f", "n", "a", "t"], [[], [0], [3, 1], []])
    view, other = of_trees.view(line, "h"), of_trees.view(nodes, "h")
    assert view.tokens == other.tokens == ("a", "t", "n", "f") and view.depths == [0, 1, 1, 2]
    assert view.parents.tolist() == other.parents.tolist() == [-1, 0, 0, 2]
    assert view.labels == other.labels == of_trees.predict([line])[0].labels
    np.testing.assert_allclose(view.probabilities, of_trees.predict([line])[0].probabilities, atol=1e-5)
    np.testing.assert_allclose(view.values, other.values, atol=1e-6)
    layer = of_trees.model.recurrent.layers[0]
    e = of_trees.model._embedded(torch.from_numpy(of_trees.names.steps(view.tokens).astype(np.int64)))
    _, recorded = layer(e, [[1, 2], [], [3], []], record=["h"])
    np.testing.assert_allclose(view.unit(5), recorded["h"][:, 5].detach(), atol=1e-6)
    assert view.as_dict(5)["nodes"][3] == {
        **{"token": "f", "parent": 2, "label": "0", "probability": round(float(view.probabilities[3]), 6)},
        "h[5]": round(float(view.values[3, 5]), 6),
    }
    for unit in (None, 5):
        of_trees.tree_figure(view, unit).savefig(tmp_path / "tree.png")
        assert (tmp_path / "tree.png").stat().st_size > 5000


def test_a_tree_of_the_runs_own_data_is_viewed_with_its_labels(of_trees):
    kept = of_trees.sequences("valid")
    lines = (of_trees.folder.parent / "trees.txt").read_text().splitlines()
    for number in range(5):
        view = of_trees.view(kept.row(number), "h")
        line = written(view.tokens, view.right, view.parents.tolist())
        other = of_trees.view(line, "h")
        assert line in lines and view.tokens == other.tokens and view.labels == other.labels
        assert all(view.known) and other.right == ()
        np.testing.assert_allclose(view.values, other.values, atol=1e-6)
    with pytest.raises(InputError, match="has no test data"):
        of_trees.sequences("test")


def test_heights_and_what_is_below_a_node(of_trees):
    view = of_trees.view("(? a (? n (? n (? f))) (? o (? t) (? zebra)))")
    assert view.tokens == ("a", "n", "n", "f", "o", "t", "zebra")
    assert view.heights == [3, 2, 1, 0, 1, 0, 0] and view.ends == [7, 4, 4, 4, 7, 6, 7]
    assert view.known == (True,) * 6 + (False,)


def test_views_that_cannot_be_are_refused(of_trees, run):
    with pytest.raises(InputError, match="there is no unit 16 of h; units are 0 to 15"):
        of_trees.view("(? t)", "h").unit(16)
    with pytest.raises(InputError, match="no quantity 'q'"):
        of_trees.view("(? t)", "q")
    with pytest.raises(InputError, match="there is no layer 1; layers are 0 to 0"):
        of_trees.view("(? t)", "h", 1)
    with pytest.raises(InputError, match="reads sequences; a tree is shown by a run of a cell such as tree-lstm"):
        run.view("(? t)")
    with pytest.raises(InputError, match="151 leaves, more than the 150"):
        of_trees.tree_figure(of_trees.view("(? a (? t) " * 150 + "(? t)" + ")" * 150))


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ((["a", "t"], [[1], [0]]), "tree 1: node . is its own ancestor: a tree has no circles"),
        ((["a", "n", "t"], [[1, 2], [2], []]), "tree 1: node 2 is the child of node 0 and of node 1"),
        ((["a", "t", "t", "t"], [[1, 2, 3], [], [], []]), "tree 1: a node has 3 children"),
        ("(? a (? t)", "tree 1, line 1 leaves 1 bracket open"),
        ("", "tree 1 is an empty line"),
        (["a", "t"], "tree 1 must be a line in brackets, or a pair"),
    ],
)
def test_what_is_no_tree_is_refused(of_trees, tree, words):
    with pytest.raises(InputError, match=words):
        of_trees.predict([tree])


def test_a_chain_that_was_trained_on_trees_reads_tokens_too(tmp_path):
    (tmp_path / "trees.txt").write_text("\n".join(plain(trees(60))) + "\n")
    how = HOW | {"trees": "plain", "whole": True, "epochs": 1}
    run = LabellerRun.train(tmp_path / "trees.txt", tmp_path / "run", **how)
    nodes = ["", "a", "t", "n", "f"], [[1, 2, 3, 4], [], [], [], []]
    one, other, third = run.predict(["( a t ( n f ) )", ["a", "t", "n", "f"], nodes])
    assert one == other == third and len(one.labels) == 1


def test_what_cannot_be_asked_is_refused(run, tmp_path):
    for wrong in ("xy", [], [1, 2]):
        with pytest.raises(InputError, match="sequence 1 must be a list of tokens"):
            run.predict([wrong])
    with pytest.raises(TypeError, match="no setting 'bidirectionl'; did you mean 'bidirectional'"):
        LabellerRun.train(tmp_path / "text.txt", tmp_path / "other", bidirectionl=True)
    with pytest.raises(InputError, match="has no test data"):
        run.score("test")
