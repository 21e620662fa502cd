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

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)  # of the quantiles in a forecast


@dataclass(frozen=True)
class Forecast:
    """The forecast of a series, in its unit.

    Attributes:
        series: the series' name.
        known: number of values before the forecast.
        values: the forecast, (horizon,): the median of each step, or the mean if the model was trained with squared errors.
        quantiles: by level, (horizon,) each; empty where the model forecasts points.
        times: times of the forecast steps, (horizon,), as text; empty where the series has none.
        came: the values observed at the forecast steps, at most (horizon,), NaN where one is missing; for figures.
        before: the values before the forecast, (known,), NaN where one is missing; for figures.
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
    """Yield each forecast: the series' index, the last known step, and the model's raw output, (horizon, size of the form).

    Args:
        model: makes the forecasts.
        prepared: the series.
        ends: index of the series and last known step, for each forecast.
        length: steps that the model reads before a forecast.
    """
    windows = Windows(prepared, [len(p.series) for p in prepared], length, ROWS, ends)
    places = iter(ends)
    for batch in windows.batches():
        for raw in model.foretell(batch.x, batch.ends, batch.further):
            yield *next(places), raw.double()


def forecast(
    model: Forecaster, prepared: Prepared, length: int, known: int | None = None, levels: Sequence[float] = LEVELS
) -> Forecast:
    """Return the forecast of a series after its first ``known`` values.

    Args:
        model: makes the forecast.
        prepared: the series.
        length: steps that the model reads before the forecast.
        known: number of values to forecast after; by default all.
        levels: of the quantiles, each between 0 and 1.

    Raises:
        InputError: too few values are known, or an ``ahead`` column lacks values for the horizon.
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
    """Continue times up to ``steps``: evenly spaced integers and ISO dates in their spacing, also one by months (the 15th of
    each), others by the rows' numbers.
    """
    more = range(1, steps - len(times) + 1)
    for kind in ("int64", "datetime64"):
        try:
            known: Any = np.array([int(t) for t in times] if kind == "int64" else times, kind)
        except (ValueError, OverflowError):
            continue
        if gap := _even(known):
            return [*times, *(str(known[-1] + k * gap) for k in more)]
        months = known.astype("datetime64[M]") if kind == "datetime64" else known[:0]
        if (gap := _even(months)) and len({*(days := known - months)}) == 1:
            return [*times, *(str((months[-1] + k * gap).astype(known.dtype) + days[0]) for k in more)]
    return [*times, *(str(len(times) + k) for k in more)]


def _even(places: Any) -> Any:
    """Return the spacing of places that are evenly spaced; None of others."""
    gaps = places[1:] - places[:-1]
    return gaps[0] if len(gaps) and (gaps == gaps[0]).all() and gaps[0] else None
