"""Weights that are kept on the way can be opened later, and are the same whether or not the run was stopped."""

from itertools import pairwise

import pytest
from safetensors.torch import load_file
from small_runs import train

import carousel
from carousel.errors import InputError
from carousel.training import kept
from carousel.training.run_folder import KEPT, MODEL


def test_weights_are_kept_every_so_many_steps_from_the_first_on(make_run):
    folder, config = make_run(keep_every=20)
    end = train(folder, config)
    assert kept.steps(folder) == [*range(0, end["step"] + 1, 20)]
    (folder / KEPT / "mine.safetensors").write_bytes(b"of somebody else")
    assert len(kept.steps(folder)) == end["step"] // 20 + 1
    ours = [load_file(kept.path_of(folder, str(step))) for step in kept.steps(folder)]
    assert all(not a["output.weight"].equal(b["output.weight"]) for a, b in pairwise(ours))


def test_nothing_is_kept_unless_asked(make_run):
    folder, config = make_run()
    train(folder, config)
    assert kept.steps(folder) == [] and not (folder / KEPT).exists()


@pytest.mark.parametrize("stop_at", [7, 9])  # between two that are kept, and at one
@pytest.mark.parametrize("average", ["none", "ema"])
def test_a_run_that_goes_on_keeps_the_same_weights(make_run, average, stop_at):
    whole, config = make_run("whole", keep_every=3, average=average)
    train(whole, config)
    stopped, config = make_run("stopped", keep_every=3, average=average)
    train(stopped, config, stop_at=stop_at)
    later = stopped / KEPT / "12.safetensors"
    later.write_bytes(b"of a try that was killed")
    train(stopped, config)
    assert [p.name for p in sorted((stopped / KEPT).iterdir())] == [p.name for p in sorted((whole / KEPT).iterdir())]
    for path in (whole / KEPT).iterdir():
        assert path.read_bytes() == (stopped / KEPT / path.name).read_bytes()


def test_the_mean_of_the_weights_is_kept_where_there_is_one(make_run):
    folder, config = make_run(keep_every=1, epochs=1, average="ema")
    end = train(folder, config)
    assert kept.path_of(folder, str(end["step"])).read_bytes() == (folder / MODEL).read_bytes()


def test_the_training_is_the_same_with_and_without(make_run):
    ends = []
    for name, every in (("with", 2), ("without", 0)):
        folder, config = make_run(name, keep_every=every, average="ema")
        train(folder, config)
        ends.append((folder / MODEL).read_bytes())
    assert ends[0] == ends[1]


def test_each_is_opened_by_its_step(make_run):
    folder, config = make_run(keep_every=10)
    end = train(folder, config)
    for name, path in (
        ("@10", folder / KEPT / "10.safetensors"),
        ("@010", folder / KEPT / "10.safetensors"),
        ("", folder / MODEL),
    ):
        run = carousel.load(f"{folder}{name}")
        weights = load_file(path)
        assert all(weights[key].equal(value) for key, value in run.model.state_dict().items())
    newest = carousel.load(f"{folder}@last").model.state_dict()
    checkpoint = load_file(kept.path_of(folder, "last"))
    assert all(checkpoint[f"model.{key}"].equal(value) for key, value in newest.items())
    costs = [
        carousel.load(f"{folder}@{step}").score("the cat sat on the mat").perplexity for step in (0, end["step"] // 10 * 10)
    ]
    assert costs[1] < costs[0]


def test_a_folder_of_such_a_name_is_that_folder(make_run, tmp_path):
    folder, config = make_run("run@3")
    train(folder, config)
    assert kept.placed(folder) == (folder, None) and carousel.load(folder).which is None
    assert kept.placed(tmp_path / "none@3@last") == (tmp_path / "none@3", "last")


def test_other_steps_are_refused_in_one_line(make_run):
    folder, config = make_run(keep_every=20)
    train(folder, config)
    with pytest.raises(InputError, match=r"kept no weights of step 7; it kept those of steps 0, 20, 40"):
        carousel.load(f"{folder}@7")
    bare, config = make_run("bare")
    train(bare, config)
    with pytest.raises(InputError, match=r"kept no weights of step 7; it kept none on the way, which takes `keep_every`"):
        carousel.load(f"{bare}@7")


def test_states_of_a_corpus_are_those_of_the_weights(make_run):
    folder, config = make_run(keep_every=20)
    train(folder, config)
    text = "the cat sat on the mat"
    for which in ("", "@0", ""):
        run = carousel.load(f"{folder}{which}")
        highest, _ = run.indexed(text).unit(3)
        values = run.watch(text).values["h"][-1][:, 3]
        assert highest[0].value == pytest.approx(max(values[1:]), abs=2e-3)
