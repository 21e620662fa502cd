"""The trainer of language models trains transcribers: they learn, stop at any instant and go on as if they had not."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from small_examples import stored
from small_runs import ends_the_same, train

import carousel
from carousel.errors import InputError
from carousel.training.processes import Share
from carousel.training.trainer import Trainer
from carousel.transcription.config import TranscriptionConfig
from carousel.transcription.folder import examples_path, load_transcriber
from carousel.transcription.spikes import Spikes
from carousel.transcription.task import ExampleFeed, TranscriptionTask


def test_it_learns(make_run, data):
    folder, config = make_run(epochs=25, lr=0.02)
    end = train(folder, config)
    assert end["valid_nats_per_label"] < 0.3 and (folder / "curve.png").stat().st_size > 1000
    run = carousel.load(folder)
    assert json.loads((folder / "result.json").read_text())["parameters"] == run.model.count()
    assert run.score("valid").rate < 0.1
    given = np.load(data)
    found = run.read(given["inputs"][:30], given["lengths"][:30])
    assert sum(f.text == t for f, t in zip(found, given["targets"], strict=False)) > 25
    assert run.read(data)[3] == found[3] and found[3].labels == tuple(found[3].text)
    one = run.read(given["inputs"][3, : given["lengths"][3]])
    assert one[0].text == found[3].text
    spikes = run.spikes(run.examples(data).rows([3]).inputs, [1, 2])
    assert [p["label"] for p in spikes.places] == list(found[3].text) and spikes.meant == "ab"
    assert all(a["stop"] <= b["begin"] for a, b in zip(spikes.places[:-1], spikes.places[1:], strict=True))
    for p in spikes.places:  # each label stands where its own number rises
        seen = given["inputs"][3, max(0, p["begin"] - 2) : p["stop"] + 2, "abc".index(p["label"])]
        assert seen.max() > 0.5
    assert len(run.figure(spikes).axes) == 2


@pytest.mark.parametrize("stop_at", [1, 7, 14])
@pytest.mark.parametrize(
    "model", [{"input_noise": 0.1, "dropout": 0.2, "layers": 2, "subsample": "1,2"}, {"reads": "grid", "subsample": "1x2"}]
)
def test_a_run_that_was_stopped_ends_bit_for_bit_the_same(make_run, data, stop_at, model):
    if model.get("reads") == "grid":  # of series images: the units are rows
        given = dict(np.load(data))
        wide = np.concatenate([given["inputs"], given["inputs"]], 1).repeat(2, 1)
        np.savez(data, inputs=wide.transpose(0, 2, 1), targets=given["targets"])
    assert ends_the_same(make_run, stop_at, model=model)


def test_the_scale_is_that_of_the_training_data_and_is_kept(make_run):
    folder, config = make_run(epochs=1)
    train(folder, config)
    model = load_transcriber(folder)[0]
    given, held = (stored(folder, part).inputs for part in ("train", "valid"))
    steps, others = (np.concatenate([x.row(k) for k in range(len(x))]).astype(np.float64) for x in (given, held))
    np.testing.assert_allclose(model.mean, steps.mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.deviation, steps.std(0), rtol=1e-5)
    assert not model.training and not np.allclose(model.mean, others.mean(0), rtol=1e-3)


def test_places_are_in_steps_of_the_input():
    logs = np.log([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.9, 0.1]])
    (place,) = Spikes(np.zeros((2, 11)), logs, (1,), [(1, 3)], ("a",), 3, "a").places  # a last block of two steps
    assert (place["begin"], place["stop"], place["peak"], place["label"]) == (3, 9, 7, "a")
    assert place["probability"] == pytest.approx(0.8)
    (place,) = Spikes(np.zeros((2, 11)), logs[:, ::-1], (1,), [(3, 4)], ("a",), 3, "a").places
    assert (place["begin"], place["stop"], place["peak"]) == (9, 11, 10)


def test_each_epoch_is_drawn_anew_and_can_be_entered_anywhere(make_run):
    folder, _ = make_run()
    given = stored(folder, "train")
    feed = ExampleFeed(given, 16, Share(), 1)
    all_, again = list(feed.batches(2)), list(feed.batches(2, 3))
    assert len(all_) == len(feed) == 7 and len(again) == 4
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(all_[3:], again, strict=True))
    assert not all(np.array_equal(a.ids, b.ids) for a, b in zip(all_, feed.batches(3), strict=True))
    assert sum(b.targets for b in all_) == sum(b.own_targets for b in all_) == given.lengths.sum()


def test_processes_share_all_examples(make_run):
    folder, config = make_run()
    given = stored(folder, "train")
    shares = [list(ExampleFeed(given, 16, Share(k, 3), 1).batches()) for k in range(3)]
    whole = list(ExampleFeed(given, 16, Share(), 1).batches())
    for k, batch in enumerate(whole):
        assert sum(s[k].own_targets for s in shares) == batch.targets == shares[0][k].targets
    three = SimpleNamespace(count=3, rank=0, local_rank=0, first=True, share=Share(0, 3))
    assert Trainer(folder, config, three, TranscriptionTask).steps == 3 * len(whole)


def test_the_configuration_is_read_as_it_was_written(make_run):
    folder, config = make_run(model={"subsample": "2", "between": 3}, seed=4)
    assert TranscriptionConfig.load(folder) == config


def test_a_grid_of_ones_own_cell_is_kept(make_run):
    from carousel import cell, logistic, tanh

    @cell(before=("up", "left"))
    def own(e, m, W, b):
        """Own."""
        g = logistic(W.ge @ e + W.gu @ m.up + b.g)
        m = g * tanh(W.me @ e + W.mu @ m.up + W.ml @ m.left + b.m)
        return m

    from carousel.transcription.model import Transcriber, TranscriberConfig

    kept = TranscriberConfig(reads="grid", layers=1, hidden=3).keeping(own, lambda c: Transcriber(1, 1, c))
    assert Transcriber(2, 1, kept).hierarchy.layers[0].cell.name == "own" and kept.cell_data is not None


@pytest.mark.parametrize("broken", ['{"labels": ["a", "a"], "size": 3}', '{"labels": [], "size": 3}', '{"size": 3}', "[1]"])
def test_a_broken_folder_is_refused(make_run, broken):
    folder, config = make_run(epochs=1)
    train(folder, config)
    (folder / "labels.json").write_text(broken)
    with pytest.raises(InputError, match=r"labels\.json"):
        load_transcriber(folder)


def test_examples_of_another_shape_are_refused(make_run, tmp_path):
    folder, config = make_run(epochs=1)
    train(folder, config)
    run = carousel.load(folder)
    with pytest.raises(InputError, match="a step has 2 numbers, and 3 in the data to train on"):
        run.read(np.zeros((2, 5, 2)))
    with pytest.raises(InputError, match="has no test data"):
        run.score()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d | {"targets": d["targets"] + 9},
        lambda d: d | {"targets": -d["targets"]},
        lambda d: d | {"targets": d["targets"] * 0},
        lambda d: d | {"targets": d["targets"] * 1.5},
        lambda d: d | {"sizes": d["sizes"] + 99},
        lambda d: d | {"sizes": d["sizes"] * 0},
        lambda d: d | {"inputs": d["inputs"][..., :1]},
        lambda d: d | {"inputs": d["inputs"][:1]},
    ],
)
def test_examples_that_are_not_of_the_run_are_refused(make_run, change):
    folder, config = make_run()
    path = examples_path(folder, "train")
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **change(arrays))
    with pytest.raises(InputError, match=r"train\.npz does not hold examples of this run; remove the folder"):
        TranscriptionTask(folder, config, Share())
