"""A language model trained into a run folder: what ``carousel train`` and Python have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from carousel.equations import Cell
from carousel.insight import gradient_decay
from carousel.language.config import Config, TextConfig
from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.prepare import prepare
from carousel.language.recipes import RECIPES
from carousel.language.task import LanguageTask
from carousel.runs import making
from carousel.runs.language import LanguageRun
from carousel.runs.making import Files, absolute, extended, finished, made, of_cell, refuse_unknown
from carousel.text.lines import check_file
from carousel.training.config import TrainConfig
from carousel.training.processes import Processes
from carousel.training.trainer import Observer, Trainer

ENOUGH_WORDS = 1000  # for any output layer; the real vocabulary comes later
KINDS = (TextConfig, ModelConfig, TrainConfig)
Preparing = Callable[[], AbstractContextManager[Callable[[str, int], None] | None]]


def train(
    text: Files,
    out: str | Path,
    *,
    cell: str | Cell | None = None,
    valid: Files = (),
    test: Files = (),
    observer: Observer | None = None,
    recipe: str | Path | None = None,
    **settings: Any,
) -> LanguageRun:
    """Train a language model on text files, as ``carousel train`` does; return the run with its best weights.

    Ctrl-C saves and raises KeyboardInterrupt; ``resume`` continues, bit for bit. Under ``torchrun`` all processes train one
    run together.

    Args:
        text: the path of a file, or paths.
        out: the run's folder; it is created, and must be empty if it exists.
        cell: a cell, or a value of ``--cell``: a name, ``file.py:name``, ``module:name``; by default the recipe's, or lstm-v2.
        valid: held-out files; without them, the last tenth of the lines is held out.
        test: files to score when training ends.
        observer: called with a dictionary for each step and validation, and at the end.
        recipe: the name of a recipe (``carousel recipes``), or a .toml file; other settings override it.
        **settings: fields of ``TextConfig``, ``ModelConfig`` and ``TrainConfig``: ``hidden=64, epochs=2, vocabulary="char"``.

    Raises:
        InputError: a ValueError of one line; a setting, cell, file or folder cannot be used.
        TypeError: there is no such setting, or its value is of another type.
        TrainingError: the loss is no longer finite, or a file cannot be written.
    """
    place = Path(out)
    refuse_unknown(settings, KINDS, ("train", "valid", "test"))
    settings = (RECIPES.recipe(recipe).settings if recipe else {}) | settings
    named = settings.pop("cell", ModelConfig.cell)
    config = configured({"train": text, "valid": valid, "test": test}, named if cell is None else cell, settings)
    return LanguageRun(finished(place, lambda p: prepared(place, config, p, fresh=True, observer=observer), fresh=True))


def resume(folder: str | Path, *, epochs: int | None = None, observer: Observer | None = None) -> LanguageRun:
    """Continue a run that was stopped, or for more epochs; return the run with its best weights.

    Args:
        folder: of the run.
        epochs: a larger total number of epochs.
        observer: called with a dictionary for each step and validation, and at the end.

    Raises:
        InputError: a ValueError of one line; the folder is no run, or was asked for more epochs.
        TrainingError: the loss is no longer finite, or a file cannot be written.
    """
    place = Path(folder)
    config = extended(place, Config.load(place), epochs)
    return LanguageRun(finished(place, lambda p: prepared(place, config, p, fresh=False, observer=observer), fresh=False))


def configured(texts: Mapping[str, Files], cell: str | Cell, settings: Mapping[str, Any]) -> Config:
    """Return a run's configuration. Paths are kept absolute: the run can be continued from anywhere.

    Args:
        texts: files by "train", "valid", "test".
        cell: a cell, or a reference to one.
        settings: fields of the configurations.

    Raises:
        InputError: a cell that is not there, a model that cannot be built, or files that cannot be read.
    """
    paths = {name: absolute(some) for name, some in texts.items()}
    config = Config(made(TextConfig, {**settings, **paths}), made(ModelConfig, settings), made(TrainConfig, settings))
    for path in (p for some in paths.values() for p in some):
        check_file(Path(path))
    return replace(config, model=of_cell(config.model, cell, lambda c: LanguageModel(ENOUGH_WORDS, c)))


def prepared(
    folder: Path,
    config: Config,
    processes: Processes,
    *,
    fresh: bool,
    observer: Observer | None = None,
    preparing: Preparing = nullcontext,
) -> Trainer:
    """Prepare the texts of a run and return its trainer. A text that is refused leaves nothing where the run is ``fresh``.

    Args:
        folder: of the run, owned.
        config: of the run.
        processes: those that share the run.
        fresh: whether the run begins here.
        observer: told of steps, validations and the end.
        preparing: gives, as a context, what is told of progress in preparing.
    """

    def prepare_texts() -> None:
        with preparing() as tick:
            prepare(folder, config, tick)

    watcher = gradient_decay.while_training
    return making.prepared(
        folder, config, processes, LanguageTask, prepare_texts, fresh=fresh, observer=observer, watcher=watcher
    )
