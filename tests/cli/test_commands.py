"""What each command prints, and with which status it ends."""

import json

import pytest
import torch
from safetensors.torch import load_file

from carousel.cells import CELLS
from carousel.cells.papers import BRANCHED, PAPERS

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("command", ["cells", "train", "generate", "score", "compare", "demo"])
def test_help_shows_an_example(carousel, command):
    status, out, _ = carousel(command, "--help")
    assert status == 0
    assert f"Example: carousel {command}" in out
    assert "--json" in out


def test_cells_are_listed_with_where_they_come_from(carousel):
    status, out, _ = carousel("cells")
    assert status == 0
    assert all(name in out for name in CELLS)
    assert "Renshaw 2014" in out
    assert "Greff et al. 2017" in out


def test_one_cell_is_printed_as_on_the_slide(carousel):
    _, out, _ = carousel("cells", "lstm-v3")
    assert "oₜ = logistic(W.oe eₜ + W.om mₜ₋₁ + w.oh ⊙ hₜ + b.o)" in out
    _, latex, _ = carousel("cells", "lstm-v3", "--latex")
    assert r"W^{oe} \mathbf{e}_{t}" in latex


def test_cells_are_searched(carousel):
    _, out, _ = carousel("cells", "--find", "Jozefowicz")
    assert all(name in out for name in ("mut1", "mut2", "mut3")) and "peepholes" not in out
    assert [c["name"] for c in json.loads(carousel("cells", "--find", "HIGHWAY", "--json")[1])] == ["rhn", "sru"]
    for arguments in (("--find", "zzz"), ("gru", "--find", "gated")):
        status, out, err = carousel("cells", *arguments)
        assert (status, out, err.count("\n")) == (2, "", 1)


def test_a_cell_is_drawn_into_a_file(carousel, tmp_path):
    assert carousel("cells", "gru", "--draw", "gru.svg")[0] == 0
    assert (tmp_path / "gru.svg").read_text().startswith("<svg")
    for arguments in (("--draw", "x.svg"), ("gru", "--draw", "x.png")):
        status, out, err = carousel("cells", *arguments)
        assert (status, out, err.count("\n")) == (2, "", 1)


def test_cells_as_json(carousel):
    found = json.loads(carousel("cells", "--json")[1])
    assert sorted(c["name"] for c in found) == sorted([*CELLS, *PAPERS, *BRANCHED])
    assert [(c["family"], c["year"]) for c in found if c["name"] in ("rnn", "gru", "sru")] == [
        ("simple", 1990),
        ("gated", 2014),
        ("linear", 2018),
    ]
    one = json.loads(carousel("cells", "lstm-v4", "-e", 10, "--hidden", 20, "--projection", 5, "--json")[1])
    assert one["shapes"]["W.mm"] == [5, 20]
    assert one["parameters"] == sum(a * (b[0] if b else 1) for a, *b in one["shapes"].values())


def test_a_cell_says_what_further_inputs_it_takes(carousel):
    assert "inputs      c (any size)\n" in carousel("cells", "contextual-lstm")[1]
    assert "inputs      k (as e), d (as e)\n" in carousel("cells", "gru-d")[1]
    one = json.loads(carousel("cells", "contextual-lstm", "-e", 10, "--hidden", 20, "--json")[1])
    assert one["inputs"] == {"c": None} and one["sizes"]["c"] == 10 and one["shapes"]["W.ic"] == [20, 10]
    assert json.loads(carousel("cells", "phased-lstm", "--json")[1])["inputs"] == {"time": 1}


def test_training_leaves_a_run_folder(trained):
    names = {p.name for p in trained.iterdir()}
    assert {"config.json", "model.safetensors", "vocab.json", "metrics.jsonl", "curve.png", "checkpoint.safetensors"} <= names
    assert (trained / "curve.png").read_bytes().startswith(PNG)
    assert [n for n in names if n.startswith(".")] == []


def test_training_as_json(carousel, text, small):
    status, out, _ = carousel("train", text, *small, "--epochs", 1, "--test", text, "--json")
    found = json.loads(out)
    assert (status, found["run"]) == (0, "runs/text-lstm-v2")
    assert found["test_perplexity"] > 1


def test_a_run_is_not_overwritten(carousel, trained, text):
    status, _, err = carousel("train", text, "--out", "run")
    assert (status, err.count("\n")) == (2, 1)
    assert "--resume run" in err


def test_a_finished_run_goes_on_to_more_epochs(carousel, trained, rows):
    before = json.loads((trained / "result.json").read_text())
    status, out, _ = carousel("train", "--resume", trained, "--epochs", 4, "--json")
    assert (status, json.loads(out)["epoch"]) == (0, 4)
    assert [r["epoch"] for r in rows(trained) if r["event"] == "valid"] == [1, 2, 3, 4]
    assert json.loads((trained / "result.json").read_text())["step"] == 2 * before["step"]
    assert json.loads((trained / "config.json").read_text())["training"]["epochs"] == 4
    assert json.loads(carousel("train", "--resume", trained, "--json")[1])["epoch"] == 4  # and stays there


def test_a_longer_run_without_a_schedule_is_bit_for_bit_one_that_was_asked_for_at_first(carousel, text, small):
    options = (*small, "--schedule", "constant")
    carousel("train", text, *options, "--epochs", 2, "--out", "longer")
    carousel("train", "--resume", "longer", "--epochs", 3)
    carousel("train", text, *options, "--epochs", 3, "--out", "whole")
    longer, whole = (load_file(text.parent / name / "checkpoint.safetensors") for name in ("longer", "whole"))
    assert longer.keys() == whole.keys()
    assert all(torch.equal(longer[k], whole[k]) for k in whole)


def test_fewer_epochs_than_were_asked_for_are_refused(carousel, trained):
    before = {p.name: p.read_bytes() for p in trained.glob("*.*")}
    status, out, err = carousel("train", "--resume", trained, "--epochs", 1)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "was asked for 2 epochs in all" in err
    assert {p.name: p.read_bytes() for p in trained.glob("*.*")} == before


def test_more_epochs_of_a_run_that_stopped_early_are_refused(carousel, text, small):
    options = ("--lr", 1e-12, "--warmup", 0, "--schedule", "constant", "--patience", 1, "--epochs", 9, "--out", "early")
    assert "stopped early" in carousel("train", text, *small, *options)[1]
    status, out, err = carousel("train", "--resume", "early", "--epochs", 20)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "stopped early, after 1 epochs that were no better" in err


@pytest.mark.parametrize("command", [("train",), ("translate", "train"), ("transcribe", "train")])
@pytest.mark.parametrize(
    "option",
    [("--lr", 1), ("-o", "elsewhere"), ("--hidden", 200), ("--variational-dropout",), ("--threads", 1), ("--patience", 0)],
    ids=str,
)
def test_what_resume_would_ignore_is_refused(carousel, command, option):
    status, out, err = carousel(*command, "--resume", "run", *option)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"leave {'--out' if option[0] == '-o' else option[0]} out" in err


def test_score(carousel, trained, text):
    found = json.loads(carousel("score", trained, text, "--json")[1])
    assert found["bits"] == pytest.approx(found["bits_per_character"] * len(text.read_text()))
    lines = carousel("score", trained, text, "--words")[1].splitlines()
    total = sum(float(line.split()[0]) for line in lines if line)
    assert total == pytest.approx(found["bits"], rel=1e-3)


def test_options_beside_a_recipe_hold(carousel, text, tmp_path):
    (tmp_path / "mine.toml").write_text("[model]\nhidden = 8\ntied = true\n[training]\nepochs = 1\nbatch_size = 4\nlr = 1e-2\n")
    status, _, err = carousel("train", text, "--recipe", "mine.toml", "--batch-size", 20, "--length", 8, "-o", "run")
    assert status == 0, err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["model"]["hidden"], config["model"]["tied"]) == (8, True)
    assert (config["training"]["batch_size"], config["training"]["lr"]) == (20, 1e-2)
    status, out, err = carousel("train", text, "--recipe", "none")
    assert (status, out) == (2, "") and "no recipe of carousel train is called 'none'" in err
    assert "leave --recipe out" in carousel("train", "--resume", "run", "--recipe", "mine.toml")[2]


def test_scores_of_a_model_that_adapts_stand_beside_the_static_one(carousel, trained, text):
    how = ("--dynamic", "--dynamic-batches", 2, "--cache", 30)
    plain, found = (json.loads(carousel("score", trained, text, "--json", *given)[1]) for given in ((), how))
    assert {**found, "adapted": {}} == {**plain, "adapted": {}} and "adapted" not in plain
    assert set(found["adapted"]) == {"dynamic", "cache", "dynamic, cache"}
    lines = carousel("score", trained, text, *how)[1].splitlines()
    for name, score in (("static", plain), *found["adapted"].items()):
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        assert line.split()[-2:] == [f"{score['perplexity']:.2f}", f"{score['bits_per_character']:.4f}"]


def test_several_runs_are_an_ensemble(carousel, trained, text):
    found = json.loads(carousel("score", trained, trained, text, "--json", "--mean")[1])
    one = json.loads(carousel("score", trained, text, "--json")[1])
    assert found["runs"] == [str(trained)] * 2 and found["members"][1]["bits"] == found["of_mean"]["bits"] == one["bits"]
    assert found["perplexity"] == pytest.approx(one["perplexity"], rel=1e-5)
    out = carousel("score", trained, trained, text, "--cache", 9)[1]
    assert "all together" in out and out.count("static") == 3 and out.count("cache") == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--words", "--cache", 5), "--words tells the surprisals of one model"),
        (("--mean",), "--mean takes the mean of several runs' weights"),
        (("--cache", 5, "--cache-weight", 1), "--cache-weight"),
        (("--dynamic", "--dynamic-lr", 0), "--dynamic-lr"),
    ],
    ids=str,
)
def test_scores_that_cannot_be_are_refused(carousel, trained, text, given, said):
    status, out, err = carousel("score", trained, text, *given)
    assert (status, out, err.count("\n")) == (2, "", 1) and said in err


def test_unknown_words_are_reported(carousel, trained, tmp_path):
    (tmp_path / "other.txt").write_text("the zebra sat\n")
    assert "1 of 4 (25.00%)" in carousel("score", trained, "other.txt")[1]
    assert "zebra  (unknown)" in carousel("score", trained, "other.txt", "--words")[1]


def test_generate(carousel, trained):
    one = carousel("generate", trained, "--prompt", "the cat", "-n", 9, "--seed", 1)
    two = json.loads(carousel("generate", trained, "--prompt", "the cat", "-n", 9, "--seed", 1, "--json")[1])
    assert one[1].startswith("the cat")
    assert one[1] == two["prompt"] + two["text"] + "\n"
    assert "does not know zebra" in carousel("generate", trained, "--prompt", "the zebra", "-n", 1)[2]


def test_a_run_of_sentences_writes_every_line_as_it_learnt_the_first(carousel, text, small):
    carousel("train", text, *small, "--epochs", 2, "--feed", "sentences", "--out", "run")
    arguments = ("generate", "run", "-n", 20, "--temperature", 0, "--json")
    after_a_line = json.loads(carousel(*arguments, "--prompt", "a dog and a cat\n")[1])["text"]
    assert after_a_line == json.loads(carousel(*arguments)[1])["text"]
    lines = carousel("score", "run", text, "--words")[1].split("\n\n")
    assert lines[0] == lines[3]  # the same sentence is as likely wherever it stands


def test_demo(carousel, monkeypatch):
    pytest.importorskip("pydoc_data.topics")
    monkeypatch.setattr("carousel.language.demo.CELLS", {"rnn": (1, None)})
    found = json.loads(carousel("demo", "--epochs", 1, "--json", "-o", "demo")[1])
    assert [r["model"] for r in found["rows"]] == ["unigram", "3-gram", "rnn"]
    assert found["passage"]


def test_bench_kernels(carousel):
    status, out, _ = carousel("bench", "kernels", "--cells", "rnn", "--sizes", "2,8,5", "--seconds", 0.05, "--json")
    assert status == 0
    assert [r["what"] for r in json.loads(out)] == ["forward", "training"]


def test_bench_recording(carousel):
    status, out, _ = carousel("bench", "recording", "--cells", "lstm-v3", "--sizes", "2,8,5", "--seconds", 0.05)
    assert status == 0
    heading, *rows = out.splitlines()[1:]
    assert heading.split()[-8:] == ["record", "clamp", "eager", "plain", "eager", "record", "eager", "clamp"]
    assert [r.split()[2] for r in rows if r.strip()] == ["forward", "training"]


def test_bench_grids(carousel):
    small = ("--grid", "3,2,4", "--trees", "5,2,4", "--sets", "5,2,4", "--seconds", 0.05)
    status, out, _ = carousel("bench", "grids", *small, "--json")
    rows = json.loads(out)
    assert status == 0 and [r["run"] for r in rows] == ["forward", "training"] * 3
    assert all(set(r["seconds"]) == {"carousel", "level by level", "by hand"} for r in rows)
    status, out, _ = carousel("bench", "grids", *small)
    assert status == 0 and "of products" in out
    status, _, error = carousel("bench", "grids", "--grid", "3,2")
    assert status == 2 and "--grid takes side,images,units, such as 32,32,64, not '3,2'" in error


def test_bench_lm(carousel, text):
    options = ("--layers", 1, "--hidden", 8, "--batch-size", 4, "--length", 8, "--seconds", 0.05, "--softmax", "full,sampled")
    status, out, _ = carousel("bench", "lm", text, *options)
    assert status == 0
    assert "carousel, sampled softmax" in out
    status, _, error = carousel("bench", "lm", text, "--device", "cuda:7")
    assert status == 2 and "`device` cuda:7 is not on this machine" in error.replace("--device", "`device`")


def test_the_source_of_a_cell(carousel):
    status, out, _ = carousel("cells", "gru", "--source")
    assert status == 0
    assert "const V h_t = all(h_tm1*z_t + n_t*(T(1) - z_t));" in out
