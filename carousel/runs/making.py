"""From settings to a trained run: what runs of every kind have in common, for the commands and for Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from carousel import files
from carousel.cells import finding
from carousel.equations import Cell
from carousel.errors import InputError
from carousel.training.checkpoint import read_position
from carousel.training.config import NetworkConfig
from carousel.training.fields import Settings, is_of
from carousel.training.processes import Processes
from carousel.training.task import TaskMaker
from carousel.training.trainer import Observer, Trainer, Watcher

Files = str | Path | Iterable[str | Path]
AnyConfig = TypeVar("AnyConfig", bound=Any)
Network = TypeVar("Network", bound=NetworkConfig)
Made = TypeVar("Made", bound=Settings)


def several(given: Files) -> Iterable[str | Path]:
    """Return paths, of which one may stand alone."""
    return [given] if isinstance(given, str | Path) else given


def absolute(given: Files) -> list[str]:
    """Return paths as a configuration keeps them: a run can be continued from anywhere."""
    return [str(Path(p).absolute()) for p in several(given)]


def refuse_unknown(settings: Iterable[str], kinds: Iterable[type[Settings]], by_arguments: Iterable[str]) -> None:
    """Raise TypeError for a setting that is no field of the configurations.

    Args:
        settings: names.
        kinds: the configurations.
        by_arguments: fields that have an argument of their own, and so are no settings; ``cell`` is one in any case.
    """
    known = {f.name for kind in kinds for f in fields(kind)}  # type: ignore[arg-type]  # every kind is a dataclass
    known = known.difference(("cell", "cell_data", *by_arguments))
    for name in sorted(set(settings) - known):
        near = get_close_matches(name, known, n=1)
        raise TypeError(f"train has no setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


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


def of_cell(network: Network, cell: str | Cell, model_of: Callable[[Network], nn.Module]) -> Network:
    """Return the configuration of a network of this cell, of which a model was built, so that none is refused later.

    Args:
        network: the configuration.
        cell: a cell, or what ``--cell`` takes.
        model_of: builds a model of such a configuration.

    Raises:
        InputError: a cell that is not there, or a model that cannot be built.
    """
    try:
        network = network.keeping(cell if isinstance(cell, Cell) else finding.find(cell), model_of)
        model_of(network)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from None
    return network


def check_empty(folder: Path) -> None:
    """Raise InputError for a place that holds anything: a new run's folder is its own."""
    if (folder / "config.json").exists():
        raise InputError(f"{folder} holds a run; go on with `resume` {folder}, or choose another `out`")
    if not files.is_empty(folder):
        raise InputError(f"{folder} is not an empty folder; choose another `out`")


def owned(folder: Path, processes: Processes) -> AbstractContextManager[None]:
    """Give a folder in which no other run writes meanwhile; the first of a run's processes owns it."""
    return files.owning(folder) if processes.first else nullcontext()


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


def prepared(
    folder: Path,
    config: Any,
    processes: Processes,
    task: TaskMaker,
    prepare: Callable[[], object],
    *,
    fresh: bool,
    observer: Observer | None = None,
    watcher: Watcher | None = None,
) -> Trainer:
    """Prepare the data of a run and return its trainer. Data that are refused leave nothing where the run is ``fresh``.

    Args:
        folder: of the run, owned.
        config: of the run.
        processes: those that share the run.
        task: makes the task of the prepared folder.
        prepare: puts into the folder what the task reads; the first process calls it.
        fresh: whether the run begins here.
        observer: told of steps, validations and the end.
        watcher: as the trainer's.
    """
    with files.undoing(folder if fresh and processes.first else None):
        if processes.first:
            if fresh:
                check_empty(folder)  # once more: nobody else can come in between now
                config.save(folder)
            prepare()
        processes.wait()
        return Trainer(folder, config, processes, task, observer if processes.first else None, watcher)


def proceed(trainer: Trainer) -> dict[str, Any]:
    """Train to the end, or to where it is interrupted; return the last event."""
    folder = trainer.folder
    if trainer.processes.first and type(trainer.config).load(folder) != trainer.config:  # the next time knows the more epochs
        trainer.config.save(folder)
        (folder / "result.json").unlink(missing_ok=True)  # the shorter run's
    end = trainer.run()
    trainer.processes.close()
    return end


def finished(folder: Path, trainer_of: Callable[[Processes], Trainer], *, fresh: bool) -> Path:
    """Train a run to its end in a folder that it owns; return the folder. Ctrl-C saves and raises KeyboardInterrupt.

    Args:
        folder: of the run.
        trainer_of: prepares the run, and returns its trainer.
        fresh: whether the run begins here.

    Raises:
        InputError: the folder of a fresh run holds anything, or another process owns it.
    """
    processes = Processes()
    if fresh and processes.first:
        check_empty(folder)
    with owned(folder, processes):
        if proceed(trainer_of(processes))["event"] == "interrupted":
            raise KeyboardInterrupt
    return folder
