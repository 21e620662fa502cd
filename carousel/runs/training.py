"""A language model trained into a run folder: what ``carousel train`` and Python have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from carousel import files
from carousel.cells import finding
from carousel.equations import Cell
from carousel.errors import InputError
from carousel.insight import gradient_decay
from carousel.language import recipes
from carousel.language.config import Config, TextConfig
from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.prepare import prepare
from carousel.language.task import LanguageTask
from carousel.runs.language import LanguageRun
from carousel.text.lines import check_file
from carousel.training.checkpoint import read_position
from carousel.training.config import TrainConfig
from carousel.training.fields import Settings, is_of
from carousel.training.processes import Processes
from carousel.training.trainer import Observer, Trainer

ENOUGH_WORDS = 1000  # for any output layer; the real vocabulary comes later
KINDS = (TextConfig, ModelConfig, TrainConfig)
TEXTS = ("train", "valid", "test")
Files = str | Path | Iterable[str | Path]
Preparing = Callable[[], AbstractContextManager[Callable[[str, int], None] | None]]
AnyConfig = TypeVar("AnyConfig", bound=Any)


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

    Ctrl-C saves and raises KeyboardInterrupt; ``resume`` goes on, bit for bit. A program that ``torchrun`` starts several times
    trains one run with all of its processes.

    Args:
        text: the path of a file, or paths.
        out: the run's folder; it is made, and must be empty where it is there.
        cell: a cell, or what ``--cell`` takes: a name, ``file.py:name``, ``module:name``; by default the recipe's, or lstm-v2.
        valid: held-out files; without them, the last tenth of the lines is held out.
        test: files for the end.
        observer: told of steps, validations and the end, as dictionaries.
        recipe: the name of a recipe (``carousel recipes``), or a .toml file; other settings hold before its own.
        **settings: fields of ``TextConfig``, ``ModelConfig`` and ``TrainConfig``: ``hidden=64, epochs=2, vocabulary="char"``.

    Raises:
        InputError: a ValueError of one line; a setting, file or folder cannot be used. ValueError: there is no such cell.
        TypeError: there is no such setting, or its value is of another type.
        TrainingError: the loss is no longer finite, or a file cannot be written.
    """
    place = Path(out)
    known = {f.name for kind in KINDS for f in fields(kind) if f.name not in ("cell", "cell_data", *TEXTS)}
    for name in set(settings) - known:
        near = get_close_matches(name, known, n=1)
        raise TypeError(f"train has no setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    settings = (recipes.recipe(recipe).settings if recipe else {}) | settings
    named = settings.pop("cell", ModelConfig.cell)
    config = configured({"train": text, "valid": valid, "test": test}, named if cell is None else cell, settings)
    processes = Processes()
    if processes.first:
        check_empty(place)
    with owned(place, processes):
        return _finished(prepared(place, config, processes, fresh=True, observer=observer))


def resume(folder: str | Path, *, epochs: int | None = None, observer: Observer | None = None) -> LanguageRun:
    """Go on with a run that was stopped, or for longer; return the run with its best weights.

    Args:
        folder: of the run.
        epochs: in all, where there are to be more than the run was asked for.
        observer: told of steps, validations and the end, as dictionaries.

    Raises:
        InputError: a ValueError of one line; the folder is no run, or was asked for more epochs.
        TrainingError: the loss is no longer finite, or a file cannot be written.
    """
    place = Path(folder)
    config, processes = extended(place, Config.load(place), epochs), Processes()
    with owned(place, processes):
        return _finished(prepared(place, config, processes, fresh=False, observer=observer))


def _finished(trainer: Trainer) -> LanguageRun:
    if proceed(trainer)["event"] == "interrupted":
        raise KeyboardInterrupt
    return LanguageRun(trainer.folder)


def owned(folder: Path, processes: Processes) -> AbstractContextManager[None]:
    """Give a folder in which no other run writes meanwhile; the first of a run's processes owns it."""
    return files.owning(folder) if processes.first else nullcontext()


def configured(texts: Mapping[str, Files], cell: str | Cell, settings: Mapping[str, Any]) -> Config:
    """Return a run's configuration. Paths are kept absolute: the run can be continued from anywhere.

    Args:
        texts: files by "train", "valid", "test".
        cell: a cell, or a reference to one.
        settings: fields of the configurations.

    Raises:
        InputError: a model that cannot be built, or files that cannot be read.
        ValueError: a cell that is not there.
    """
    paths = {name: [str(Path(p).absolute()) for p in _several(some)] for name, some in texts.items()}
    config = Config(made(TextConfig, {**settings, **paths}), made(ModelConfig, settings), made(TrainConfig, settings))
    for path in (p for some in paths.values() for p in some):
        check_file(Path(path))
    found = cell if isinstance(cell, Cell) else finding.find(cell)
    network = config.model.keeping(found, lambda c: LanguageModel(ENOUGH_WORDS, c))
    LanguageModel(ENOUGH_WORDS, network)
    return replace(config, model=network)


def _several(given: Files) -> Iterable[str | Path]:
    return [given] if isinstance(given, str | Path) else given


Made = TypeVar("Made", bound=Settings)


def made(kind: type[Made], values: Mapping[str, Any]) -> Made:
    """Return a configuration of those values that are its fields.

    Raises:
        InputError: a value that cannot be.
        TypeError: a value of another type.
    """
    types = {f.name: str(f.type) for f in fields(kind)}  # type: ignore[arg-type]  # every kind is a dataclass
    own = {name: value for name, value in values.items() if name in types}
    for name, value in own.items():
        if not is_of(types[name], value):
            raise TypeError(f"`{name}` must be {types[name]}, not {value!r}")
    config = kind(**own)
    config.check()
    return config


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
    with files.undoing(folder if fresh and processes.first else None):
        if processes.first:
            if fresh:
                check_empty(folder)  # once more: nobody else can come in between now
                config.save(folder)
            with preparing() as tick:
                prepare(folder, config, tick)
        processes.wait()
        watcher = gradient_decay.while_training
        return Trainer(folder, config, processes, LanguageTask, observer if processes.first else None, watcher)


def extended(folder: Path, config: AnyConfig, epochs: int | None) -> AnyConfig:
    """Return the configuration with so many epochs in all.

    Raises:
        InputError: the run was asked for more already, or ended because it got no better.
    """
    before = config.training.epochs
    if epochs is None or epochs == before:
        return config
    if epochs < before:
        raise InputError(f"{folder} was asked for {before} epochs in all; `epochs` can raise that, not lower it to {epochs}")
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists() and read_position(checkpoint).done:
        patience = config.training.patience
        raise InputError(f"{folder} stopped early, after {patience} epochs that were no better; more `epochs` change nothing")
    return replace(config, training=replace(config.training, epochs=epochs))


def proceed(trainer: Trainer) -> dict[str, Any]:
    """Train to the end, or to where it is interrupted; return the last event."""
    folder = trainer.folder
    if trainer.processes.first and type(trainer.config).load(folder) != trainer.config:  # the next time knows the more epochs
        trainer.config.save(folder)
        (folder / "result.json").unlink(missing_ok=True)  # the shorter run's
    end = trainer.run()
    trainer.processes.close()
    return end


def check_empty(folder: Path) -> None:
    """Raise InputError for a place that holds anything: a new run's folder is its own."""
    if (folder / "config.json").exists():
        raise InputError(f"{folder} holds a run; go on with `resume` {folder}, or choose another `out`")
    if not files.is_empty(folder):
        raise InputError(f"{folder} is not an empty folder; choose another `out`")
