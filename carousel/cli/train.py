"""``carousel train``: train a language model, or continue a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from carousel.cli import commands, options, screen
from carousel.errors import InputError
from carousel.language import recipes
from carousel.language.config import Config, TextConfig
from carousel.language.model import ModelConfig
from carousel.language.task import PERPLEXITY
from carousel.runs.training import KINDS, check_empty, configured, extended, owned, prepared, proceed
from carousel.training.config import TrainConfig
from carousel.training.processes import Processes
from carousel.training.trainer import Trainer

EXAMPLE = "Example: carousel train book.txt --cell lstm-v2 --layers 2 --hidden 200 --vocab word"


def configure(
    given: dict[str, Any],
    files: list[Path],
    valid: list[Path] | None,
    test: list[Path] | None,
    cell: str | None = None,
    otherwise: Mapping[str, Any] | None = None,
) -> Config:
    """Return a run's configuration from the options of a command; ``cell`` where no option names it.

    ``otherwise``: settings that override the options.

    Raises InputError for a model that cannot be built or files that cannot be read.
    """
    settings = {name: value for kind in KINDS for name, value in options.chosen(kind, given).items()}
    settings |= otherwise or {}
    found = commands.cell(settings.pop("cell", cell))
    return configured({"train": files, "valid": valid or (), "test": test or ()}, found, settings)


@options.made_from(TextConfig, ModelConfig, TrainConfig)
def command(
    context: typer.Context,
    files: options.Files = None,
    valid: options.Valid = None,
    test: options.Test = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; runs/FILE-CELL by default.", show_default=False)
    ] = None,
    resume: options.Resume = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Settings by name (carousel recipes), or a .toml file; options beside it hold.", show_default=False),
    ] = None,
    json: options.Json = False,
    **given: Any,
) -> None:
    """Train a language model on text files; Ctrl-C stops it so that --resume can continue.

    Several processes: torchrun --nproc-per-node 2 -m carousel train book.txt
    """
    processes = Processes()
    if resume is not None:
        if files:
            raise InputError("--resume continues a run with its own text; leave the files out")
        options.refuse_beside_resume(context)
        folder, config = resume, Config.load(resume)
        config = extended(folder, config, given["epochs"] if options.is_given(context, "epochs") else None)
    elif not files:
        raise InputError("give a text file to train on, or --resume RUN")
    else:
        cooked = recipes.recipe(recipe).settings if recipe else {}
        otherwise = {name: value for name, value in cooked.items() if not options.is_given(context, name)}
        config = configure(given, files, valid, test, otherwise=otherwise)
        folder = out or Path("runs") / f"{files[0].stem}-{config.model.cell}"
        if processes.first:
            check_empty(folder)
    with owned(folder, processes):
        train(folder, config, processes, json, fresh=resume is None)


def train(folder: Path, config: Config, processes: Processes, json: bool, *, fresh: bool = False) -> None:
    """Prepare, train and tell. A text that is refused leaves no folder behind where the run is ``fresh``."""
    show = screen.TrainingScreen(config.model.cell, PERPLEXITY)
    trainer = prepared(folder, config, processes, fresh=fresh, observer=show, preparing=screen.preparing)
    follow(trainer, show, json, f"carousel train --resume {folder}")


def follow(
    trainer: Trainer, show: screen.TrainingScreen, json: bool, again: str, scored: Callable[[], dict[str, float]] = dict
) -> None:
    """Train and tell.

    Args:
        trainer: of the run.
        show: its observer.
        json: whether the result is JSON.
        again: the command that goes on with the run.
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
        screen.err.print(f"stopped at step {end['step']}; continue with: {again}")
        sys.exit(130)  # and not by Typer: the message is out
    if not json:
        test = f", test {screen.shown(end[f'test_{metric.name}'])}" if f"test_{metric.name}" in end else ""
        early = ", stopped early" if end["stopped_early"] else ""
        valid = screen.shown(end[f"valid_{metric.name}"])
        print(f"held-out {screen.spoken(metric)} {valid} after epoch {end['best_epoch']}{early}{test}")
        for name, value in more.items():
            print(f"{name.replace('_', ' ')} {100 * value:.2f} %")
        print(f"run folder {folder}, curve {folder / 'curve.png'}")
