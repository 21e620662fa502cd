"""carousel forecast and carousel check, as a shell calls them."""

import csv
import io
import json

import numpy as np
import pytest
from small_series import wave

from carousel.training.checkpoint import read_position

SMALL = ["--horizon", "4", "--season", "8", "--hidden", "6", "--length", "12", "--threads", "1", "--windows", "64"]


@pytest.fixture
def table(tmp_path):
    """A table of two series with months, as CSV."""
    months = np.arange("2000-01", "2010-01", dtype="datetime64[M]").astype(str)
    rows = [f"{m},{a:.4f},{b:.4f}" for m, a, b in zip(months, wave(), 10 * wave(seed=2), strict=True)]
    path = tmp_path / "sales.csv"
    path.write_text("\n".join(["month,north,south", *rows]) + "\n")
    return path


def test_train_score_predict_show_check(carousel, table):
    status, out, err = carousel("forecast", "train", table, "--time", "month", "--epochs", "2", "--log-every", "1", *SMALL)
    assert status == 0 and "held-out nats" in out and "run folder runs/sales-lstm-v2" in out and "values/s" in err
    folder = table.parent / "runs" / "sales-lstm-v2"
    assert {"series.npz", "scaling.json", "config.json", "model.safetensors", "curve.png"} <= {p.name for p in folder.iterdir()}

    status, out, _ = carousel("forecast", "score", folder)
    assert status == 0 and "MASE" in out and "seasonal naive" in out and "18 forecasts of 4 steps, 2 series" in out
    status, out, _ = carousel("forecast", "score", folder, "--alone", "--stride", "2", "--json")
    told = json.loads(out)
    assert told["forecasts"] == 10 and list(told["others"]) == ["seasonal naive"] and told["horizon"] == 4
    assert set(told["series"]) == {"north", "south"} and told["mase"] > 0

    status, out, _ = carousel("forecast", "predict", folder)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert status == 0 and len(rows) == 8 and rows[0]["time"] == "2010-01" and rows[4]["series"] == "south"
    assert float(rows[0]["q0.05"]) < float(rows[0]["forecast"]) < float(rows[0]["q0.95"])
    status, out, _ = carousel("forecast", "predict", folder, table, "--known", "60", "--levels", "0.1,0.9", "--json")
    north, south = json.loads(out)["forecasts"]
    assert north["times"][0] == "2005-01" and list(north["quantiles"]) == ["0.1", "0.9"] and len(south["values"]) == 4
    status, out, _ = carousel("forecast", "predict", folder, "--out", "next.csv")
    assert status == 0 and out == "wrote next.csv\n"
    assert list(csv.DictReader((table.parent / "next.csv").open())) == rows

    status, out, _ = carousel("forecast", "show", folder, "--test", "--figure", "f.svg")
    assert status == 0 and out == "wrote f.svg\n" and "observed" not in out
    assert "<svg" in (table.parent / "f.svg").read_text()
    status, out, _ = carousel("check", folder, "--directions", "1", "--entries", "1")
    assert status == 0 and "output.weight" in out and "parameters are right" in out


def test_it_is_interrupted_and_goes_on(carousel, table, monkeypatch):
    """A run of one epoch, then two more; the same as three at once."""
    for folder, epochs in (("parts", 1), ("whole", 3)):
        options = ["--target", "north", "--epochs", epochs, "--schedule", "constant", "-o", folder, *SMALL]
        assert carousel("forecast", "train", table, *options)[0] == 0
    status, out, _ = carousel("forecast", "train", "--resume", "parts", "--epochs", "3", "--json")
    assert status == 0 and json.loads(out)["epoch"] == 3
    parts, whole = table.parent / "parts", table.parent / "whole"
    assert (parts / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert read_position(parts / "checkpoint.safetensors").step == 6
    status, _, err = carousel("forecast", "train", "--resume", "parts", "--horizon", "3")
    assert status == 2 and "leave --horizon out" in err


@pytest.mark.parametrize(
    ("content", "options", "part"),
    [
        ("a,b\n1,2\n3\n", [], "line 3 has 1 value, and the first line names 2 columns"),
        ("a\n1\n\n3\n", [], "series 'a' misses 1 values, the first in row 2; say with --missing what is read there"),
        ("a\n1\n2\n3\n", ["--horizon", "12"], "the horizon of 12 is longer than series 'a' with its 3 values allows"),
        ("a\n" + "7\n" * 50, [], "series 'a' is constant in the 40 values to train on, so that MASE is undefined"),
        ("a\nx\n", [], "has no column of numbers to forecast"),
        ("a\n1\n", ["--target", "b"], "has no column 'b'"),
        ("a\n1\n", ["--levels", "0.1,0.9", "--output", "quantiles"], "--levels must rise between 0 and 1"),
        ("a\n1\n", ["--cell", "lstm-v9"], "no cell is called 'lstm-v9'"),
        ("a\n1\n", ["--cell", "t-lstm"], "say which columns with --inputs"),
        ("a\n1\n", ["--difference", "season"], "--difference season needs a --season of 2 steps or more"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(carousel, tmp_path, content, options, part):
    (tmp_path / "t.csv").write_text(content)
    status, out, err = carousel("forecast", "train", "t.csv", *options)
    assert status == 2 and part in err and err.count("\n") == 1 and not out and not (tmp_path / "runs").exists()


def test_other_refusals(carousel, table, tmp_path):
    for arguments, part in [
        (("forecast", "train"), "give a file of named columns"),
        (("forecast", "train", "missing.csv"), "missing.csv: No such file"),
        (("forecast", "train", table, "--resume", "x"), "leave the file out"),
        (("forecast", "data", "moon", "moon.csv"), "there are sunspots and co2, not 'moon'"),
        (("forecast", "score", "nowhere"), "is not a run folder"),
        (("check", "nowhere"), "is not a run folder"),
        (("check", "nowhere", "--directions", "0", "--entries", "0"), "nothing is checked"),
    ]:
        status, out, err = carousel(*arguments)
        assert status == 2 and part in err and err.count("\n") == 1 and not out
    assert carousel("forecast", "train", table, "--time", "month", "--epochs", "1", *SMALL, "-o", "r")[0] == 0
    (tmp_path / "other.csv").write_text("month,north\n2000-01,1\n2000-02,2\n")
    for arguments, part in [
        (("forecast", "predict", "r", "--levels", "0.5,2"), "--levels takes numbers between 0 and 1"),
        (("forecast", "predict", "r", "--known", "500"), "can follow after 1 to 120 values, not 500"),
        (("forecast", "show", "r", "--figure", "f.txt"), "a figure is .png, .pdf or .svg"),
        (("forecast", "show", "r", "--test", "--known", "5"), "leave --known and the file out"),
        (("export", "r", "-o", "m.c"), "holds the run of a forecaster; language models and translators are exported"),
        (("serve", "r"), "holds the run of a forecaster; the page looks into language models and translators"),
        (("score", "r", "other.csv"), "holds the run of a forecaster, and not of a language model"),
        (("check", "r", "--parameters", "nothing*"), "no parameter is called nothing*"),
    ]:
        status, out, err = carousel(*arguments)
        assert status == 2 and part in err and err.count("\n") == 1 and not out, err
    (tmp_path / "r" / "scaling.json").unlink()
    status, _, err = carousel("forecast", "predict", "r")
    assert status == 2 and "scaling.json is missing" in err


def test_a_wrong_gradient_has_status_1(carousel, table, monkeypatch):
    from carousel.forecasting.outputs import Mixture

    assert carousel("forecast", "train", table, "--time", "month", "--epochs", "1", *SMALL, "-o", "r")[0] == 0
    loss = Mixture.loss
    monkeypatch.setattr(Mixture, "loss", lambda self, raw, y: loss(self, raw + 0.1 * (raw - raw.detach()), y))
    status, out, _ = carousel("check", "r", "--directions", "1", "--entries", "0", "--json")
    told = json.loads(out)
    assert status == 1 and not told["passes"] and told["parameters"][0]["error"] == pytest.approx(0.1 / 1.1, rel=0.01)
    status, out, _ = carousel("check", "r", "--directions", "1", "--entries", "0")
    assert status == 1 and "parameters are wrong" in out
    assert carousel("check", "r", "--directions", "1", "--entries", "0", "--tolerance", "0.5")[0] == 0


def test_every_kind_of_run_is_checked(carousel, tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat and the dog sat on the cat\na dog and a cat\n" * 20)
    (tmp_path / "a.txt").write_text("".join(f"{x} {y}\n" for x in "abcde" for y in "fghij"))
    small = ["--hidden", "5", "--batch-size", "4", "--epochs", "1", "--threads", "1"]
    model = ["--cell", "lstm-v3", "--length", "6"]
    assert carousel("train", "text.txt", *model, *small, "-o", "l")[0] == 0
    assert carousel("translate", "train", "a.txt", "a.txt", "--attention", "dot", "--vocab", "char", *small, "-o", "t")[0] == 0
    for folder, name in (("l", "recurrent.w.oh_l0"), ("t", "decoder.W.im_l0")):
        status, out, err = carousel("check", folder, "--directions", "1", "--entries", "1", "--json")
        told = json.loads(out)
        assert status == 0 and told["passes"], (out, err)
        assert name in [row["name"] for row in told["parameters"]]
