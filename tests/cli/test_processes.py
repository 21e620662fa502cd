"""Killed, interrupted, on a full disk, or in two processes."""

import json
import resource
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

LONG = ["--hidden", 24, "--batch-size", 4, "--length", 8, "--epochs", 3, "--threads", 1, "--save-every", 0, "--log-every", 5]


def wait_for(path, size=1):
    """Until the file is there, at most a minute."""
    for _ in range(600):
        if path.exists() and path.stat().st_size >= size:
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} did not come")


def losses(rows):
    return [(r["event"], r["step"], r["loss"]) for r in rows]


def test_json_is_all_there_is_on_standard_output_and_killed_it_goes_on_bit_for_bit(start, text, tmp_path, rows):
    whole = start("train", text, *LONG, "--json", "-o", "whole")
    out, _ = whole.communicate(timeout=120)
    assert whole.returncode == 0 and json.loads(out)["event"] == "end"
    killed = start("train", text, *LONG, "-o", "killed")
    wait_for(tmp_path / "killed" / "checkpoint.safetensors")
    wait_for(tmp_path / "killed" / "metrics.jsonl")
    killed.kill()
    killed.wait()
    assert not (tmp_path / "killed" / "result.json").exists()
    assert start("train", "--resume", "killed").wait(120) == 0
    for name in ("model", "checkpoint"):
        a, b = (load_file(tmp_path / run / f"{name}.safetensors") for run in ("whole", "killed"))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert losses(rows(tmp_path / "whole")) == losses(rows(tmp_path / "killed"))


def test_ctrl_c_saves_says_how_to_go_on_and_ends_with_130(start, text, tmp_path):
    run = start("train", text, *LONG[:-4], "--save-every", 600, "--epochs", 400, "-o", "a run")
    wait_for(tmp_path / "a run" / "metrics.jsonl")
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "continue with: carousel train --resume 'a run'\n" in err
    assert "Traceback" not in err
    assert (tmp_path / "a run" / "checkpoint.safetensors").exists()


def test_a_full_disk_is_one_line_and_leaves_no_half_file(start, text, tmp_path):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    run = start("train", text, *LONG, "-o", "run", preexec_fn=small_files)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "cannot save to run at step" in err
    assert "Traceback" not in err
    assert list((tmp_path / "run").glob(".*.tmp")) == []


def test_two_processes_learn_as_one(start, carousel, text, tmp_path, rows):
    options = [*LONG[:-4], "--save-every", 600, "--log-every", 3, "--dropout", 0]
    assert carousel("train", text, *options, "-o", "one")[0] == 0
    module = ["--nproc-per-node", 2, "-m", "carousel", "train", text, *options, "-o", "two"]
    two = start(*module, module="torch.distributed.run")
    _, err = two.communicate(timeout=200)
    assert two.returncode == 0, err
    one, both = losses(rows(tmp_path / "one")), losses(rows(tmp_path / "two"))
    assert [r[:2] for r in one] == [r[:2] for r in both]
    assert [r[2] for r in both] == pytest.approx([r[2] for r in one], rel=1e-4)


def test_the_module_runs_as_the_command(start):
    out, _ = start("--version").communicate(timeout=60)
    assert out.startswith("carousel ")
