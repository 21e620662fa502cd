"""``carousel train``: train a language model, or continue a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from carousel.cli import commands, options, screen, training
from carousel.errors import InputError
from carousel.language.config import Config, TextConfig
from carousel.language.model import ModelConfig
from carousel.language.recipes import RECIPES
from carousel.language.task import PERPLEXITY
from carousel.runs.making import owned
from carousel.runs.training import KINDS, configured, prepared
from carousel.training.config import TrainConfig
from carousel.training.processes import Processes

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
    out: Annotated[Path | None, training.out("FILE")] = None,
    resume: options.Resume = None,
    recipe: options.Recipe = None,
    json: options.Json = False,
    **given: Any,
) -> None:
    """Train a language model on text files; Ctrl-C stops it so that --resume can continue.

    Several processes: torchrun --nproc-per-node 2 -m carousel train book.txt
    """
    processes = Processes()

    def fresh() -> tuple[Path, Config]:
        if not files:
            raise InputError("give a text file to train on, or --resume RUN")
        config = configure(given, files, valid, test, otherwise=options.recipe_settings(context, RECIPES, recipe))
        return out or Path("runs") / f"{files[0].stem}-{config.model.cell}", config

    own = "its own text; leave the files out"
    folder, config = training.begin(context, processes, resume, Config, given, (files, own), fresh)
    with owned(folder, processes):
        train(folder, config, processes, json, fresh=resume is None)


def train(folder: Path, config: Config, processes: Processes, json: bool, *, fresh: bool = False) -> None:
    """Prepare, train and tell. A text that is refused leaves no folder behind where the run is ``fresh``."""
    show = screen.TrainingScreen(config.model.cell, PERPLEXITY)
    trainer = prepared(folder, config, processes, fresh=fresh, observer=show, preparing=screen.preparing)
    training.follow(trainer, show, json, "carousel train")
