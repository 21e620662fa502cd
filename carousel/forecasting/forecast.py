"""Forecasts of series by a model: from any step on, in the series' own unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from carousel.errors import InputError
from carousel.forecasting.model import Forecaster
from carousel.forecasting.scaling import Prepared
from carousel.forecasting.windows import ROWS, Windows

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)  # of the quantiles that are told


@dataclass(frozen=True)
class Forecast:
    """What is to come of a series.

    Attributes:
        series: the name.
        known: number of values that were known.
        values: the forecast, the median of each step (the mean, of a model for squared errors), (horizon,).
        quantiles: (horizon,) by level; empty where the model gives a point.
        times: of the steps, where the series has times.
        came: the values that came, as far as they are known already, for figures.
        before: the values that were known, (known,).
    """

    series: str
    known: int
    values: np.ndarray
    quantiles: dict[float, np.ndarray] = field(default_factory=dict)
    times: list[str] = field(default_factory=list)
    came: np.ndarray = field(default_factory=lambda: np.empty(0))
    before: np.ndarray = field(default_factory=lambda: np.empty(0))

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        shown = {f"{level:g}": q.tolist() for level, q in self.quantiles.items()}
        times = {"times": self.times} if self.times else {}
        return {"series": self.series, "known": self.known, **times, "values": self.values.tolist(), "quantiles": shown}

    def rows(self) -> list[dict[str, Any]]:
        """Return a row of a table for each step."""
        return [
            {"series": self.series, "step": k + 1, **({"time": self.times[k]} if self.times else {}), "forecast": value}
            | {f"q{level:g}": float(q[k]) for level, q in self.quantiles.items()}
            for k, value in enumerate(self.values.tolist())
        ]


def raw_forecasts(
    model: Forecaster, prepared: Sequence[Prepared], ends: Sequence[tuple[int, int]], length: int
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield series, last known step and the model's raw numbers, (horizon, size of the form), of each place to forecast from.

    Args:
        model: whose forecasts.
        prepared: the series.
        ends: (series, last known step) of each forecast.
        length: steps that are read before it.
    """
    windows = Windows(prepared, [len(p.series) for p in prepared], length, ROWS, ends)
    places = iter(ends)
    for batch in windows.batches():
        for raw in model.foretell(batch.x, batch.ends, batch.further):
            yield *next(places), raw.double()


def forecast(
    model: Forecaster, prepared: Prepared, length: int, known: int | None = None, levels: Sequence[float] = LEVELS
) -> Forecast:
    """Return the forecast of a series after its first ``known`` values, by default all.

    Raises:
        InputError: too few values are known, or columns that must be known ahead are not.
    """
    s, steps = prepared.series, len(prepared.series)
    known = steps if known is None else known
    if not prepared.first < known <= steps:
        raise InputError(
            f"a forecast of series {s.name!r} can follow after {prepared.first + 1} to {steps} values, not {known}"
        )
    if s.ahead.shape[1] and len(s.ahead) < known + model.horizon:
        raise InputError(
            f"series {s.name!r} has {len(s.ahead) - known} rows after its last value, and `ahead` columns must be known "
            f"for {model.horizon}"
        )
    ((_, end, raw),) = raw_forecasts(model, [prepared], [(0, known - 1)], length)
    base = prepared.base[end]
    found = model.form.quantiles(raw, levels)
    quantiles = {} if found is None else {level: base + prepared.scale * found[:, k].numpy() for k, level in enumerate(levels)}
    values = base + prepared.scale * model.form.median(raw).numpy()
    times = continued(s.times, known + model.horizon) if s.times else []
    came = np.where(s.observed, s.values, np.nan)[known : known + model.horizon]
    before = np.where(s.observed, s.values, np.nan)[:known]
    return Forecast(s.name, known, values, quantiles, times[known : known + model.horizon], came, before)


def continued(times: Sequence[str], steps: int) -> list[str]:
    """Return so many times: evenly spaced whole numbers and dates of ISO 8601 go on, after others stand rows' numbers."""
    more = steps - len(times)
    for kind in ("int64", "datetime64"):
        try:
            known: Any = np.array([int(t) for t in times] if kind == "int64" else times, kind)
        except (ValueError, OverflowError):
            continue
        gaps = known[1:] - known[:-1]
        if len(gaps) and (gaps == gaps[0]).all() and gaps[0]:
            return [*times, *(str(known[-1] + k * gaps[0]) for k in range(1, more + 1))]
    return [*times, *(str(len(times) + k) for k in range(1, more + 1))]
