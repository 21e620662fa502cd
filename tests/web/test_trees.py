"""The server of a labeller of trees tells what the library says of them, and refuses the rest in one line."""

import numpy as np
import pytest

from carousel import LabellerRun
from carousel.errors import InputError
from carousel.web.server import create_app

SUM = "[SM 5 [MAX 2 9 [MIN 4 7 ] 0 ] 8 ]"


def test_the_run_is_described(growing, of_trees):
    status, about = growing.ask("api/run")
    run = LabellerRun(of_trees)
    assert status == 200 and (about["run"], about["task"], about["cell"]) == ("logic", "trees", "tree-lstm")
    assert about["parts"] == ["test", "valid", "train"] and about["labels"] == ["0", "1"] and not about["whole"]
    assert about["layers"] == 2 and about["units"]["h"] == 9 and about["parameters"] == run.model.count()
    assert about["valves"] == ["i", "l", "r", "o"] and set(about["states"]) == {"m", "h"}


@pytest.mark.parametrize(("name", "layer"), [("h", 0), ("m", 1), ("l", 0)])
def test_a_tree_of_the_data_is_what_the_library_says(growing, of_trees, name, layer):
    status, found = growing.ask("api/tree", {"part": "test", "number": 5, "name": name, "layer": layer})
    run, line = LabellerRun(of_trees), (of_trees.parent / "test.txt").read_text().splitlines()[5]
    view = run.view(line, name, layer)
    (right,) = [s for s in run.read(of_trees.parent / "test.txt") if s.place.endswith("line 6")]
    assert status == 200 and found["count"] == 20
    assert found["tokens"] == list(view.tokens) == list(right.steps) and found["parents"] == view.parents.tolist()
    assert found["labels"] == list(view.labels) and found["right"] == list(right.labels) and all(found["known"])
    np.testing.assert_allclose(found["values"], view.values, atol=6e-5)
    np.testing.assert_allclose(found["probabilities"], view.probabilities, atol=6e-5)
    assert found["text"] == line


def test_layers_and_quantities_differ(growing):
    asked = [{"number": 5, "name": name, "layer": layer} for name in ("h", "m") for layer in (0, 1)]
    found = [growing.ask("api/tree", each)[1]["values"] for each in asked]
    assert all(np.abs(np.array(a) - np.array(b)).max() > 0.01 for k, a in enumerate(found) for b in found[:k])


def test_an_expression_is_read_as_it_is_typed(computing, of_expressions):
    status, found = computing.ask("api/tree", {"text": SUM, "name": "h"})
    line = "( ( ( ( [SM 5 ) ( ( ( ( ( [MAX 2 ) 9 ) ( ( ( [MIN 4 ) 7 ) ] ) ) 0 ) ] ) ) 8 ) ] )"
    view = LabellerRun(of_expressions).view(line, "h")
    assert status == 200 and found["text"] == SUM and " ".join(filter(None, found["tokens"])) == SUM
    np.testing.assert_allclose(found["values"], view.values, atol=6e-5)
    assert found["right"] == ["2"]  # 5 + 9 + 8 = 22
    again = computing.ask("api/tree", {"text": line, "name": "h"})[1]
    assert again | {"right": ["2"]} == found and again["right"] == []


def test_nodes_know_their_height_and_what_is_below_them(computing):
    _, found = computing.ask("api/tree", {"text": "[MAX 2 [MIN 4 7 ] ]", "name": "h"})
    spans = [" ".join(filter(None, found["tokens"][k:end])) for k, end in enumerate(found["ends"])]
    heights = dict(zip(spans, found["heights"], strict=True))
    assert heights["[MAX 2"] == heights["[MIN 4"] == 1 and heights["[MIN 4 7 ]"] == 3
    assert heights["[MAX 2 [MIN 4 7 ]"] == 4 and heights["[MAX 2 [MIN 4 7 ] ]"] == 5 and heights["]"] == 0


def test_words_that_no_training_text_had_are_said_to_be_unknown(growing):
    _, found = growing.ask("api/tree", {"text": "(? a (? t) (? zebra))", "name": "h"})
    assert found["known"] == [True, True, False] and found["right"] == []


def test_weights_that_were_kept_are_seen(growing, of_trees):
    _, about = growing.ask("api/run")
    assert about["kept"] == [0, 20, 40, 60] and about["best"] and not about["training"]
    asked = {"part": "test", "number": 5, "name": "h"}
    line = (of_trees.parent / "test.txt").read_text().splitlines()[5]
    seen = []
    for which in ("@0", "@40", ""):
        status, found = growing.ask("api/tree", asked | {"model": f"0{which}"})
        view = LabellerRun(f"{of_trees}{which}").view(line, "h", 0)
        assert status == 200 and found["labels"] == list(view.labels)
        np.testing.assert_allclose(found["values"], view.values, atol=6e-5)
        seen.append(np.array(found["values"]))
    assert all(np.abs(a - b).max() > 0.01 for k, a in enumerate(seen) for b in seen[:k])


def test_a_page_of_some_weights_shows_these_alone(serve, of_trees):
    _, about = serve(f"{of_trees}@20").ask("api/run")
    assert about["run"] == "logic@20" and about["kept"] == []


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"number": 20, "name": "h"}, 400, "there is no example 20; test has 20, counted from 0"),
        ({"number": -1, "name": "h"}, 422, "malformed: number: "),
        ({"part": "other", "name": "h"}, 422, "malformed"),
        ({"number": 0}, 422, "malformed"),
        ({"number": 0, "name": ""}, 422, "malformed"),
        ({"number": 0, "name": "x"}, 400, "no quantity 'x'"),
        ({"model": "1", "name": "h"}, 400, "there is no run 1; this page shows one"),
        ({"model": "0@41", "name": "h"}, 400, "kept no weights of step 41; it kept those of steps 0, 20, 40, 60"),
        ({"model": "best", "name": "h"}, 422, "malformed"),
        ({"number": 0, "name": "h", "layer": 2}, 400, "there is no layer 2; layers are 0 to 1"),
        ({"text": "(? a (? t)", "name": "h"}, 400, "leaves 1 bracket open"),
        ({"text": " ", "name": "h"}, 400, "empty line"),
        ({"text": f"{'(1' * 4001} t{')' * 4001}", "name": "h"}, 400, "4,001 nodes; the page shows at most 4,000"),
        ({"text": "x" * 20_001, "name": "h"}, 422, "malformed"),
        ({"text": "x" * 300_000, "name": "h"}, 413, "256 KiB"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(growing, body, status, says):
    found, answer = growing.ask("api/tree", body)
    assert found == status
    assert list(answer) == ["error"] and says in answer["error"] and "\n" not in answer["error"]


@pytest.mark.parametrize("text", ["[MAX ]", "[MAX 2", "[SUM 2 ]", "[MAX 2 ] 3", "[MAX " * 300])
def test_what_is_no_expression_is_refused(computing, text):
    status, answer = computing.ask("api/tree", {"text": text, "name": "h"})
    assert status == 400 and list(answer) == ["error"]


def test_other_runs_are_refused(of_trees, run):
    with pytest.raises(InputError, match="one run"):
        create_app(of_trees, beside=[run])
    with pytest.raises(InputError, match="searches no corpus"):
        create_app(of_trees, corpus=run)
    with pytest.raises(InputError, match="each alone"):
        create_app(run, beside=[of_trees])
