"""The series of a table: values to forecast, and the columns that are read beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from carousel import files
from carousel.errors import InputError
from carousel.forecasting.config import SeriesConfig, names
from carousel.series.columns import Columns, means_numbers, numbers, texts

FILE = "series.npz"


@dataclass(frozen=True)
class Series:
    """A series and the columns beside it. The columns may have more rows than the series has values: rows of the future.

    Attributes:
        name: of the series.
        values: (T,), float64; missing values are filled in.
        observed: (T,), False where a value was missing.
        covariates: (T + more, number of covariates).
        ahead: (T + more, number of columns whose future is known).
        inputs: the cell's further inputs by name, (T + more, n) each.
        times: of the rows, T + more, as text; empty where no column has them.
    """

    name: str
    values: np.ndarray
    observed: np.ndarray
    covariates: np.ndarray
    ahead: np.ndarray
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    times: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)


def read_series(columns: Columns, config: SeriesConfig, place: Path) -> list[Series]:
    """Return the series of a table.

    A series begins with its first value and ends with its last; rows around them hold covariates alone.

    Args:
        columns: of the table.
        config: names the columns and their roles.
        place: the table's path, for errors.

    Raises:
        InputError: a column is missing or holds no numbers, a value is missing where that is refused, or there is no series.
    """
    beside = {"covariates": names(config.covariates), "ahead": names(config.ahead), **config.further()}
    taken = {config.by, config.time, *(name for some in beside.values() for name in some)}
    targets = names(config.target) or [n for n, v in columns.items() if n not in taken and means_numbers(v)]
    if not targets:
        raise InputError(f"{place} has no column of numbers to forecast")
    if twice := next((n for n in targets if n in taken or targets.count(n) > 1), None):
        raise InputError(f"column {twice!r} cannot be forecast and be something else, or be forecast twice")
    values = numbers(columns, targets, place)
    others = {name: numbers(columns, some, place) for name, some in beside.items()}
    times = texts(columns, config.time, place) if config.time else []
    groups = texts(columns, config.by, place) if config.by else []
    found = []
    for group in dict.fromkeys(groups) if groups else [""]:
        rows = np.array([g == group for g in groups]) if groups else np.ones(len(values), bool)
        for k, target in enumerate(targets):
            name = target if not groups else group if len(targets) == 1 else f"{group}.{target}"
            parts = {n: v[rows] for n, v in others.items()}
            shown = [t for t, r in zip(times, rows, strict=True) if r] if times else []
            found.append(_one(name, values[rows, k], parts, shown, config.missing, place))
    return found


def _one(name: str, values: np.ndarray, beside: Mapping[str, np.ndarray], times: list[str], rule: str, place: Path) -> Series:
    there = np.flatnonzero(~np.isnan(values))
    if not len(there):
        raise InputError(f"{place}: series {name!r} has no values")
    begin, end = int(there[0]), int(there[-1]) + 1
    own = values[begin:end]
    observed = ~np.isnan(own)
    parts = {
        n: _filled(v[begin:], rule, f"{place}: what stands beside series {name!r} ({n})", begin) for n, v in beside.items()
    }
    read = _filled(own[:, None], rule, f"{place}: series {name!r}", begin)[:, 0]
    return Series(name, read, observed, parts.pop("covariates"), parts.pop("ahead"), parts, times[begin:])


def _filled(values: np.ndarray, rule: str, what: str, begin: int) -> np.ndarray:
    """Return columns (T, n) without gaps, as a rule of ``MISSING`` says. Raises InputError where gaps are refused."""
    gaps = np.isnan(values)
    if not gaps.any():
        return values
    rows, steps = gaps.any(1), np.arange(len(values))
    if rule == "refuse":
        row = begin + int(rows.argmax()) + 1
        raise InputError(
            f"{what} misses {int(rows.sum())} values, the first in row {row}; say with `missing` what is read there"
        )
    full = values.copy()
    for column, gap in zip(full.T, gaps.T, strict=True):
        known = np.flatnonzero(~gap)
        if not len(known):
            raise InputError(f"{what} has a column without values")
        if rule == "linear":
            column[gap] = np.interp(steps[gap], known, column[known])
        else:  # before the first one, the first
            column[:] = column[known[np.maximum(np.searchsorted(known, steps, side="right") - 1, 0)]]
    return full


def save_series(folder: Path, series: list[Series]) -> None:
    """Write ``series.npz``: plain arrays, nothing that is executed."""
    arrays: dict[str, Any] = {"names": np.array([s.name for s in series])}
    for k, s in enumerate(series):
        arrays |= {f"{k}.{part}": getattr(s, part) for part in ("values", "observed", "covariates", "ahead")}
        arrays |= {f"{k}.inputs.{name}": v for name, v in s.inputs.items()}
        arrays[f"{k}.times"] = np.array(s.times, np.str_)
    with files.replacing(folder / FILE) as file:
        np.savez_compressed(file, **arrays)


def load_series(folder: Path) -> list[Series]:
    """Read ``series.npz``. Raises InputError where it is missing or damaged."""
    path = folder / FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [_loaded(arrays, k, str(name)) for k, name in enumerate(arrays["names"])]
    except FileNotFoundError:
        raise InputError(f"{path} is missing; without its series the run folder cannot be used") from None
    except Exception as error:  # what a damaged archive raises has no end
        raise InputError(f"{path} is not whole: {type(error).__name__}") from None


def _loaded(arrays: Any, k: int, name: str) -> Series:
    parts = {part: arrays[f"{k}.{part}"] for part in ("values", "observed", "covariates", "ahead")}
    begin = f"{k}.inputs."
    inputs = {key.removeprefix(begin): arrays[key] for key in arrays.files if key.startswith(begin)}
    found = Series(name, inputs=inputs, times=arrays[f"{k}.times"].tolist(), **parts)
    steps = len(found.values)
    shapes = found.values.ndim == 1 and found.observed.shape == (steps,) and found.observed.dtype == bool
    if not shapes or any(v.ndim != 2 or len(v) < steps for v in (found.covariates, found.ahead, *inputs.values())):
        raise ValueError
    return found
