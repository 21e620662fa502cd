"""Run the command as a shell would, in this process or in one of its own."""

import json
import shutil
import subprocess
import sys

import pytest
from commands import runner


@pytest.fixture
def carousel(monkeypatch, capfd, tmp_path):
    """``carousel("train", "text.txt", …)`` gives (exit status, standard output, standard error), in a folder of its own."""
    return runner(tmp_path, monkeypatch, capfd)


@pytest.fixture
def text(tmp_path):
    """A text file of 120 lines."""
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat and the dog sat on the cat\na dog and a cat\non the mat sat a dog\n" * 40)
    return path


@pytest.fixture
def small():
    """Options of a model that trains at once."""
    return ("--hidden", 8, "--batch-size", 4, "--length", 8, "--threads", 1)


@pytest.fixture(scope="session")
def _made(tmp_path_factory):
    """Of what tests made with ``once``: the folder where each was made first, and its copy."""
    return {}, tmp_path_factory.mktemp("made")


@pytest.fixture
def once(_made, tmp_path):
    """``once(name, make)`` makes files in a test's folder where no test has made them yet, else it puts copies there."""

    def fill(name, make):
        places, kept = _made
        if name not in places:
            make()
            shutil.copytree(tmp_path, kept / name)
            places[name] = tmp_path
            return
        shutil.copytree(kept / name, tmp_path, dirs_exist_ok=True)
        for config in tmp_path.glob("*/config.json"):  # paths in it are absolute
            config.write_text(config.read_text().replace(str(places[name]), str(tmp_path)))

    return fill


@pytest.fixture
def trained(carousel, text, small, once):
    """A run folder after two epochs."""

    def make():
        assert carousel("train", text, *small, "--epochs", 2, "--out", "run")[0] == 0

    once("trained", make)
    return text.parent / "run"


@pytest.fixture
def start(tmp_path):
    """``start(…)`` begins the command in a process of its own."""

    def begin(*arguments, module="carousel", **options):
        command = [sys.executable, "-m", module, *map(str, arguments)]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    return begin


@pytest.fixture
def rows():
    """``rows(folder)`` gives the lines of its metrics that have a loss."""

    def read(folder):
        return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

    return read
