"""Load the model of a forecaster's run folder."""

from __future__ import annotations

from pathlib import Path

from carousel.forecasting.config import ForecastConfig
from carousel.forecasting.model import Forecaster
from carousel.forecasting.scaling import Prepared, Scaling
from carousel.forecasting.series import load_series
from carousel.forecasting.task import forecaster
from carousel.training.run_folder import load_model


def load_forecaster(folder: Path) -> tuple[Forecaster, Scaling, list[Prepared], ForecastConfig]:
    """Return the best model of a run, its scaling, series and configuration. Raises InputError for a damaged folder."""
    config = ForecastConfig.load(folder)
    config.series.check()
    scaling = Scaling.load(folder, config.series)
    prepared = [scaling.prepare(s) for s in load_series(folder)]
    model = forecaster(prepared[0], config)
    load_model(model, folder)
    model.eval()
    return model, scaling, prepared, config
