"""Measures of forecasts: the scale of MASE, and CRPS, in NumPy."""

from __future__ import annotations

import numpy as np


def mase_scale(values: np.ndarray, season: int) -> float:
    """Return the mean absolute error of the seasonal naive forecast one season ahead, by which MASE divides.

    Hyndman and Koehler 2006. It is 0 where the values repeat themselves exactly.

    Args:
        values: the values of a series before the forecasts, (T,); NaN where one is missing.
        season: steps of a season, fewer than T; 1: there is none.
    """
    return float(np.nanmean(np.abs(values[season:] - values[:-season])))


def crps_gaussian(values: np.ndarray, mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of Gaussian forecasts, σ (z (2 Φ(z) − 1) + 2 φ(z) − 1/√π).

    Gneiting and Raftery 2007. Where σ is 0 it is the absolute error.

    Args:
        values: the observed values, of any shape.
        mean: means of the forecasts, of the same shape.
        sigma: standard deviations of the forecasts, of the same shape.
    """
    error, wide = values - mean, np.asarray(sigma) > 0
    safe = np.where(wide, sigma, 1.0)
    z = error / safe
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return np.where(wide, safe * (z * (2 * _normal(z) - 1) + 2 * density - 1 / np.sqrt(np.pi)), np.abs(error))


def crps_sample(values: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of samples, E|x − y| − ½ E|x − x'|.

    Args:
        values: the observed values, of any shape.
        samples: samples of each forecast, in one more dimension at the end.
    """
    ordered, n = np.sort(samples, -1), samples.shape[-1]
    apart = (ordered * (2 * np.arange(1, n + 1) - n - 1)).sum(-1) / n**2  # ½ E|x − x'| over all pairs
    return np.abs(samples - np.asarray(values)[..., None]).mean(-1) - apart


def _normal(z: np.ndarray) -> np.ndarray:
    """Return Φ(z)."""
    from scipy.special import ndtr  # here: a third of a second, which no command without a forecast owes

    return ndtr(z)
