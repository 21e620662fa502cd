"""A forecaster learns, goes on bit for bit, forecasts from anywhere, and is scored as written out by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from small_series import tensors, train, wave

import carousel
from carousel import ForecastRun, cell, logistic, tanh
from carousel.errors import InputError
from carousel.forecasting.config import ForecastConfig, ForecasterConfig, SeriesConfig
from carousel.forecasting.folder import load_forecaster
from carousel.forecasting.forecast import continued, forecast
from carousel.forecasting.measures import crps_gaussian
from carousel.forecasting.model import Forecaster
from carousel.forecasting.others import ets, has_ets, seasonal_naive
from carousel.forecasting.scaling import Scaling
from carousel.forecasting.score import score
from carousel.forecasting.series import read_series
from carousel.forecasting.task import forecaster
from carousel.series.columns import of_arrays
from carousel.training.run_folder import read_metrics
from carousel.training.task import Metric


def lines(folder, name="nats"):
    return [(r["event"], r["step"], r["loss"]) for r in read_metrics(folder, Metric(name, "values", lambda a, b: a / b))]


@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({"dropout": 0.3, "layers": 2}, {}),
        ({"output": "quantiles", "cell": "gru"}, {"optimizer": "rmsprop", "momentum": 0.5, "average": "ema"}),
        ({"output": "point", "embedding": 3}, {"optimizer": "rprop", "warmup": 0}),
    ],
)
def test_a_run_goes_on_bit_for_bit(make_run, model, training):
    whole, config = make_run("whole", model=model, **training)
    assert train(whole, config)["event"] == "end"
    parts, config = make_run("parts", model=model, **training)
    assert train(parts, config, 6)["event"] == "interrupted"
    train(parts, config)
    expected, got = tensors(whole), tensors(parts)
    assert expected.keys() == got.keys() and all(torch.equal(expected[k], got[k]) for k in expected)
    name = config.model.form().loss_name
    assert lines(whole, name) == lines(parts, name)
    assert not load_forecaster(whole)[0].training  # or forecasts would have dropout
    assert (parts / "curve.png").exists() and f"test_{name}" in json.loads((parts / "result.json").read_text())


HOW = {"horizon": 4, "season": 8, "length": 16, "hidden": 16, "threads": 1, "windows": 256, "warmup": 10, "lr": 0.01}


@pytest.mark.parametrize("output", ["mixture", "quantiles", "point", "mean"])
def test_it_beats_the_seasonal_naive_forecast(tmp_path, output):
    columns = {"a": wave(3000, noise=0.2, slope=0)}
    run = ForecastRun.train(columns, tmp_path / "run", output=output, epochs=8, direct=16, test=100, **HOW)
    found = run.score(others=False)
    naive = found.others["seasonal naive"]
    assert found.model.mase < 0.95 * naive.mase and found.forecasts == 97
    assert (found.model.coverage is None) == (output in ("point", "mean"))
    if output in ("mixture", "quantiles"):
        assert found.model.crps < naive.crps and 0.5 < found.model.coverage < 1
    (f,) = run.predict()
    assert f.known == 3000 and len(f.values) == 4 and np.isfinite(f.values).all()
    assert list(f.quantiles) == ([] if output in ("point", "mean") else [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
    assert isinstance(carousel.load(tmp_path / "run"), ForecastRun) and "4 steps ahead" in repr(run)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two series of different units."""
    columns = {"t": np.arange(1900, 2020), "a": wave(), "b": [*(100 * wave(90, seed=2)), *[np.nan] * 30]}
    return ForecastRun.train(columns, tmp_path_factory.mktemp("runs") / "run", time="t", epochs=2, **HOW)


def test_scores_are_those_of_forecasts_one_by_one(run):
    found = run.score(stride=3, others=False)
    for p, (n, test) in zip(run.series, [(120, 12), (90, 9)], strict=True):
        y, errors, naive, inside, crps = p.series.values, [], [], [], []
        levels = (np.arange(200) + 0.5) / 200
        q = np.abs(y[8 : n - test] - y[: n - test - 8]).mean()
        for known in range(n - test, n - 4 + 1, 3):
            f = forecast(run.model, p, 16, known)
            errors.append(np.abs(f.values - y[known : known + 4]))
            naive.append(np.abs(y[known - 8 : known - 4] - y[known : known + 4]))
            inside.append((f.quantiles[0.1] <= f.came) & (f.came <= f.quantiles[0.9]))
            quantiles = forecast(run.model, p, 16, known, levels).quantiles
            apart = y[known : known + 4, None] - np.stack([quantiles[level] for level in levels], 1)
            crps.append(2 * np.maximum(levels * apart, (levels - 1) * apart).mean(1))  # twice the mean pinball loss
        of = found.series[p.series.name]
        assert of["model"].mase == pytest.approx(np.mean(errors) / q, rel=1e-5)
        assert of["model"].scaled_crps == pytest.approx(of["model"].crps / q) and 0 < of["model"].crps < np.mean(errors)
        assert of["model"].coverage == np.mean(inside)
        assert of["model"].crps == pytest.approx(np.mean(crps), rel=0.02)
        assert of["seasonal naive"].mase == pytest.approx(np.mean(naive) / q)
        sigma = np.sqrt(np.mean((y[8 : n - test] - y[: n - test - 8]) ** 2))
        assert of["seasonal naive"].crps == pytest.approx(crps_gaussian(np.array(naive), 0.0, np.full(4, sigma)).mean())
        assert of["seasonal naive"].coverage == np.mean(np.array(naive) <= stats.norm.ppf(0.9) * sigma)
    assert found.model.mase == pytest.approx(np.mean([e["model"].mase for e in found.series.values()]))
    assert json.loads(json.dumps(found.as_dict()))["forecasts"] == found.forecasts == 3 + 2


def test_a_missing_value_counts_in_no_score():
    """Neither among the errors, nor in the scale that they are divided by."""
    y = wave(60)
    y[[30, 55, 58]] = np.nan
    config = ForecastConfig(SeriesConfig(horizon=4, season=8, missing="linear", test=12), ForecasterConfig(hidden=3))
    series = read_series(of_arrays({"y": y}), config.series, Path("t.csv"))
    (p,) = (Scaling.learn(config.series, series, [12]).prepare(s) for s in series)
    model = forecaster(p, config).eval()
    found = score(model, [p], config, others=False)
    q, full = np.nanmean(np.abs(y[8:48] - y[:40])), p.series.values
    places = range(48, 57)
    ours = [np.abs(forecast(model, p, config.training.length, k).values - y[k : k + 4]) for k in places]
    naive = [np.abs(full[k - 8 : k - 4] - y[k : k + 4]) for k in places]
    assert found.model.mase == pytest.approx(np.nanmean(ours) / q, rel=1e-5)
    assert found.others["seasonal naive"].mase == pytest.approx(np.nanmean(naive) / q)
    sigma = np.sqrt(np.mean((full[8:48] - full[:40]) ** 2))
    crps = [crps_gaussian(e, 0.0, np.full(e.shape, sigma)) for e in (row[~np.isnan(row)] for row in naive)]
    assert found.others["seasonal naive"].crps == pytest.approx(np.concatenate(crps).mean())
    assert np.isnan(forecast(model, p, 48, 54).came[1])


def test_what_is_not_known_yet_does_not_matter(run):
    y = wave()
    changed = np.concatenate([y[:110], 1e6 + y[110:]])
    plain, other = run.predict(known=60)[0], run.predict({"t": np.arange(120), "a": changed, "b": changed}, known=60)[0]
    np.testing.assert_array_equal(plain.values, other.values)
    shorter = run.predict({"t": np.arange(60), "a": y[:60], "b": y[:60]})[0]
    np.testing.assert_array_equal(plain.values, shorter.values)


def test_a_scaled_series_has_a_scaled_forecast(run):
    y = wave()
    other, large = run.predict({"t": np.arange(120), "x": y, "z": 1000 * y - 7})
    np.testing.assert_allclose(large.values, 1000 * other.values - 7, rtol=1e-4)


def test_times_go_on(run):
    a, b = run.predict()
    assert a.times == ["2020", "2021", "2022", "2023"] and b.times == ["1990", "1991", "1992", "1993"]
    assert run.ending()[0].times == ["2016", "2017", "2018", "2019"] and len(run.ending()[0].came) == 4
    assert continued(["2020-11", "2020-12"], 4)[2:] == ["2021-01", "2021-02"]
    assert continued(["2020-12-25", "2021-01-01"], 3)[2:] == ["2021-01-08"]
    assert continued(["2020-11-01", "2020-12-01", "2021-01-01"], 5)[3:] == ["2021-02-01", "2021-03-01"]  # of unequal lengths
    assert continued(["2020-02-15", "2020-05-15", "2020-08-15"], 4)[3:] == ["2020-11-15"]
    assert continued(["2020-01-31", "2020-02-29", "2020-03-31"], 4)[3:] == ["4"]
    assert continued(["Q1", "Q2", "Q3"], 5)[3:] == ["4", "5"] and continued(["1"], 2) == ["1", "2"]
    assert [row["time"] for row in a.rows()] == a.times and list(a.rows()[0])[:4] == ["series", "step", "time", "forecast"]


def test_only_quantiles_that_were_learnt_are_told(tmp_path):
    how = {"horizon": 4, "hidden": 4, "epochs": 1, "windows": 32, "threads": 1}
    learnt = ForecastRun.train({"x": wave()}, tmp_path / "q", output="quantiles", levels="0.1,0.5,0.9", **how)
    (ending,) = learnt.ending()
    assert list(learnt.predict()[0].quantiles) == list(ending.quantiles) == [0.1, 0.25, 0.5, 0.75, 0.9]
    (legend,) = learnt.figure([ending]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["50 % interval", "forecast", "observed"]
    with pytest.raises(InputError, match=r"learnt quantiles from 0\.1 to 0\.9, and none of 0\.05"):
        learnt.predict(levels=[0.05, 0.5])
    points = ForecastRun.train({"x": wave()}, tmp_path / "p", output="point", **how)
    assert points.predict()[0].quantiles == {}
    with pytest.raises(InputError, match="forecasts points, and has no quantiles; leave `levels` out"):
        points.predict(levels=[0.5])


def test_what_cannot_be_forecast_is_refused(run, tmp_path):
    for table, part in [
        ({"t": [1], "x": [1.0], "z": [2.0]}, "series 'x' is constant"),
        ({"x": wave()}, "no column 't'"),
    ]:
        with pytest.raises(InputError, match=part):
            run.predict(table)
    with pytest.raises(InputError, match="can follow after 1 to 120 values, not 500"):
        run.predict(known=500)
    with pytest.raises(InputError, match="lie between 0 and 1"):
        run.predict(levels=[0.5, 1.0])
    with pytest.raises(TypeError, match="no setting 'horizn'; did you mean 'horizon'"):
        ForecastRun.train({"a": wave()}, tmp_path / "x", horizn=4)
    with pytest.raises(TypeError, match="`horizon` must be int"):
        ForecastRun.train({"a": wave()}, tmp_path / "x", horizon="4")
    with pytest.raises(InputError, match="is constant"):
        ForecastRun.train({"a": np.ones(50)}, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_columns_that_are_known_ahead_are_read_ahead(tmp_path):
    """The value follows a signal that only the rows to come have."""
    signal = np.random.default_rng(1).normal(size=260)
    y = np.concatenate([2 + signal[:256] + 0.05 * np.random.default_rng(2).normal(size=256), [np.nan] * 4])
    table = {"y": y, "signal": signal}
    run = ForecastRun.train(table, tmp_path / "run", target="y", ahead="signal", epochs=10, cell="gru", **HOW)
    assert run.score(others=False).model.mase < 0.3
    (f,) = run.predict()
    np.testing.assert_allclose(f.values, 2 + signal[256:], atol=0.6)
    with pytest.raises(InputError, match="has 0 rows after its last value, and `ahead` columns must be known for 4"):
        run.predict({"y": y[:256], "signal": signal[:256]})


def test_a_cell_with_further_inputs_reads_columns(tmp_path):
    gaps = np.random.default_rng(1).integers(1, 4, 120)
    table = {"y": wave(), "gap": gaps.astype(float), "load": wave(seed=5)}
    how = {"epochs": 1, "target": "y", **HOW}
    run = ForecastRun.train(table, tmp_path / "run", cell="t-lstm", inputs="d=gap", **how)
    other = ForecastRun(tmp_path / "run").predict({**table, "gap": gaps + 1.0})
    assert not np.array_equal(run.predict()[0].values, other[0].values)
    for cell_name, inputs, part in [
        ("t-lstm", "", "reads d at each step: say which columns with `inputs`"),
        ("lstm-v2", "d=gap", "cell lstm-v2 has no input 'd': it reads one input alone"),
        ("t-lstm", "d=gap+load", "the input d of cell t-lstm has 1 numbers, and `inputs` gives 2"),
        ("mdlstm", "", "follows several"),
    ]:
        with pytest.raises(ValueError, match=part):
            ForecastRun.train(table, tmp_path / "no", cell=cell_name, inputs=inputs, **how)


@cell
def leaky(e, m, W, b):
    """A unit that leaks."""
    f = logistic(W.fe @ e + b.f)
    m = f * m + (1 - f) * tanh(W.me @ e + b.m)
    return m


def test_ones_own_cell_lies_in_the_run_folder(tmp_path):
    run = ForecastRun.train({"y": wave()}, tmp_path / "run", cell=leaky, epochs=1, **HOW)
    assert run.config.model.cell == "leaky" and run.config.model.cell_data
    again = ForecastRun(tmp_path / "run")
    np.testing.assert_array_equal(run.predict()[0].values, again.predict()[0].values)


def test_more_epochs_go_on(tmp_path):
    run = ForecastRun.train({"y": wave()}, tmp_path / "run", epochs=1, schedule="constant", **HOW)
    longer = ForecastRun.resume(run.folder, epochs=2)
    assert longer.config == replace(run.config, training=replace(run.config.training, epochs=2))
    whole = ForecastRun.train({"y": wave()}, tmp_path / "whole", epochs=2, schedule="constant", **HOW)
    ours, theirs = longer.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("direct", [0, 2])
def test_the_loss_is_that_of_every_target(direct):
    torch.manual_seed(1)
    model = Forecaster(2, 3, ForecasterConfig(hidden=5, output="quantiles", levels="0.1,0.5,0.8", direct=direct)).double()
    x, y = torch.randn(7, 4, 2, dtype=torch.float64), torch.randn(7, 4, 3, dtype=torch.float64)
    counts = torch.rand(7, 4, 3) < 0.4
    loss, state = model(x, y, counts)
    h, _ = model.recurrent(x)
    raw = model.output(h).reshape(7, 4, 3, 3)
    if direct:
        torch.nn.init.normal_(model.direct.weight)
        loss, state = model(x, y, counts)
        padded = torch.cat([torch.zeros(1, 4), x[..., 0]])
        raw = (
            raw
            + torch.stack([torch.stack([padded[t : t + 2].T @ w for w in model.direct.weight], -1) for t in range(7)])[
                ..., None
            ]
        )
    expected = sum(
        max(level * (y[i] - raw[i][k]), (level - 1) * (y[i] - raw[i][k])) / 3
        for i in map(tuple, counts.nonzero().tolist())
        for k, level in enumerate((0.1, 0.5, 0.8))
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12) and state is None
    ends = torch.tensor([6, 2, 0, 5])
    torch.testing.assert_close(model.foretell(x, ends), raw[ends, torch.arange(4)])
    with pytest.raises(InputError, match=r"`levels` must rise between 0 and 1, with 0\.5 among them"):
        Forecaster(1, 1, ForecasterConfig(levels="0.1,0.9"))


def test_the_seasonal_naive_forecast():
    y = wave(60, 8, 0.3)
    forecasts = seasonal_naive(y, 10, 8, 50)
    found = forecasts(55)
    np.testing.assert_array_equal(found.mean, [*y[47:55], *y[47:49]])
    sigma = np.sqrt(np.mean((y[8:50] - y[:42]) ** 2))
    np.testing.assert_allclose(found.sigma, sigma * np.sqrt([1] * 8 + [2] * 2))
    np.testing.assert_array_equal(seasonal_naive(y, 3, 1, 50)(20).mean, [y[19]] * 3)


@pytest.mark.skipif(not has_ets(), reason="statsmodels is not installed: ETS is NOT tested")
def test_ets_is_statsmodels_own():
    import pandas
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    y = wave(90, 4, 0.2)
    found = ets(y, 6, 4, 80)(80)
    fits = []
    for form in ({}, {"trend": "add"}, {"trend": "add", "damped_trend": True}):
        for season in ({}, {"seasonal": "add", "seasonal_periods": 4}):
            fits.append(ETSModel(pandas.Series(y[:80]), error="add", **form, **season).fit(disp=False))
    best = min(fits, key=lambda fit: fit.aicc)
    np.testing.assert_allclose(found.mean, best.forecast(6), rtol=1e-6)
    interval = best.get_prediction(80, 85).summary_frame(alpha=0.2)
    np.testing.assert_allclose(found.mean - 1.2815515655446004 * found.sigma, interval["pi_lower"], rtol=1e-6)
    later = ets(y, 2, 4, 80)(86)
    assert np.abs(later.mean - y[86:88]).max() < 1 and later.mean.shape == (2,)


def test_without_statsmodels_there_is_the_naive_forecast_alone(run, monkeypatch):
    monkeypatch.setattr("carousel.forecasting.score.has_ets", lambda: False)
    assert list(run.score().others) == ["seasonal naive"]
    monkeypatch.setitem(__import__("sys").modules, "statsmodels.datasets", None)
    from carousel.forecasting.examples import example

    with pytest.raises(InputError, match=r"pip install 'carousel-rnn\[series\]'"):
        example("sunspots")
    with pytest.raises(InputError, match="there are sunspots and co2, not 'x'"):
        example("x")


@pytest.mark.skipif(not has_ets(), reason="statsmodels is not installed: its series are NOT tested")
def test_series_that_statsmodels_carries():
    from carousel.forecasting.examples import example

    rows = example("sunspots").splitlines()
    assert rows[:2] == ["year,sunspots", "1700,5.0"] and len(rows) == 310 and rows[-1].startswith("2008,")
    rows = example("co2").splitlines()
    assert rows[:2] == ["month,co2", "1958-03,316.1000"] and rows[-1].startswith("2001-12,") and len(rows) == 527
    assert sum(row.endswith(",") for row in rows) == 5


def test_a_figure(run):
    figure = run.figure(run.ending())
    first, second = figure.axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("a", "b") and len(first.collections) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()][-2:] == ["forecast", "observed"]
    assert len(run.figure(run.predict()).axes[0].lines) == 3  # past, forecast, border
