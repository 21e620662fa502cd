"""Any run folder; one clear line for what is none; nothing that a folder holds is run."""

import json
import shutil

import pytest

import carousel
from carousel.errors import InputError


def test_a_translator(translator_folder, carousel_command):
    run = carousel.load(translator_folder)
    assert isinstance(run, carousel.TranslatorRun) and "TranslatorRun" in repr(run)
    line = "I am a boy who likes to learn"
    command = ("translate", "run", translator_folder, "--text", line, "--json")
    best, (only,) = (json.loads(carousel_command(*command, *more)[1]) for more in (("--best", 2), ()))
    assert [t.as_dict() for t in run.hypotheses(line, 2)] == best
    assert run.translate(line).text == only["text"] == run.translate_all([line])[0]
    assert run.translate(line, clamp={"f": 0.0}).score != run.translate(line).score
    watched = run.watch(line)
    assert watched.translation.startswith(run.translate(line, beam=1).text)  # which is cut earlier
    assert run.figure(watched, ["f"]).axes
    found = run.walkthrough(line, line.replace("boy", "girl"))
    assert found.a.translation == watched.translation and found.layer == 0
    scores = run.score([line, line], ["Jsem kluk, který se rád učí"] * 2)
    assert 0 <= scores.bleu <= 100 and scores.lines == 2
    with pytest.raises(ValueError, match="2 lines cannot be scored by 1 references"):
        run.score([line, line], ["x"])


def test_trials(carousel_command, tmp_path, forked_trials):
    options = ("order", "--cell", "gru", "--seeds", 2, "--cap", 6, "--processes", 1, "--out", tmp_path / "r")
    assert carousel_command("tasks", "run", *options)[0] == 0
    found = carousel.load(tmp_path / "r")
    assert isinstance(found, carousel.Trials) and repr(found).endswith("2 results>")
    assert {r["seed"] for r in found.results} == {0, 1}
    assert json.loads(json.dumps(found.table())) == json.loads(
        carousel_command("tasks", "report", "--out", tmp_path / "r", "--json")[1]
    )
    assert found.figure().axes


def test_a_cell_of_ones_own_needs_no_file_and_runs_nothing(folder, tmp_path, corpus):
    @carousel.cell
    def minimal(e, h, W, b):
        """A memory with one gate."""
        f = carousel.logistic(W.fe @ e + W.fh @ h + b.f)
        h = (1 - f) * h + f * carousel.tanh(W.he @ e + W.hh @ (f * h) + b.h)
        return h

    run = carousel.train(corpus / "train.txt", tmp_path / "own", cell=minimal, hidden=6, epochs=1, batch_size=4, threads=1)
    again = carousel.load(tmp_path / "own")
    assert again.layer.cell is not minimal and again.layer.cell.text == minimal.text
    assert again.score("the boy") == run.score("the boy")
    path = tmp_path / "own" / "config.json"
    config = json.loads(path.read_text())
    config["model"]["cell_data"]["equations"][0] = "f[t] = __import__('os').system('touch ran')"
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="the cell that is kept is none"):
        carousel.load(tmp_path / "own")
    assert not (tmp_path / "ran").exists()


def test_what_is_no_run_is_one_line(folder, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "model.safetensors").write_bytes(b"no")
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"kind": "oracle"}))
    several = tmp_path / "several"
    shutil.copytree(folder, several / "lstm")
    (tmp_path / "empty").mkdir()
    for place, message in {
        tmp_path / "nowhere": "is not a run folder: there is no such folder",
        tmp_path / "empty": r"is not a run folder: it has no config\.json",
        broken: "is not whole, or no safetensors file",
        other: "holds the run of a oracle, which this version of Carousel does not know",
        several: r"holds several runs; load one of .*several.lstm",
    }.items():
        with pytest.raises(InputError, match=message) as refused:
            carousel.load(place)
        assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="and not of a translator"):
        carousel.TranslatorRun(folder)
