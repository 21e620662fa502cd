"""Forecasting as a task of the trainer: windows of a run folder's series; the metric is the loss of the forecasts' form."""

from __future__ import annotations

from pathlib import Path

from carousel.forecasting.config import ForecastConfig
from carousel.forecasting.model import Forecaster
from carousel.forecasting.prepare import parts
from carousel.forecasting.scaling import Prepared, Scaling
from carousel.forecasting.series import load_series
from carousel.forecasting.windows import ROWS, Windows
from carousel.training.processes import Share
from carousel.training.task import Metric


class ForecastTask:
    """A forecaster that reads the series of its run folder."""

    some_unused = False

    def __init__(self, folder: Path, config: ForecastConfig, share: Share):
        self.config, self.share = config, share
        scaling = Scaling.load(folder, config.series)
        self.prepared = [scaling.prepare(s) for s in load_series(folder)]
        self.model = forecaster(self.prepared[0], config)
        self.metric = metric(config)

    def has(self, name: str) -> bool:
        """Return whether a part has this name; every run has all three."""
        return name in ("train", "valid", "test")

    def feed(self, name: str, seed: int | None = None) -> Windows:
        """Return windows: with a seed drawn from the steps to train on, else one for each place to forecast from."""
        training, series = self.config.training, self.config.series
        borders = [parts(len(p.series), series) for p in self.prepared]
        stop = [getattr(b, name) for b in borders]
        if seed is not None:
            length, drawn = training.length, training.windows
            return Windows(self.prepared, stop, length, training.batch_size, drawn=drawn, share=self.share, seed=seed)
        begin = {"train": [p.first + 1 for p in self.prepared], "valid": [b.train for b in borders]}
        ends = [
            (s, end - 1)
            for s, (first, last) in enumerate(zip(begin.get(name, [b.valid for b in borders]), stop, strict=True))
            for end in range(first, last - series.horizon + 1)
        ]
        return Windows(self.prepared, stop, training.length, ROWS, ends, share=self.share)

    def carry(self, state: None) -> None:
        """Carry nothing on: each window begins anew."""


def forecaster(like: Prepared, config: ForecastConfig) -> Forecaster:
    """Return a new model for series such as this one."""
    inputs = {name: v.shape[1] for name, v in like.further.items()}
    return Forecaster(like.inputs.shape[1], config.series.horizon, config.model, inputs)


def metric(config: ForecastConfig) -> Metric:
    """Return the mean loss of a value, in the series' scale, by its name."""
    return Metric(config.model.form().loss_name, "values", lambda loss, targets: loss / max(1, targets))
