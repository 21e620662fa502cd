"""The inputs and targets of a model from a series, and the base and scale that turn outputs back into values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carousel import files
from carousel.errors import InputError
from carousel.forecasting.config import SeriesConfig
from carousel.forecasting.series import Series

FILE = "scaling.json"


@dataclass(frozen=True)
class Prepared:
    """A series as inputs and targets of a model. A forecast is ``base`` + ``scale`` × the model's output.

    Attributes:
        series: the series itself, in its unit.
        inputs: the inputs of each step, (T, columns), float32.
        further: the cell's further inputs by name, (T, n) each, float32.
        base: the base of each forecast, by step and step ahead, (T, horizon), float64.
        targets: the values after each step, less ``base`` and divided by ``scale``, (T, horizon), float32.
        counts: True where the value of a target was observed, (T, horizon).
        scale: the model's unit, in the series' unit.
        first: the first step whose inputs are complete.
    """

    series: Series
    inputs: np.ndarray
    further: dict[str, np.ndarray]
    base: np.ndarray
    targets: np.ndarray
    counts: np.ndarray
    scale: float
    first: int


class Scaling:
    """The mean and scale of each series, and of the columns beside them, over the training part.

    Args:
        config: the settings of the series.
        kept: the numbers, as ``as_dict`` returns them.
    """

    def __init__(self, config: SeriesConfig, kept: dict[str, Any]):
        self.config = config
        try:
            self.of_series = {str(name): (float(v["center"]), float(v["scale"])) for name, v in kept["series"].items()}
            self.beside = {part: np.array(kept[part], np.float64).reshape(2, -1) for part in ("covariates", "ahead")}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError("what is kept of the scaling is not whole") from None
        numbers = [*(v for pair in self.of_series.values() for v in pair), *(v for b in self.beside.values() for v in b.flat)]
        if not np.isfinite(numbers).all():
            raise InputError("what is kept of the scaling is not finite")

    @classmethod
    def learn(cls, config: SeriesConfig, series: list[Series], held_out: list[int]) -> Scaling:
        """Return the scaling of series, without the last ``held_out`` steps of each."""
        beside: dict[str, Any] = {}
        for part in ("covariates", "ahead"):
            rows = np.concatenate([getattr(s, part)[: len(s) - out] for s, out in zip(series, held_out, strict=True)])
            width = rows.std(0)
            beside[part] = [rows.mean(0).tolist(), np.where(width > 0, width, 1.0).tolist()]
        each = {s.name: own(s.values[: len(s) - out], config.lag) for s, out in zip(series, held_out, strict=True)}
        return cls(config, {"series": {n: {"center": c, "scale": w} for n, (c, w) in each.items()}, **beside})

    @classmethod
    def load(cls, folder: Path, config: SeriesConfig) -> Scaling:
        """Read ``scaling.json``. Raises InputError where it is missing or damaged."""
        path = folder / FILE
        try:
            return cls(config, files.read_object(path))
        except FileNotFoundError:
            raise InputError(f"{path} is missing; without it the run folder cannot be used") from None
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def save(self, folder: Path) -> None:
        """Write ``scaling.json``."""
        files.write(folder / FILE, json.dumps(self.as_dict(), indent=1) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers, by series and by column."""
        each = {name: {"center": center, "scale": scale} for name, (center, scale) in self.of_series.items()}
        return {"series": each, **{part: v.tolist() for part, v in self.beside.items()}}

    def prepare(self, s: Series) -> Prepared:
        """Return the inputs and targets of a series. A series that is not in the scaling is scaled by its own values.

        Raises:
            InputError: the series is constant, too short for its differences, or has another number of columns beside it.
        """
        lag, horizon, steps = self.config.lag, self.config.horizon, len(s)
        if steps <= lag:
            raise InputError(f"series {s.name!r} has {steps} values, and differences need more than {lag}")
        center, scale = self.of_series.get(s.name) or own(s.values, lag)
        if not scale > 0:
            raise InputError(f"series {s.name!r} {'is constant' if lag < 2 else f'repeats itself every {lag} steps'}")
        read = np.zeros(steps)
        read[lag:] = (s.values[lag:] - (s.values[:-lag] if lag else center)) / scale
        columns = [read[:, None], ~s.observed[:, None]] if self.config.missing != "refuse" else [read[:, None]]
        columns.append(self._scaled("covariates", s.covariates[:steps]))
        columns.append(_windows(self._scaled("ahead", s.ahead), steps, horizon))
        base = self._base(s.values, center)
        targets = _windows(s.values[:, None], steps, horizon) - base
        counts = _windows(s.observed[:, None].astype(np.float64), steps, horizon) > 0
        return Prepared(
            s,
            np.concatenate(columns, 1).astype(np.float32),
            {name: v[:steps].astype(np.float32) for name, v in s.inputs.items()},
            base,
            np.where(counts, targets / scale, 0).astype(np.float32),
            counts,
            scale,
            lag,
        )

    def _base(self, values: np.ndarray, center: float) -> np.ndarray:
        steps, horizon, lag = len(values), self.config.horizon, self.config.lag
        if not lag:
            return np.full((steps, horizon), center)
        ahead = np.arange(1, horizon + 1)
        back = ahead - lag * -(-ahead // lag)  # the last one that is known, whole seasons back
        return values[np.maximum(np.arange(steps)[:, None] + back, 0)]

    def _scaled(self, part: str, values: np.ndarray) -> np.ndarray:
        center, width = self.beside[part]
        if values.shape[1] != len(center):
            raise InputError(f"the run has {len(center)} columns of `{part}`, and here are {values.shape[1]}")
        return (values - center) / width


def own(values: np.ndarray, lag: int) -> tuple[float, float]:
    """Return the mean of values, and the standard deviation of the values, or of their differences by ``lag`` steps."""
    learnt = values[lag:] - values[:-lag] if lag else values
    width = float(learnt.std()) if len(learnt) else 0.0
    return float(values.mean()), width if width > 1e-12 * float(np.abs(values).max(initial=0.0)) else 0.0


def _windows(values: np.ndarray, steps: int, horizon: int) -> np.ndarray:
    """Return the next ``horizon`` rows of (T, n) after each of the first ``steps``, (steps, horizon × n), 0 after the last."""
    n = values.shape[1]
    after = np.concatenate([values[1:], np.zeros((horizon, n))])[: steps + horizon - 1]
    after = np.concatenate([after, np.zeros((steps + horizon - 1 - len(after), n))])
    return np.lib.stride_tricks.sliding_window_view(after, horizon, 0).transpose(0, 2, 1).reshape(steps, horizon * n)
