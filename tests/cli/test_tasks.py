"""The reason the LSTM exists, in a minute: under one budget v2 adds over a hundred steps, the RNN does not."""

import json


def test_v2_solves_adding_and_the_rnn_does_not(carousel):
    status, out, _ = carousel("tasks", "run", "--quick", "--json")
    assert status == 0
    found = {r["cell"]: r for r in json.loads(out)}
    assert set(found) == {"lstm-v2", "rnn"}
    lstm, rnn = found["lstm-v2"], found["rnn"]
    assert lstm["success"] and lstm["goals"]["stop"]["wrong"] <= 3 and lstm["goals"]["stop"]["of"] == 2560
    assert 2000 <= lstm["presented"] <= 4500  # the paper's: 74 000
    assert not rnn["success"] and rnn["presented"] == rnn["cap"] == lstm["cap"]
    assert rnn["weights"] >= 0.8 * 93


def test_the_list(carousel):
    status, out, _ = carousel("tasks")
    assert status == 0 and "--T 1000 --N 3" in out and "embedded Reber" in out and "1,273,000 (n=13)" in out
    rows = json.loads(carousel("tasks", "--json")[1])
    assert len(rows) == 61 and rows[3]["no."] == "2c" and rows[3]["cap"] == 3000


def test_run_resume_report(carousel, tmp_path, forked_trials):
    options = ("order", "--cell", "lstm-v1,gru", "--seeds", 2, "--cap", 6, "--processes", 1, "--out", "r")
    status, out, err = carousel("tasks", "run", *options)
    assert status == 0 and "not in 6" in out and "31,390" in out and err.count("failed, 6 sequences") == 4
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "r").iterdir()}
    assert len(files) == 4
    again = json.loads(carousel("tasks", "run", *options, "--json")[1])
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "r").iterdir()} == files
    assert {(r["cell"], r["seed"], r["presented"]) for r in again} == {(c, s, 6) for c in ("lstm-v1", "gru") for s in (0, 1)}
    status, out, _ = carousel("tasks", "report", "--out", "r", "--figure", "t.png")
    assert status == 0 and "gru" in out and (tmp_path / "t.png").stat().st_size > 5000
    lines = json.loads(carousel("tasks", "report", "--out", "r", "--json")[1])
    assert [(r["net"], r["success"], r.get("trials")) for r in lines] == [
        ("1997", 100, None),
        ("gru", 0, 2),
        ("lstm-v1", 0, 2),
    ]


def test_the_faithful_recipe(carousel, forked_trials):
    status, out, _ = carousel(
        "tasks", "run", "3a", "--T", 100, "--N", 1, "--recipe", "faithful", "--seeds", 1, "--cap", 5, "--json"
    )
    (found,) = json.loads(out)
    assert status == 0 and found["weights"] == 102 and found["settings"]["rate"] == 1.0 and found["cell"] == "lstm-1997"


def test_the_gradient_of_1997(carousel, forked_trials):
    options = ("tasks", "run", "2c", "--q", 50, "--seeds", 1, "--cap", 5, "--json", "--recipe")
    (found,) = json.loads(carousel(*options, "truncated")[1])
    assert found["cell"] == "lstm-1997-truncated" and found["weights"] == 364


def test_a_detail_left_out(carousel, forked_trials):
    options = ("tasks", "run", "2c", "--q", 50, "--seeds", 1, "--cap", 5, "-o", "r", "--json")
    found = json.loads(carousel(*options, "--without", "start,filter")[1])
    assert [(r["recipe"], r["settings"]["learner"]) for r in found] == [("without-start", "kalman"), ("without-filter", "adam")]
    assert [r["net"] for r in json.loads(carousel("tasks", "report", "-o", "r", "--json")[1])] == [
        "1997",
        "lstm-v1, without-filter",
        "lstm-v1, without-start",
    ]


def test_refusals(carousel, tmp_path):
    def refused(*arguments):
        status, out, err = carousel("tasks", *arguments)
        assert (status, out, err.count("\n")) == (2, "", 1), err
        return err

    assert "no task 'add'" in refused("run", "add")
    assert "T=100; T=500; T=1000" in refused("run", "adding", "--T", 50)
    assert "today, faithful, truncated" in refused("run", "adding", "--recipe", "best")
    assert "did you mean" in refused("run", "adding", "--cell", "lstm-v9")
    assert "not in the paper" in refused("run", "copy", "--recipe", "faithful")
    assert "takes filter, patience, start" in refused("run", "adding", "--without", "luck")
    assert "leave --recipe out" in refused("run", "adding", "--without", "start", "--recipe", "faithful")
    assert "--recipe faithful has its own cell" in refused("run", "adding", "--cell", "gru", "--recipe", "faithful")
    assert "--recipe truncated has its own hidden" in refused("run", "adding", "--hidden", 9, "--recipe", "truncated")
    assert "--quick has its own cell" in refused("run", "--quick", "--cell", "gru")
    assert "--quick has its own task" in refused("run", "order", "--quick")
    assert "give a task" in refused("run")
    assert "holds no results" in refused("report")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "x.json").write_text("[]")
    assert "x.json is not the result" in refused("report", "--out", "r")
    (tmp_path / "r" / "x.json").write_text(json.dumps({"row": "order", "settings": {}, "goals": {}, "cap": 6, "success": True}))
    assert "x.json is not the result" in refused("report", "--out", "r")
    assert "a figure is" in refused("report", "--figure", "x.txt")


def test_bench(carousel, monkeypatch):
    monkeypatch.setattr("carousel.cli.tasks.SIZES", ((2, 3, 20),))
    rows = json.loads(carousel("tasks", "bench", "--cells", "lstm-v2", "--seconds", 0.05, "--json")[1])
    assert [r["run"] for r in rows] == ["forward", "training"]
    assert all({"carousel", "torch.nn.LSTM", "eager loop"} <= set(r["nanoseconds"]) for r in rows)
    assert all(1 < x < 1e7 for r in rows for x in r["nanoseconds"].values())


def test_recipes_by_likelihood(carousel, forked_trials):
    for recipe, cell in (("hessian-free", "rnn"), ("adamw", "lstm-v1")):
        options = ("tasks", "run", "long-xor", "--T", 50, "--recipe", recipe, "--cell", cell, "--hidden", 4, "--seeds", 1)
        (found,) = json.loads(carousel(*options, "--cap", 4, "--json")[1])
        assert found["recipe"] == recipe and found["settings"]["hidden"] == 4 and found["presented"] == 4
    status, _, err = carousel("tasks", "run", "adding", "--T", 100, "--recipe", "adamw")
    assert status == 2 and "--recipe adamw is for the problems of 2011" in err
