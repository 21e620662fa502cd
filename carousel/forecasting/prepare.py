"""Read the table of a forecaster, and write its series and their scaling into the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from carousel.errors import InputError
from carousel.forecasting import scaling
from carousel.forecasting.config import ForecastConfig, SeriesConfig
from carousel.forecasting.measures import mase_scale
from carousel.forecasting.scaling import Scaling
from carousel.forecasting.series import FILE, Series, load_series, read_series, save_series
from carousel.series.columns import Columns, read


@dataclass(frozen=True)
class Parts:
    """The step at which each part of a series ends: the training part comes first, then validation, then the test."""

    train: int
    valid: int
    test: int


def parts(steps: int, config: SeriesConfig) -> Parts:
    """Return the parts of a series with ``steps`` values."""
    usual = max(config.horizon, steps // 10)
    valid = steps - (config.test or usual)
    return Parts(valid - (config.valid or usual), valid, steps)


def prepare(folder: Path, config: ForecastConfig, columns: Columns | None = None) -> None:
    """Write the series of a run and their scaling, unless they are there already.

    Args:
        folder: of the run.
        config: of the run; its ``series`` names file and columns.
        columns: a table to use instead of the file.

    Raises:
        InputError: the table cannot be used. Nothing is written then.
    """
    config.series.check()
    if not (folder / FILE).exists():
        place = Path(config.series.file or "the columns")
        found = read_series(read(place) if columns is None else columns, config.series, place)
        for s in found:
            check(s, config.series)
        save_series(folder, found)
    if not (folder / scaling.FILE).exists():
        found = load_series(folder)
        Scaling.learn(config.series, found, [len(s) - parts(len(s), config.series).train for s in found]).save(folder)


def check(s: Series, config: SeriesConfig) -> None:
    """Raise InputError for a series that is too short, or whose MASE is undefined."""
    steps, horizon = len(s), config.horizon
    if horizon >= steps:
        raise InputError(f"the horizon of {horizon} is longer than series {s.name!r} with its {steps} values allows")
    train = parts(steps, config).train
    needed = max(config.lag + horizon, config.season) + 1
    if train < needed:
        raise InputError(
            f"series {s.name!r} has {steps} values, of which {max(0, train)} are left to train on, and {needed} are needed; "
            "take a smaller `horizon`, `season`, `valid` or `test`"
        )
    before = s.values[:train]
    if before.min() == before.max():
        raise InputError(f"series {s.name!r} is constant in the {train} values to train on, so that MASE is undefined")
    if not mase_scale(before, config.season) > 0:
        raise InputError(
            f"series {s.name!r} repeats itself exactly every {config.season} steps, so that MASE is undefined; check `season`"
        )
