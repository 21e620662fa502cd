"""Small series, and runs on them that train in a second."""

import numpy as np
import pytest
import small_runs
from small_series import wave

from carousel.forecasting.config import ForecastConfig, ForecasterConfig, SeriesConfig, WindowTraining
from carousel.forecasting.prepare import prepare
from carousel.series.columns import of_arrays


@pytest.fixture
def make_run(tmp_path):
    """``make_run(name, columns=…, series=…, model=…, **training)`` gives a prepared run folder and its configuration."""

    def make(name="run", columns=None, series=None, model=None, **training):
        options = {"batch_size": 8, "length": 12, "windows": 32, "epochs": 3, "log_every": 3, "warmup": 2, "threads": 1}
        config = ForecastConfig(
            SeriesConfig(**{"horizon": 4, "season": 8, **(series or {})}),
            ForecasterConfig(**{"hidden": 6, **(model or {})}),
            WindowTraining(**options | training),
        )
        given = of_arrays(columns or {"a": wave(), "b": [*(3 * wave(90, seed=2)), *[np.nan] * 30]})
        return small_runs.made(tmp_path / name, config, lambda folder, c: prepare(folder, c, given))

    return make
