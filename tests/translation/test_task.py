"""The trainer of language models trains translators: they learn, stop at any instant and go on as if they had not."""

import json
from types import SimpleNamespace

import pytest
from small_runs import ends_the_same, train

from carousel.errors import InputError
from carousel.language.folder import load_run
from carousel.language.task import PERPLEXITY
from carousel.training.processes import Processes, Share
from carousel.training.run_folder import read_metrics
from carousel.training.trainer import Trainer
from carousel.translation.config import TranslationConfig
from carousel.translation.folder import load_translator
from carousel.translation.task import TranslationTask
from carousel.translation.translate import Interpreter


@pytest.mark.parametrize("attention", ["none", "general"])
def test_it_learns_to_say_things_backwards(make_run, files, attention):
    given = files[0].read_text().splitlines()
    for path in files:
        path.write_text(path.read_text() * 25)  # few epochs of many lines
    model = {"embedding": 16, "hidden": 32, "attention": attention, "dropout": 0.0}
    folder, config = make_run(model=model, batch_size=16, epochs=5, lr=0.02)
    train(folder, config)
    loaded, source, target, _ = load_translator(folder)
    found = [best[0] for best in Interpreter(loaded, source, target, beam=3).together(given)]
    assert sum(f.text == x[::-1] for f, x in zip(found, given, strict=True)) > 50
    assert all(f.log_probability < 0 for f in found)
    assert (folder / "curve.png").stat().st_size > 1000
    assert json.loads((folder / "result.json").read_text())["parameters"] == loaded.count()


@pytest.mark.parametrize("stop_at", [1, 7, 8, 15])
@pytest.mark.parametrize("options", [{}, {"batch_tokens": 24}], ids=["rows", "tokens"])
def test_a_run_that_was_stopped_ends_bit_for_bit_the_same(make_run, stop_at, options):
    model = {"attention": "general", "smoothing": 0.1, "dropout_words": 0.1}
    assert ends_the_same(make_run, stop_at, model=model, **options)


def test_any_number_of_processes_can_share_a_batch(make_run):
    folder, config = make_run(batch_size=8)
    three = SimpleNamespace(count=3, rank=0, local_rank=0, first=True, share=Share(0, 3))
    steps = Trainer(folder, config, three, TranslationTask).steps
    assert steps == Trainer(folder, config, Processes(), TranslationTask).steps


def test_it_stops_early_when_validation_gets_no_better(make_run):
    folder, config = make_run(lr=1e-12, patience=2, epochs=50, warmup=0, schedule="constant")
    assert train(folder, config)["stopped_early"]


def test_validation_is_never_smoothed(make_run):
    plain, config = make_run("plain", model={"smoothing": 0.0}, epochs=1, lr=1e-12, warmup=0)
    train(plain, config)
    smooth, config = make_run("smooth", model={"smoothing": 0.5}, epochs=1, lr=1e-12, warmup=0)
    train(smooth, config)
    (a, b) = ([r["loss"] for r in read_metrics(f, PERPLEXITY) if r["event"] == "valid"] for f in (plain, smooth))
    assert a == pytest.approx(b)


def test_the_configuration_is_read_as_it_was_written(make_run):
    folder, config = make_run(text={"shared": False, "longest": 9}, batch_tokens=20)
    assert TranslationConfig.load(folder) == config
    assert {p.name for p in folder.glob("vocab*")} == {"vocab.source.json", "vocab.target.json"}


def test_one_kind_of_run_is_not_taken_for_the_other(make_run, language_run):
    folder, _ = make_run()
    with pytest.raises(InputError, match="run of a translator, and not of a language model"):
        load_run(folder)
    with pytest.raises(InputError, match="run of a language model, and not of a translator"):
        load_translator(language_run)
