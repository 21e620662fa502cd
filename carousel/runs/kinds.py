"""The kinds of runs: of each, its configuration and its task."""

from __future__ import annotations

from pathlib import Path

from carousel.errors import InputError
from carousel.forecasting.config import ForecastConfig
from carousel.forecasting.task import ForecastTask
from carousel.labelling.config import LabellingConfig
from carousel.labelling.task import LabellingTask
from carousel.language.config import Config
from carousel.language.task import LanguageTask
from carousel.training.config import RunConfig, run_kind
from carousel.training.gradient_check import Checked, Tick, check_gradients
from carousel.training.kept import load_model, placed
from carousel.training.processes import Share
from carousel.training.run_folder import MODEL
from carousel.training.task import TaskMaker
from carousel.transcription.config import TranscriptionConfig
from carousel.transcription.task import TranscriptionTask
from carousel.translation.config import TranslationConfig
from carousel.translation.task import TranslationTask

TASKS: dict[str, tuple[type[RunConfig], TaskMaker]] = {
    Config.kind: (Config, LanguageTask),
    TranslationConfig.kind: (TranslationConfig, TranslationTask),
    TranscriptionConfig.kind: (TranscriptionConfig, TranscriptionTask),
    ForecastConfig.kind: (ForecastConfig, ForecastTask),
    LabellingConfig.kind: (LabellingConfig, LabellingTask),
}


def check_run(
    folder: str | Path,
    *,
    directions: int = 3,
    entries: int = 3,
    patterns: tuple[str, ...] = (),
    seed: int = 1,
    tick: Tick | None = None,
) -> list[Checked]:
    """Compare the gradients of a run's model with finite differences, on the first training batch of its own data.

    Args:
        folder: of a run of any kind that is trained by gradient; its best weights are checked, or first ones where there are
            none yet.
        directions: random directions of each parameter.
        entries: single numbers of each parameter.
        patterns: names of the parameters that are checked, as ``fnmatch`` has them; by default all.
        seed: of directions and entries, and of the batch.
        tick: told how many parameters are done, of how many.

    Returns:
        A line for each parameter, the worst first; ``carousel.training.gradient_check.TOLERANCE`` is what may be.

    Raises:
        InputError: a ValueError of one line; the folder is no run, not whole, or no parameter has such a name.
    """
    place, which = placed(folder)
    kind = run_kind(place)
    if kind not in TASKS:
        raise InputError(f"{place} holds the run of a {kind}, whose gradients cannot be checked here")
    configuration, make_task = TASKS[kind]
    task = make_task(place, configuration.load(place), Share())
    if which or (place / MODEL).exists():
        load_model(task.model, place, which)
    batch = next(iter(task.feed("train", seed).batches()))
    return check_gradients(task.model, batch, directions=directions, entries=entries, patterns=patterns, seed=seed, tick=tick)
