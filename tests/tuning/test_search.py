"""Searches: trials are runs of a command, whose metrics Optuna is told."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median

import pytest

optuna = pytest.importorskip("optuna", reason="optuna is not installed: carousel-rnn[tune]")

from carousel.errors import InputError  # noqa: E402
from carousel.tuning import search  # noqa: E402
from carousel.tuning.figure import draw  # noqa: E402
from carousel.tuning.search import Search, Settings  # noqa: E402

TRAINER = (sys.executable, "-S", str(Path(__file__).with_name("trainer.py")))


@pytest.fixture(autouse=True)
def trainer(monkeypatch):
    monkeypatch.setattr(search, "CAROUSEL", TRAINER)
    monkeypatch.setattr(search, "EVERY", 0.03)


def settings(*words, **others):
    return Settings(["train", *words], ["lr=0.0:1.0"], **others)


def run(folder, given, trials):
    events = []
    found = Search(folder, given)
    found.run(trials, ("train",), events.append)
    return found, events


def test_a_search_comes_closer_and_goes_on_where_it_was(tmp_path):
    found, _ = run(tmp_path / "s", settings("text", prune=False), 6)
    first = found.trials()
    assert [t.state for t in first] == ["complete"] * 6
    for t in first:
        lr = float(t.settings["lr"])
        assert t.loss == pytest.approx((lr - 0.3) ** 2 + 1 / 3) and t.metric == {"accuracy": lr} and t.seconds == 3
    more, _ = run(tmp_path / "s", None, 16)
    assert more.trials()[:6] == first and len({t.settings["lr"] for t in more.trials()}) == 16
    later = more.trials()[10:]  # Optuna chooses the first ten by chance
    assert median(t.loss for t in later) < median(t.loss for t in more.trials()[:10])
    assert more.importances() == {"lr": pytest.approx(1)}
    figure = draw(more.axes, more.trials(), more.importances(), "a search")
    assert len(figure.axes) == 3


def test_a_database_may_be_elsewhere(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    run(tmp_path / "a", settings("text", storage=url), 2)
    found, _ = run(tmp_path / "b", settings("text", storage=url), 4)
    assert len(found.trials()) == 4 and not (tmp_path / "b" / "study.db").exists()
    assert [Path(t.folder).parent.parent.name for t in found.trials()] == ["a", "a", "b", "b"]


def test_bad_trials_are_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "FIRST", 2)
    monkeypatch.setattr(search, "BEFORE", 0)
    found, events = run(tmp_path / "s", settings("slow"), 8)
    pruned = [t for t in found.trials() if t.state == "pruned"]
    assert pruned and {"event": "pruned", "number": pruned[0].number} in events
    complete = [t for t in found.trials() if t.state == "complete"]
    assert min(t.loss for t in complete) < min(t.loss for t in pruned)


def test_a_trial_that_fails_is_counted_and_told(tmp_path):
    found, events = run(tmp_path / "s", settings("diverge"), 8)
    states = [t.state for t in found.trials()]
    assert len(states) == 8 and set(states) == {"complete", "fail"}
    assert [e["said"] for e in events if e["event"] == "failed"] == ["the loss is not finite"] * states.count("fail")


def test_a_command_that_refuses_its_first_trial_ends_the_search(tmp_path):
    with pytest.raises(InputError, match="refuses trial 0: no such text"):
        run(tmp_path / "s", settings("refuse"), 3)


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    run(tmp_path / "s", settings("text"), 1)
    with pytest.raises(InputError, match="another `command`"):
        Search(tmp_path / "s", settings("other"))
    with pytest.raises(InputError, match="holds no search"):
        Search(tmp_path / "empty", None)
    assert not (tmp_path / "empty").exists()
    with pytest.raises(InputError, match="cannot be opened"):
        Search(tmp_path / "t", settings("text", storage="sqlite:////proc/none/x.db"))


def test_a_trial_interrupted_from_the_terminal_is_interrupted_by_the_search_alone_and_goes_on_from_its_checkpoint(tmp_path):
    code = f"""
import signal, sys; sys.path[:0] = {sys.path!r}
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores in what it runs in the background
from carousel.tuning import search
search.CAROUSEL = {TRAINER!r}
from pathlib import Path
s = search.Search(Path({str(tmp_path / "s")!r}), search.Settings(["train", "wait"], ["lr=0.0:1.0"]))
s.run(2, ("train",), lambda event: None)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, start_new_session=True)
    metrics = tmp_path / "s" / "trials" / "00000" / "metrics.jsonl"
    limit = threading.Timer(300, process.kill)
    limit.start()
    while not metrics.exists() and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal, which sends it to all processes of a group
    assert process.wait() != -signal.SIGKILL, "it did not end by itself"
    limit.cancel()
    assert int((metrics.parent / "group").read_text()) != process.pid
    before = Search(tmp_path / "s").trials()[0]
    assert before.state == "running"
    found, _ = run(tmp_path / "s", None, 1)
    (new,) = found.trials()  # told once, and as no failure
    assert new.state == "complete" and new.settings == before.settings
    assert not Path(before.folder).exists() and (Path(new.folder) / "metrics.jsonl").read_text().count("valid") == 4
