"""What a model reads and forecasts, checked number by number; nothing of the held-out steps is ever a target of training."""

import json

import numpy as np
import pytest
from small_series import wave

from carousel.errors import InputError
from carousel.forecasting.config import SeriesConfig
from carousel.forecasting.scaling import Scaling
from carousel.forecasting.series import read_series
from carousel.forecasting.task import ForecastTask
from carousel.forecasting.windows import Windows
from carousel.series.columns import of_arrays
from carousel.training.processes import Share


def prepared(columns, held_out=0, **config):
    config = SeriesConfig(**config)
    config.check()
    series = read_series(of_arrays(columns), config, "t.csv")
    scaling = Scaling.learn(config, series, [held_out] * len(series))
    return [scaling.prepare(s) for s in series], scaling


@pytest.mark.parametrize(("difference", "lag"), [("none", 0), ("step", 1), ("season", 3)])
def test_inputs_and_targets(difference, lag):
    y, horizon, held_out = wave(40, 3, 0.3), 5, 10
    ((p,), _) = prepared({"y": y}, held_out, horizon=horizon, season=3, difference=difference)
    learnt = y[:30] if not lag else y[lag:30] - y[: 30 - lag]
    scale, center = learnt.std(), y[:30].mean()
    assert p.scale == pytest.approx(scale) and p.first == lag
    for t in range(lag, 40):
        expected = (y[t] - (y[t - lag] if lag else center)) / scale
        assert p.inputs[t, 0] == pytest.approx(expected, rel=1e-5, abs=1e-6)
        for k in range(1, horizon + 1):
            base = center if not lag else y[t + k - lag * int(np.ceil(k / lag))]
            assert p.base[t, k - 1] == pytest.approx(base)
            assert p.counts[t, k - 1] == (t + k < 40)
            if t + k < 40:
                assert p.base[t, k - 1] + p.scale * p.targets[t, k - 1] == pytest.approx(y[t + k], rel=1e-5)


def test_columns_beside_and_missing_values():
    y = [1.0, 2.0, np.nan, 5.0, 4.0, 7.0, 1.0, 2.0]
    columns = {"y": y, "p": np.arange(8.0), "q": np.ones(8), "gap": np.arange(8.0) + 1}
    ((p,), scaling) = prepared(columns, 2, horizon=2, covariates="p,q", ahead="p", inputs="d=gap", missing="previous")
    beside = (np.arange(8.0) - np.arange(6.0).mean()) / np.arange(6.0).std()
    np.testing.assert_allclose(p.inputs[:, 1], [0, 0, 1, 0, 0, 0, 0, 0])  # whether the value is missing
    np.testing.assert_allclose(p.inputs[:, 2], beside, rtol=1e-5)
    np.testing.assert_allclose(p.inputs[:, 3], np.zeros(8))  # constant
    np.testing.assert_allclose(p.inputs[:6, 4:], np.stack([beside[1:7], beside[2:8]], 1), rtol=1e-5)
    np.testing.assert_array_equal(p.inputs[6:, 4:], [[beside[7].astype(np.float32), 0], [0, 0]])
    assert p.further["d"][:, 0].tolist() == list(range(1, 9))  # as it is
    assert not p.counts[1, 0] and not p.counts[0, 1] and p.counts[1, 1]  # a missing value is no target
    assert scaling.as_dict()["covariates"][1][1] == 1.0


def test_the_scaling_is_kept_and_others_have_their_own(tmp_path):
    (p, _), scaling = prepared({"a": wave(), "b": 7 * wave(seed=2)}, 20, horizon=2)
    scaling.save(tmp_path)
    again = Scaling.load(tmp_path, scaling.config)
    assert again.as_dict() == scaling.as_dict()
    later = read_series(of_arrays({"a": wave() + 100, "c": wave() + 100}), scaling.config, "t.csv")
    a, c = (again.prepare(s) for s in later)
    assert a.scale == p.scale and a.base[0, 0] == p.base[0, 0]
    assert c.base[0, 0] == pytest.approx((wave() + 100).mean())
    with pytest.raises(InputError, match="series 'd' is constant"):
        again.prepare(read_series(of_arrays({"d": np.ones(9)}), scaling.config, "t.csv")[0])
    for broken, part in [({"series": {}}, "not whole"), ({**again.as_dict(), "series": {"a": {"center": "x"}}}, "not whole")]:
        (tmp_path / "scaling.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match=part):
            Scaling.load(tmp_path, scaling.config)
    (tmp_path / "scaling.json").write_text(json.dumps(again.as_dict()).replace("[", "[NaN, ", 1))
    with pytest.raises(InputError, match=r"scaling\.json"):
        Scaling.load(tmp_path, scaling.config)


def test_the_scaling_of_a_run_is_that_of_the_steps_to_train_on(make_run):
    y = wave(120, slope=0.1)
    folder, config = make_run(columns={"y": y, "p": y**2}, series={"target": "y", "covariates": "p"})
    kept = Scaling.load(folder, config.series).as_dict()
    train = y[:96]  # of 120, of which a tenth is held out twice
    assert kept["series"]["y"] == pytest.approx({"center": train.mean(), "scale": train.std()})
    assert kept["covariates"] == [pytest.approx([(train**2).mean()]), pytest.approx([(train**2).std()])]


def test_a_window_is_a_piece_of_its_series(make_run):
    folder, config = make_run()
    task = ForecastTask(folder, config, Share())
    feed = task.feed("train", 3)
    assert len(feed) == 4
    seen = set()
    for epoch in range(40):
        for batch in feed.batches(epoch):
            assert batch.x.shape == (12, 8, 1) and batch.targets == batch.own_targets > 0
            for row in range(8):
                ends = [
                    (s, t)
                    for s, p in enumerate(task.prepared)
                    for t in range(11, len(p.series))
                    if np.array_equal(p.inputs[t - 11 : t + 1], batch.x[:, row])
                ]
                ((s, end),) = ends
                seen.add((s, end))
                stop = (96, 72)[s]  # a tenth of the series of 120 and 90 is held out, twice
                for t in range(12):
                    for k in range(4):
                        assert batch.counts[t, row, k] == (end - 11 + t + k + 1 < stop)
    assert {s for s, _ in seen} == {0, 1} and max(e for s, e in seen if s == 0) == 94
    assert min(e for s, e in seen if s == 1) == 11 and len(seen) > 120


def test_batches_follow_from_seed_epoch_and_position(make_run):
    folder, config = make_run()
    feed = ForecastTask(folder, config, Share()).feed("train", 3)
    whole, later = list(feed.batches(2)), list(feed.batches(2, 3))
    assert len(later) == 1 and (later[0].x == whole[3].x).all()
    assert not (next(iter(feed.batches(1))).x == whole[0].x).all()


def test_processes_share_the_rows(make_run):
    folder, config = make_run()
    whole = next(iter(ForecastTask(folder, config, Share()).feed("train", 3).batches()))
    halves = [next(iter(ForecastTask(folder, config, Share(k, 2)).feed("train", 3).batches())) for k in (0, 1)]
    assert sum(h.own_targets for h in halves) == whole.targets == halves[0].targets
    assert np.array_equal(np.concatenate([h.x for h in halves], 1), whole.x)
    few = ForecastTask(folder, config, Share(1, 50)).feed("valid")
    assert sum(len(b.ends) for b in few.batches()) < 2


def test_held_out_windows_count_their_last_step_alone(make_run):
    folder, config = make_run(series={"valid": 6, "test": 5})
    task = ForecastTask(folder, config, Share())
    (batch,) = task.feed("valid").batches()
    assert batch.x.shape[1] == 3 * 2 and batch.targets == 3 * 2 * 4  # places to forecast from, two series
    assert batch.counts[-1].all() and not batch.counts[:-1].any()
    (batch,) = task.feed("test").batches()
    assert batch.targets == 2 * 2 * 4
    assert task.has("test") and not task.has("other")


def test_a_short_series_is_read_whole():
    ((p,), _) = prepared({"y": wave(9)}, 0, horizon=2)
    windows = Windows([p], [9], 50, 4, drawn=8, seed=1)
    for batch in windows.batches():
        assert batch.x.shape == (8, 4, 1) and (batch.ends == 7).all()  # the step before the last value
    (batch,) = Windows([p], [9], 50, 4, ends=[(0, 2), (0, 6)]).batches()
    assert batch.x.shape == (7, 2, 1) and batch.ends.tolist() == [2, 6] and (batch.x[3:, 0] == 0).all()
    assert batch.counts.any(-1).nonzero().tolist() == [[2, 0], [6, 1]]
