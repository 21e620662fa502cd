"""Scores, by MASE and CRPS, of forecasts from every step of the test parts, beside other forecasters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from carousel.forecasting.config import ForecastConfig
from carousel.forecasting.forecast import raw_forecasts
from carousel.forecasting.measures import crps_gaussian, mase_scale
from carousel.forecasting.model import Forecaster
from carousel.forecasting.others import Forecasts, ets, has_ets, seasonal_naive
from carousel.forecasting.prepare import parts
from carousel.forecasting.scaling import Prepared

Tick = Callable[[int, int], None]
INTERVAL = (0.1, 0.9)  # the quantiles whose coverage is scored
NAIVE, ETS = "seasonal naive", "ETS"
DEVIATION = 1.2815515655446004  # of a Gaussian, to the upper end of INTERVAL


@dataclass(frozen=True)
class Errors:
    """The errors of forecasts: means over forecasts and their steps, then over series.

    Attributes:
        mase: mean absolute scaled error (Hyndman and Koehler 2006), scaled by the values before the test part.
        crps: continuous ranked probability score, in the series' unit.
        scaled_crps: ``crps`` divided by the scale of ``mase``, comparable between series of different units.
        coverage: share of the values between the quantiles 0.1 and 0.9, which should be 0.8; None for point forecasts.
    """

    mase: float
    crps: float
    scaled_crps: float
    coverage: float | None

    def as_dict(self) -> dict[str, float | None]:
        """Return the values that JSON shows."""
        return {"mase": self.mase, "crps": self.crps, "scaled_crps": self.scaled_crps, "coverage": self.coverage}


@dataclass(frozen=True)
class Score:
    """The score of a run.

    Attributes:
        model: the errors of its model.
        others: the errors of the forecasters beside it, by name.
        series: the errors for each series, by series and forecaster ("model" for the run's own).
        forecasts: number of forecasts that were scored.
    """

    model: Errors
    others: Mapping[str, Errors]
    series: Mapping[str, Mapping[str, Errors]]
    forecasts: int

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        return {
            **self.model.as_dict(),
            "others": {name: e.as_dict() for name, e in self.others.items()},
            "series": {name: {who: e.as_dict() for who, e in each.items()} for name, each in self.series.items()},
            "forecasts": self.forecasts,
        }


def score(
    model: Forecaster,
    prepared: Sequence[Prepared],
    config: ForecastConfig,
    *,
    stride: int = 1,
    others: bool = True,
    tick: Tick | None = None,
) -> Score:
    """Return the errors of forecasts whose whole horizon lies in a series' test part.

    Args:
        model: makes the forecasts.
        prepared: its series.
        config: its run's configuration.
        stride: steps from one forecast to the next.
        others: whether to fit ETS where statsmodels is installed; the seasonal naive forecast is always scored.
        tick: called with the number of series done, and of all.
    """
    horizon, each, count = config.series.horizon, {}, 0
    for k, p in enumerate(prepared):
        borders = parts(len(p.series), config.series)
        places = range(borders.valid, borders.test - horizon + 1, stride)
        each[p.series.name] = _of_series(model, p, config, places, others)
        count += len(places)
        if tick:
            tick(k + 1, len(prepared))
    mean = {who: _mean([errors[who] for errors in each.values()]) for who in next(iter(each.values()))}
    return Score(mean.pop("model"), mean, each, count)


def _of_series(model: Forecaster, p: Prepared, config: ForecastConfig, places: range, others: bool) -> dict[str, Errors]:
    """Return the errors of the model and of others by name; ``places``: the number of known values before each forecast."""
    s, horizon, season = p.series, config.series.horizon, config.series.season
    came = np.stack([s.values[k : k + horizon] for k in places])
    counts = np.stack([s.observed[k : k + horizon] for k in places])
    scale = mase_scale(np.where(s.observed, s.values, np.nan)[: places[0]], season)
    found = {"model": _of_model(model, p, config.training.length, places, came, counts, scale)}
    rivals: dict[str, Forecasts] = {NAIVE: seasonal_naive(s.values, horizon, season, places[0])}
    if others and has_ets():
        rivals[ETS] = ets(s.values, horizon, season, places[0])
    for name, forecasts in rivals.items():
        made = [forecasts(k) for k in places]
        mean, sigma = np.stack([g.mean for g in made]), np.stack([g.sigma for g in made])
        inside = np.abs(came - mean) <= DEVIATION * sigma
        found[name] = _errors(np.abs(came - mean), crps_gaussian(came, mean, sigma), inside, counts, scale)
    return found


def _of_model(
    model: Forecaster, p: Prepared, length: int, places: range, came: np.ndarray, counts: np.ndarray, scale: float
) -> Errors:
    raw = torch.stack([raw for _, _, raw in raw_forecasts(model, [p], [(0, k - 1) for k in places], length)])
    target = torch.from_numpy((came - np.stack([p.base[k - 1] for k in places])) / p.scale)
    form = model.form
    error = p.scale * (form.median(raw) - target).abs().numpy()
    interval = form.quantiles(raw, INTERVAL)
    inside = None
    if interval is not None:
        inside = ((interval[..., 0] <= target) & (target <= interval[..., 1])).numpy()
    return _errors(error, p.scale * form.crps(raw, target).numpy(), inside, counts, scale)


def _errors(absolute: np.ndarray, crps: np.ndarray, inside: np.ndarray | None, counts: np.ndarray, scale: float) -> Errors:
    mean = float(crps[counts].mean())
    coverage = None if inside is None else float(inside[counts].mean())
    return Errors(float(absolute[counts].mean()) / scale, mean, mean / scale, coverage)


def _mean(errors: Sequence[Errors]) -> Errors:
    coverage = [e.coverage for e in errors if e.coverage is not None]
    mase, crps, scaled = (float(np.mean([getattr(e, name) for e in errors])) for name in ("mase", "crps", "scaled_crps"))
    return Errors(mase, crps, scaled, float(np.mean(coverage)) if coverage else None)
