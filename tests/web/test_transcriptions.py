"""The server of a transcriber tells what the library says of an example, and refuses the rest in one line."""

import numpy as np
import pytest

from carousel import TranscriberRun
from carousel.transcription.decoding import aligned


def one(folder, number, part="test"):
    """A run, and an example of its data."""
    run = TranscriberRun(folder)
    return run, run.examples(part).rows([number])


def test_the_run_is_described(spelling, scanning, of_series):
    status, about = spelling.ask("api/run")
    assert status == 200 and (about["run"], about["task"], about["reads"]) == ("letters", "transcription", "series")
    assert about["labels"] == ["a", "b", "c"] and about["parts"] == ["test", "valid", "train"]
    assert about["directions"] == ["forwards", "backwards"] and about["layers"] == 2 and about["units"]["h"] == 8
    assert about["parameters"] == TranscriberRun(of_series).model.count()
    _, about = scanning.ask("api/run")
    assert about["reads"] == "grid" and about["valves"] == ["i", "u", "f", "o"]
    assert about["directions"] == ["top left", "top right", "bottom left", "bottom right"]


@pytest.mark.parametrize("reads", ["series", "grid"])
def test_an_example_is_what_the_library_says(spelling, scanning, of_series, of_images, reads):
    server, folder = {"series": (spelling, of_series), "grid": (scanning, of_images)}[reads]
    status, told = server.ask("api/example", {"part": "test", "number": 4})
    run, example = one(folder, 4)
    found = run.spikes(example.inputs, example.ids(0))
    assert status == 200 and told["count"] == len(run.examples("test"))
    assert {name: told[name] for name in found.as_dict()} == found.as_dict()
    assert told["factor"] == 2 and len(told["probabilities"][0]) == len(run.labels) + 1
    np.testing.assert_allclose(told["picture"], found.picture, atol=6e-5)
    (logs,) = run.logs(example.inputs)
    for place, (begin, stop), k in zip(told["right"], aligned(logs, example.ids(0)), example.ids(0), strict=True):
        assert place["label"] == run.labels[k - 1] and place["begin"] == 2 * begin <= place["peak"]
        assert place["probability"] == pytest.approx(np.exp(logs[begin:stop, k].max()), rel=1e-5)


def test_weights_that_were_kept_are_seen(spelling, of_series):
    asked = {"number": 4, "model": "0@50"}
    run = TranscriberRun(f"{of_series}@50")
    example = run.examples("test").rows([4])
    found = spelling.ask("api/example", asked)[1]
    assert found["probabilities"] == run.spikes(example.inputs, example.ids(0)).as_dict()["probabilities"]
    assert found != spelling.ask("api/example", {"number": 4})[1]
    _, told = spelling.ask("api/memory", asked | {"name": "h"})
    np.testing.assert_allclose(told["values"], run.memory(example.inputs, "h", 0), atol=6e-5)


def test_series_are_read_right_once_they_are_learnt(spelling):
    found = [spelling.ask("api/example", {"number": k})[1] for k in range(20)]
    assert sum(each["text"] == each["meant"] for each in found) > 10


@pytest.mark.parametrize(("name", "layer"), [("h", 0), ("f", 1)])
def test_the_memory_of_a_sequence_is_what_the_library_says(spelling, of_series, name, layer):
    status, told = spelling.ask("api/memory", {"number": 3, "name": name, "layer": layer})
    run, example = one(of_series, 3)
    expected = run.memory(example.inputs, name, layer)
    steps = int(example.inputs.sizes[0])
    assert status == 200 and expected.shape == (2, [steps, -(-steps // 2)][layer], 8)
    np.testing.assert_allclose(told["values"], expected, atol=6e-5)


@pytest.mark.parametrize(("name", "layer"), [("h", 0), ("u", 1)])
def test_the_memory_of_a_grid_is_that_of_the_unit_that_is_asked_for(scanning, of_images, name, layer):
    status, told = scanning.ask("api/memory", {"number": 3, "name": name, "layer": layer, "unit": 2})
    run, example = one(of_images, 3)
    expected = run.memory(example.inputs, name, layer)
    height, width = example.inputs.sizes[0].tolist()
    assert status == 200 and told["unit"] == 2
    assert expected.shape == (4, *[(height, width), (-(-height // 3), -(-width // 2))][layer], 4)
    np.testing.assert_allclose(told["values"], expected[..., 2], atol=6e-5)


def test_by_default_a_grid_shows_the_unit_that_moves_most(scanning, of_images):
    _, told = scanning.ask("api/memory", {"number": 3, "name": "h"})
    run, example = one(of_images, 3)
    spread = np.tanh(run.memory(example.inputs, "h", 0)).var((1, 2)).sum(0)
    assert told["unit"] == spread.argmax()


@pytest.mark.parametrize(
    ("question", "body", "status", "says"),
    [
        ("example", {"number": 20}, 400, "there is no example 20; test has 20, counted from 0"),
        ("example", {"number": "x"}, 422, "malformed: number: "),
        ("example", {"number": 1, "more": 1}, 422, "more"),
        ("example", {"part": "../x"}, 422, "malformed"),
        ("memory", {"name": "x"}, 400, "no quantity 'x'"),
        ("memory", {"name": "h", "layer": 2}, 400, "there is no layer 2; layers are 0 to 1"),
        ("memory", {"name": "h", "number": 20}, 400, "there is no example 20"),
        ("memory", {"number": 1}, 422, "malformed"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(spelling, question, body, status, says):
    found, answer = spelling.ask(f"api/{question}", body)
    assert found == status
    assert list(answer) == ["error"] and says in answer["error"] and "\n" not in answer["error"]


def test_a_unit_that_is_not_there_is_refused(scanning):
    status, answer = scanning.ask("api/memory", {"name": "h", "unit": 4})
    assert status == 400 and answer["error"] == "there is no unit 4 of h; units are 0 to 3"
