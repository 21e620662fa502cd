"""The figure of several trainings: a metric by steps and by seconds, and the best value of all of them up to then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, NamedTuple

from carousel.plotting import Figure
from carousel.training.curve import Rows, finish, write
from carousel.training.task import Metric

MANY_TIMES = 8  # between the first and the last second from which on an axis of ratios shows more


class Point(NamedTuple):
    """A value that a training reached elsewhere, by the name of the training, and the seconds that it took."""

    name: str
    seconds: float
    value: float


def draw_comparison(
    runs: Mapping[str, Sequence[Rows]],
    path: Path,
    title: str,
    metric: Metric,
    floor: Mapping[str, float],
    words: int,
    others: Sequence[Point] = (),
) -> None:
    """Draw a held-out metric by steps and by seconds of training, one line a run, one colour a model.

    By seconds, a line in the background is the best of all runs' values up to then. Where the runs' batches differ, steps do
    not compare, and the first axis counts words.

    Args:
        runs: for each model the lines of metrics of its runs.
        path: of the figure, a PNG.
        title: of it.
        metric: that is drawn.
        floor: values of others that took no training, horizontal lines.
        words: of the training text.
        others: values of others after some seconds.
    """
    figure = Figure(figsize=(12.8, 7.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    valid = {name: [[r for r in rows if r["event"] == "valid"] for rows in each] for name, each in runs.items()}
    every = [row for each in valid.values() for rows in each for row in rows]
    million = words / 1e6
    batches = {round(r["step"] / r["epoch"]) for r in every}
    if sum(map(len, valid.values())) > 1:
        _draw_best(right, every, metric)
    for colour, (name, each) in enumerate(valid.items()):
        for k, rows in enumerate(each):
            how: dict[str, Any] = {"color": f"C{colour % 10}", "ms": 4, "label": name if k == 0 else None}
            values = [r[metric.name] for r in rows]
            left.plot([r["step"] if len(batches) == 1 else r["epoch"] * million for r in rows], values, "o-", **how)
            right.plot([r["seconds"] for r in rows], values, "o-", **how)
    for point in others:
        right.plot([point.seconds], [point.value], "D", color="#444", ms=6)
        near = {"textcoords": "offset points", "xytext": (-8, 6), "ha": "right", "color": "#444"}
        right.annotate(point.name, (point.seconds, point.value), **near)
    for axes in (left, right):
        for name, value in floor.items():
            axes.axhline(value, color="#888", lw=1, ls="--")
            axes.annotate(name, (0.99, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="#666")
    shown = [*floor.values(), *(r[metric.name] for r in every), *(p.value for p in others)]
    finish(left, title, metric, shown)
    finish(right, "", metric, shown)
    left.set_xlabel("step" if len(batches) == 1 else "million words read")
    if len(batches) == 1:
        above = left.secondary_xaxis("top", functions=_both_ways(million / batches.pop()))
        above.set_xlabel("million words read")
    seconds = [*(r["seconds"] for r in every), *(p.seconds for p in others)]
    right.set_xlabel("seconds of training")
    right.set_ylabel("")
    if seconds and max(seconds) > MANY_TIMES * min(seconds) > 0:
        _by_ratio(right, seconds)
    if left.get_legend() is not None:
        left.get_legend().remove()
    write(figure, path)


def _draw_best(axes: Any, rows: Rows, metric: Metric) -> None:
    rows = sorted(rows, key=lambda r: r["seconds"])
    best = list(accumulate((r[metric.name] for r in rows), max if metric.higher else min))
    axes.plot([r["seconds"] for r in rows], best, color="#ddd", lw=5, drawstyle="steps-post", zorder=0, label="best by then")


def _both_ways(factor: float) -> Any:
    return (lambda x: x * factor), (lambda x: x / factor)


def _by_ratio(axes: Any, seconds: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, StrMethodFormatter

    low, high = min(seconds), max(seconds)
    each = (1, 2, 5) if high < 200 * low else (1, 3)
    marks = chain.from_iterable((m * 10**e for m in each) for e in range(-1, 7))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([m for m in marks if low / 1.2 <= m <= high * 1.2]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(FixedLocator([]))
