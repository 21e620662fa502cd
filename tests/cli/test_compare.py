"""``carousel compare``: cells and recipes on one text, one table, one figure."""

import json
import re
import statistics

import pytest

PNG = b"\x89PNG\r\n\x1a\n"


def test_compare_gives_a_table_a_figure_and_json(carousel, text, tmp_path, small):
    arguments = ("compare", text, "--cells", "mlp,rnn,lstm-v1", *small, "--epochs", 1, "-o", "all")
    status, out, _ = carousel(*arguments)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[2:7]] == ["unigram", "3-gram", "mlp", "rnn", "lstm-v1"]
    assert (tmp_path / "all" / "compare.png").read_bytes().startswith(PNG)
    before = (tmp_path / "all" / "rnn" / "model.safetensors").stat().st_mtime_ns
    rows = json.loads(carousel(*arguments, "--json")[1])
    assert (tmp_path / "all" / "rnn" / "model.safetensors").stat().st_mtime_ns == before  # it was finished
    assert {r["model"] for r in rows} == {"unigram", "3-gram", "mlp", "rnn", "lstm-v1"}


def test_compare_within_a_number_of_parameters(carousel, text, small):
    status, out, _ = carousel(
        "compare", text, "--cells", "rnn,lstm-v3", "--parameters", 1500, *small, "--embedding", 8, "--epochs", 1, "--json"
    )
    found = {r["model"]: r for r in json.loads(out)}
    assert status == 0
    assert 1200 < found["lstm-v3"]["parameters"] <= 1500
    assert 1200 < found["rnn"]["parameters"] <= 1500
    assert found["rnn"]["hidden"] > found["lstm-v3"]["hidden"]


def test_a_comparison_takes_no_run_that_was_trained_longer_than_the_others(carousel, text, small):
    arguments = ("compare", text, "--cells", "rnn", *small, "--epochs", 1, "-o", "all")
    assert carousel(*arguments)[0] == 0
    assert carousel("train", "--resume", "all/rnn", "--epochs", 2)[0] == 0
    status, out, err = carousel(*arguments)
    assert (status, out) == (2, "")
    assert "all/rnn was trained on by itself" in err


@pytest.fixture
def recipe_files(tmp_path):
    (tmp_path / "near.toml").write_text("[model]\ncell = 'rnn'\nhidden = 6\n[training]\nbatch_size = 4\n")
    (tmp_path / "far.toml").write_text("[model]\ncell = 'gru'\ntied = true\n[training]\nbatch_size = 2\nlr = 0.01\n")
    (tmp_path / "other.toml").write_text("[text]\nvocabulary = 'char'\n")
    return tmp_path


def test_compare_trains_recipes_as_train_does_with_options_beside_them(carousel, text, recipe_files):
    small = ("--embedding", 5, "--hidden", 5, "--epochs", 1, "--length", 6, "--threads", 1)
    status, out, _ = carousel("compare", text, "--recipes", "near.toml,far.toml", *small, "-o", "all", "--json")
    found = {r["model"]: r for r in json.loads(out)}
    assert (status, list(found)) == (0, ["unigram", "3-gram", "near", "far"])
    assert (found["near"]["hidden"], found["far"]["hidden"]) == (5, 5)  # the option holds before the recipe
    for name in ("near", "far"):
        alone = carousel("train", text, "--recipe", f"{name}.toml", *small, "-o", name)
        assert alone[0] == 0
        one, other = (folder / name / "model.safetensors" for folder in (recipe_files / "all", recipe_files))
        assert one.read_bytes() == other.read_bytes()


def test_compare_gives_mean_and_spread_of_several_seeds(carousel, text, small, tmp_path):
    (tmp_path / "held.txt").write_text("the dog sat on the cat\n" * 20)
    arguments = ("compare", text, "--test", "held.txt", "--cells", "rnn,gru", *small, "--epochs", 1, "--seed", 3, "-o", "all")
    assert carousel(*arguments)[0] == 0
    status, out, _ = carousel(*arguments, "--seeds", 3)  # the first is finished, and the others come to it
    assert status == 0
    assert re.search(r"^ *gru .*\d\.\d\d ± \d+\.\d\d ", out, re.MULTILINE)
    row = json.loads(carousel(*arguments, "--seeds", 3, "--json")[1])[-1]
    values = [r["perplexity"] for r in row["runs"]]
    assert [r["seed"] for r in row["runs"]] == [3, 4, 5] and len(set(values)) == 3
    assert (row["perplexity"], row["spread"]) == pytest.approx((statistics.mean(values), statistics.stdev(values)))
    assert values[1] == json.loads(carousel("score", "all/gru-seed-4", "held.txt", "--json")[1])["perplexity"]


def test_compare_shows_points_of_others(carousel, text, small, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("carousel.language.compare.draw_comparison", lambda *arguments: drawn.append(arguments[-1]))
    (tmp_path / "others.csv").write_text('name,seconds,perplexity\n"Smith, 2014", 762, 120.5\n')
    arguments = ("compare", text, "--cells", "rnn", *small, "--epochs", 1, "--beside", "others.csv", "-o", "all")
    assert carousel(*arguments)[0] == 0
    assert drawn == [[("Smith, 2014", 762.0, 120.5)]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recipes", "near.toml,other.toml"), "other has another vocabulary than near"),
        (("--recipes", "near.toml,./near.toml"), "near stands twice"),
        (("--recipes", ","), "--recipes needs at least one recipe"),
        (("--recipes", "fats"), "did you mean 'fast'?"),
        (("--beside", "near.toml"), "near.toml must begin with the line name,seconds,perplexity"),
        (("--beside", "two.csv"), "two.csv, line 2: need a name and two numbers, not 'a,b,c'"),
        (("--beside", "zero.csv"), "zero.csv, line 2: seconds and perplexity must be above zero"),
        (("--seeds", "0"), "--seeds"),
    ],
)
def test_compare_refuses_in_one_line(carousel, text, recipe_files, arguments, message):
    (recipe_files / "two.csv").write_text("name,seconds,perplexity\na,b,c\n")
    (recipe_files / "zero.csv").write_text("name,seconds,perplexity\na,0,nan\n")
    status, out, err = carousel("compare", text, *arguments, "-o", "all")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (recipe_files / "all").exists()
