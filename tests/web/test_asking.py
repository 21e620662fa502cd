"""Questions of a panel, in Node: the latest wins, answers and refusals of older ones are dropped."""

from importlib import resources

from in_node import needs_node, said

pytestmark = needs_node

SCRIPT = """
import { asking } from "./asking.js";
const found = [];
const questions = asking((line) => found.push(line));
const waiting = [];
const ask = (name) => questions.ask(
  () => new Promise((answer, refuse) => waiting.push({ answer: () => answer(name), refuse: () => refuse(new Error(name)) })),
  (answer) => found.push(answer),
);
const asked = ["answered late", "refused late", "latest"].map(ask);
waiting[2].answer();
waiting[0].answer();
waiting[1].refuse();
await Promise.all(asked);
const dropped = ask("dropped");
questions.drop();
waiting[3].answer();
const refused = ask("refused");
waiting[4].refuse();
await Promise.all([dropped, refused]);
say(found);
"""


def test_answers_and_refusals_that_come_late_are_dropped(tmp_path):
    (tmp_path / "asking.js").write_bytes((resources.files("carousel.page") / "static" / "asking.js").read_bytes())
    assert said(SCRIPT, tmp_path) == ["", "latest", "refused"]
