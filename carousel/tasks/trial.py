"""One trial: a row, a recipe, a seed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from carousel.tasks import criteria, recipes
from carousel.tasks.problem import Batch, Random
from carousel.tasks.recipes import Recipe
from carousel.tasks.rows import Row

POOL = 256  # sequences that are drawn at once
Tick = Callable[[int, int], None]  # sequences presented, of at most


def trial(row: Row, recipe: Recipe, seed: int, cap: int | None = None, tick: Tick | None = None) -> dict[str, Any]:
    """Train until all goals of the row hold or ``cap`` sequences were presented; test at each goal.

    A sequence counts each time it is presented. The same arguments give the same result; training, tests and first weights
    have random generators of their own.

    Args:
        row: problem and criterion.
        recipe: network and learner.
        seed: of the generators.
        cap: sequences after which the trial has failed; by default the row's.
        tick: told of progress.

    Returns:
        The result, as it stands in the trial's file.
    """
    most = row.cap if cap is None else cap
    begun, begun_cpu = time.perf_counter(), time.process_time()
    of_sets, of_training, of_tests = np.random.default_rng(seed).spawn(3)
    torch.manual_seed(seed)
    learner = recipes.build(recipe, row)
    criterion = row.criterion(row.problem, of_sets)
    begins, restarts = 0, 0
    goals, presented = list(criterion.goals), 0
    reached: dict[str, Any] = {}
    stream = _Stream(criterion, of_training)
    while goals and presented < most:
        batch = stream.take(min(recipe.rows, most - presented))
        outputs = learner.learn(batch)
        presented += len(batch)
        criterion.seen(outputs, batch)
        while goals and (counts := criterion.holds(goals[0], learner.answer, of_tests)) is not None:
            reached[goals.pop(0).name] = {"after": presented, **_test(criterion, learner.answer, of_tests, counts)}
        if goals and presented - begins >= recipe.patience > 0:
            if learner.lost():
                learner, restarts = recipes.build(recipe, row), restarts + 1
            begins = presented
        if tick is not None and presented % 100 < recipe.rows:
            tick(presented, most)
    return {
        "row": row.key,
        "cell": recipe.cell,
        "recipe": recipe.name,
        "seed": seed,
        "success": not goals,
        "presented": presented,
        "restarts": restarts,
        "goals": reached,
        "weights": sum(p.numel() for p in learner.network.parameters() if p.requires_grad),
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - begun_cpu,
        "settings": asdict(recipe),
        "cap": most,
    }


def _test(criterion: criteria.Criterion, answer: criteria.Answer, random: Random, counts: criteria.Counts) -> dict[str, Any]:
    if criterion.fresh:
        counts = criteria.count(criterion.problem, answer, random, criterion.fresh)
    return {"wrong": counts.wrong, "of": counts.of, "absolute": counts.absolute, "squared": counts.squared}


class _Stream:
    """Sequences of training, drawn many at once and handed out a few at a time."""

    def __init__(self, criterion: criteria.Criterion, random: Random):
        self.criterion, self.random, self.at = criterion, random, POOL
        self.pool: Batch | None = None

    def take(self, count: int) -> Batch:
        if self.pool is None or self.at + count > len(self.pool):
            self.pool, self.at = self.criterion.draw(self.random, max(POOL, count)), 0
        self.at += count
        return self.pool.rows(self.at - count, self.at)
