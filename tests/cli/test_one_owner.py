"""Nobody writes in a run folder beside its owner; whoever only reads is not kept waiting."""

import os

import pytest

from carousel import files


def refused(result, folder):
    status, out, err = result
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert f"{folder} is in use by process {os.getpid()} since 20" in err


@pytest.fixture
def owned(monkeypatch):
    """``owned(folder)`` owns it, as another process would: what this one remembers of it is forgotten."""
    from contextlib import contextmanager

    @contextmanager
    def own(folder):
        with files.owning(folder), monkeypatch.context() as patch:
            patch.setattr(files, "_owned", set())
            yield

    return own


def test_a_second_resume_is_refused_and_a_score_is_not(carousel, trained, text, owned):
    before = {p.name: p.read_bytes() for p in trained.iterdir() if p.is_file()}
    with owned(trained):
        refused(carousel("train", "--resume", trained), trained)
        assert carousel("score", trained, text)[0] == 0
    assert {p.name: p.read_bytes() for p in trained.iterdir() if p.is_file()} == before
    assert carousel("train", "--resume", trained)[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "text.txt", "--hidden", 4, "--out", "new"),
        ("translate", "train", "text.txt", "text.txt", "--hidden", 4, "--out", "new"),
        ("transcribe", "train", "digits", "--hidden", 4, "--strings", 1, "--out", "new"),
        ("compare", "text.txt", "--hidden", 4, "--cells", "rnn", "--out", "new"),
        ("claims", "peepholes", "--seeds", 1, "--steps", 1, "--out", "new"),
        ("tasks", "run", "order", "--seeds", 1, "--cap", 1, "--out", "new"),
        ("agreement", "corpus", "new", "--train", 1),
        ("translate", "corpus", "new", "--train", 1),
        ("transcribe", "corpus", "new", "--train", 1),
        ("demo", "--out", "new"),
    ],
    ids=lambda a: " ".join(map(str, a[:2])),
)
def test_every_command_that_writes_in_a_folder_is_its_owner(carousel, text, owned, arguments):
    with owned(text.parent / "new"):
        refused(carousel(*arguments), "new")
        assert [p.name for p in (text.parent / "new").iterdir()] == [".lock"]
    assert [p.name for p in text.parent.iterdir()] == ["text.txt"]


def test_nothing_of_the_lock_is_left(carousel, trained):
    assert [p.name for p in trained.rglob("*lock*")] == []
