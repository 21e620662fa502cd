"""Training from Python: the same run as the command's."""

import json
import subprocess
import sys

import pytest
import torch

import carousel
from carousel.runs import training

SETTINGS = {"hidden": 8, "batch_size": 16, "length": 8, "threads": 1, "epochs": 2}


def weights(run):
    return run.model.state_dict()


def test_it_is_the_commands_run(corpus, tmp_path, carousel_command):
    events = []
    ours = carousel.train(
        corpus / "train.txt", tmp_path / "ours", cell="gru", valid=[corpus / "valid.txt"], observer=events.append, **SETTINGS
    )
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    text = (corpus / "train.txt", "--valid", corpus / "valid.txt", "--cell", "gru", "--out", tmp_path / "theirs")
    assert carousel_command("train", *text, *options)[0] == 0
    theirs = carousel.load(tmp_path / "theirs")
    assert ours.config == theirs.config
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=0)
    assert [e["event"] for e in events if e["event"] in ("valid", "end")] == ["valid", "valid", "end"]
    assert json.loads((tmp_path / "ours" / "result.json").read_text())["parameters"] == ours.model.count()


def test_it_goes_on_to_the_same_weights(corpus, tmp_path):
    text = {"text": corpus / "train.txt", "valid": corpus / "valid.txt"}
    whole = carousel.train(out=tmp_path / "whole", schedule="constant", **text, **SETTINGS)
    carousel.train(out=tmp_path / "parts", schedule="constant", **text, **(SETTINGS | {"epochs": 1}))
    parts = carousel.resume(tmp_path / "parts", epochs=2)
    assert parts.config.training.epochs == 2
    torch.testing.assert_close(weights(parts), weights(whole), rtol=0, atol=0)
    with pytest.raises(ValueError, match="was asked for 2 epochs in all"):
        carousel.resume(tmp_path / "parts", epochs=1)


def test_ctrl_c_keeps_what_was_learnt(corpus, tmp_path, monkeypatch):
    """The trainer's last event says so; Python raises what Python raises."""
    monkeypatch.setattr(training.Trainer, "run", lambda self: {"event": "interrupted", "step": 1})
    with pytest.raises(KeyboardInterrupt):
        carousel.train(corpus / "train.txt", tmp_path / "run", **SETTINGS)


def test_what_cannot_be_is_one_line_and_leaves_nothing(corpus, tmp_path):
    text, out = corpus / "train.txt", tmp_path / "run"
    for arguments, error, message in (
        ({"hiden": 8}, TypeError, r"train has no setting 'hiden'; did you mean 'hidden'\?"),
        ({"cell_data": {}}, TypeError, "train has no setting 'cell_data'"),
        ({"epochs": 1.5}, TypeError, r"`epochs` must be int, not 1\.5"),
        ({"tied": "yes"}, TypeError, "`tied` must be bool, not 'yes'"),
        ({"lr": "fast"}, TypeError, "`lr` must be float, not 'fast'"),
        ({"hidden": 0}, ValueError, "`hidden` must be at least 1, not 0"),
        ({"cell": "lstm-v9"}, ValueError, "no cell is called 'lstm-v9'"),
        ({"valid": tmp_path / "nowhere"}, ValueError, "cannot read"),
        ({"batch_size": 10**6}, ValueError, "fewer than one batch"),
    ):
        with pytest.raises(error, match=message) as refused:
            carousel.train(text, out, **(SETTINGS | arguments))
        assert "\n" not in str(refused.value)
        assert not out.exists()
    (out / "x").mkdir(parents=True)
    with pytest.raises(ValueError, match="is not an empty folder; choose another `out`"):
        carousel.train(text, out, **SETTINGS)
    with pytest.raises(ValueError, match="there is no such folder"):
        carousel.resume(tmp_path / "nowhere")


SMALL = {"hidden": 8, "batch_size": 4, "length": 8, "threads": 1, "epochs": 1, "dropout": 0.0}
SCRIPT = f"""
import sys
from pathlib import Path
import carousel
if __name__ == "__main__":
    corpus, out = map(Path, sys.argv[1:])
    run = carousel.train(corpus / "valid.txt", out, **{SMALL!r})
    assert run.score("the boy").perplexity > 1
"""


def test_several_processes_train_one_run(corpus, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    carousel.train(corpus / "valid.txt", tmp_path / "one", **SMALL)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, str(tmp_path / "script.py"), str(corpus), str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=200)
    assert done.returncode == 0, done.stderr
    found = [weights(carousel.LanguageRun(tmp_path / name)) for name in ("one", "two")]
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)
