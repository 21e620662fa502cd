"""A folder has one owner; files are whole; nothing is left of what was refused."""

import os
import subprocess
import sys

import pytest

from carousel import files
from carousel.errors import InputError

HOLD = """
import sys, time
from pathlib import Path
from carousel import files
with files.owning(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that owns ``tmp_path / "run"``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_owner_is_refused_and_told_who_the_first_is(holder, tmp_path):
    told = rf"run is in use by process {holder.pid} since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"
    with pytest.raises(InputError, match=told), files.owning(tmp_path / "run"):
        raise AssertionError("two owners")


def test_any_death_sets_the_folder_free_and_the_next_owner_clears_up(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert (tmp_path / "run" / ".lock").exists()  # it could not clear up
    with files.owning(tmp_path / "run"):
        assert str(os.getpid()) in (tmp_path / "run" / ".lock").read_text()
    assert not (tmp_path / "run" / ".lock").exists()


def test_who_owns_a_folder_is_told_without_disturbing_the_owner(holder, tmp_path):
    place = tmp_path / "run"
    assert files.owner(tmp_path / "nobody's") is None and not (tmp_path / "nobody's").exists()
    for _ in range(3):
        assert files.owner(place).startswith(f"process {holder.pid} since ")
    with pytest.raises(InputError, match="in use by process"), files.owning(place):
        pass
    holder.kill()
    holder.wait()
    assert (place / files.LOCK).exists() and files.owner(place) is None
    with files.owning(place):
        assert files.owner(place).startswith(f"process {os.getpid()} since ")


def test_an_owner_that_is_just_leaving_is_waited_for(tmp_path):
    short = HOLD.replace("60", "0.1")
    process = subprocess.Popen([sys.executable, "-c", short, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "mine\n"
    with files.owning(tmp_path):
        (tmp_path / "mine").touch()
    process.communicate(timeout=30)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_process_may_own_a_folder_twice_over(tmp_path):
    with files.owning(tmp_path), files.owning(tmp_path / "."):
        assert (tmp_path / ".lock").exists()


def test_a_folder_in_which_nothing_was_put_goes_with_its_owner(tmp_path):
    with files.owning(tmp_path / "a" / "b" / "c"):
        (tmp_path / "a" / "kept").touch()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "kept"]


def test_a_folder_that_cannot_be_made_leaves_none_of_its_parents(tmp_path):
    with pytest.raises(OSError), files.owning(tmp_path / "runs" / ("n" * 300)):
        pass
    assert not list(tmp_path.iterdir())


def test_a_file_where_a_folder_is_meant_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file is no folder; choose another"), files.owning(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_what_was_refused_leaves_what_was_there(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(InputError), files.owning(tmp_path), files.undoing(tmp_path):
        (tmp_path / "new" / "deep").mkdir(parents=True)
        (tmp_path / "file").touch()
        raise InputError("no")
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


def test_a_pipe_is_refused_at_once_where_a_file_is_wanted(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is a pipe or a device"):
        files.read(tmp_path / "pipe")  # or it would wait for a writer that never comes


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"\xff", b"[]"], ids=["cut", "deep", "not UTF-8", "a list"])
def test_json_that_is_no_object_is_refused_with_its_path(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json"):
        files.read_object(tmp_path / "x.json")
