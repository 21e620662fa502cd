"""What commands that train a run have in common: they begin one or go on with one, train, and tell."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import typer

from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.runs.making import check_empty, extended, proceed
from carousel.training.config import RunConfig
from carousel.training.processes import Processes
from carousel.training.trainer import Trainer

AnyConfig = TypeVar("AnyConfig", bound=RunConfig)
Begun = tuple[Path, AnyConfig]


def out(of: str) -> Any:
    """Return the option that names the run folder, which is named after ``of`` by default."""
    return typer.Option("--out", "-o", help=f"Run folder; runs/{of}-CELL by default.", show_default=False)


def begin(
    context: typer.Context,
    processes: Processes,
    resume: Path | None,
    kind: type[AnyConfig],
    given: Mapping[str, Any],
    data: tuple[object, str],
    fresh: Callable[[], Begun[AnyConfig]],
) -> Begun[AnyConfig]:
    """Return the folder and the configuration of a run that begins, or goes on.

    Args:
        context: of the command.
        processes: those that share the run.
        resume: the folder of the run that goes on.
        kind: the configuration's class.
        given: the options of the command.
        data: what stands on the command line for a fresh run, and the words for it: "its own text; leave the files out".
        fresh: returns folder and configuration of a run that begins. It refuses a command line without data.

    Raises:
        InputError: options that cannot be, or a folder that cannot be used.
    """
    if resume is None:
        folder, config = fresh()
        if processes.first:
            check_empty(folder)
        return folder, config
    if data[0]:
        raise InputError(f"--resume continues a run with {data[1]}")
    options.refuse_beside_resume(context)
    epochs = given["epochs"] if options.is_given(context, "epochs") else None
    return resume, extended(resume, kind.load(resume), epochs)


def follow(
    trainer: Trainer, show: screen.TrainingScreen, json: bool, command: str, scored: Callable[[], dict[str, float]] = dict
) -> None:
    """Train and tell.

    Args:
        trainer: of the run.
        show: its observer.
        json: whether the result is JSON.
        command: that trains the run.
        scored: called at the end of the run for more to tell, by name.
    """
    folder, metric = trainer.folder, trainer.metric
    with show:
        end = proceed(trainer)
    if not trainer.processes.first:
        return
    more = scored() if end["event"] == "end" else {}
    if json:
        screen.print_json({**end, **more, "run": str(folder)})
    if end["event"] == "interrupted":
        again = f"{command} --resume {shlex.quote(str(folder))}"
        screen.err.print(f"stopped at step {end['step']}; continue with: {again}", soft_wrap=True)  # a command to copy
        sys.exit(130)  # and not by Typer: the message is out
    if not json:
        test = f", test {screen.shown(end[f'test_{metric.name}'])}" if f"test_{metric.name}" in end else ""
        early = ", stopped early" if end["stopped_early"] else ""
        valid = screen.shown(end[f"valid_{metric.name}"])
        print(f"held-out {screen.spoken(metric)} {valid} after epoch {end['best_epoch']}{early}{test}")
        for name, value in more.items():
            print(f"{name.replace('_', ' ').replace('f1', 'F1')} {100 * value:.2f} %")
        print(f"run folder {folder}, curve {folder / 'curve.png'}")
