"""The commands' output: progress on standard error, results on standard output."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from carousel.training.task import Metric

PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}  # others' text is shown: [b] is no bold
out = Console(**PLAIN, width=None if sys.stdout.isatty() else 200)  # a file takes whole tables
err = Console(**PLAIN, stderr=True, width=None if sys.stderr.isatty() else 1 << 12)  # and a log whole lines


LONG = {"source", "translation"}  # columns whose cells may take several lines


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    """Put null for infinity and NaN, which JSON lacks."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def table(title: str, columns: dict[str, str], rows: list[dict[str, str]]) -> Table:
    """Return a small table; ``columns`` maps a heading to its justification."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for heading, justify in columns.items():
        made.add_column(heading, justify=justify, no_wrap=heading not in LONG)  # type: ignore[arg-type]  # "left" or "right"
    for row in rows:
        made.add_row(*(row.get(h, "") for h in columns))
    return made


def print_rows(title: str, rows: list[dict[str, str]], left: Collection[str]) -> None:
    """Print a table with a column for each name in the rows; those in ``left`` are on the left, numbers on the right."""
    columns = dict.fromkeys(name for row in rows for name in row)
    out.print(table(title, {name: "left" if name in left else "right" for name in columns}, rows))


class Preparing:
    """Characters read, a line for each text that is prepared; shown only where it takes a while."""

    def __init__(self) -> None:
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[read]}"),
            TimeElapsedColumn(),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}
        self.read: dict[str, int] = {}
        self.shown: dict[str, float] = {}

    def tick(self, what: str, characters: int) -> None:
        """Show the progress of a ``prepare``."""
        now = time.monotonic()
        if what not in self.tasks:
            self.tasks[what] = self.progress.add_task(what, total=None, read="")
        self.read[what] = self.read.get(what, 0) + characters
        if now - self.shown.get(what, 0) > 0.1:
            self.shown[what] = now
            self.progress.update(self.tasks[what], read=f"{self.read[what] / 1e6:.1f} M characters")


@contextmanager
def preparing() -> Iterator[Any]:
    """Yield the ``tick`` of a ``Preparing`` on the screen."""
    screen = Preparing()
    with screen.progress:
        yield screen.tick


def spoken(metric: Metric) -> str:
    """Return a metric's name as text."""
    return metric.name.replace("_", " ")


def shown(value: float) -> str:
    """Return a metric's value as text, small ones with more places."""
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.4f}"


def perplexity(value: float) -> str:
    """Return a perplexity, or a spread of perplexities, as text; of a model that knows nothing it can be of any size."""
    return f"{value:.2f}" if value < 1e7 else f"{value:.1e}"


class TrainingScreen:
    """An observer of training: a bar with targets per second, loss, metric and time left; a line at each validation."""

    def __init__(self, title: str, metric: Metric):
        self.title, self.metric, self.name = title, metric, spoken(metric)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        self.task: TaskID | None = None
        self.begun = time.monotonic()
        self.nats, self.words, self.since = 0.0, 0, time.monotonic()

    def __enter__(self) -> TrainingScreen:
        self.progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.progress.__exit__(*error)

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "step":
            self._step(event)
        elif event["event"] == "scoring" and self.task is not None:
            self.progress.update(self.task, facts=f"scoring held-out data: {event['done']} of {event['total']}")
        elif event["event"] == "cut":
            err.print(f"{event['rows']:,} sentences are longer than {event['length']} words and are cut there")
        elif event["event"] == "train" and not err.is_terminal:
            err.print(
                f"{self.title} step {event['step']} loss {event['loss']:.3f} {self.name} {shown(event[self.metric.name])} "
                f"{event[f'{self.metric.unit}_per_second']} {self.metric.unit}/s"
            )
        elif event["event"] == "valid":
            best = " (best)" if event["best"] else ""
            err.print(
                f"{self.title} epoch {event['epoch']}: held-out {self.name} {shown(event[self.metric.name])}{best}, "
                f"{event['seconds']:.0f} s"
            )
            self.since = time.monotonic()

    def _step(self, event: dict[str, Any]) -> None:
        if self.task is None:
            done = event["step"] - 1
            self.task = self.progress.add_task(self.title, total=event["steps"], completed=done, facts="")
            self.progress.reset(self.task, completed=done, total=event["steps"])
        self.nats, self.words = self.nats + event["loss"], self.words + event["targets"]
        now = time.monotonic()
        if now - self.since > 0.5:
            loss, value = self.nats / self.words, self.metric.of(self.nats, self.words)
            facts = f"{self.words / (now - self.since):,.0f} {self.metric.unit}/s  loss {loss:.3f}  {self.name} {shown(value)}"
            self.progress.update(self.task, completed=event["step"], facts=facts)
            self.nats, self.words, self.since = 0.0, 0, now
        else:
            self.progress.update(self.task, completed=event["step"])


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show that work goes on, with its seconds."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),  # a file's name may hold brackets
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    progress.add_task(what, total=None)
    with progress:
        yield


@contextmanager
def counting(what: str) -> Iterator[Any]:
    """Yield a function of (done, total) that moves a bar."""
    progress = Progress(
        TextColumn(what),
        BarColumn(bar_width=24),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    task = progress.add_task(what, total=None)
    with progress:
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def activities() -> Iterator[Any]:
    """Yield a function of (activity, done, total) that moves a bar; the next activity takes its place."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    task = progress.add_task("", total=None)
    shown, before = "", 0

    def told(what: str, done: int, total: int) -> None:
        nonlocal shown, before
        if what != shown or done < before:
            progress.reset(task, description=what, total=total)
        progress.update(task, completed=done)
        shown, before = what, done

    with progress:
        yield told
