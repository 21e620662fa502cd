"""Forecasts to compare with: seasonal naive, and exponential smoothing (ETS) where statsmodels is installed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

MOST_SEASON = 24  # of ETS, which has a state for each step of a season; a longer one is left out


@dataclass(frozen=True)
class Gaussians:
    """A forecast: mean and standard deviation of each step, (horizon,)."""

    mean: np.ndarray
    sigma: np.ndarray


Forecasts = Callable[[int], Gaussians]  # of the number of values that are known


def seasonal_naive(values: np.ndarray, horizon: int, season: int, learnt: int) -> Forecasts:
    """Return forecasts that repeat the last season.

    Their standard deviation is that of the residuals one season ahead, times the root of the number of seasons ahead.

    Args:
        values: of a series, (T,).
        horizon: steps to forecast.
        season: steps of a season; 1: the last value is repeated.
        learnt: number of values, from the first, whose residuals count.
    """
    ahead = np.arange(horizon)
    sigma = math.sqrt(np.mean(np.square(values[season:learnt] - values[: learnt - season])))
    width = sigma * np.sqrt(ahead // season + 1)
    return lambda known: Gaussians(values[known - season + ahead % season], width)


def has_ets() -> bool:
    """Return whether statsmodels is installed."""
    return find_spec("statsmodels") is not None


def ets(values: np.ndarray, horizon: int, season: int, learnt: int) -> Forecasts:
    """Return forecasts of exponential smoothing with additive errors (Hyndman et al. 2008), by statsmodels.

    Forms with and without trend (damped or not) and season are fitted to the first ``learnt`` values, and the form with the
    least corrected AIC is used. Its parameters are then fixed, while its states follow the values, as a network's do.

    Args:
        values: of a series, (T,).
        horizon: steps to forecast.
        season: steps of a season; above ``MOST_SEASON`` none is fitted.
        learnt: number of values, from the first, to fit to.
    """
    import pandas
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    def model(known: int, form: dict[str, Any]) -> Any:
        return ETSModel(pandas.Series(values[:known]), error="add", **form)

    best: tuple[float, dict[str, Any], Any] | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fits that did not converge: the criterion judges them
        for form in forms(season if 1 < season <= MOST_SEASON and learnt > 2 * season else 1):
            fit = model(learnt, form).fit(disp=False)
            if math.isfinite(fit.aicc) and (best is None or fit.aicc < best[0]):
                best = fit.aicc, form, fit.params
    assert best is not None  # the form without trend and season has one always
    _, form, parameters = best

    def forecast(known: int) -> Gaussians:
        smoothed = model(known, form).smooth(parameters)
        found = smoothed.get_prediction(start=known, end=known + horizon - 1)
        return Gaussians(np.asarray(found.predicted_mean), np.sqrt(np.asarray(found.forecast_variance)))

    return forecast


def forms(season: int) -> Sequence[dict[str, Any]]:
    """Return the forms of ETS with additive parts, as arguments of ``ETSModel``."""
    trends: list[dict[str, Any]] = [{"trend": None}, {"trend": "add"}, {"trend": "add", "damped_trend": True}]
    seasons: list[dict[str, Any]] = [{}] + ([{"seasonal": "add", "seasonal_periods": season}] if season > 1 else [])
    return [{**t, **s} for t in trends for s in seasons]
