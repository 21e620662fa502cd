"""A table's columns become series; what cannot be forecast is refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from carousel.errors import InputError
from carousel.forecasting.config import ForecastConfig, SeriesConfig
from carousel.forecasting.prepare import parts, prepare
from carousel.forecasting.series import load_series, read_series, save_series
from carousel.series.columns import of_arrays

PLACE = Path("t.csv")
NAN = np.nan


def read(columns, **config):
    made = SeriesConfig(**config)
    made.check()
    return read_series(of_arrays(columns), made, PLACE)


def test_each_column_of_numbers_is_a_series():
    a, b = read({"day": ["x", "y", "z"], "a": [1, 2, 3], "b": [NAN, 5.0, 6.0]})
    assert (a.name, a.values.tolist(), b.name, b.values.tolist()) == ("a", [1, 2, 3], "b", [5, 6])
    (c,) = read({"a": [1, 2, 3], "b": [4, 5, 6]}, target="b")
    assert c.name == "b" and c.covariates.shape == (3, 0)


def test_what_stands_beside_a_series():
    columns = {"y": [NAN, 2, 3, 4, NAN], "t": ["a", "b", "c", "d", "e"], "p": [1, 2, 3, 4, 5], "q": [5, 4, 3, 2, 1]}
    columns |= {"gap": [1, 1, 2, 1, 1], "u": [0, 1, 0, 1, 0]}
    (s,) = read(columns, time="t", covariates="p,q", ahead="p", inputs="d=gap,c=u+q")
    assert s.name == "y" and s.values.tolist() == [2, 3, 4] and s.times == ["b", "c", "d", "e"]
    assert s.covariates.tolist() == [[2, 4], [3, 3], [4, 2], [5, 1]] and s.ahead.tolist() == [[2], [3], [4], [5]]
    assert s.inputs["d"].tolist() == [[1], [2], [1], [1]] and s.inputs["c"].tolist() == [[1, 4], [0, 3], [1, 2], [0, 1]]


def test_a_long_table_has_a_column_that_names_the_series():
    columns = {"shop": ["n", "s", "n", "s", "n"], "y": [1, 10, 2, 20, 3], "z": [0, 0, 1, 1, 2]}
    n, s = read(columns, by="shop", target="y")
    assert (n.name, n.values.tolist(), s.name, s.values.tolist()) == ("n", [1, 2, 3], "s", [10, 20])
    assert [x.name for x in read(columns, by="shop")] == ["n.y", "n.z", "s.y", "s.z"]


def test_a_column_of_text_is_not_forecast():
    named = {"shop": ["7", "", "north", "south"], "y": [1, 2, 3, 4]}  # a number among names is a name
    assert [s.name for s in read(named)] == ["y"]


@pytest.mark.parametrize(("rule", "filled"), [("previous", [1, 1, 1, 4, 4, 6]), ("linear", [1, 2, 3, 4, 5, 6])])
def test_missing_values_by_a_rule(rule, filled):
    (s,) = read({"y": [1, NAN, NAN, 4, NAN, 6]}, missing=rule)
    assert s.values.tolist() == filled and s.observed.tolist() == [True, False, False, True, False, True]
    (s,) = read({"y": [1, 2, 3], "p": [NAN, 5, NAN]}, covariates="p", missing=rule)
    assert s.covariates.tolist() == [[5], [5], [5]]


@pytest.mark.parametrize(
    ("columns", "config", "part"),
    [
        ({"y": [1, NAN, 3]}, {}, "series 'y' misses 1 values, the first in row 2; say with `missing`"),
        ({"y": [NAN, 1, NAN, 3]}, {}, "the first in row 3"),
        ({"y": [1, 2], "p": [1, NAN]}, {"covariates": "p"}, r"beside series 'y' \(covariates\) misses 1 values"),
        ({"y": [1, 2], "p": [NAN, NAN]}, {"covariates": "p", "missing": "linear"}, "has a column without values"),
        ({"y": [NAN, NAN]}, {}, "series 'y' has no values"),
        ({"y": ["a", "b"]}, {}, "no column of numbers to forecast"),
        ({"y": ["a", "b"]}, {"target": "y"}, "must hold numbers"),
        ({"y": ["1", "2x", "3"], "z": [1, 2, 3]}, {}, "column 'y' must hold numbers, and its value 2 is '2x'"),
        ({"y": [1, 2]}, {"target": "x"}, "no column 'x'"),
        ({"y": [1, 2]}, {"target": "y,y"}, "be forecast twice"),
        ({"y": [1, 2]}, {"target": "y", "covariates": "y"}, "cannot be forecast and be something else"),
        ({"y": [1, 2]}, {"time": "when"}, "no column 'when'"),
    ],
)
def test_what_cannot_be_forecast_is_refused(columns, config, part):
    with pytest.raises(InputError, match=part):
        read(columns, **config)


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({"horizon": 0}, "`horizon` must be at least 1"),
        ({"difference": "season"}, "needs a `season` of 2"),
        ({"horizon": 5, "test": 4}, "`test` must be 0, or as long as the `horizon` of 5, not 4"),
        ({"inputs": "gap"}, "`inputs` must be such as d=gap"),
        ({"inputs": "d="}, "`inputs` must be such as d=gap"),
        ({"missing": "zero"}, "`missing` must be refuse or previous or linear"),
    ],
)
def test_settings_that_cannot_be(config, part):
    with pytest.raises(InputError, match=part):
        SeriesConfig(**config).check()


def test_the_end_of_a_series_is_held_out():
    p = parts(309, SeriesConfig(horizon=11))
    assert (p.train, p.valid, p.test) == (309 - 60, 309 - 30, 309)  # a tenth
    p = parts(50, SeriesConfig(horizon=11, test=20))
    assert (p.train, p.valid, p.test) == (19, 30, 50)


@pytest.mark.parametrize(
    ("values", "config", "part"),
    [
        (np.arange(9.0), {"horizon": 9}, "the horizon of 9 is longer than series 'y' with its 9 values allows"),
        (np.arange(20.0) ** 2, {"horizon": 7}, "20 values, of which 6 are left to train on, and 8 are needed"),
        (np.arange(30.0) ** 2, {"horizon": 4, "season": 24}, "22 are left to train on, and 25 are needed"),
        (np.ones(40), {}, "series 'y' is constant in the 32 values to train on, so that MASE is undefined"),
        (np.tile([1.0, 2, 5], 20), {"season": 3}, "repeats itself exactly every 3 steps, so that MASE is undefined"),
    ],
)
def test_series_that_cannot_be_judged_are_refused_and_leave_nothing(tmp_path, values, config, part):
    config = ForecastConfig(SeriesConfig(**config))
    with pytest.raises(InputError, match=part) as error:
        prepare(tmp_path, config, of_arrays({"y": values}))
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_series_are_kept_as_plain_arrays(tmp_path):
    columns = {"y": [1, NAN, 3, NAN], "t": ["a", "b", "c", "d"], "p": [1, 2, 3, 4], "gap": [1, 1, 2, 1]}
    kept = read(columns, missing="linear", time="t", covariates="p", ahead="p", inputs="d=gap")
    save_series(tmp_path, kept)
    (before,), (after,) = kept, load_series(tmp_path)
    assert before.times == after.times and before.name == after.name
    for part in ("values", "observed", "covariates", "ahead"):
        np.testing.assert_array_equal(getattr(before, part), getattr(after, part))
    np.testing.assert_array_equal(before.inputs["d"], after.inputs["d"])
    (tmp_path / "series.npz").write_bytes((tmp_path / "series.npz").read_bytes()[:200])
    with pytest.raises(InputError, match="is not whole"):
        load_series(tmp_path)
    (tmp_path / "series.npz").unlink()
    with pytest.raises(InputError, match="is missing"):
        load_series(tmp_path)
