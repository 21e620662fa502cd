"""Load the model of a forecaster's run folder."""

from __future__ import annotations

from pathlib import Path

from carousel.forecasting.config import ForecastConfig
from carousel.forecasting.model import Forecaster
from carousel.forecasting.scaling import Prepared, Scaling
from carousel.forecasting.series import load_series
from carousel.forecasting.task import forecaster
from carousel.training.kept import load_model


def load_forecaster(folder: Path, which: str | None = None) -> tuple[Forecaster, Scaling, list[Prepared], ForecastConfig]:
    """Return the model of a run, its scaling, series and configuration.

    Args:
        folder: of the run.
        which: weights, as ``carousel.training.kept.path_of`` has them; by default the best.

    Raises:
        InputError: a damaged folder.
    """
    config = ForecastConfig.load(folder)
    config.series.check()
    scaling = Scaling.load(folder, config.series)
    prepared = [scaling.prepare(s) for s in load_series(folder)]
    model = forecaster(prepared[0], config)
    load_model(model, folder, which)
    return model, scaling, prepared, config
