"""A transcriber trained into a run folder: what ``carousel transcribe train`` and Python have in common."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from carousel import files
from carousel.cells import finding
from carousel.equations import Cell
from carousel.errors import InputError
from carousel.runs.training import check_empty, made, owned, proceed
from carousel.runs.transcriber import TranscriberRun
from carousel.training.fields import settings as fields_of
from carousel.training.processes import Processes
from carousel.training.trainer import Observer, Trainer
from carousel.transcription.config import DIGITS, ExamplesConfig, TranscriptionConfig, TranscriptionTraining
from carousel.transcription.model import Transcriber, TranscriberConfig
from carousel.transcription.prepare import prepare
from carousel.transcription.task import TranscriptionTask

KINDS = (ExamplesConfig, TranscriberConfig, TranscriptionTraining)


def train(
    data: str | Path,
    out: str | Path,
    *,
    valid: str | Path = "",
    test: str | Path = "",
    observer: Observer | None = None,
    **settings: Any,
) -> TranscriberRun:
    """Train a transcriber, as ``carousel transcribe train`` does; return the run with its best weights.

    Args:
        data: the path of an .npz file, or "digits".
        out: the run's folder; it is made, and must be empty where it is there.
        valid: an .npz file of held-out examples; without it, the last tenth is held out.
        test: an .npz file for the end.
        observer: told of steps, validations and the end, as dictionaries.
        **settings: fields of ``ExamplesConfig``, ``TranscriberConfig`` and ``TranscriptionTraining``; ``cell`` may be a cell.

    Raises:
        InputError: a ValueError of one line; a setting, file or folder cannot be used.
        TypeError: there is no such setting, or its value is of another type.
        TrainingError: the loss is no longer finite, or a file cannot be written.
    """
    known = {name for kind in KINDS for name in fields_of(kind)}
    if unknown := settings.keys() - known:
        raise TypeError(f"train has no setting {min(unknown)!r}")
    place, config, processes = Path(out), configured(data, valid, test, settings), Processes()
    if processes.first:
        check_empty(place)
    with owned(place, processes):
        trainer = prepared(place, config, processes, fresh=True, observer=observer)
        if proceed(trainer)["event"] == "interrupted":
            raise KeyboardInterrupt
    return TranscriberRun(place)


def configured(
    data: str | Path, valid: str | Path | None, test: str | Path | None, settings: Mapping[str, Any]
) -> TranscriptionConfig:
    """Return a run's configuration. Paths are kept absolute: the run can be continued from anywhere.

    Args:
        data: "digits", or the path of an .npz file.
        valid: a path, or nothing.
        test: a path, or nothing.
        settings: fields of the configurations; ``cell`` may be a cell.

    Raises:
        InputError: a value that cannot be, a cell that is not there.
    """
    paths = {name: str(Path(p).absolute()) if p else "" for name, p in (("valid", valid), ("test", test))}
    paths["train"] = DIGITS if data == DIGITS else str(Path(data).absolute())
    given = dict(settings)
    cell = given.pop("cell", "")
    if not isinstance(cell, Cell):
        given["cell"] = cell.strip()
    model = made(TranscriberConfig, given)
    config = TranscriptionConfig(made(ExamplesConfig, {**given, **paths}), model, made(TranscriptionTraining, given))
    try:
        found = cell if isinstance(cell, Cell) else finding.find(model.cell)
        network = model.keeping(found, lambda c: Transcriber(1, 1, c))
        Transcriber(1, 1, network)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from None
    return replace(config, model=network)


def prepared(
    folder: Path,
    config: TranscriptionConfig,
    processes: Processes,
    *,
    fresh: bool,
    observer: Observer | None = None,
    preparing: AbstractContextManager[None] | None = None,
) -> Trainer:
    """Prepare the data of a run and return its trainer. Data that are refused leave nothing where the run is ``fresh``.

    Args:
        folder: of the run, owned.
        config: of the run.
        processes: those that share the run.
        fresh: whether the run begins here.
        observer: told of steps, validations and the end.
        preparing: a context for the time in which data are prepared.
    """
    with files.undoing(folder if fresh and processes.first else None):
        if processes.first:
            if fresh:
                check_empty(folder)  # once more: nobody else can come in between now
                config.save(folder)
            with preparing or nullcontext():
                prepare(folder, config)
        processes.wait()
        return Trainer(folder, config, processes, TranscriptionTask, observer if processes.first else None)
