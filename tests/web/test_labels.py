"""The page of a labeller of sequences: its server tells what the library says, and the page shows it."""

import re

import numpy as np
import pytest
from page_looks import check_targets, check_width

from carousel import LabellerRun

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
expect = sync_api.expect


@pytest.fixture
def open_labels(open_page, tagging):
    """``open_labels(hash="", …)``: the page of tags, when a sentence is seen."""

    def begin(hash="", address=tagging.address, **how):
        open_page.until = "#steps li"
        return open_page(address + hash, **{"width": 1280, "height": 800} | how)

    return begin


@pytest.mark.parametrize(("name", "layer"), [("h", 0), ("f", 1)])
def test_a_sentence_of_the_data_is_what_the_library_says(tagging, of_words, name, layer):
    status, found = tagging.ask("api/sequence", {"number": 5, "name": name, "layer": layer})
    run = LabellerRun(of_words)
    given = run.read(of_words.parent / "test.txt")[5]
    (labels,) = run.predict([given])
    values = run.memory(list(given.steps), name, layer)
    assert status == 200 and found["count"] == 20 and values.shape == (2, len(given.steps), 9)
    assert found["tokens"] == list(given.steps) and found["right"] == list(given.labels) and all(found["known"])
    assert found["labels"] == list(labels.labels)
    np.testing.assert_allclose(found["probabilities"], labels.probabilities, atol=6e-5)
    np.testing.assert_allclose(found["values"], values, atol=6e-5)


def test_weights_that_were_kept_are_seen(open_labels, tagging, of_words):
    asked = {"number": 5, "name": "h", "model": "0@20"}
    status, found = tagging.ask("api/sequence", asked)
    run = LabellerRun(f"{of_words}@20")
    given = run.read(of_words.parent / "test.txt")[5]
    assert status == 200 and found["labels"] == list(run.predict([given])[0].labels)
    np.testing.assert_allclose(found["values"], run.memory(list(given.steps), "h", 0), atol=6e-5)
    page = open_labels("#number=5&model=0@20")
    expect(page.locator("#weights-says")).to_have_text("step 20")
    with page.expect_response("**/api/sequence") as answered:
        page.locator("#weights").fill("0")
    assert answered.value.json() == tagging.ask("api/sequence", asked | {"model": "0@0"})[1] != found


def test_the_memory_is_what_the_layers_give_out(of_words):
    run = LabellerRun(of_words)
    kept = run.sequences("test").row(5)
    x, _ = kept.side_by_side(np.array([0]))
    output, _ = run.model.recurrent(run.model._embedded(x))
    np.testing.assert_allclose(np.concatenate([*run.memory(kept, "m", -1)], -1), output[:, 0].detach(), atol=1e-6)


def test_what_is_typed_is_read(tagging):
    _, found = tagging.ask("api/sequence", {"text": "x y  zebra", "name": "h"})
    assert found["tokens"] == ["x", "y", "zebra"] and found["known"] == [True, True, False] and found["right"] == []


def test_a_series_has_its_columns_and_one_label(serve, of_table):
    server = serve(of_table)
    _, about = server.ask("api/run")
    assert about["whole"] and about["columns"] == ["a", "b"] and about["parts"] == ["valid", "train"]
    _, found = server.ask("api/sequence", {"part": "train", "number": 2, "name": "h"})
    run = LabellerRun(of_table)
    kept = run.sequences("train").row(2)
    np.testing.assert_allclose(found["inputs"], kept.x.T, atol=6e-5)
    assert found["labels"] == list(run.predict(kept)[0].labels) and len(found["right"]) == 1
    status, answer = server.ask("api/sequence", {"text": "1 2", "name": "h"})
    assert status == 400 and "choose an example" in answer["error"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"number": 20, "name": "h"}, 400, "there is no example 20; test has 20, counted from 0"),
        ({"number": 1, "name": "x"}, 400, "no quantity 'x'"),
        ({"number": 1, "name": "h", "layer": 2}, 400, "there is no layer 2; layers are 0 to 1"),
        ({"text": "  ", "name": "h"}, 400, "the text is empty"),
        ({"number": 1}, 422, "malformed"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tagging, body, status, says):
    found, answer = tagging.ask("api/sequence", body)
    assert found == status and list(answer) == ["error"] and says in answer["error"]


def test_words_stand_with_their_labels_in_the_colours_of_a_unit(open_labels, tagging):
    page = open_labels("#number=5&unit=3")
    _, found = tagging.ask("api/sequence", {"number": 5, "name": "h"})
    assert page.locator("#steps .token").all_inner_texts() == found["tokens"]
    labels = zip(found["labels"], found["right"], strict=True)
    assert page.locator("#steps .tagged").all_inner_texts() == [a if a == b else f"{a} ✗ {b}" for a, b in labels]
    values = [units[3] for units in found["values"][0]]
    colours = page.locator("#steps .token").evaluate_all("all => all.map(e => e.style.background)")
    assert (colours[int(np.argmin(values))] == colours[int(np.argmax(values))]) is (min(values) == max(values))
    right = sum(a == b for a, b in zip(found["labels"], found["right"], strict=True))
    expect(page.locator("#verdict")).to_have_text(f"{right} of {len(values)} labels right")


def test_steps_are_read_one_by_one_in_either_direction(open_labels, tagging):
    page = open_labels("#number=5&level=1&unit=2")
    _, found = tagging.ask("api/sequence", {"number": 5, "name": "h"})
    last = len(found["tokens"]) - 1
    assert page.locator("#steps .ahead").count() == last - 1
    value = f"{found['values'][0][1][2]:.3f}".replace("-", "−")
    expect(page.locator("#at-step")).to_contain_text(f"{found['tokens'][1]}: h[2] = {value}. Label {found['labels'][1]}")
    page.get_by_role("button", name="Step after").click()
    expect(page.locator("#level-says")).to_have_text(f"2 of {last}")
    page.locator("#corner").select_option("backwards")
    expect(page.locator("#steps .ahead")).to_have_count(2)
    expect(page).to_have_url(re.compile("corner=backwards"))
    assert open_labels("#number=5&corner=backwards").locator("#corner").input_value() == "backwards"


def test_a_text_is_typed(open_labels):
    page = open_labels()
    page.locator("#text").fill("x y x")
    page.keyboard.press("Enter")
    expect(page.locator("#steps .token")).to_have_text(["x", "y", "x"])


def test_a_series_is_shown(open_labels, serve, of_table):
    page = open_labels(address=serve(of_table).address)
    assert page.locator("#reader").is_hidden() and page.locator("#steps .token").first.inner_text() == "0"
    expect(page.locator("#verdict")).to_contain_text("Label")
    expect(page.locator("#at-step")).to_contain_text("a ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (400, 800)])
def test_it_fits_laptops_and_phones_light_and_dark(open_labels, size, scheme):
    width, height = size
    page = open_labels("#number=5", width=width, height=height, scheme=scheme)
    check_width(page, width, scheme)
    check_targets(page)
