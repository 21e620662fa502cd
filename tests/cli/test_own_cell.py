"""A cell of one's own in every command; a run folder keeps its equations, and runs nothing of what it holds."""

import json
import shutil

import pytest

from carousel.cells import FOUND, finding
from carousel.language.folder import load_run

CELL = '''
import numpy as np
from carousel.equations import cell, logistic, tanh

print_me = "this file was run"


@cell(constants={"T": lambda n: 1.0 + np.arange(n) % 3}, masks={"W.hh": lambda n, m: np.tri(n, m)})
def mine(e, h, W, b, c):
    """A cell of mine: with a constant and a mask.

    Nobody, never.
    """
    f = logistic(W.fe @ e + W.fh @ h + b.f)
    h = f * h + (1 - f) * tanh(W.he @ e + W.hh @ h + b.h) / c.T
    return h


@cell
def lstm(e, h, W):
    return tanh(W.he @ e + W.hh @ h)


@cell
def plain(e, h, W, b):
    return tanh(W.he @ e + W.hh @ h + b.h)


half = 3
'''


@pytest.fixture
def own(tmp_path):
    (tmp_path / "my.py").write_text(CELL)
    return "my.py:mine"


def test_it_trains_scores_and_writes_without_its_file(carousel, text, own, small, tmp_path):
    status, _, err = carousel("train", text, *small, "--cell", own, "--layers", 2, "--epochs", 1, "-o", "run")
    assert status == 0, err
    config = json.loads((tmp_path / "run" / "config.json").read_text())["model"]
    assert config["cell"] == "mine" and config["cell_data"]["equations"][0].startswith("f[t] = logistic(")
    before = carousel("score", "run", text, "--json")
    (tmp_path / "my.py").unlink()
    FOUND.clear()  # as in another process
    shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    assert json.loads(carousel("score", "elsewhere", text, "--json")[1])["bits"] == json.loads(before[1])["bits"]
    for arguments in (["generate", "elsewhere", "-n", 3], ["valves", "elsewhere", "the cat"], ["gradients", "elsewhere"]):
        status, _, err = carousel(*arguments)
        assert status == 0, err
    status, _, err = carousel("train", "--resume", "elsewhere", "--epochs", 3)
    assert status == 0, err
    model, _, _ = load_run(tmp_path / "elsewhere")
    assert model.recurrent.cell.citation == "Nobody, never."


@pytest.mark.parametrize(
    "arguments",
    [
        ["cells", "my.py:mine"],
        ["cells", "my.py:mine", "--source"],
        ["gradients", "--cells", "my.py:plain,rnn", "--steps", "5", "--hidden", "4"],
        ["bench", "kernels", "--cells", "my.py:plain", "--sizes", "1,2,3", "--seconds", "0.05"],
        ["tasks", "run", "order", "--cell", "my.py:plain", "--seeds", "1", "--cap", "3", "--processes", "1", "-o", "out"],
    ],
    ids=lambda a: a[0],
)
def test_commands_that_take_a_cell(carousel, own, arguments):
    status, out, err = carousel(*arguments)
    assert status == 0, err
    assert "mine" in out or "plain" in out


def test_comparisons_and_translators(carousel, text, own, small, tmp_path):
    status, out, err = carousel(
        "compare", text, *small, "--epochs", 1, "--cells", f"rnn,{own}", "--parameters", 900, "--json", "-o", "both"
    )
    assert status == 0, err
    assert [r["model"] for r in json.loads(out)] == ["unigram", "3-gram", "rnn", "mine"]
    for side in "ab":
        (tmp_path / side).write_text("".join(f"{x} {side}\n" for x in ["one", "two", "three", "four", "five"]) * 8)
    arguments = ["--hidden", 6, "--batch-size", 4, "--epochs", 1, "--threads", 1, "--vocab", "char", "--cell", own, "-o", "tr"]
    status, _, err = carousel("translate", "train", "a", "b", *arguments)
    assert status == 0, err
    (tmp_path / "my.py").unlink()
    FOUND.clear()  # as in another process
    status, _, err = carousel("translate", "tr", "--text", "one a")
    assert status == 0, err


@pytest.mark.parametrize(
    ("reference", "part"),
    [
        ("none.py:mine", "none.py is no file"),
        ("my.py:nope", "has no cell called 'nope'; it has mine, lstm, plain"),
        ("my.py:half", "has no cell called 'half'"),
        ("my.py:lstm", "a cell of the lectures is called lstm"),
        ("nowhere.at.all:mine", "cannot be imported: ModuleNotFoundError"),
        ("bad.py:mine", "SyntaxError, line 1"),
        ("wrong.py:mine", "wrong.py, line 4, in mine"),
    ],
)
def test_what_is_no_cell_is_one_line(carousel, text, own, tmp_path, reference, part):
    (tmp_path / "bad.py").write_text("def (")
    (tmp_path / "wrong.py").write_text("from carousel.equations import *\n@cell\ndef mine(e, h, W):\n    return h @ e\n")
    status, _, err = carousel("train", text, "--cell", reference)
    assert status == 2 and err.count("\n") == 1 and part in err, err


def test_another_process_finds_it_from_any_folder(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = finding.find(own)
    monkeypatch.chdir("/")
    assert finding.find(finding.REFERENCES["mine"]).text == found.text


def test_a_run_folder_runs_nothing(carousel, text, own, small, tmp_path):
    assert carousel("train", text, *small, "--epochs", 1, "--cell", own, "-o", "run")[0] == 0
    FOUND.clear()
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    (tmp_path / "evil.py").write_text("raise SystemExit(99)")
    for change in (
        {"cell": "evil.py:mine", "cell_data": None},
        {"cell_data": {**config["model"]["cell_data"], "equations": ["h[t] = __import__('evil')"]}},
        {"cell_data": {"name": "x"}},
        {"cell_data": 3},
    ):
        path.write_text(json.dumps({**config, "model": {**config["model"], **change}}))
        status, _, err = carousel("score", "run", text)
        assert status == 2 and err.count("\n") == 1, err
