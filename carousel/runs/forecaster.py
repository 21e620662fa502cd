"""A forecaster with its run folder: it is trained, forecasts, and is scored."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.equations import Cell
from carousel.errors import InputError
from carousel.forecasting.config import ForecastConfig, ForecasterConfig, SeriesConfig, WindowTraining
from carousel.forecasting.folder import load_forecaster
from carousel.forecasting.forecast import LEVELS, Forecast, forecast
from carousel.forecasting.model import Forecaster
from carousel.forecasting.prepare import prepare
from carousel.forecasting.scaling import Prepared
from carousel.forecasting.series import read_series
from carousel.forecasting.task import ForecastTask
from carousel.runs import making
from carousel.runs.making import extended, finished, made, of_cell, refuse_unknown
from carousel.series.columns import Columns, of_arrays, read
from carousel.training.kept import placed
from carousel.training.processes import Processes
from carousel.training.trainer import Observer, Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from carousel.forecasting.score import Score

KINDS = (SeriesConfig, ForecasterConfig, WindowTraining)
Table = str | Path | Mapping[str, Any]
Tick = Callable[[int, int], None]


class ForecastRun:
    """A trained forecaster with its series, its scaling and its configuration, as a run folder holds them.

    Args:
        folder: as ``carousel forecast train`` leaves it, or ``RUN@400``, ``RUN@last`` as for ``carousel.load``. Nothing
            that it holds is executed.

    Raises:
        InputError: a ValueError of one line; the folder is none, not whole, or another kind of run.

    Attributes:
        model: ``carousel.forecasting.model.Forecaster``, an nn.Module.
        scaling: mean and scale of each series.
        series: of the run, as the model takes them.
        config: all that the run was asked to be.
        folder: where it lies.
        which: weights, if not the best: the number of a step, or "last".
    """

    def __init__(self, folder: str | Path):
        self.folder, self.which = placed(folder)
        self.model, self.scaling, self.series, self.config = load_forecaster(self.folder, self.which)

    def __repr__(self) -> str:
        sizes = f"{len(self.series)} series, {self.model.horizon} steps ahead, {self.model.count():,} parameters"
        return f"<ForecastRun {self.folder}: {self.model.recurrent!r}, {sizes}>"

    @classmethod
    def train(
        cls, table: Table, out: str | Path, *, cell: str | Cell = "lstm-v2", observer: Observer | None = None, **settings: Any
    ) -> ForecastRun:
        """Train a forecaster, as ``carousel forecast train`` does; return the run with its best weights.

        Args:
            table: the path of a .csv, .npz or .parquet file, or columns by name, numbers or texts, (T,) each.
            out: the run's folder; it is made, and must be empty where it is there.
            cell: a cell, or what ``--cell`` takes.
            observer: told of steps, validations and the end, as dictionaries.
            **settings: fields of ``SeriesConfig``, ``ForecasterConfig`` and ``WindowTraining``: ``horizon=12, season=12``.

        Raises:
            InputError: a ValueError of one line; a setting, cell, table or folder cannot be used.
            TypeError: there is no such setting, or its value is of another type.
            TrainingError: the loss is no longer finite, or a file cannot be written.
        """
        place = Path(out)
        columns = of_arrays(table) if isinstance(table, Mapping) else None
        config = configured("" if isinstance(table, Mapping) else table, cell, settings)

        def trainer(processes: Processes) -> Trainer:
            return prepared(place, config, processes, fresh=True, observer=observer, columns=columns)

        return cls(finished(place, trainer, fresh=True))

    @classmethod
    def resume(cls, folder: str | Path, *, epochs: int | None = None, observer: Observer | None = None) -> ForecastRun:
        """Go on with a run that was stopped, or for longer; arguments as those of ``carousel.resume``."""
        place = Path(folder)
        config = extended(place, ForecastConfig.load(place), epochs)
        return cls(finished(place, lambda p: prepared(place, config, p, fresh=False, observer=observer), fresh=False))

    def predict(
        self, table: Table | None = None, *, known: int | None = None, levels: Sequence[float] | None = None
    ) -> list[Forecast]:
        """Return what is to come of each series.

        Args:
            table: with the columns that the run was trained on and later values, or other series; by default the run's own.
                A series of a name that the run knows keeps its scale.
            known: forecast after so many values; by default after all.
            levels: of the quantiles, between 0 and 1; by default the usual ones, as far as the model has learnt them.

        Raises:
            InputError: the table cannot be used, too few values are known, or the model has learnt no quantile of a level.
        """
        told = self._levels(levels)
        series = self.series if table is None else self._read(table)
        return [forecast(self.model, p, self.config.training.length, known, told) for p in series]

    def ending(self, *, levels: Sequence[float] | None = None) -> list[Forecast]:
        """Return forecasts of the last ``horizon`` values of each series, which are known; ``levels`` as for ``predict``."""
        length, horizon, told = self.config.training.length, self.model.horizon, self._levels(levels)
        return [forecast(self.model, p, length, len(p.series) - horizon, told) for p in self.series]

    def _levels(self, given: Sequence[float] | None) -> Sequence[float]:
        reach = self.model.form.reach
        if reach is None:
            if given:
                raise InputError("the model forecasts points, and has no quantiles; leave `levels` out")
            return ()
        if given is None:
            return [level for level in LEVELS if reach[0] <= level <= reach[1]]
        if any(not 0 < level < 1 for level in given):
            raise InputError(f"levels of quantiles lie between 0 and 1, not {', '.join(f'{x:g}' for x in given)}")
        if beyond := [level for level in given if not reach[0] <= level <= reach[1]]:
            raise InputError(f"the model has learnt quantiles from {reach[0]:g} to {reach[1]:g}, and none of {beyond[0]:g}")
        return given

    def score(self, *, stride: int = 1, others: bool = True, tick: Tick | None = None) -> Score:
        """Return MASE and CRPS over the last part of each series, beside other forecasters.

        Args:
            stride: steps from one place to forecast from to the next.
            others: whether ETS is fitted, where statsmodels is installed.
            tick: told how many series are done, of how many.
        """
        from carousel.forecasting.score import score

        return score(self.model, self.series, self.config, stride=stride, others=others, tick=tick)

    def figure(self, forecasts: Sequence[Forecast], history: int | None = None) -> Figure:
        """Return a figure of what ``predict`` returned.

        Args:
            forecasts: of series.
            history: values before a forecast that are shown; by default three seasons, or three times the horizon.
        """
        from carousel.forecasting.figure import draw

        most = 3 * max(self.config.series.season, self.model.horizon, 8)
        return draw(forecasts, f"{self.folder.name}, {self.config.model.cell}", history or most)

    def _read(self, table: Table) -> list[Prepared]:
        place = Path("the columns" if isinstance(table, Mapping) else table)
        columns = of_arrays(table) if isinstance(table, Mapping) else read(place)
        return [self.scaling.prepare(s) for s in read_series(columns, self.config.series, place)]


def configured(file: str | Path, cell: str | Cell, settings: Mapping[str, Any]) -> ForecastConfig:
    """Return a run's configuration. The path is kept absolute.

    Args:
        file: of the table; empty where columns are given.
        cell: a cell, or a reference to one.
        settings: fields of the configurations.

    Raises:
        InputError: a value that cannot be, or a cell that is not there.
        TypeError: there is no such setting, or its value is of another type.
    """
    refuse_unknown(settings, KINDS, ("file",))
    series = made(SeriesConfig, {**settings, "file": str(Path(file).absolute()) if file else ""})
    config = ForecastConfig(series, made(ForecasterConfig, settings), made(WindowTraining, settings))
    inputs = {name: len(columns) for name, columns in series.further().items()}
    network = of_cell(config.model, cell, lambda c: Forecaster(series.columns, series.horizon, c, inputs))
    return replace(config, model=network)


def prepared(
    folder: Path,
    config: ForecastConfig,
    processes: Processes,
    *,
    fresh: bool,
    observer: Observer | None = None,
    columns: Columns | None = None,
) -> Trainer:
    """Prepare the series of a run and return its trainer. A table that is refused leaves nothing where the run is ``fresh``.

    Args:
        folder: of the run, owned.
        config: of the run.
        processes: those that share the run.
        fresh: whether the run begins here.
        observer: told of steps, validations and the end.
        columns: that stand for the file's.
    """
    how = functools.partial(prepare, folder, config, columns)
    return making.prepared(folder, config, processes, ForecastTask, how, fresh=fresh, observer=observer)
