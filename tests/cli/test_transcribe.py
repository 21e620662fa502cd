"""``carousel transcribe``: arrays in, a transcriber out; inputs in, labels out; and one clear line for what cannot be."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_examples import examples

from carousel.language.config import Config
from carousel.training.processes import Processes
from carousel.training.trainer import Trainer
from carousel.transcription.config import ExamplesConfig, TranscriptionConfig, TranscriptionTraining
from carousel.transcription.model import TranscriberConfig
from carousel.transcription.prepare import prepare
from carousel.transcription.task import TranscriptionTask

SMALL = ("--reads", "series", "--layers", 1, "--hidden", 6, "--batch-size", 16, "--threads", 1, "--epochs", 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder of a transcriber that has learnt three letters, with a test set."""
    here = tmp_path_factory.mktemp("trained")
    np.savez(here / "data.npz", **examples(200))
    np.savez(here / "test.npz", **examples(20, seed=2))
    config = TranscriptionConfig(
        ExamplesConfig(str(here / "data.npz"), test=str(here / "test.npz")),
        TranscriberConfig(reads="series", hidden=8, layers=1, dropout=0.0),
        TranscriptionTraining(batch_size=16, epochs=20, lr=0.02, warmup=2, threads=1),
    )
    (here / "run").mkdir()
    config.save(here / "run")
    prepare(here / "run", config)
    Trainer(here / "run", config, Processes(), TranscriptionTask).run()
    return here


@pytest.fixture
def here(trained, tmp_path):
    """A folder with copies of the run and its data."""
    for path in trained.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    return tmp_path


def one_line(result, *parts):
    status, _, err = result
    assert status == 2, result
    assert err.startswith("carousel: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def test_score_read_show(carousel, here):
    status, out, _ = carousel("transcribe", "score", "run", "--json")
    found = json.loads(out)
    assert status == 0 and found["label_error_rate"] < 0.1 and found["transcriptions"] == 20
    assert json.loads(carousel("transcribe", "score", "run", "test.npz", "--json")[1]) == found
    twice = json.loads(carousel("transcribe", "score", "run", "--with", "run", "--with", "run@last", "--json")[1])
    assert twice["label_error_rate"] < 0.1 and twice["with"] == ["run", "run@last"]
    assert (
        carousel("transcribe", "read", "run", "test.npz", "--with", "run")[1]
        == carousel("transcribe", "read", "run", "test.npz")[1]
    )
    status, out, _ = carousel("transcribe", "score", "run", "--beam", 5)
    assert status == 0 and "label error" in out and "substitutions" in out
    status, out, _ = carousel("transcribe", "read", "run", "test.npz")
    lines, meant = out.splitlines(), np.load(here / "test.npz")["targets"]
    assert status == 0 and sum(a == b for a, b in zip(lines, meant, strict=True)) >= 17
    status, out, _ = carousel("transcribe", "read", "run", "test.npz", "--beam", 4, "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == 20 and [f[0]["text"] for f in found][:3] == lines[:3] and found[0][0]["log_probability"] < 0
    status, out, _ = carousel("transcribe", "read", "run", "test.npz", "--beam", 4, "--best", 2)
    assert len(out.splitlines()) == 40 and "\t" in out
    status, out, _ = carousel("transcribe", "show", "run", "--number", 3, "--figure", "spikes.png")
    assert status == 0 and f"read as {lines[3]}, meant {meant[3]}" in out and "wrote spikes.png" in out
    assert (here / "spikes.png").stat().st_size > 5000
    found = json.loads(carousel("transcribe", "show", "run", "--number", 3, "--json")[1])
    assert [p["label"] for p in found["places"]] == list(lines[3])
    assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in found["probabilities"])


def test_train_tells_the_label_error_and_goes_on(carousel, here):
    status, out, _ = carousel("transcribe", "train", "data.npz", *SMALL, "--test", "test.npz", "--out", "new")
    assert status == 0, out
    assert "held-out nats per label" in out and "valid label error" in out and "test label error" in out
    status, out, _ = carousel("transcribe", "train", "--resume", "new", "--epochs", 2, "--json")
    found = json.loads(out)
    assert status == 0 and found["epoch"] == 2 and found["test_label_error"] >= 0 and found["run"] == "new"
    assert {p.name for p in Path("new").iterdir()} >= {"config.json", "labels.json", "model.safetensors", "curve.png"}


def test_the_corpus_a_language_model_of_it_and_a_beam_with_both(carousel, tmp_path):
    status, out, _ = carousel("transcribe", "corpus", "forms", "--train", 40, "--valid", 12, "--test", 9, "--content", "forms")
    assert status == 0 and "40 strings" in out
    assert len((tmp_path / "forms/train.txt").read_text().splitlines()) == 40
    options = ("--subsample", "1,2", "--hidden", 6, "--epochs", 1, "--threads", 1, "--out", "digits")
    assert carousel("transcribe", "train", "forms/train.npz", *options)[0] == 0
    text = ("--vocab", "char", "--feed", "sentences", "--hidden", 6, "--epochs", 1, "--batch-size", 8, "--out", "lines")
    assert carousel("train", "forms/train.txt", *text)[0] == 0
    status, out, _ = carousel("transcribe", "score", "digits", "forms/test.npz", "--beam", 4, "--lm", "lines", "--json")
    assert status == 0 and json.loads(out)["lm"] == "lines"
    status, out, _ = carousel("transcribe", "read", "digits", "forms/test.npz", "--beam", 4, "--lm", "lines", "--beta", 3)
    assert status == 0 and len(out.splitlines()) == 9


def test_a_grid_is_trained(carousel, tmp_path):
    options = ("--reads", "grid", "--subsample", "3x2,2x2", "--corners", 2, "--between", 4, "--hidden", 4)
    carousel("transcribe", "corpus", "strings", "--train", 20, "--valid", 2, "--test", 2)
    status, out, _ = carousel("transcribe", "train", "strings/train.npz", *options, "--epochs", 1, "--out", "grid", "--json")
    assert status == 0 and json.loads(out)["epoch"] == 1
    assert json.loads((tmp_path / "grid/config.json").read_text())["model"]["cell"] == "mdlstm"
    assert carousel("transcribe", "show", "grid", "strings/test.npz", "--figure", "g.svg")[0] == 0


def altered(name, **arrays):
    np.savez(name, **{**examples(30), **arrays})
    return name


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train"], ["give an .npz file to train on"]),
        (["train", "none.npz"], ["cannot read", "no such file"]),
        (["train", "data.npz", *SMALL, "--test", "other.npz"], ["label 'x' of example", "is in no example to train on"]),
        (["train", "empty.npz", *SMALL], ["the transcription of example 0 is empty"]),
        (["train", "data.npz", *SMALL, "--subsample", 4], ["needs", "steps, and its input has", "after subsampling"]),
        (["train", "images.npz", "--reads", "grid", "--subsample", "30x30"], ["smaller than a block of 30 × 30"]),
        (["train", "data.npz", *SMALL, "--subsample", "2x2"], ["--subsample must be steps such as 1,2"]),
        (["train", "data.npz", *SMALL, "--cell", "lsmt"], ["did you mean lstm"]),
        (["train", "data.npz", *SMALL, "--cell", "mdlstm"], ["mdlstm"]),
        (["train", "data.npz", *SMALL, "--reads", "grid", "--weight-noise", 1], ["--weight-noise is for sequences"]),
        (["train", "digits", "--test", "test.npz", "--strings", 3], ["--valid and --test are for files"]),
        (["train", "text.txt", *SMALL], ["is no .npz file, such as np.savez writes"]),
        (["score", "run", "text.txt"], ["is no .npz file, such as np.savez writes"]),
        (["score", "language"], ["run of a language model"]),
        (["score", "run", "test.npz", "--lm", "run"], ["holds the run of a transcriber"]),
        (["score", "run", "--with", "language"], ["run of a language model"]),
        (["corpus", "new", "--resolution", 9], ["resolution"]),
        (["read", "run", "wide.npz"], ["a step has 5 numbers, and 3 in the data to train on"]),
        (["read", "run", "test.npz", "--best", 3], ["give a larger --beam"]),
        (["score", "run", "--alpha", 0.8], ["--alpha weighs a language model, and none is given"]),
        (["read", "run", "test.npz", "--beta", 3], ["give a --beam of 2 or more"]),
        (["show", "run", "--number", 20], ["there is no example 20; test has 20"]),
        (["show", "run", "--figure", "x.txt"], ["a figure is"]),
        (["corpus", "new", "--content", "poems"], ["content"]),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(carousel, here, arguments, parts):
    altered("other.npz", **examples(30, letters="abx"))
    altered("empty.npz", targets=np.array([""] * 30))
    np.savez("images.npz", inputs=np.ones((30, 20, 9)), targets=np.array(["a"] * 30))
    altered("wide.npz", inputs=np.zeros((30, 20, 5)))
    Path("text.txt").write_text("no archive")
    Path("language").mkdir()
    Config().save(Path("language"))
    before = {p.name for p in here.iterdir()}
    one_line(carousel("transcribe", *arguments), *parts)
    assert {p.name for p in here.iterdir() if not (p.name == "runs" and not any(p.iterdir()))} == before


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["export", "run", "-o", "x.c"], "run of a transcriber; language models and translators are exported"),
        (["serve", "run", "run"], "run holds a transcriber, whose page shows one run"),
        (["generate", "run"], "run of a transcriber, and not of a language model"),
        (["score", "run", "text.txt"], "run of a transcriber, and not of a language model"),
    ],
)
def test_what_is_for_other_runs_says_so(carousel, here, arguments, part):
    Path("text.txt").write_text("a b c\n")
    one_line(carousel(*arguments), part)
