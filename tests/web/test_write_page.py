"""A cell written in the browser, as a lecturer does it, in headless Chromium: type, slide, feed, train, link."""

import json
import re

import numpy as np
import pytest
import torch
from page_looks import check_targets, check_width
from page_post import Post

from carousel import Recurrent, cells, kernels
from carousel.cells.sources import source

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
expect = sync_api.expect

LEAK = """@cell
def leak(e, h, W, b):
    f = logistic(W.fe @ e + b.f)
    h = f * h + (1 - f) * tanh(W.he @ e + W.hh @ h)
    return h"""


@pytest.fixture
def open_cells(open_page, writing):
    """``open_cells(hash, width=1280, …)``: the page without a run, when all of it is there."""

    def begin(hash="", width=1280, scheme="light", height=800, address=writing.address, **options):
        open_page.until = "#code"
        page = open_page(address + hash, width, scheme, height, **options)
        page.set_default_timeout(30_000)
        page.wait_for_selector("#cell-drawing svg")
        page.wait_for_selector("#decay-plot svg")
        return page

    return begin


@pytest.fixture
def page(open_cells):
    return open_cells()


def name_is(page, name):
    expect(page.locator("#cell-name")).to_have_text(name, timeout=30_000)


def weights(page):
    labels = page.locator("#sliders label")
    return {each.locator("span").inner_text(): float(each.locator("input[type=number]").input_value()) for each in labels.all()}


def set_weight(page, name, value):
    page.locator("#sliders label", has=page.get_by_text(name, exact=True)).locator("input[type=number]").fill(str(value))


def updates(page, least):
    """Wait for so many updates of a training."""
    for _ in range(600):
        found = re.search(r"\d+", page.locator("#trained").inner_text())
        if found and int(found[0]) >= least:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"there are no {least} updates")


def table(page):
    """The table of numbers: a column by its name."""
    page.evaluate("document.querySelector('#one-numbers').open = true")
    page.wait_for_selector("#one-table td")
    heads = page.locator("#one-table thead th").all_inner_texts()
    rows = [r.split("\t") for r in page.locator("#one-table tbody tr").all_inner_texts()]
    read = lambda x: float(x.replace("−", "-")) if x != "–" else None  # noqa: E731
    return {head: [read(row[k]) for row in rows] for k, head in enumerate(heads)}


def by_library(name, values, e):
    """The quantities of a layer of one unit, and the gradient of its last output by each state after each step."""
    layer = Recurrent(name, 1, 1, dtype=torch.float64)
    with torch.no_grad():
        for weight, value in values.items():
            if not weight.startswith("out."):
                layer.parameter(weight).fill_(value)
    hx, kept, seen = layer.initial_state(1), [], []
    with kernels.use("reference"):
        for x in e:
            y, hx, recorded = layer(torch.full((1, 1, 1), x, dtype=torch.float64), hx, record=list(layer.cell.names))
            hx = tuple(h * 1 for h in hx)
            for h in hx:
                h.retain_grad()
            kept.append(hx)
            seen.append({n: v.item() for n, v in recorded.items()})
        y.sum().backward()
    found = {n: [s[n] for s in seen] for n in layer.cell.names}
    for place, state in enumerate(layer.cell.states):
        found[f"∂/∂{state}"] = [0.0 if hx[place].grad is None else hx[place].grad.item() for hx in kept]
    found[f"∂/∂{layer.cell.states[0]}"][-1] += 1
    return found


def test_it_begins_with_the_lectures_first_lstm(page):
    assert page.locator("#code").input_value() == source(cells.get("lstm-v1")).rstrip()
    assert page.locator("#formulas").inner_text().splitlines() == cells.get("lstm-v1").text.splitlines()
    assert f"{cells.get('lstm-v1').count(32, 32):,} parameters" in page.locator("#counted").inner_text()
    assert page.locator("#cell-drawing .valve").count() == 2
    assert "It does not fall" in page.locator("#decay-says").inner_text()
    assert page.locator("#decay-plot path").count() == 2
    assert list(weights(page)) == [p.name for p in cells.get("lstm-v1").trace.parameters] + ["out.v", "out.c"]


def test_what_is_typed_is_drawn_and_what_is_no_cell_has_its_line_marked(page):
    code = page.locator("#code")
    code.fill(LEAK)
    name_is(page, "leak")
    assert page.locator("#formulas").inner_text().splitlines()[0] == "fₜ = logistic(W.fe eₜ + b.f)"
    assert page.locator("#cell-drawing .valve").count() == 1
    expect(page.locator("#sliders label")).to_have_count(6)
    code.fill(LEAK.replace("tanh", "tan"))
    expect(page.locator("#refused")).to_contain_text("Line 4: unknown function or variable tan")
    assert page.locator("#gutter li.wrong").evaluate_all("es => es.map((e) => [...e.parentNode.children].indexOf(e))") == [3]
    strip = page.locator("#strip").bounding_box()
    line = page.locator("#gutter li").nth(3).bounding_box()
    assert strip["y"] == pytest.approx(line["y"], abs=2) and code.get_attribute("aria-invalid") == "true"
    assert page.locator("#formulas").inner_text().splitlines()[0].startswith("fₜ")  # what was drawn stays
    code.fill(LEAK.replace("tanh", "relu"))
    expect(page.locator("#formulas")).to_contain_text("relu")
    assert page.locator("#refused").inner_text() == "" and page.locator("#strip").is_hidden()
    assert code.get_attribute("aria-invalid") == "false"


def test_an_older_answer_that_comes_late_is_dropped(page):
    post = Post(page, "cell")
    post.hold_next()
    page.locator("#cell-menu").select_option("gru")
    post.wait()
    page.locator("#cell-menu").select_option("lstm-v2")
    name_is(page, "lstm-v2")
    post.deliver()
    assert page.locator("#cell-name").inner_text() == "lstm-v2"
    assert page.locator("#code").input_value() == source(cells.get("lstm-v2")).rstrip()


def test_nothing_typed_becomes_part_of_the_page(page):
    page.locator("#code").fill(LEAK.replace("b):", 'b):\n    """<img src=x onerror="alert(1)"> <script>alert(2)</script>"""'))
    expect(page.locator("#cell-doc")).to_contain_text("<img src=x")
    assert page.locator("#view-write img").count() == page.locator("#view-write script").count() == 0
    page.locator("#code").fill(LEAK.replace("W.fe", 'W["<img src=x>"]'))
    expect(page.locator("#refused")).to_contain_text("<img src=x>")
    assert page.locator("#refused img").count() == 0


def test_a_new_line_is_indented_as_the_one_before_and_can_be_undone(page):
    code = page.locator("#code")
    code.fill("@cell\ndef one(e, h):")
    code.press("End")
    page.keyboard.press("Control+End")
    page.keyboard.press("Enter")
    page.keyboard.type("h = e")
    page.keyboard.press("Enter")
    page.keyboard.type("return h")
    assert code.input_value() == "@cell\ndef one(e, h):\n    h = e\n    return h"
    name_is(page, "one")
    assert page.locator("#gutter li").count() == 4


def test_the_menu_offers_every_cell(page):
    offered = page.locator("#cell-menu option").evaluate_all("es => es.map((e) => e.value).filter(Boolean)")
    assert len(offered) > 80
    page.locator("#cell-menu").select_option("slstm")
    name_is(page, "slstm")
    assert "cell=slstm" in page.url
    page.locator("#cell-menu").select_option("mdlstm")
    name_is(page, "mdlstm")
    expect(page.locator("#one-refused")).to_contain_text("a step of this cell follows several")
    assert page.locator("#one-body").is_hidden()
    expect(page.locator("#decay-says")).to_contain_text("follows several")
    page.locator("#cell-menu").select_option("lstm")
    name_is(page, "lstm")
    expect(page.locator("#sliders")).to_contain_text("W.f[m]")


def test_counts_follow_the_units(page):
    page.locator("#units").fill("100")
    page.locator("#units").press("Enter")
    expect(page.locator("#counted")).to_contain_text(f"{cells.get('lstm-v1').count(100, 100):,} parameters")
    expect(page.locator("#decay-says")).to_contain_text("100 units")
    page.locator("#units").fill("300")
    page.locator("#units").press("Enter")
    expect(page.locator("#decay-says")).to_contain_text("256 units")  # the most of which it is followed


def test_curves_of_one_unit_are_the_librarys(page):
    page.locator("#cell-menu").select_option("lstm-v3")
    name_is(page, "lstm-v3")
    expect(page.locator("#sliders label")).to_have_count(17)
    chosen = {name: round(0.37 * k - 2.5, 2) for k, name in enumerate(weights(page))}
    for name, value in chosen.items():
        set_weight(page, name, value)
    page.locator("#fed").fill("1, 0.5 -2; 0,0, 3")
    e = [1, 0.5, -2, 0, 0, 3]
    wanted = by_library("lstm-v3", chosen, e)
    expect(page.locator("#one-numbers")).to_be_visible()
    found = table(page)
    assert found["e"] == e and found["step"] == [1, 2, 3, 4, 5, 6]
    assert set(found) == {"step", "e", *wanted}
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, rel=6e-3, abs=1e-9), name  # the table has three digits
    shut = page.locator("#cell-drawing .valve[data-name=f] .value")
    assert float(shut.text_content()) == pytest.approx(wanted["f"][-1], abs=0.0051)
    page.locator("#at").fill("2")
    expect(page.locator("#at-says")).to_have_text("2")
    assert float(shut.text_content()) == pytest.approx(wanted["f"][1], abs=0.0051)


def test_a_sequence_that_is_none_is_said_to_be(page):
    for given, says in (("1, x", "“x” is no number"), ("", "Give some numbers"), ("1 " * 61, "At most 60 numbers")):
        page.locator("#fed").fill(given)
        expect(page.locator("#fed-refused")).to_contain_text(says)
    page.get_by_role("button", name="Noise").click()
    assert page.locator("#fed-refused").inner_text() == "" and len(page.locator("#fed").input_value().split(",")) == 20
    page.get_by_role("button", name="Alternating").click()
    assert page.locator("#fed").input_value().startswith("1, -1, 1")


def test_a_unit_is_trained_in_view(page):
    before = weights(page)
    page.locator("#pace").select_option("all it can")
    page.locator("#train").click()
    assert page.locator("#train").inner_text() == "Stop"
    updates(page, 30)
    during = weights(page)
    assert during != before and page.locator("#chart-loss path").count() == 1
    updates(page, 300)
    page.locator("#train").click()
    said = page.locator("#trained").inner_text()
    assert page.locator("#train").inner_text() == "Train"
    page.wait_for_timeout(300)
    assert page.locator("#trained").inner_text() == said  # it has stopped
    losses = page.locator("#chart-loss path").get_attribute("d")
    heights = [float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", losses)]
    assert np.mean(heights[-20:]) > np.mean(heights[:5]) + 20  # down on the screen
    assert abs(weights(page)["W.he"]) > 0.5
    page.locator("#reset").click()
    assert weights(page) == before and page.locator("#trained").inner_text() == ""


def test_the_same_seed_trains_the_same_and_another_seed_another(page):
    def trained():
        page.locator("#train").click()
        updates(page, 5)
        page.locator("#train").click()
        done = int(re.search(r"\d+", page.locator("#trained").inner_text())[0])
        return done, weights(page)

    page.locator("#pace").select_option("10")
    page.locator("#reset").click()
    first = weights(page)
    runs = {}
    for _ in range(6):  # until two have stopped at the same update
        done, found = trained()
        page.locator("#reset").click()
        assert weights(page) == first
        if done in runs:
            assert runs[done] == found
            break
        runs[done] = found
    else:
        pytest.skip("no two trainings were stopped at the same update")
    page.locator("#seed").fill("2")
    page.locator("#seed").press("Tab")
    assert weights(page) != first


def test_a_link_opens_the_same_cell_sliders_sequence_and_task(page, open_cells):
    page.locator("#code").fill(LEAK)
    name_is(page, "leak")
    expect(page.locator("#sliders label")).to_have_count(6)
    set_weight(page, "b.f", 3.25)
    page.locator("#fed").fill("1, 0, 0")
    page.locator("#task").select_option("adding")
    page.locator("#steps").fill("12")
    page.locator("#steps").press("Tab")
    page.wait_for_url(re.compile("w=[^&]*3.25"))
    again = open_cells(page.url.partition("/#")[2] and "#" + page.url.partition("#")[2])
    name_is(again, "leak")
    expect(again.locator("#sliders label")).to_have_count(6)
    assert again.locator("#code").input_value() == LEAK
    assert weights(again) == weights(page) and weights(again)["b.f"] == 3.25
    for part in ("#fed", "#task", "#steps", "#seed"):
        assert again.locator(part).input_value() == page.locator(part).input_value()
    assert table(again) == table(page)


def test_weights_that_were_set_stay_where_the_next_cell_has_them(page):
    page.locator("#code").fill(LEAK)
    name_is(page, "leak")
    expect(page.locator("#sliders label")).to_have_count(6)
    set_weight(page, "b.f", 3.25)
    page.wait_for_url(re.compile("w=[^&]*3.25"))
    page.locator("#code").fill(LEAK.replace("(1 - f)", "b.h + (1 - f)"))
    expect(page.locator("#sliders label")).to_have_count(7)
    assert weights(page)["b.f"] == 3.25


def test_a_link_of_a_named_cell_is_short(open_cells):
    page = open_cells("#cell=lstm-v2&task=copy&steps=30&seed=7&fed=1,0,0,0")
    name_is(page, "lstm-v2")
    assert (page.locator("#task").input_value(), page.locator("#steps").input_value()) == ("copy", "30")
    assert page.locator("#fed").input_value() == "1,0,0,0" and page.locator("#seed").input_value() == "7"


def test_a_link_that_makes_no_sense_is_no_harm(open_cells):
    page = open_cells("#units=99999&task=<b>&steps=1000&seed=x&w=1,2,x&fed=&tab=flow")
    assert page.locator("#task").input_value() == "two-sequences" and page.locator("#steps").input_value() == "60"
    assert page.locator("#units").input_value() == "4096"
    page = open_cells("#w=1,2")  # of another cell
    assert len(weights(page)) > 10 and all(abs(value) <= 1 for value in weights(page).values())


def test_a_cell_that_no_one_knows_is_said(open_page, writing):
    open_page.until = "#code"
    page = open_page(f"{writing.address}#cell=lstm-v9")
    expect(page.locator("#refused")).to_contain_text("no cell is called 'lstm-v9'", timeout=30_000)


def test_a_formula_stands_out_when_its_quantity_is_chosen(page):
    page.locator("#cell-drawing .valve[data-name=o]").focus()
    page.keyboard.press("Enter")
    assert page.locator("#formulas .chosen").inner_text().strip().startswith("oₜ =")


def test_all_of_it_can_be_reached_and_used_with_the_keyboard(page):
    page.locator("#code").focus()
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate("document.activeElement.id || document.activeElement.dataset?.feed || document.activeElement.tagName")
        )
    assert {"formulas", "units", "task", "steps", "seed", "pace", "train", "reset", "fed", "at", "impulse"} <= seen
    slider = page.locator("#sliders input[type=range]").first
    slider.focus()
    value = weights(page)["W.ie"]
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert weights(page)["W.ie"] == pytest.approx(value + 0.05, abs=0.011)
    page.locator("#train").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#train")).to_have_text("Stop")
    page.keyboard.press(" ")
    expect(page.locator("#train")).to_have_text("Train")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(400, 800), (1280, 800), (1920, 1080)])
def test_it_fits_every_width_in_both_themes(open_cells, width, height, scheme):
    page = open_cells("#cell=lstm-v3", width, scheme, height)
    page.wait_for_selector("#chart-back path")
    check_width(page, width, scheme)
    check_targets(page, "button, input, select, summary")
    if width > 1000:  # equations, drawing and what follows from them are seen at once
        for part in ("#code", "#cell-drawing svg", "#formulas", "#decay-plot svg"):
            box = page.locator(part).bounding_box()
            assert box["y"] + box["height"] <= height, part
        page.locator("#one-unit").scroll_into_view_if_needed()
        page.evaluate("document.querySelector('#one-unit').scrollIntoView()")
        for part in ("#train", "#sliders label:last-child", "#chart-states", "#chart-loss"):
            box = page.locator(part).bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= height, part


def test_the_page_of_a_run_has_it_as_one_more_tab(open_cells, open_page, server):
    open_page.until = "#words .word"
    page = open_page(server.address)
    page.set_default_timeout(30_000)
    page.get_by_role("tab", name="The cell").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#cell-drawing svg")
    assert page.locator("#reading").is_hidden() and "tab=write" in page.url
    page.locator("#cell-menu").select_option("gru")
    name_is(page, "gru")
    page.locator("#at").focus()
    page.keyboard.press("ArrowLeft")  # a step of the unit, and no step through the words
    expect(page.locator("#at-says")).to_have_text("19")
    page.get_by_role("tab", name="The cell").click()
    assert page.locator("#reading").is_visible() and page.locator("#view-write").is_hidden()
    assert page.locator("#words li.current").evaluate("e => [...e.parentNode.children].indexOf(e)") == 1
    open_page.until = "#cell-drawing svg"
    again = open_page(page.url + "&tab=write")
    name_is(again, "gru")


def test_a_translators_page_has_it_too(open_page, translating):
    page = open_page(translating.address)
    page.set_default_timeout(30_000)
    assert page.locator("#tabs [role=tab]").filter(visible=True).all_inner_texts() == ["The cell", "Write a cell"]
    page.get_by_role("tab", name="Write a cell").click()
    page.wait_for_selector("#cell-drawing svg")


def test_a_saved_page_has_no_such_tab(open_page, server, tmp_path):
    _, html = server.ask("api/page", {"hash": "tab=write", "questions": []})
    (tmp_path / "saved.html").write_text(html)
    page = open_page((tmp_path / "saved.html").as_uri(), offline=True)
    assert page.locator("#view-cell").is_visible() and page.locator("#tab-write").count() == 0


def test_the_first_questions_facts_are_json_of_finite_numbers(writing):
    """What the page reads has no NaN in it, which JSON.parse refuses."""
    text = LEAK.replace("f * h", "exp(9 * h) * h")
    _, found = writing.ask("api/decay", {"text": text})
    json.dumps(found, allow_nan=False)
