"""Criteria, and trials that are not run twice."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from carousel.errors import InputError
from carousel.tasks import criteria, recipes, runs
from carousel.tasks.arithmetic import Marked
from carousel.tasks.criteria import Goal, Recent
from carousel.tasks.rows import ROWS
from carousel.tasks.trial import trial


def test_recent_counts_the_last_sequences():
    problem = Marked(100)
    criterion = Recent(problem, (Goal("a", 1, 0.01),), window=5)
    batch = problem.draw(np.random.default_rng(0), 1)

    def show(off):
        criterion.seen(batch.targets + np.float32(off), batch)
        return criterion.holds(criterion.goals[0], None, None)

    assert [show(0) for _ in range(4)] == [None] * 4  # too few yet
    assert show(0.045).wrong == 1
    assert show(0.045) is None  # two of the last five
    assert [show(0) for _ in range(3)] == [None] * 3
    assert show(0).wrong == 1 and show(0).wrong == 0
    assert show(0.039).of == 5
    assert show(0.039) is None  # all right, but the mean error is too large


def test_tested_needs_every_fresh_sequence():
    problem = Marked(100)
    right = {"from": 0}

    def answer(batch):
        outputs = batch.targets.copy()
        outputs[0] += np.float32(0.1) * (right["from"] > 0)
        return outputs

    criterion = criteria.Tested(problem, (Goal("a"),), 600, every=2)
    random = np.random.default_rng(0)
    batch = problem.draw(random, 2)
    criterion.seen(batch.targets + np.float32(1), batch)
    assert criterion.holds(criterion.goals[0], answer, random) is None  # training is too bad for a test to be tried
    for _ in range(25):
        criterion.seen(batch.targets, batch)
    assert criterion.holds(criterion.goals[0], answer, random).of == 600
    right["from"] = 1
    assert criterion.holds(criterion.goals[0], answer, random) is None


@pytest.mark.parametrize("row", [r for r in ROWS if r.setting.get("T", 100) == 100 and r.setting.get("q", 50) == 50])
def test_every_row_trains_with_every_recipe(row):
    made = [
        recipes.today(row, "lstm-v2"),
        *([recipes.faithful(row), recipes.faithful(row, truncated=True)] if row.plan else []),
    ]
    for recipe in made:
        result = trial(row, recipe, 0, cap=3)
        assert result["presented"] == 3 and not result["success"] and result["weights"] > 0
        json.dumps(result)


def test_the_same_seed_gives_the_same_trial():
    row = runs.row("two-sequences-T100-N3")
    recipe = recipes.today(row, "lstm-v1")
    a, b, c = (trial(row, recipe, s, cap=60) for s in (0, 0, 1))
    for r in (a, b, c):
        r.pop("seconds"), r.pop("cpu_seconds")
    assert a == b and a != c


def test_units_for_as_many_weights():
    row = runs.row("adding-T100")
    counts = {}
    for cell in ("lstm-v1", "lstm-v2", "lstm-v4", "rnn", "gru"):
        recipe = recipes.today(row, cell)
        torch.manual_seed(0)
        counts[cell] = sum(p.numel() for p in recipes.build(recipe, row).network.parameters())
    assert min(counts.values()) >= counts["lstm-v1"] - 5 and max(counts.values()) < 1.6 * counts["lstm-v1"]


def test_a_finished_trial_is_not_run_again(tmp_path):
    row = runs.row("order")
    recipe = recipes.today(row, "lstm-v1")
    kept = {**trial(row, recipe, 0, cap=5), "success": True, "mark": 1}
    job = runs.Job(row.key, recipe, 0)
    job.file(tmp_path).write_text(json.dumps(kept))
    assert next(iter(runs.run([job], tmp_path, 1)))["mark"] == 1
    assert runs.results(tmp_path)[0]["settings"] == asdict(recipe)
    # One that failed counts for as many sequences as it had.
    job.file(tmp_path).write_text(json.dumps({**kept, "success": False}))
    assert next(iter(runs.run([runs.Job(row.key, recipe, 0, 5)], tmp_path, 1)))["mark"] == 1
    assert runs._done(runs.Job(row.key, recipe, 0, 6), tmp_path) is None
    assert runs._done(runs.Job(row.key, replace(recipe, drift=0.0), 0, 5), tmp_path) is None
    job.file(tmp_path).write_text("{")
    with pytest.raises(InputError, match="not the result"):
        runs.results(tmp_path)


def test_finding_rows():
    assert len(runs.find("all", {})) == 26 and len(runs.find("2c", {"q": 1000})) == 5
    assert [r.key for r in runs.find("adding", {"T": 500})] == ["adding-T500"]
    with pytest.raises(InputError, match="no task 'add'"):
        runs.find("add", {})
    with pytest.raises(InputError, match="T=100; T=500"):
        runs.find("adding", {"T": 7})


def test_a_count_is_given_up_once_it_is_lost():
    problem = Marked(100)
    random = np.random.default_rng(0)
    assert criteria.count(problem, lambda b: b.targets + np.float32(1), random, 100_000, most=0).of < 1000
    whole = criteria.count(problem, lambda b: b.targets + np.float32(0.02), random, 700)
    assert (whole.of, whole.wrong) == (700, 0)
    assert whole.absolute == pytest.approx(0.02, rel=1e-4) and whole.squared == pytest.approx(4e-4, rel=1e-3)
