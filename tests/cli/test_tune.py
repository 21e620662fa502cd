"""``carousel tune``: the command."""

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from carousel.cli.tune import check_command
from carousel.errors import InputError
from carousel.tuning.axes import axes
from carousel.tuning.search import Search


@pytest.mark.parametrize(
    ("words", "path"), [("train book.txt", ("train",)), ("translate train a.en a.cs --epochs 2", ("translate", "train"))]
)
def test_commands_that_train_are_searched(words, path):
    assert check_command(words.split(), axes(["lr=0.001:0.1:log", "hidden=8:64", "cell=gru,lstm-v3"])) == path


@pytest.mark.parametrize(
    ("words", "search", "said"),
    [
        ("score run", "lr=0.1:0.2", "stands a command that trains a run"),
        ("", "lr=0.1:0.2", "not nothing"),
        ("train book.txt", "learning=0.1:0.2", "has no option --learning"),
        ("train book.txt", "out=a,b", "has no option --out"),
        ("train book.txt --out runs/x", "lr=0.1:0.2", "leave --out out of the command"),
        ("train book.txt --lr=0.1", "lr=0.1:0.2", "is searched, too"),
        ("train book.txt", "hidden=0.5:2.5", "hidden"),
        ("train book.txt", "hidden=0:8", "hidden"),
        ("train book.txt", "tied=0:1", "a switch is on,off"),
        ("train book.txt", "lr=on,off", "only switches are"),
        ("train book.txt --no-tied", "tied=on,off", "is searched, too"),
        ("train book.txt --nonsense", "lr=0.1:0.2", "nonsense"),
    ],
)
def test_what_is_refused(words, search, said):
    with pytest.raises(InputError, match=said):
        check_command(words.split(), axes([search]))


def test_a_name_that_no_figure_has_is_refused_before_the_first_trial(carousel, tmp_path):
    words = ["--search", "lr=0.1:0.2", "--figure", "best.txt", "--", "train", "text.txt"]
    status, _, err = carousel("tune", tmp_path / "s", *words)
    assert status == 2 and err == "carousel: a figure is .png, .pdf or .svg, not 'best.txt'\n"
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("when", ["between trials", "at the figure"])
def test_a_full_disk_takes_no_trial_that_was_trained(carousel, tmp_path, monkeypatch, when):
    pytest.importorskip("optuna", reason="optuna is not installed: carousel-rnn[tune]")
    trainer = Path(__file__).parents[1] / "tuning" / "trainer.py"
    monkeypatch.setattr("carousel.tuning.search.CAROUSEL", (sys.executable, "-S", str(trainer)))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if when == "between trials":
        run = Search.run
        monkeypatch.setattr(Search, "run", lambda *given: (run(*given), full()))
    monkeypatch.setattr("carousel.insight.figures.save", full)
    status, _, err = carousel("tune", tmp_path / "s", "--search", "lr=0.1:0.9", "--trials", 1, "--", "train", "text.txt")
    assert status == 1 and err == "carousel: a file: No space left on device\n"
    assert (tmp_path / "s" / "trials" / "00000" / "metrics.jsonl").exists()


def test_a_search_of_a_language_model(carousel, tmp_path):
    pytest.importorskip("optuna", reason="optuna is not installed: carousel-rnn[tune]")
    text = tmp_path / "text.txt"
    text.write_text("one two three four\n" * 60)
    given = ["train", str(text), "--epochs", "1", "--vocab", "char", "--embedding", "4", "--batch-size", "4"]
    searched = ["--search", "hidden=3:5", "--search", "cell=rnn,gru"]
    status, out, said = carousel("tune", tmp_path / "s", *searched, "--trials", 1, "--json", "--", *given)
    assert status == 0, said
    told = json.loads(out)
    (trial,) = told["trials"]
    assert trial == told["best"] and trial["state"] == "complete" and trial["metric"].keys() == {"perplexity"}
    config = json.loads((tmp_path / "s" / "trials" / "00000" / "config.json").read_text())["model"]
    assert (str(config["hidden"]), config["cell"]) == (trial["settings"]["hidden"], trial["settings"]["cell"])
    assert (tmp_path / "s" / "search.png").read_bytes().startswith(b"\x89PNG")
    assert f"--hidden={config['hidden']}" in told["command"] and "--out" not in told["command"]
