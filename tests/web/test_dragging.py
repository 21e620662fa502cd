"""Values of one reading are put into another, by dragging a column of its heat map, and by the form."""

import json
import math
import re

import pytest
import torch
from page_acts import same_texts

from carousel import Clamp, load

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

TEXT = "the boy who waits near the king lost his hat"
OTHER = TEXT.replace("boy", "girl")


def seen(other=OTHER, **more):
    asked = {"other": other, **more}
    return "#" + "&".join(f"{key}={value.replace(' ', '+')}" for key, value in asked.items() if value)


@pytest.fixture
def page(open_page, server):
    opened = open_page(server.address + seen())
    opened.wait_for_selector("#words .word.b")
    return opened


def drag(page, word, target, column=None):
    """Drag the column of a word of A's onto a column of a map, or onto a word."""
    box = page.locator("#map-a canvas").bounding_box()
    columns = page.locator("#words li").count()
    page.mouse.move(box["x"] + (word + 0.5) * box["width"] / columns, box["y"] + box["height"] / 2)
    page.mouse.down()
    onto = page.locator(target).bounding_box()
    share = 0.5 if column is None else (column + 0.5) / columns
    page.mouse.move(onto["x"] + share * onto["width"], onto["y"] + onto["height"] / 2, steps=4)
    sync_api.expect(page.locator(".dragged")).to_have_count(1)
    page.mouse.up()
    sync_api.expect(page.locator(".dragged")).to_have_count(0)


def shown(page):
    """Return what B foretells at the word that is seen."""
    return page.locator("#run-b .predictions .word").all_inner_texts()


def foretold(run, clamps, text=OTHER, word=-1):
    found = load(run).watch(text, clamp=clamps).predictions[word]
    return [word.replace("<eos>", "¶") for word, _ in found]


def of_a(run, name, word, layer=0, units=None):
    values = load(run).watch(TEXT).values[name][layer][word]
    return torch.tensor(values if units is None else values[list(units)])


@pytest.mark.parametrize(("target", "column"), [("#map-b canvas", 5), ("#words li:nth-child(6) .word.b", None)])
def test_a_column_of_a_is_dragged_onto_a_word_of_b(page, run, target, column):
    page.locator("[data-go=last]").click()
    drag(page, 2, target, column)
    sync_api.expect(page.locator("#changed .chip").nth(1)).to_contain_text("h = A's at “boy”, all units, layer 0, at “near”")
    clamp = Clamp("h", of_a(run, "h", 2), None, 5, 6, 0)
    sync_api.expect(page.locator("#run-b .predictions .word")).to_have_text(foretold(run, [clamp]))
    assert foretold(run, [clamp]) != foretold(run, [])


def test_some_units_are_dragged_of_a_chosen_quantity_and_layer(page, run):
    page.locator("#see").select_option("f")
    page.locator("#layer").select_option(index=1)
    page.locator("#clamp-units").fill("0, 2-4")
    drag(page, 3, "#map-b canvas", 3)
    chip = page.locator("#changed .chip").nth(1)
    sync_api.expect(chip).to_contain_text("f = A's at “who”, units 0, 2, 3, 4, layer 1")
    page.locator("[data-go=last]").click()
    clamp = Clamp("f", of_a(run, "f", 3, 1, (0, 2, 3, 4)), (0, 2, 3, 4), 3, 4, 1)
    sync_api.expect(page.locator("#run-b .predictions .word")).to_have_text(foretold(run, [clamp]))


def test_the_link_keeps_it_and_it_can_be_taken_back(page, open_page):
    drag(page, 2, "#map-b canvas", 2)
    page.wait_for_url(re.compile("clamps="))
    again = open_page(page.url)
    again.wait_for_selector("#changed .chip >> nth=1")
    assert again.locator("#changed").inner_text() == page.locator("#changed").inner_text()
    before = shown(again)
    again.locator("#changed .chip button").nth(1).click()
    sync_api.expect(again.locator("#changed .chip")).to_have_count(1)
    assert before == shown(page)


def test_all_of_a_brings_all_of_the_difference(open_page, server):
    """The share is that of the way from B's word to A's: all memory after the only word that differs decides the rest."""
    text, other = "the boy king lost", "the girl king lost"
    found = [server.ask("api/watch", {"text": t})[1]["predictions"][-1][0][0] for t in (text, other)]
    assert found[0] != found[1]
    clamps = [{"name": name, "of": 2, "from": 2, "to": 3} for name in ("h", "m")]
    page = open_page(server.address + seen(other, text=text, clamps=json.dumps(clamps)))
    sync_api.expect(page.locator("#carried")).to_have_text(
        f"After the last word B has come 100 % of the way from “{found[1]}” to A's “{found[0]}”."
    )


def test_some_of_a_brings_some_of_the_difference(open_page, server):
    text, other = "the boy king lost", "the girl king lost"
    clamp = {"name": "h", "from": 2, "to": 3, "layer": 1}
    put = [clamp | {"of": {"text": text, "word": 2}}]
    asked = [{"text": text}, {"text": other}, {"text": other, "clamps": put}]
    chances = [dict(server.ask("api/watch", {**each, "predictions": 40})[1]["predictions"][-1]) for each in asked]
    to, away = (max(each, key=each.get) for each in chances[:2])
    a, bare, b = (math.log(each[to] / each[away]) for each in chances)
    page = open_page(server.address + seen(other, text=text, clamps=json.dumps([clamp | {"of": 2}])))
    share = round(100 * (b - bare) / (a - bare))
    sync_api.expect(page.locator("#carried")).to_contain_text(f"has come {share} % of the way".replace("-", "−"))
    assert share not in (0, 100)


def test_the_form_does_the_same_without_a_mouse(page, run):
    page.locator("#clamp-of").select_option("2")
    assert page.locator("#clamp-value").is_disabled()
    page.locator("#clamp-from").select_option("5")
    page.locator("#clamp-to").select_option("6")
    page.locator("#clamp-layer").select_option(index=1)
    page.get_by_role("button", name="Clamp and compare").click()
    sync_api.expect(page.locator("#changed .chip").nth(1)).to_contain_text("h = A's at “boy”")
    page.locator("[data-go=last]").click()
    clamp = Clamp("h", of_a(run, "h", 2), None, 5, 6, 0)
    sync_api.expect(page.locator("#run-b .predictions .word")).to_have_text(foretold(run, [clamp]))


def test_without_a_second_text_a_column_goes_onto_another_word_of_the_same(open_page, server, run):
    page = open_page(server.address)
    drag(page, 2, "#map-a canvas", 6)
    page.wait_for_selector("#words .word.b")
    page.locator("[data-go=last]").click()
    clamp = Clamp("h", of_a(run, "h", 2), None, 6, 7, 0)
    sync_api.expect(page.locator("#run-b .predictions .word")).to_have_text(foretold(run, [clamp], TEXT))


def test_a_drag_is_given_up(page):
    box = page.locator("#map-a canvas").bounding_box()
    before = page.url
    page.mouse.move(box["x"] + 50, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 30, steps=3)
    sync_api.expect(page.locator(".dragged")).to_have_count(1)
    page.keyboard.press("Escape")
    sync_api.expect(page.locator(".dragged")).to_have_count(0)
    page.mouse.up()
    drag(page, 2, "#title")  # neither a word nor a map
    assert page.locator("#changed .chip").count() == 1 and page.url == before


def test_a_click_still_chooses_a_unit(page):
    page.locator("#map-a canvas").click()
    sync_api.expect(page.locator("#unit-body")).to_be_visible()
    assert page.locator("#changed .chip").count() == 1


@pytest.mark.parametrize("units", [None, (1, 4)])
@pytest.mark.parametrize("layer", [None, 1])
def test_the_server_puts_in_what_the_library_does(server, run, layer, units):
    clamp = {"name": "h", "of": {"text": TEXT, "word": 2}, "units": units, "from": 2, "to": 3, "layer": layer}
    _, found = server.ask("api/watch", {"text": OTHER, "clamps": [clamp]})
    layers = [0, 1] if layer is None else [layer]
    held = [Clamp("h", of_a(run, "h", 2, k, units), units, 2, 3, k) for k in layers]
    assert found["values"] == load(run).watch(OTHER, clamp=held).as_dict()["values"]
    _, found = server.ask("api/gradients", {"text": OTHER, "clamps": [clamp]})
    assert found == load(run).gradient_flow(OTHER, clamp=held)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "x"}, "nothing called 'x'"),
        ({"units": [99]}, "no unit 99"),
        ({"layer": 7}, "no layer 7"),
        ({"of": {"text": TEXT, "word": 11}}, "there is no word 11 to take h from; words are 0 to 10"),
        ({"of": {"text": "", "word": 0}}, "the text is empty"),
        ({"of": {"text": TEXT, "word": 0, "model": "3"}}, "there is no run 3"),
        ({"value": 1.0}, "clamp 1: it takes a number, or the values of a word"),
        ({"of": None}, "clamp 1: it takes a number, or the values of a word"),
    ],
)
def test_what_cannot_be_put_in_is_refused_in_one_line(server, wrong, says):
    clamp = {"name": "h", "of": {"text": TEXT, "word": 2}, "from": 2, "to": 3, "layer": 0} | wrong
    status, found = server.ask("api/watch", {"text": OTHER, "clamps": [clamp]})
    assert status in (400, 422) and says in found["error"] and "\n" not in found["error"]


def test_values_of_two_texts_at_once_are_refused(server):
    clamps = [{"name": "h", "of": {"text": text, "word": 2}, "layer": 0} for text in (TEXT, OTHER)]
    status, found = server.ask("api/watch", {"text": TEXT, "clamps": clamps})
    assert status == 400 and found["error"] == "clamps take values of one reading"


def test_a_translator_takes_what_it_read(translating, translator):
    clamp = {"name": "h", "of": {"text": TEXT, "word": 1}, "from": 1, "to": 2, "layer": 0}
    _, found = translating.ask("api/watch", {"text": OTHER, "clamps": [clamp]})
    run = load(translator)
    held = Clamp("h", torch.tensor(run.watch(TEXT).values["h"][0][1]), None, 1, 2, 0)
    assert found["translation"] == run.watch(OTHER, clamp=[held]).as_dict()["translation"]
    assert found["values"]["h"][0][1] == run.watch(TEXT).as_dict()["values"]["h"][0][1]


def test_a_translator_that_reads_both_ways_refuses_it(looking):
    clamp = {"name": "h", "of": {"text": TEXT, "word": 2}, "from": 2, "to": 3, "layer": 0}
    status, found = looking.ask("api/watch", {"text": TEXT, "clamps": [clamp]})
    assert status == 400 and "in one direction" in found["error"]


def test_weights_of_another_step_give_their_own_values(serve, two_runs):
    server = serve(two_runs[1])
    clamp = {"name": "h", "of": {"text": TEXT, "word": 2, "model": "0@10"}, "from": 2, "to": 3, "layer": 0}
    _, found = server.ask("api/watch", {"text": TEXT, "clamps": [clamp]})
    values = torch.tensor(load(f"{two_runs[1]}@10").watch(TEXT).values["h"][0][2])
    assert found["values"] == load(two_runs[1]).watch(TEXT, clamp=[Clamp("h", values, None, 2, 3, 0)]).as_dict()["values"]


def test_a_saved_page_puts_in_the_same(page, open_page, tmp_path):
    page.locator("[data-go=last]").click()
    drag(page, 2, "#map-b canvas", 5)
    page.wait_for_selector("#changed .chip >> nth=1")
    with page.expect_download() as download:
        page.locator("#save").click()
    download.value.save_as(tmp_path / "page.html")
    saved = open_page((tmp_path / "page.html").as_uri(), offline=True)
    for opened in (saved, page):
        opened.locator("#clamp-units").fill("1, 3, 8")
        drag(opened, 3, "#words li:nth-child(4) .word.b")
        opened.wait_for_selector("#changed .chip >> nth=2")
        opened.locator("#words li:nth-child(4) .word.b").click()
    same_texts(saved, page, ("#changed", "#run-b", "#chosen-facts", "#changes"))
