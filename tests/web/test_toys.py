"""The toy tasks of the page and their learner, in Node: the tasks are those of ``carousel.tasks``, the gradient is right."""

from importlib import resources

import numpy as np
import pytest
from in_node import needs_node, said

from carousel import cells
from carousel.equations.single import single
from carousel.export.javascript.single import one_unit
from carousel.tasks.arithmetic import Marked
from carousel.tasks.signals import TwoSequences

pytestmark = needs_node

BEGIN = """
import { BATCH, firstWeights, lossAndGradient, Random, TASKS, Training } from "./toys.js";
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "toys.js").write_bytes((resources.files("carousel.page") / "static" / "toys.js").read_bytes())
    for name in ("rnn", "cec", "lstm-v1", "lstm-v3"):
        (tmp_path / f"{name}.js").write_text(one_unit(single(cells.get(name))))
    return tmp_path


def test_tasks_are_those_of_1997_with_one_input(folder):
    script = """
const random = new Random(3);
const many = (task) => Array.from({ length: 4000 }, () => TASKS[task].draw(random, 20));
say(Object.fromEntries(Object.keys(TASKS).map((task) => [task, many(task)])));
"""
    found = said(BEGIN + script, folder)
    e = {task: np.array([x["e"] for x in rows]) for task, rows in found.items()}
    target = {task: np.array([x["target"] for x in rows]) for task, rows in found.items()}
    random = np.random.default_rng(1)

    batch = TwoSequences(20, 1).draw(random, 4000)
    assert set(e["two-sequences"][:, 0]) == set(batch.inputs[0, :, 0]) == {-1.0, 1.0}
    assert np.array_equal(target["two-sequences"], (e["two-sequences"][:, 0] + 1) / 2)  # as the problem has it:
    assert np.array_equal(batch.targets[:, 0], (batch.inputs[0, :, 0] + 1) / 2)
    noise = e["two-sequences"][:, 1:]
    assert noise.std() == pytest.approx(0.2**0.5, rel=0.02) and abs(noise.mean()) < 0.005

    adding = e["adding"]
    assert target["adding"] == pytest.approx(0.5 + adding.sum(1) / 4) and ((adding != 0).sum(1) == 2).all()
    assert abs(adding).max() <= 1 and (adding[:, :10] != 0).sum() == (adding[:, 10:] != 0).sum()
    marked = Marked(20).draw(random, 500)
    values, marks = marked.inputs[..., 0], marked.inputs[..., 1] == 1
    seen = marks.sum(0) == 2  # a mark on the first pair does not show
    assert marked.targets[seen, 0] == pytest.approx(0.5 + (values * marks).sum(0)[seen] / 4, abs=1e-6)

    assert np.array_equal(target["copy"], e["copy"][:, 0]) and not e["copy"][:, 1:].any()
    for task, drawn in target.items():
        assert 0.45 < (drawn > np.median([drawn.min(), drawn.max()])).mean() < 0.55, task


def test_the_gradient_is_that_of_the_loss(folder):
    script = """
const found = [];
for (const name of ["rnn", "cec", "lstm-v1", "lstm-v3"]) {
  const engine = await import(`./${name}.js`);
  for (const task of Object.keys(TASKS)) {
    const drawn = TASKS[task].draw(new Random(7), 12);
    const w = firstWeights(engine.weights.map(() => "uniform"), 5);
    const { gradient } = lossAndGradient(engine, w, drawn);
    const numbers = [...w].map((_, k) => {
      const moved = (d) => w.map((x, j) => (j === k ? x + d : x));
      const [above, below] = [1e-5, -1e-5].map((d) => lossAndGradient(engine, moved(d), drawn).loss);
      return (above - below) / 2e-5;
    });
    found.push([[...gradient], numbers]);
  }
}
say(found);
"""
    pairs = said(BEGIN + script, folder)
    assert len(pairs) == 12
    for gradient, numbers in pairs:
        assert gradient == pytest.approx(numbers, rel=1e-5, abs=1e-8)


TRAINED = """
const found = {};
for (const [name, task, steps, updates] of given) {
  const engine = await import(`./${name}.js`);
  const train = () => {
    const w = firstWeights(engine.weights.map(() => "uniform"), 1);
    const training = new Training(engine, w, { task, steps, seed: 1 });
    for (let k = 0; k < updates; k += 1) training.update();
    return { losses: training.losses, w: [...w] };
  };
  found[`${name} ${task}`] = [train(), train()];
}
say(found);
"""


def test_training_learns_what_the_cell_can_keep_and_is_the_same_again(folder):
    given = [("lstm-v1", "two-sequences", 20, 400), ("lstm-v1", "copy", 20, 300), ("cec", "adding", 20, 500)]
    for name, (one, again) in said(BEGIN + TRAINED, folder, given).items():
        assert one == again
        first, last = np.mean(one["losses"][:10]), np.mean(one["losses"][-20:])
        assert last < first / 5, name


def test_a_simple_network_does_not_keep_a_symbol_through_noise(folder):
    """The lecture's point: what an RNN of one unit does not learn in the updates in which the LSTM has."""
    given = [("rnn", "two-sequences", 40, 400), ("lstm-v1", "two-sequences", 40, 400)]
    found = said(BEGIN + TRAINED, folder, given)
    rnn, lstm = (np.mean(found[f"{name} two-sequences"][0]["losses"][-50:]) for name in ("rnn", "lstm-v1"))
    assert lstm < 0.3 * rnn


def test_a_long_gradient_is_cut(folder):
    script = """
const engine = await import("./rnn.js");
const found = [0.001, 1000].map((v) => {
  const w = new Float64Array(engine.weights.length + 2).fill(v);
  const training = new Training(engine, w, { task: "copy", steps: 5, seed: 1 });
  training.update();
  return Math.hypot(...training.mean) / 0.1;
});
say(found);
"""
    short, long = said(BEGIN + script, folder)
    assert 0 < short < 0.5 and long == pytest.approx(1)


def test_a_loss_that_is_no_number_ends_a_training(folder):
    script = """
const engine = await import("./cec.js");
const w = new Float64Array(engine.weights.length + 2).fill(NaN);
try {
  new Training(engine, w, { task: "copy", steps: 5, seed: 1 }).update();
  say("nothing");
} catch (error) {
  say(error.message);
}
"""
    assert "no number any longer" in said(BEGIN + script, folder)
