"""Learning curves."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from carousel import files
from carousel.plotting import Figure
from carousel.training.task import Metric

Rows = list[dict[str, Any]]


def draw_curve(rows: Rows, path: Path, title: str, metric: Metric) -> None:
    """Draw a run's metric by steps, training (line) and held-out (points); below it, where they were watched, the half-life of
    the error on its way back and the share of steps that were clipped."""
    gradients = [r for r in rows if r["event"] == "gradients" and r["half_life"] is not None]
    figure = Figure(figsize=(7, 6.4 if gradients else 4.2), layout="constrained")
    axes, *below = figure.subplots(1 + bool(gradients), 1, squeeze=False, height_ratios=[2, 1][: 1 + bool(gradients)])[:, 0]
    train = [r for r in rows if r["event"] == "train"]
    valid = [r for r in rows if r["event"] == "valid"]
    if train:
        axes.plot(*_points(train, metric), color="#9ab", lw=1.2, label="training")
    if valid:
        axes.plot(*_points(valid, metric), "o-", color="#c0392b", ms=4, label="held out")
        best = metric.best(valid)
        axes.annotate(
            f"{best[metric.name]:.1f}",
            (best["step"], best[metric.name]),
            textcoords="offset points",
            xytext=(0, 8),
            ha="center",
            color="#c0392b",
        )
    finish(axes, title, metric, [r[metric.name] for r in train[1:] + valid])
    for lower in below:
        _draw_gradients(lower, gradients, [r for r in train if "clipped" in r])
    write(figure, path)


def _draw_gradients(axes: Any, gradients: Rows, train: Rows) -> None:
    axes.plot([r["step"] for r in gradients], [r["half_life"] for r in gradients], color="#2c6fad", lw=1.4)
    axes.set_ylabel("half-life of the error, steps", color="#2c6fad")
    axes.set_xlabel("step")
    axes.set_ylim(bottom=0)
    share = axes.twinx()
    share.plot([r["step"] for r in train], [100 * r["clipped"] for r in train], color="#b0741a", lw=1)
    share.set_ylabel("clipped, % of steps", color="#b0741a")
    share.set_ylim(0, 105)
    for side in (axes, share):
        side.spines["top"].set_visible(False)
    axes.grid(alpha=0.25)


def _points(rows: Rows, metric: Metric) -> tuple[list[int], list[float]]:
    return [r["step"] for r in rows], [r[metric.name] for r in rows]


def finish(axes: Any, title: str, metric: Metric, values: list[float]) -> None:
    """Give axes their title and labels; where equal ratios are equally far, as of losses, the scale is logarithmic."""
    axes.set_title(title, loc="left")
    axes.set_xlabel("step")
    axes.set_ylabel(metric.name)
    if values and min(values) > 0 and not metric.higher:  # a loss, or a measure of it: equal ratios are equally far
        from matplotlib.ticker import FixedLocator, ScalarFormatter

        low, high = min(values), max(values)
        axes.set_yscale("log")
        axes.set_ylim(low / 1.12, high * 1.12)
        marks = [m * 10**e for e in range(-1, 7) for m in (1, 1.5, 2, 3, 4, 5, 7)]
        axes.yaxis.set_major_locator(FixedLocator([m for m in marks if low / 1.12 <= m <= high * 1.12]))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def write(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    files.write(path, picture.getvalue())
