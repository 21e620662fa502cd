"""``carousel label``: files with labels in, a labeller out; labels, scores and figures; one clear line for what cannot be."""

import csv
import io
import json
import os
import re
import signal
import sys
import time

import pytest
from small_labels import as_text, sentences, table, trees

from carousel.web import examples

SMALL = ("--hidden", 12, "--batch-size", 8, "--threads", 1, "--dropout", 0, "--warmup", 2, "--lr", 0.03)
OF_SERIES = ("--label", "kind", "--sequence", "name", "--whole")


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.txt").write_text(as_text(sentences(200)))
    return "text.txt"


@pytest.fixture
def trained(carousel, text, once, tmp_path):
    """A run folder of a labeller of words, both ways."""

    def make():
        status, out, err = carousel("label", "train", text, *SMALL, "--bidirectional", "--epochs", 6, "--out", "run", "--json")
        assert status == 0, err
        (tmp_path / "told.json").write_text(out)

    once("labeller", make)
    return "run"


def one_line(result, *parts):
    status, _, err = result
    assert status == 2
    assert err.startswith("carousel: ") and err.count("\n") == 1
    assert all(part in err for part in parts), err


def test_what_training_tells(trained, tmp_path):
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["run"] == "run" and told["valid_accuracy"] > 0.95 and 0 < told["valid_nats_per_label"] < 0.5
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert any("labels_per_second" in row for row in rows)


def test_a_page_of_examples_is_written_whole_or_not_at_all(carousel, trained, tmp_path, monkeypatch):
    """The held-out part is the run's only data but for training."""
    status, out, err = carousel("export", trained, "-o", "some.html", "--examples", 2, "--json")
    page = tmp_path / "some.html"
    assert status == 0 and json.loads(out) == {"run": "run", "files": {"some.html": page.stat().st_size}, "to": "html"}, err
    told = json.loads(re.search('id="saved">(.*?)</script>', page.read_text()).group(1))["answers"]
    asked = [json.loads(question.partition(" ")[2]) for question in told if " " in question]
    assert {(q["part"], q["number"]) for q in asked} == {("valid", 0), ("valid", 1)}
    for arguments, part in (
        (("page.html", "--precision", "int8"), "leave --precision and --valid out"),
        (("page.html", "--valid", "text.txt"), "leave --precision and --valid out"),
        (("page.c",), "language models and translators are exported"),
    ):
        one_line(carousel("export", trained, "-o", *arguments), part)
    monkeypatch.setattr(examples, "LARGEST_FILE", 2_000_000)
    assert carousel("export", trained, "-o", "one.html", "--examples", 1)[0] == 0
    monkeypatch.setattr(examples, "LARGEST_FILE", 100)
    one_line(carousel("export", trained, "-o", "page.html"), "take more than", "take fewer --examples")
    assert not (tmp_path / "page.html").exists() and not (tmp_path / "page.c").exists()


def test_it_labels_files_and_standard_input(carousel, trained, tmp_path, monkeypatch):
    (tmp_path / "tokens.txt").write_text("x\nx\ny\n\ny\nx\n")
    status, out, _ = carousel("label", "predict", trained, "tokens.txt")
    assert (status, out) == (0, "x\tX\nx\tY\ny\tE\n\ny\tX\nx\tE\n\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x whatever\nx\n\n\n")))
    assert carousel("label", "predict", trained)[1] == "x\tX\nx\tE\n\n"
    _, out, _ = carousel("label", "predict", trained, "tokens.txt", "--json")
    first, _second = map(json.loads, out.splitlines())
    assert first["tokens"] == ["x", "x", "y"] and first["labels"] == ["X", "Y", "E"]
    assert all(0 < p <= 1 for p in first["probabilities"])


def test_scores_of_a_file_and_of_the_runs_own_data(carousel, trained, text, tmp_path):
    status, out, _ = carousel("label", "score", trained, text, "--figure", "confusion.png", "--threads", 1)
    assert status == 0 and "accuracy" in out and "macro F1" in out and "right \\ found" in out
    assert (tmp_path / "confusion.png").read_bytes()[:4] == b"\x89PNG"
    _, out, _ = carousel("label", "score", trained, "valid", "--json")
    found = json.loads(out)
    assert found["accuracy"] > 0.95 and found["confusion"]["labels"] == ["E", "X", "Y"]
    assert sum(map(sum, found["confusion"]["counts"])) == found["count"]
    one_line(carousel("label", "score", trained), "has no test data; give a file")


def test_series_are_labelled_as_a_table(carousel, tmp_path):
    (tmp_path / "series.csv").write_text(table(100))
    options = (*SMALL, *OF_SERIES, "--epochs", 6, "--out", "vowels")
    assert carousel("label", "train", "series.csv", *options)[0] == 0
    (tmp_path / "new.csv").write_text("name,a,b\nup,100,0\nup,102,0\nup,104,0\ndown,100,0\ndown,98,0\ndown,95,0\n")
    status, out, err = carousel("label", "predict", "vowels", "new.csv")
    assert status == 0, err
    rows = list(csv.DictReader(out.splitlines()))
    assert [(r["sequence"], r["label"]) for r in rows] == [("up", "up"), ("down", "down")]
    one_line(carousel("label", "predict", "vowels"), "was trained on tables; give one")
    (tmp_path / "text.txt").write_text("a X\n")
    one_line(carousel("label", "predict", "vowels", "text.txt"), "cannot be read by vowels, which was trained on a table")
    (tmp_path / "less.csv").write_text("name,a\nx,1\n")
    one_line(carousel("label", "predict", "vowels", "less.csv"), "has no column 'b'")


def test_a_run_that_was_interrupted_goes_on(start, text, carousel, tmp_path):
    options = (*SMALL, "--epochs", 2, "--log-every", 1)
    assert carousel("label", "train", text, *options, "--out", "whole")[0] == 0
    process = start("label", "train", text, *SMALL, "--epochs", 2, "--log-every", 1, "--out", "parts")
    metrics = tmp_path / "parts" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 3):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    if process.returncode == 130:  # else it had ended before
        assert "carousel label train --resume parts" in err
        assert carousel("label", "train", "--resume", "parts")[0] == 0
    assert (tmp_path / "parts" / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert carousel("label", "train", "--resume", "whole", "--epochs", 3, "--json")[0] == 0
    one_line(carousel("label", "train", "--resume", "whole", "--hidden", 3), "leave --hidden out")


REFUSED = {
    "a\n": "line 1 has a token without a tag",
    "": "is empty",
    "a X\nb\n": "line 2 has 1 column,",
    "a X\n\n" * 20: "has one label, 'X'",
    "a X\nb Y\n\n" * 20 + "c Z\n": "label 'Z' does not occur in the training data",
}


@pytest.mark.parametrize("content", REFUSED, ids=range(len(REFUSED)))
def test_files_that_cannot_be_are_refused_in_one_line(carousel, tmp_path, content):
    (tmp_path / "bad.txt").write_text(content)
    one_line(carousel("label", "train", "bad.txt", *SMALL, "--out", "run"), REFUSED[content])
    assert not (tmp_path / "run").exists()


def test_listops_by_a_tree_and_by_a_chain(carousel, tmp_path, monkeypatch):
    """The same command reads the same files by either cell."""
    status, out, _ = carousel("label", "corpus", "listops", "ops", "--train", 600, "--valid", 60, "--test", 60, "--seed", 3)
    assert status == 0 and "train: 600 expressions" in out
    files = ("ops/train.tsv", "--valid", "ops/valid.tsv", "--test", "ops/test.tsv", "--trees", "plain", "--whole")
    for cell in ("tree-lstm", "gru"):
        status, out, err = carousel("label", "train", *files, *SMALL, "--cell", cell, "--epochs", 2, "--out", cell, "--json")
        assert status == 0, err
        assert 0.1 < json.loads(out)["test_accuracy"] < 1
        status, out, _ = carousel("label", "score", cell, "ops/test.tsv", "--json")
        assert status == 0 and json.loads(out)["count"] == 60
        given = "( ( ( [MAX 2 ) 9 ) ] )\n3\t( ( ( [MIN 2 ) 9 ) ] )\n"
        (tmp_path / "new.txt").write_text(given)
        status, out, _ = carousel("label", "predict", cell, "new.txt")
        assert status == 0 and all(line in "0123456789" for line in out.splitlines()) and out.count("\n") == 2
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        assert carousel("label", "predict", cell)[1] == out
        status, out, _ = carousel("label", "predict", cell, "new.txt", "--json")
        assert json.loads(out.splitlines()[0])["tokens"][-1] == "]"
    status, out, err = carousel("check", "tree-lstm", "--directions", 1, "--entries", 1)
    assert status == 0 and "are right" in out, err
    assert carousel("label", "train", "--resume", "tree-lstm", "--epochs", 3)[0] == 0


def test_labelled_trees_come_back_with_labels_at_every_node(carousel, tmp_path):
    (tmp_path / "trees.txt").write_text("\n".join(trees(300)) + "\n")
    how = ("--trees", "labelled", "--cell", "tree-lstm", "--least-count", 1, "--monitor", 20)
    assert carousel("label", "train", "trees.txt", *how, *SMALL, "--epochs", 8, "--out", "run")[0] == 0
    (tmp_path / "new.txt").write_text("(? a (? t) (? n (? f)))\n")
    assert carousel("label", "predict", "run", "new.txt")[1] == "(1 a (1 t) (1 n (0 f)))\n"
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert any("recurrent.layers.0.l" in row.get("values", {}) for row in rows)
    (tmp_path / "bad.txt").write_text("(1 a (1 t)\n")
    one_line(carousel("label", "predict", "run", "bad.txt"), "bad.txt, line 1 leaves 1 bracket open")
    (tmp_path / "bad.txt").write_text("(1 t)\n(7 t)\n")
    one_line(carousel("label", "score", "run", "bad.txt"), "bad.txt, line 2: label '7' does not occur")


def test_a_tree_is_shown(carousel, tmp_path):
    (tmp_path / "trees.txt").write_text("\n".join(trees(60)) + "\n")
    how = ("--trees", "labelled", "--cell", "tree-lstm", "--least-count", 1)
    assert carousel("label", "train", "trees.txt", *how, *SMALL, "--epochs", 1, "--out", "run")[0] == 0
    tree = "(? a (? t) (? n (? f)))"
    status, out, err = carousel("label", "show", "run", tree, "--name", "h", "--unit", 3, "--figure", "tree.svg")
    assert status == 0, err
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["node", "label", "probability", "h[3]"] and [row[0] for row in rows[1:5]] == ["a", "t", "n", "f"]
    assert "wrote tree.svg" in out and "<svg" in (tmp_path / "tree.svg").read_text()
    status, out, _ = carousel("label", "show", "run", tree, "--json")
    assert [node["parent"] for node in json.loads(out)["nodes"]] == [-1, 0, 0, 2]
    one_line(carousel("label", "show", "run", tree, "--name", "h"), "--name and --unit go together; say which unit")
    one_line(carousel("label", "show", "run", tree, "--unit", 1), "--name and --unit go together; name a gate or state")
    one_line(carousel("label", "show", "run", tree, "--name", "h", "--unit", 99), "there is no unit 99 of h")
    one_line(carousel("label", "show", "run", "(? a"), "leaves 1 bracket open")


def test_what_trees_and_their_cells_are_not(carousel, text, tmp_path):
    (tmp_path / "trees.txt").write_text("(1 (0 a) (1 b))\n" * 20)
    of_trees = ("label", "train", "trees.txt", "--cell", "tree-lstm")
    one_line(carousel(*of_trees), "a step of cell tree-lstm follows several, so it reads trees: say with --trees")
    one_line(carousel(*of_trees, "--trees", "plain"), "plain --trees have one label each, so the model needs --whole")
    one_line(carousel(*of_trees, "--trees", "labelled", "--bidirectional"), "--bidirectional is for sequences")
    one_line(carousel(*of_trees, "--trees", "labelled", "--length", 3), "--length parts sequences")
    one_line(carousel("label", "train", text, "--trees", "labelled"), "text.txt, line 1 begins with '")
    one_line(carousel("label", "corpus", "japanese-vowels", "v", "--train", 3), "leave --train out")


def test_other_refusals(carousel, trained, text, tmp_path):
    (tmp_path / "series.csv").write_text(table(20))
    one_line(carousel("label", "train"), "give a file to train on, or --resume RUN")
    one_line(carousel("label", "train", "series.csv"), "name the column of its labels, --label")
    one_line(carousel("label", "train", text, "--features", "x,y"), "--features x,y is of a table", "text.txt is text")
    one_line(carousel("label", "train", text, "--crf", "--whole"), "--crf joins the labels of steps", "--whole")
    one_line(carousel("label", "train", text, "--cell", "nothing"), "nothing")
    one_line(carousel("label", "train", text, "--out", "run"), "run holds a run")
    (tmp_path / "other.txt").write_text("x Q\n")
    one_line(carousel("label", "score", trained, "other.txt"), "label 'Q' does not occur")
    one_line(carousel("label", "score", trained, "series.csv"), "name the column")
    one_line(carousel("label", "corpus", "nothing", "x"), "no corpus 'nothing'")
    one_line(carousel("export", trained, "-o", "x.c"), "language models and translators are exported")
    one_line(carousel("score", trained, text), "run of a labeller, and not of a language model")


def test_the_corpus_is_written_and_learnt(carousel):
    status, out, _ = carousel("label", "corpus", "python-source", "source", "--train", 40, "--valid", 6, "--test", 6)
    assert status == 0 and "train: 40 functions" in out
    files = ("source/train.txt", "--valid", "source/valid.txt", "--test", "source/test.txt")
    status, out, err = carousel("label", "train", *files, *SMALL, "--tag-column", 2, "--epochs", 1, "--out", "run", "--json")
    assert status == 0, err
    assert 0 < json.loads(out)["test_accuracy"] < 1
