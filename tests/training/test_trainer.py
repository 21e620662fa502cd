"""A run learns, can stop at any instant and go on as if it had not, and fails with a word about where."""

import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from small_runs import ends_the_same, losses, tensors, train

from carousel.errors import InputError, TrainingError
from carousel.language.folder import load_run
from carousel.language.ngram import Unigram
from carousel.language.score import Score
from carousel.language.task import PERPLEXITY, LanguageTask
from carousel.text.encoded import EncodedText
from carousel.training import trainer
from carousel.training.processes import Processes
from carousel.training.run_folder import read_metrics
from carousel.training.trainer import Trainer


def test_it_learns(make_run):
    folder, config = make_run(epochs=8, lr=0.02)
    end = train(folder, config)
    rows = [r for r in read_metrics(folder, PERPLEXITY) if r["event"] == "valid"]
    assert rows[-1]["perplexity"] < rows[0]["perplexity"] / 1.5
    assert end["valid_perplexity"] == pytest.approx(min(r["perplexity"] for r in rows))
    assert json.loads((folder / "result.json").read_text())["step"] == end["step"]


@pytest.mark.parametrize("stop_at", [1, 5, 21, 22, 40], ids=lambda n: f"step {n}")
@pytest.mark.parametrize(
    "options",
    [{}, {"feed": "sentences", "length": 0}, {"optimizer": "sgd", "lr": 1.0, "momentum": 0.9, "schedule": "plateau"}],
    ids=["stream", "sentences", "sgd"],
)
def test_a_run_that_was_stopped_ends_bit_for_bit_the_same(make_run, stop_at, options):
    assert ends_the_same(make_run, stop_at, **options)


NOISE = {"rates": "h=0.3,m=0.1", "weight_noise": 0.05}


@pytest.mark.parametrize("feed", [{}, {"feed": "sentences", "length": 0}], ids=["stream", "sentences"])
def test_noise_goes_on_bit_for_bit(make_run, feed):
    assert ends_the_same(make_run, 21, cell="lstm-layer-norm-zoneout", model=NOISE, **feed)


DROPS = {"weight_dropout": 0.5, "dropout_words": 0.2, "variational_dropout": True, "dropout_input": 0.3, "dropout_output": 0.4}
REGULARIZED = {
    "regularizers": {"model": {**DROPS, "ar": 2.0, "tar": 1.0, "smoothing": 0.1}, "vary_length": True, "length": 12},
    "linear": {"schedule": "linear"},
    "mixture": {"model": {"softmax": "mixture", "mixtures": 3}},
    "one-cycle": {"schedule": "one-cycle"},
    "muon": {"optimizer": "muon"},
    "rmsprop": {"optimizer": "rmsprop", "momentum": 0.5},
    "rprop": {"optimizer": "rprop", "warmup": 0},
    "sizes": {"model": {"hidden": [9, 7, 5], "embedding": 6, "variational_dropout": True, "weight_dropout": 0.5}},
    "residual": {"model": {"layers": 3, "skip": "residual"}},
}


@pytest.mark.parametrize("name", REGULARIZED)
def test_a_regularized_run_goes_on_bit_for_bit(make_run, name):
    assert ends_the_same(make_run, 8, **{"epochs": 1, **REGULARIZED[name]})


def test_the_rate_varies_with_the_length(make_run):
    folder, config = make_run(vary_length=True, length=12, epochs=1, log_every=1, lr=0.5, schedule="constant", warmup=0)
    train(folder, config)
    rates = [r["lr"] for r in read_metrics(folder, PERPLEXITY) if r["event"] == "train"]
    batches = [*LanguageTask(folder, config, Processes().share).feed("train", config.training.seed).batches()]
    assert rates == pytest.approx([0.5 * batch.targets / (4 * 12) for batch in batches]) and len({*rates}) > 3


def test_the_rate_varies_with_the_targets_of_all_processes(make_run):
    folder, config = make_run(vary_length=True, length=12, epochs=1)
    trainer = Trainer(folder, config, Processes(), LanguageTask)
    batch = next(trainer.train_feed.batches())
    double = replace(batch, targets=2 * batch.targets)  # as where another process has as many
    assert len([*trainer._steps(trainer.model, [double])]) == 1
    (group,) = trainer.descent.optimizer.param_groups
    assert group["lr"] == pytest.approx(trainer.rate() * 2 * batch.targets / (4 * 12))


def test_noise_changes_what_is_learned(make_run):
    ends = []
    for name, model in (("still", {}), ("zoneout", {"rates": "h=0.3"}), ("weights", {"weight_noise": 0.05})):
        folder, config = make_run(name, cell="lstm-zoneout", model=model, epochs=1)
        train(folder, config)
        ends.append(load_file(folder / "model.safetensors")["recurrent.W.im_l0"])
    assert not any(torch.equal(ends[0], other) for other in ends[1:])


@pytest.mark.parametrize("rates", ["h", "h=x", "h=", "=0.1", "h=0.1;m=0.2", "h=nan", "h=1", "q=0.1"])
def test_rates_that_cannot_be_are_refused(make_run, rates):
    with pytest.raises(InputError, match="rate"):
        folder, config = make_run(cell="lstm-zoneout", model={"rates": rates})
        train(folder, config)


def test_metrics_written_after_the_last_checkpoint_are_written_again(make_run):
    whole, config = make_run("whole")
    train(whole, config)
    parts, config = make_run("parts")
    train(parts, config, 10)
    with (parts / "metrics.jsonl").open("a") as file:
        file.write('{"event": "train", "step": 12, "epoch": 1, "loss": 99}\n{"event": "tra')  # then it was killed
    train(parts, config)
    assert losses(whole) == losses(parts)


@pytest.mark.parametrize("stop_at", [None, 13])
def test_losses_that_are_read_late_are_told_and_learned_from_the_same(make_run, stop_at):
    """As on a GPU: some are read together with the line of the metrics, a checkpoint or a validation."""
    found = []
    for late in (False, True):
        (folder, config), told = make_run(str(late), epochs=2, log_every=7), []
        for stop in (stop_at, None):
            one = Trainer(folder, config, Processes(), LanguageTask)
            one.reads_late = late

            def watch(event, one=one, told=told, stop=stop):
                if event["event"] in ("step", "train", "valid"):
                    told.append([event.get(k) for k in ("event", "step", "loss", "targets")])
                one.interrupted = stop is not None and one.position.step >= stop

            one.observer = watch
            one.run()
        found.append((losses(folder), told, tensors(folder)))
    assert found[0][:2] == found[1][:2] and all(torch.equal(v, found[1][2][k]) for k, v in found[0][2].items())


def test_the_loss_of_a_line_is_the_mean_of_its_steps(make_run):
    one, steps, lines = Trainer(*make_run(epochs=1), Processes(), LanguageTask), [], []

    def watch(event):
        if event["event"] == "step":
            steps.append((event["loss"], event["targets"]))
        elif event["event"] == "train":
            loss, targets = (sum(some) for some in zip(*steps, strict=True))
            lines.append(event["loss"] == pytest.approx(loss / targets))
            steps.clear()

    one.observer = watch
    one.run()
    assert len(lines) > 2 and all(lines)


def test_all_processes_read_losses_at_the_same_steps(make_run):
    """What the first one alone measures does not make it read alone: the others would wait for something else."""
    added = []
    for rank in (0, 1):
        processes, sizes = Processes(), []
        one = Trainer(*make_run(str(rank), epochs=1, log_every=7, monitor=5), processes, LanguageTask)
        one.reads_late, processes.rank = True, rank
        processes.add = lambda values, sizes=sizes: sizes.append(len(values)) or values
        one.run()
        added.append(sizes)
    assert added[0] == added[1] and max(added[0]) > 2


def test_a_loss_that_is_not_finite_names_its_step_also_where_it_is_read_late(make_run):
    said = []
    for late in (False, True):
        folder, config = make_run(
            str(late), optimizer="sgd", lr=1e5, clip=0, warmup=0, epochs=9, log_every=1000, save_every=1e9
        )
        one = Trainer(folder, config, Processes(), LanguageTask)
        one.reads_late = late
        with pytest.raises(TrainingError) as failed:
            one.run()
        said.append(str(failed.value).split(" (epoch")[0])
    assert said[0] == said[1]


def test_a_loss_that_is_not_finite_names_the_step_and_the_last_good_checkpoint(make_run):
    folder, config = make_run(optimizer="sgd", lr=1e5, clip=0, warmup=0, epochs=9, save_every=0.0)
    with pytest.raises(TrainingError, match=r"is not finite at step \d+ .*checkpoint.safetensors, of step \d+"):
        train(folder, config)
    assert all(v.isfinite().all() for v in load_file(folder / "checkpoint.safetensors").values() if v.is_floating_point())


def test_a_gradient_that_is_not_finite_is_told_at_its_own_step(make_run):
    one = Trainer(*make_run(), Processes(), LanguageTask)
    one.model.output.bias.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrainingError, match="the gradient is not finite at step 1 "):
        one.run()


@pytest.mark.parametrize(("clip", "share"), [(1e-9, 1.0), (1e3, 0.0)])
def test_the_share_of_clipped_steps_is_told(make_run, clip, share):
    folder, config = make_run(epochs=1, clip=clip, watch_gradients=1000)
    Trainer(folder, config, Processes(), LanguageTask, watcher=lambda *_: {"half_life": None}).run()
    rows = [r for r in read_metrics(folder, PERPLEXITY) if r["event"] == "train"]
    assert len(rows) > 1 and {r["clipped"] for r in rows} == {share}


def test_it_stops_early_when_validation_gets_no_better(make_run):
    folder, config = make_run(lr=1e-12, patience=2, epochs=50, warmup=0, schedule="constant")
    assert train(folder, config)["stopped_early"]


def test_rates_warm_up_and_decay(make_run):
    folder, config = make_run(lr=1.0, warmup=4, schedule="cosine")
    trainer = Trainer(folder, config, Processes(), LanguageTask)
    rates = []
    for step in range(trainer.steps + 1):
        trainer.position.step = step
        rates.append(trainer.rate())
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0], rel=0.02)
    assert rates[trainer.steps // 2] == pytest.approx(0.5, rel=0.05)
    assert rates[-1] == pytest.approx(0)


def test_a_plateau_lowers_the_rate(make_run):
    folder, config = make_run(lr=1.0, warmup=0, schedule="plateau", decay=0.25)
    trainer = Trainer(folder, config, Processes(), LanguageTask)
    trainer.position.decays = 2
    assert trainer.rate() == pytest.approx(1 / 16)


def test_a_full_disk_leaves_the_last_checkpoint(make_run, monkeypatch):
    folder, config = make_run()
    train(folder, config, 5)
    before = (folder / "checkpoint.safetensors").read_bytes()

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("carousel.training.checkpoint.files.write", full)
    with pytest.raises(TrainingError, match="No space left on device; the last good checkpoint"):
        train(folder, config)
    assert (folder / "checkpoint.safetensors").read_bytes() == before


def test_a_checkpoint_that_was_cut_short_is_refused(make_run):
    folder, config = make_run()
    train(folder, config, 5)
    path = folder / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match="is not whole"):
        Trainer(folder, config, Processes(), LanguageTask)


@pytest.mark.parametrize("options", [{"batch_size": 500}, {"feed": "sentences", "batch_size": 500}])
def test_a_text_shorter_than_a_batch_is_refused(make_run, options):
    with pytest.raises(InputError, match="fewer than one batch of 500"):
        make_run(**options)


@pytest.mark.parametrize("cell", ["mlp", "rnn", "clockwork", "lstm-v4", "fgr", "gru-original"])
def test_any_cell_trains(make_run, cell):
    folder, config = make_run(cell=cell, lr=0.02)
    result = train(folder, config)
    model, vocabulary, _ = load_run(folder)
    assert model.config.cell == cell
    train_text, valid = (EncodedText.open(folder / "data", name) for name in ("train", "valid"))
    counted = Score.of(Unigram(train_text, vocabulary.size).score(valid), valid.facts)
    assert result["valid_perplexity"] < 0.95 * counted.perplexity  # it reads more than how often words come


@pytest.mark.parametrize(("seconds", "drawn"), [(3600, 1), (-1, 4)])
def test_a_curve_is_drawn_at_the_end_and_before_it_only_where_the_last_one_is_old(make_run, monkeypatch, seconds, drawn):
    monkeypatch.setattr(trainer, "DRAWN_EVERY", seconds)
    told = []
    monkeypatch.setattr(trainer, "draw_curve", lambda rows, *_: told.append(sum(r["event"] == "valid" for r in rows)))
    train(*make_run(epochs=3))
    assert told == [1, 2, 3, 3][-drawn:]


def test_an_interrupted_run_has_a_curve_of_the_epochs_before(make_run):
    folder, config = make_run(epochs=3)
    assert train(folder, config, stop_at=30)["event"] == "interrupted"
    assert (folder / "curve.png").stat().st_size > 1000
