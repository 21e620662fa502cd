"""``carousel tune``: search for the settings of a training."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from carousel import files
from carousel.cli import loaded, options, screen
from carousel.errors import InputError, TrainingError
from carousel.insight import figures
from carousel.tuning.axes import OFF, ON, Axis, axes
from carousel.tuning.figure import draw
from carousel.tuning.search import Search, Settings, Trial

EXAMPLE = "Example: carousel tune searches/book --search lr=0.0003:0.03:log --search dropout=0:0.6 -- train book.txt --epochs 3"
TRAINS = (("train",), ("translate", "train"), ("label", "train"), ("transcribe", "train"), ("forecast", "train"))
OURS = {"out": "the search names the folders", "resume": "the search resumes its runs", "json": "the search reads the metrics"}
SHOWN = 10  # trials in the table


def command(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the search; an earlier search in it is continued.", show_default=False)
    ],
    training: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND", help="A command that trains a run, without carousel.", show_default=False),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            help="An option and its values: lr=0.0001:0.1:log, layers=1:3, cell=lstm,gru, tied=on,off; may be repeated.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, max=100_000, help="Total number of trials, including those of an earlier search.")
    ] = 20,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Do not stop trials that are worse than the others.")] = False,
    storage: Annotated[
        str,
        typer.Option(
            help="URL of a database that several machines share; a file in the folder by default.", show_default=False
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the study in this database.")] = "carousel",
    seed: options.Seed = 1,
    figure: Annotated[
        Path | None,
        typer.Option(help="Figure (.png, .pdf or .svg); search.png in the folder by default.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Search for settings of a training with Optuna: each trial is a run, and bad trials are stopped early.

    Trials are compared by their best validation loss. Ctrl-C stops the search, and the same command goes on with it, also
    without its settings: carousel tune FOLDER --trials 40.
    """
    figures.check(figure)
    settings = None
    if training or search:
        words = list(training or [])
        check_command(words, axes(list(search or [])))
        settings = Settings(words, list(search or []), seed, not no_prune, storage, name)
    with files.owning(folder):
        with files.undoing(folder, (InputError,)):  # a disk that is full takes no trial that was trained
            found = Search(folder, settings)
            path = check_command(found.settings.command, found.axes)
            terminated = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a run in a session of its own would go on
            try:
                with _Screen(trials) as show:
                    found.run(trials, path, show)
            finally:
                signal.signal(signal.SIGTERM, terminated)
        _tell(found, path, figure or folder / "search.png", json)


def check_command(words: list[str], searched: list[Axis]) -> tuple[str, ...]:
    """Return the path of a command that trains a run. Raises InputError for another, and for options that it lacks or refuses.

    Args:
        words: after ``carousel``.
        searched: the options that the search sets.
    """
    path = next((p for p in TRAINS if tuple(words[: len(p)]) == p), None)
    if path is None:
        known = ", ".join(" ".join(p) for p in TRAINS)
        raise InputError(f"after -- stands a command that trains a run ({known}), not {shlex.join(words) or 'nothing'}")
    known_command: Any = loaded(path[0])
    for word in path[1:]:
        known_command = known_command.commands[word]
    parameters = {opt: p for p in known_command.params for opt in (*p.opts, *p.secondary_opts)}
    for word in words[len(path) :]:
        given = parameters.get(word.split("=")[0])
        if given is not None and given.name in OURS:
            raise InputError(f"leave {word.split('=')[0]} out of the command: {OURS[given.name]}")
        if given is not None and any(a.option in given.opts for a in searched):
            raise InputError(f"{word.split('=')[0]} stands in the command and is searched, too")
    for a in searched:
        parameter = parameters.get(a.option)
        if parameter is None or parameter.name in OURS:
            raise InputError(f"--search {a.name}: carousel {' '.join(path)} has no option {a.option} to search")
        switch, of_switch = bool(parameter.is_flag), set(a.values) == {ON, OFF}
        if switch != of_switch:
            raise InputError(f"--search {a.name}: {f'a switch is {ON},{OFF}' if switch else f'only switches are {ON},{OFF}'}")
        for end in a.ends:
            try:
                known_command.make_context(" ".join(path), [*a.words(end), *words[len(path) :]])
            except typer.TyperException as error:
                raise InputError(f"--search {a.name}: {getattr(error, 'format_message', error.__str__)()}") from None
    return path


class _Screen:
    """A bar of trials, and a line for each that fails."""

    def __init__(self, trials: int):
        self.best: float | None = None
        self.progress = Progress(
            TextColumn("trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[now]}"),
            console=screen.err,
            transient=True,
            disable=not screen.err.is_terminal,
        )
        self.task = self.progress.add_task("trials", total=trials, now="")

    def __enter__(self) -> _Screen:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show an event of a search."""
        if event["event"] == "trials":
            self.progress.update(self.task, completed=event["ended"])
        elif event["event"] == "epoch":
            self.best = event["loss"] if self.best is None else min(self.best, event["loss"])
            now = f"trial {event['number']}, epoch {event['epoch']}: loss {event['loss']:.4f}, best {self.best:.4f}"
            self.progress.update(self.task, now=now)
        elif event["event"] == "failed":
            screen.err.print(f"trial {event['number']} failed: {event['said']}")


def _tell(found: Search, path: tuple[str, ...], figure: Path, json: bool) -> None:
    every, importances = found.trials(), found.importances()
    ranked = sorted((t for t in every if t.state == "complete" and t.loss is not None), key=lambda t: t.loss or 0.0)
    if not ranked:
        raise TrainingError(f"no trial was completed; what their runs said stands in {found.folder / 'trials'}")
    text = shlex.join(["carousel", *found.settings.command])
    drawn = draw(found.axes, every, importances, f"{text}: {len(every)} trials, best loss {ranked[0].loss:.4f}")
    figures.save(drawn, figure)
    best = shlex.join(["carousel", *path, *_words(found, ranked[0]), *found.settings.command[len(path) :]])
    if json:
        told = {
            "best": _as_dict(ranked[0]),
            "command": best,
            "importances": importances,
            "trials": [_as_dict(t) for t in every],
        }
        screen.print_json(told | {"figure": str(figure)})
        return
    rows = [
        {"trial": str(t.number), "loss": f"{t.loss:.4f}", **{k: f"{v:.4g}" for k, v in t.metric.items()}}
        | {k: _short(v) for k, v in t.settings.items()}
        | {"seconds": "" if t.seconds is None else f"{t.seconds:.0f}"}
        for t in ranked[:SHOWN]
    ]
    counts = {state: sum(t.state == state for t in every) for state in ("complete", "pruned", "fail")}
    title = f"{counts['complete']} completed, {counts['pruned']} given up, {counts['fail']} failed; the best first"
    screen.print_rows(title, rows, left=())
    if importances:
        print("what mattered: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in importances.items()))
    print(f"best: {best}\nits run: {ranked[0].folder}\nfigure: {figure}")


def _words(found: Search, trial: Trial) -> list[str]:
    return [word for a in found.axes for word in a.words(trial.settings[a.name])]


def _short(text: str) -> str:
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def _as_dict(trial: Trial) -> dict[str, Any]:
    return {
        **{"trial": trial.number, "state": trial.state, "loss": trial.loss, "settings": trial.settings},
        **{"metric": trial.metric, "seconds": trial.seconds, "folder": trial.folder},
    }
