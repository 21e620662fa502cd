"""The paper's tables with our columns beside, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

import numpy as np

from carousel.plotting import Figure
from carousel.tasks.recipes import OF_1997
from carousel.tasks.rows import ROWS, Row

COLOURS = {
    "lstm-v1": "#0072b2",
    "lstm-v2": "#009e73",
    "lstm-1997": "#cc79a7",
    "lstm-1997-truncated": "#e69f00",
    "rnn": "#d55e00",
}
OTHER = "#555555"


def lines(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each goal of each row that was run the paper's line, then one for each recipe and cell.

    ``success`` in %, of ``trials``; ``mean``, ``least`` and ``most`` sequences until the goal held, of the trials that reached
    it; ``wrong``: of ``of`` test sequences, their mean and the worst; ``fewer``: the paper's sequences divided by ours;
    ``seconds`` of a trial, and of its processor.
    """
    table = []
    for row in ROWS:
        mine = [r for r in results if r["row"] == row.key]
        if not mine:
            continue
        for goal in _goals(row):
            paper = row.goals.get(goal)
            if paper is not None:
                table.append(
                    {
                        "row": row.label,
                        "goal": goal,
                        "net": "1997",
                        "weights": row.weights,
                        "success": paper.success,
                        "mean": paper.after,
                        "wrong": paper.wrong,
                    }
                )
            for recipe, cell in dict.fromkeys((r["recipe"], r["cell"]) for r in mine):
                trials = [r for r in mine if (r["recipe"], r["cell"]) == (recipe, cell)]
                table.append(_line(row, goal, recipe, cell, trials))
    return table


def _net(recipe: str, cell: str) -> str:
    """Return a network's name in tables; the paper's own goes by the recipe."""
    return cell if recipe == "today" else recipe if recipe in OF_1997 else f"{cell}, {recipe}"


def _goals(row: Row) -> list[str]:
    return list(row.goals) or [goal.name for goal in row.criterion(row.problem, np.random.default_rng(0)).goals]


def _line(row: Row, goal: str, recipe: str, cell: str, trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    reached = [r["goals"][goal] for r in trials if goal in r["goals"]]
    after = [g["after"] for g in reached]
    tested = [g for g in reached if g["of"]]
    paper = row.goals.get(goal)
    return {
        "row": row.label,
        "goal": goal,
        "net": _net(recipe, cell),
        "weights": trials[0]["weights"],
        "trials": len(trials),
        "success": 100 * len(reached) / len(trials),
        "mean": mean(after) if after else None,
        "least": min(after, default=None),
        "most": max(after, default=None),
        "cap": max(r["cap"] for r in trials),
        "wrong": mean(g["wrong"] for g in tested) if tested else None,
        "worst": max((g["wrong"] for g in tested), default=None),
        "of": tested[0]["of"] if tested else None,
        "mean_squared": mean(g["squared"] for g in tested) if tested else None,
        "seconds": mean(r["seconds"] for r in trials),
        "cpu_seconds": mean(r["cpu_seconds"] for r in trials),
        "fewer": paper.after / mean(after) if after and paper else None,
    }


def draw(results: Sequence[dict[str, Any]]) -> Figure:
    """Draw sequences until success on a logarithmic scale: the paper's mean, every trial of ours; a cross where it failed."""
    rows = [(row, goal) for row in ROWS for goal in row.goals if any(r["row"] == row.key for r in results)]
    figure = Figure(figsize=(9.5, 1.4 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    nets = list(dict.fromkeys((r["cell"], r["recipe"]) for r in results))
    for k, (row, goal) in enumerate(rows):
        axes.plot([row.goals[goal].after], [k], "D", color="0.35", markersize=6, zorder=1, label=None if k else "1997, mean")
        for j, (cell, recipe) in enumerate(nets):
            place, colour = k + 0.26 * ((j + 1) / (len(nets) + 1) - 0.5) * 2, COLOURS.get(cell, OTHER)
            mine = [r for r in results if (r["row"], r["cell"], r["recipe"]) == (row.key, cell, recipe)]
            well = [r["goals"][goal]["after"] for r in mine if goal in r["goals"]]
            failed = [r["presented"] for r in mine if goal not in r["goals"]]
            axes.plot(well, [place] * len(well), "o", color=colour, markersize=4, alpha=0.6, markeredgewidth=0)
            axes.plot(failed, [place] * len(failed), "x", color=colour, markersize=5)
    for cell, recipe in nets:
        axes.plot([], [], "o", color=COLOURS.get(cell, OTHER), markersize=5, label=_net(recipe, cell))
    axes.plot([], [], "x", color="0.5", label="not reached")
    axes.set_xscale("log")
    axes.set_xlabel("sequences presented until the goal held")
    axes.set_yticks(range(len(rows)), [f"{row.label}  {goal}" if len(row.goals) > 1 else row.label for row, goal in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(True, axis="x", color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper right", ncols=4)
    return figure
