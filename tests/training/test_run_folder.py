"""What lies in a run folder: equal content, equal bytes; and what no run has written is refused."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load

from carousel.errors import InputError
from carousel.language.task import PERPLEXITY
from carousel.training.run_folder import WRITTEN, check_places, packed, read_metrics

SAVE = """
import sys, torch
from carousel.training.run_folder import packed
tensors = {n: torch.arange(5.0) for n in "cab"}
sys.stdout.buffer.write(packed(tensors, {"format": "carousel x", "carousel": "0.1.0", "é": '"', "a": ""}))
"""
METRICS = '{"event": "valid", "step": 3, "epoch": 1, "loss": 1.0, "perplexity": 2.7, "best": true, "seconds": 1.0}\n'


def test_equal_weights_have_equal_bytes_in_every_process():
    written = {subprocess.run([sys.executable, "-c", SAVE], capture_output=True, check=True).stdout for _ in range(2)}
    tensors = {n: torch.arange(5.0) for n in "cab"}
    metadata = {"a": "", "carousel": "0.1.0", "format": "carousel x", "é": '"'}
    written |= {packed(tensors, dict(order)) for order in (metadata.items(), reversed(metadata.items()))}
    (content,) = written  # eight orders by chance would be 1 in 24 to the third
    assert torch.equal(load(content)["b"], torch.arange(5.0))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (METRICS.encode() + b"\xff\n", "is not UTF-8: byte 0xff at offset"),
        (METRICS.encode() + b"{}\n", "line 2 is no line of metrics"),
        (b"{\n" + METRICS.encode(), "line 1 is not JSON"),
        (METRICS.replace("2.7", "null").encode(), "line 1 is no line of metrics"),
        (METRICS.replace("3,", '"3",').encode(), "line 1 is no line of metrics"),
    ],
    ids=["not UTF-8", "empty", "no JSON", "null", "text"],
)
def test_metrics_that_no_run_has_written_are_refused(tmp_path, content, part):
    (tmp_path / "metrics.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=part):
        read_metrics(tmp_path, PERPLEXITY)


def test_a_last_line_that_a_kill_cut_short_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(METRICS + METRICS[:30])
    assert [r["step"] for r in read_metrics(tmp_path, PERPLEXITY)] == [3]


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize(("make", "kind"), [(os.mkdir, "a folder"), (os.mkfifo, "a pipe or a device")])
def test_what_a_run_could_not_write_in_the_end_is_refused_at_its_start(tmp_path, name, make, kind):
    check_places(tmp_path)
    make(tmp_path / name)
    with pytest.raises(InputError, match=f"{name} is {kind}, and the run writes a file there; move it away"):
        check_places(tmp_path)
