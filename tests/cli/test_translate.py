"""``carousel translate``: two files in, a translator out; a line in, a line out; and one clear line for what cannot be."""

import io
import json
import shutil
import sys
import time
from pathlib import Path

import pytest

from carousel.language.config import Config
from carousel.runs.translator import TranslatorRun
from carousel.training.processes import Processes
from carousel.training.trainer import Trainer
from carousel.translation.config import PairsConfig, PairTraining, TranslationConfig
from carousel.translation.model import TranslatorConfig
from carousel.translation.prepare import prepare
from carousel.translation.recipes import RECIPES
from carousel.translation.task import TranslationTask


@pytest.fixture
def pair(tmp_path):
    """Two files of 60 lines, letters and the same letters large."""
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    lines = [x + y for x in "abcde" for y in "fghij"] * 3
    a.write_text("".join(f"{x}\n" for x in lines[:60]))
    b.write_text("".join(f"{x.upper()}\n" for x in lines[:60]))
    return a, b


SMALL = ("--vocab", "char", "--hidden", 12, "--batch-size", 6, "--threads", 1, "--dropout", 0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder of a translator that has learnt to write large letters."""
    here = tmp_path_factory.mktemp("trained")
    lines = [x + y for x in "abcde" for y in "fghij"] * 40
    paths = [here / "a.txt", here / "b.txt"]
    paths[0].write_text("".join(f"{x}\n" for x in lines))
    paths[1].write_text("".join(f"{x.upper()}\n" for x in lines))
    training = PairTraining(batch_size=16, epochs=6, lr=0.02, warmup=5, threads=1)
    text = PairsConfig([str(p) for p in paths], vocabulary="char")
    config = TranslationConfig(text, TranslatorConfig(attention="general", hidden=24, embedding=12, dropout=0.0), training)
    config.save(here)
    prepare(here, config)
    Trainer(here, config, Processes(), TranslationTask).run()
    return here


@pytest.fixture
def translator(trained, tmp_path):
    """A copy of it, beside whatever else a test writes."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def typed(monkeypatch):
    """``typed(bytes)`` is what comes on standard input."""

    def put(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


def one_line(result, *parts):
    status, _, err = result
    assert status == 2
    assert err.startswith("carousel: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def test_train_translate_score(carousel, pair, translator, typed):
    status, out, _ = carousel("translate", translator, "--text", "af")
    assert (status, out.strip()) == (0, "AF")
    typed(b"af\n\nbg\n")
    status, out, _ = carousel("translate", translator, "--beam", 2)
    assert (status, out.split("\n")) == (0, ["AF", "", "BG", ""])
    status, out, _ = carousel("translate", translator, "--text", "af", "--best", 2, "--json")
    found = json.loads(out)
    assert [f["text"] for f in found][:1] == ["AF"]
    assert found[0]["score"] >= found[1]["score"]
    assert found[0]["source"] == ["a", "f", "<eos>"]
    status, out, _ = carousel("translate", "score", translator, *pair, "--json", "--out", "out.txt")
    found = json.loads(out)
    assert status == 0
    assert found["exact"] > 0.8
    assert "tok:13a" in found["signatures"]["bleu"]
    assert len((translator.parent / "out.txt").read_text().splitlines()) == 60


def test_training_by_a_recipe_with_options_beside_it(carousel, tmp_path):
    (tmp_path / "a.txt").write_text("a b c\nc b\n" * 20)
    small = ("--hidden", 8, "--embedding", 8, "--vocab-size", 270, "--epochs", 1, "--precision", "float32", "--threads", 1)
    given = ("translate", "train", "a.txt", "a.txt", "--recipe", "fast-translator", "--no-bidirectional", *small)
    assert carousel(*given, "-o", "run")[0] == 0
    made = json.loads((tmp_path / "run" / "config.json").read_text())
    recipe = RECIPES.recipe("fast-translator").settings
    changed = {"hidden": 8, "embedding": 8, "vocabulary_size": 270, "epochs": 1, "precision": "float32", "bidirectional": False}
    every = made["text"] | made["model"] | made["training"]
    assert {name: every[name] for name in recipe} == recipe | changed
    status, _, err = carousel("translate", "train", "a.txt", "a.txt", "--recipe", "awd")
    assert status == 2 and "no recipe of carousel translate train is called 'awd'; there are fast-translator" in err


def test_several_translations_have_their_scores(carousel, translator):
    _, out, _ = carousel("translate", translator, "--text", "af", "--best", 3, "--beam", 3)
    scores = [float(line.split("\t")[0]) for line in out.splitlines()]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


def test_an_ensemble_translates_and_is_scored(carousel, pair, translator):
    same = (translator / "a.txt", translator / "b.txt")  # so that vocabularies are the same
    assert carousel("translate", "train", *same, *SMALL, "--epochs", 1, "--out", "other")[0] == 0
    texts = [
        json.loads(carousel("translate", translator, "--text", "af", "--json", *beside)[1])[0]
        for beside in ((), ("--with", translator), ("--with", "other"))
    ]
    assert texts[1]["log_probability"] == pytest.approx(texts[0]["log_probability"], abs=1e-4)
    assert texts[2]["log_probability"] < texts[0]["log_probability"] - 0.1
    _, out, _ = carousel("translate", "score", translator, *pair, "--with", "other", "--with", translator, "--json")
    assert json.loads(out)["with"] == ["other", str(translator)]
    a, b = (path.read_text().splitlines() for path in pair)
    found = TranslatorRun(translator).score(a, b, others=["other", translator])
    assert found.exact == json.loads(out)["exact"] > 0.8
    assert carousel("translate", "train", pair[1], pair[0], *SMALL, "--epochs", 1, "--out", "back")[0] == 0
    one_line(carousel("translate", translator, "--text", "af", "--with", "back"), "back has another vocabulary")


def test_attention_is_told(carousel, pair):
    options = (*SMALL, "--attention", "general", "--bidirectional", "--epochs", 1, "--out", "attending")
    assert carousel("translate", "train", *pair, *options)[0] == 0
    _, out, _ = carousel("translate", "attending", "--text", "af", "--json")
    (found,) = json.loads(out)
    assert len(found["attention"]) == len(found["pieces"])
    assert all(sum(row) == pytest.approx(1, abs=0.01) for row in found["attention"])


def test_the_generated_corpus_is_written_and_scored_for_agreement(carousel):
    status, out, _ = carousel("translate", "corpus", "pairs", "--train", 40, "--valid", 10, "--test", 6)
    assert status == 0
    assert "40 pairs" in out
    files = ("pairs/train.en", "pairs/train.cs", "--valid", "pairs/valid.en", "pairs/valid.cs")
    options = ("--hidden", 8, "--vocab", "word", "--batch-size", 8, "--epochs", 1, "--threads", 1, "--out", "run")
    assert carousel("translate", "train", *files, *options)[0] == 0
    test = ("pairs/test.en", "pairs/test.cs")
    status, out, _ = carousel("translate", "score", "run", *test, "--labels", "pairs/test.jsonl", "--beam", 1)
    assert status == 0
    assert "words that agree" in out
    one_line(carousel("translate", "score", "run", *test, "--labels", "pairs/valid.jsonl"), "does not belong")


def test_long_and_empty_lines_are_counted(carousel, pair, translator):
    (pair[0].parent / "c.txt").write_text("abcdefghij" * 1000 + "\n\naf\n" + "bg\n" * 12)
    (pair[0].parent / "d.txt").write_text("X\nY\nAF\n" + "BG\n" * 12)
    status, _, err = carousel("translate", "train", "c.txt", "d.txt", *SMALL, "--epochs", 1, "--out", "long")
    assert status == 0
    told = " ".join(err.split())
    assert "train: 12 pairs; left out are 1 with an empty side and 1 with more than 200 tokens" in told
    status, out, err = carousel("translate", translator, "--text", "af" * 10_000, "--longest", 20, "--beam", 1)
    assert status == 0
    assert "line 1 has 20,001 tokens; only the first 20 are read" in err
    assert out.count("\n") == 1


def test_a_line_of_a_megabyte_without_a_gap_takes_seconds(carousel, pair):
    pair[0].write_text("ab" * 500_000 + "\n" + "af bg\n" * 19)
    pair[1].write_text("AF BG\n" * 20)
    begun = time.monotonic()
    options = ("--hidden", 4, "--batch-size", 6, "--epochs", 1, "--threads", 1, "--out", "long")
    status, _, err = carousel("translate", "train", *pair, *options)
    assert status == 0, err
    assert "1 with more than 200 tokens" in " ".join(err.split())
    assert time.monotonic() - begun < 40  # byte pairs took the square of the length: a quarter of an hour


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["translate", "none"], "there is no such folder"),
        (["translate", "train"], "give two files"),
        (["translate", "train", "a.txt"], "give two files"),
        (["translate", "train", "a.txt", "none.txt"], "cannot read"),
        (["translate", "train", "a.txt", "short.txt"], "60 lines and"),
        (["translate", "train", "a.txt", "latin.txt"], "not UTF-8: byte 0xe9 at offset 1 (line 1)"),
        (["translate", "train", "a.txt", "b.txt", "--cell", "lsmt"], "did you mean lstm"),
        (["translate", "train", "a.txt", "b.txt", "--attention", "much"], "attention must be"),
        (["translate", "train", "a.txt", "b.txt", "--vocab", "letters"], "word or char or bpe"),
        (["translate", "train", "a.txt", "b.txt", "--smoothing", "1"], "smoothing"),
        (["translate", "language", "--text", "x"], "run of a language model"),
        (["translate", "score", "language", "a.txt", "short.txt"], "60 lines and"),
        (["translate", "corpus", "pairs", "--train", "0"], "--train"),
        (["translate", "none", "--alpha", "1000"], "--alpha"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(carousel, pair, arguments, part):
    here = pair[0].parent
    (here / "short.txt").write_text("x\n")
    (here / "latin.txt").write_bytes(b"\xb3\xe9\n".replace(b"\xb3", b"x") * 60)
    (here / "language").mkdir()
    Config().save(here / "language")
    before = {p.name for p in here.iterdir()}
    one_line(carousel(*arguments), part)
    assert {p.name for p in here.iterdir() if not (p.name == "runs" and not any(p.iterdir()))} == before


def test_standard_input_that_is_no_text_is_refused(carousel, translator, typed):
    typed(b"af\n\xff\xfe\n")
    status, out, err = carousel("translate", translator, "--beam", 1)
    assert (status, out.strip()) == (2, "AF")
    assert "line 2 of standard input is not UTF-8" in err


def test_standard_input_is_read_as_a_file_is(carousel, translator, typed):
    typed(b"\xef\xbb\xbfaf\r\n  \nbg")
    assert carousel("translate", translator, "--beam", 1)[:2] == (0, "AF\n\nBG\n")
    typed(b"af\na\0f\n")
    status, out, err = carousel("translate", translator, "--beam", 1)
    assert (status, out) == (2, "AF\n")
    assert "line 2 of standard input has a NUL byte" in err


def test_a_line_that_is_too_long_is_told_by_its_own_number(carousel, pair, translator):
    (pair[0].parent / "c.txt").write_text("af\nbg\n" + "af" * 30 + "\nch\n")
    (pair[0].parent / "d.txt").write_text("AF\nBG\nAF\nCH\n")
    status, _, err = carousel("translate", "score", translator, "c.txt", "d.txt", "--longest", 20, "--beam", 1)
    assert status == 0
    assert "line 3 has 61 tokens" in err


def test_a_place_that_cannot_be_written_is_refused_before_the_work(carousel, pair, translator):
    for out in ("none/out.txt", "."):
        one_line(carousel("translate", "score", translator, *pair, "--out", out), "cannot write")


def test_help_names_the_command_that_translates(carousel):
    _, out, _ = carousel("translate", "--help")
    assert any(line.strip("│ ").startswith("run ") for line in out.splitlines())


def test_a_translator_is_no_language_model(carousel, translator):
    one_line(carousel("generate", translator), "run of a translator")


def test_it_can_be_continued(carousel, pair):
    whole = ("translate", "train", *pair, *SMALL, "--epochs", 2, "--out")
    assert carousel(*whole, "run")[0] == 0
    one_line(carousel(*whole, "run"), "holds a run")
    status, out, _ = carousel("translate", "train", "--resume", "run", "--json")
    assert (status, json.loads(out)["event"], json.loads(out)["epoch"]) == (0, "end", 2)
    status, out, _ = carousel("translate", "train", "--resume", "run", "--epochs", 3, "--json")
    assert (status, json.loads(out)["event"], json.loads(out)["epoch"]) == (0, "end", 3)
    one_line(carousel("translate", "train", "--resume", "run", "--epochs", 2), "was asked for 3 epochs in all")
    one_line(carousel("translate", "train", "a.txt", "b.txt", "--resume", "run"), "leave the files out")


def test_two_processes_learn_as_one(start, carousel, pair, rows):
    options = [*SMALL, "--epochs", 2, "--log-every", 3, "--attention", "general", "--bidirectional"]
    assert carousel("translate", "train", *pair, *options, "-o", "one")[0] == 0
    module = ["--nproc-per-node", 2, "-m", "carousel", "translate", "train", *pair, *options, "-o", "two"]
    two = start(*module, module="torch.distributed.run")
    _, err = two.communicate(timeout=200)
    assert two.returncode == 0, err
    one, both = ([r["loss"] for r in rows(pair[0].parent / name)] for name in ("one", "two"))
    assert both == pytest.approx(one, rel=1e-4)
