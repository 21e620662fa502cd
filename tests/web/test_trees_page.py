"""The page of trees in headless Chromium: chosen, typed, filled level by level, read by pointer and keys."""

import re

import pytest
from page_looks import check_targets, check_width

from carousel import LabellerRun

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
expect = sync_api.expect
SUM = "[SM 5 [MAX 2 9 [MIN 4 7 ] 0 ] 8 ]"


@pytest.fixture
def open_trees(open_page, growing):
    """``open_trees(hash="", …)``: the page of trees whose nodes have labels, when one is drawn."""

    def begin(hash="", address=growing.address, **how):
        open_page.until = "#tree .node"
        return open_page(address + hash, **{"width": 1280, "height": 800} | how)

    return begin


def count(page, which):
    return page.locator(f"#tree .node{which}").count()


def drawn(page, node):
    """The colour of a node."""
    return page.evaluate(f"document.querySelector('#tree [data-node=\"{node}\"] .disc').style.fill")


def test_a_tree_fills_from_its_leaves(open_trees, growing):
    page = open_trees("#number=5")
    _, found = growing.ask("api/tree", {"number": 5, "name": "h"})
    heights, top = found["heights"], max(found["heights"])
    assert count(page, "") == count(page, ".read") == len(heights) and top > 1
    page.get_by_role("button", name="The leaves").click()
    assert count(page, ".read") == heights.count(0)
    expect(page.locator("#level-says")).to_have_text(f"0 of {top}")
    expect(page.locator("#verdict")).to_be_hidden()
    page.get_by_role("button", name="Level above").click()
    assert count(page, ".read") == sum(h <= 1 for h in heights)
    page.locator("#reading").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#level-says")).to_have_text(f"2 of {top}")
    page.keyboard.press("Home")
    expect(page.locator("#level-says")).to_have_text(f"0 of {top}")
    page.locator("#level").fill(str(top))
    assert count(page, ".read") == len(heights)
    page.locator("#speed").fill("20")
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#level")).not_to_have_value(str(top))
    expect(page.locator("#level")).to_have_value(str(top))
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_a_slider_goes_through_the_weights_that_were_kept(open_trees, growing):
    page = open_trees("#number=5")
    expect(page.locator("#weights-says")).to_have_text("best")
    asked = {"part": "test", "number": 5, "name": "h", "layer": 0}
    for place, which, says in ((0, "0@0", "step 0"), (2, "0@40", "step 40")):
        with page.expect_response("**/api/tree") as answered:
            page.locator("#weights").fill(str(place))
        assert answered.value.json() == growing.ask("api/tree", asked | {"model": which})[1]
        expect(page.locator("#weights-says")).to_have_text(says)
    assert "model=0%4040" in page.url
    again = open_trees("#number=5&model=0@40")
    expect(again.locator("#weights")).to_have_value("2")
    other = open_trees("#number=5&model=0@41")  # weights that are not there
    expect(other.locator("#weights-says")).to_have_text("best")


def test_weights_that_cannot_be_chosen_have_no_slider(open_trees, computing):
    assert open_trees("", computing.address).locator("#weights").is_hidden()


def test_nodes_have_the_colours_of_the_unit_that_is_chosen(open_trees, of_trees, growing):
    page = open_trees("#number=5&see=m&layer=1&unit=3")
    _, found = growing.ask("api/tree", {"number": 5, "name": "m", "layer": 1})
    values = [units[3] for units in found["values"]]
    colours = {k: drawn(page, k) for k in (values.index(min(values)), values.index(max(values)))}
    assert len(set(colours.values())) == 2
    page.locator("#unit").fill("4")
    page.keyboard.press("Enter")
    expect(page.locator("#tree-title")).to_have_text("Message m, unit 4")
    assert colours != {k: drawn(page, k) for k in colours}
    page.locator("#see").select_option("i")
    expect(page.locator("#tree-title")).to_have_text("Input valve i, unit 4")
    expect(page.locator("#legend")).to_contain_text("1.00")
    page.locator("#layer").select_option("0")
    expect(page).not_to_have_url(re.compile("layer=1"))


def test_a_node_tells_its_value_its_span_and_its_labels(open_trees, of_trees):
    page = open_trees("#number=5&see=h&unit=2")
    run = LabellerRun(of_trees)
    view = run.view(run.sequences("test").row(5), "h", 0)
    tree = page.locator("#tree")
    tree.focus()
    page.keyboard.press("ArrowDown")
    says = page.locator("#node").inner_text()
    span = " ".join(view.tokens[1 : view.ends[1]])
    value = f"{view.unit(2)[1]:.3f}".replace("-", "−")
    assert says.startswith(f"{span}: h[2] = {value}. Label {view.labels[1]}, ")
    assert says.endswith("which is right." if view.labels[1] == view.right[1] else f"meant {view.right[1]}.")
    within = page.locator("#running .within").all_inner_texts()
    assert " ".join(within) == span
    page.keyboard.press("ArrowUp")
    assert page.locator("#running .within").count() == len(view)
    page.keyboard.press("Escape")
    assert page.locator("#running .within").count() == 0
    page.locator("#tree [data-node='1'] .disc").hover()
    assert page.locator("#node").inner_text() == says


def test_the_verdict_is_that_of_the_run(open_trees, of_trees):
    run = LabellerRun(of_trees)
    for number in range(3):
        view = run.view(run.sequences("test").row(number), "h")
        right = sum(a == b for a, b in zip(view.labels, view.right, strict=True))
        says = open_trees(f"#number={number}").locator("#verdict").inner_text()
        assert f"Root\n{view.labels[0]}" in says and f"{right} of {len(view)} nodes right" in says


def test_an_expression_is_typed_and_another_is_chosen(open_trees, open_page, computing):
    page = open_trees(address=computing.address)
    field = page.locator("#text")
    expect(field).to_have_value(computing.ask("api/tree", {"number": 0, "name": "h"})[1]["text"])
    field.fill(SUM)
    page.keyboard.press("Enter")
    expect(page.locator("#running")).to_have_text(SUM)
    expect(page.locator("#verdict")).to_contain_text("right" if page.locator(".is-right").count() else "meant 2")
    page.locator("#number").fill("4")
    page.keyboard.press("Enter")
    expect(page.locator("#running")).to_have_text(computing.ask("api/tree", {"number": 4, "name": "h"})[1]["text"])
    page.get_by_role("button", name="Another").click()
    expect(page).not_to_have_url(re.compile("number=4"))
    open_page.expected = "400 (Bad Request)"
    field.fill("[MAX 2")
    field.press("Enter")
    expect(page.locator("#message")).to_contain_text("leaves brackets open")


def test_the_map_chooses_the_unit(open_trees):
    page = open_trees("#number=5")
    page.locator("#map").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    unit = (
        page.locator("#map")
        .evaluate("c => c.closest('figure').querySelector('.readout').textContent")
        .split("unit ")[1]
        .split()[0]
    )
    page.keyboard.press("Enter")
    expect(page.locator("#unit")).to_have_value(unit)


def test_a_link_opens_what_is_seen(open_trees):
    page = open_trees("#number=3&see=m&unit=5&level=1&layer=1")
    expect(page.locator("#level")).to_have_value("1")
    assert [page.locator(f"#{k}").input_value() for k in ("number", "see", "unit", "layer")] == ["3", "m", "5", "1"]
    other = open_trees("#number=3&see=q&unit=99&level=99&layer=7&part=x")
    assert other.locator("#see").input_value() == "h" and other.locator("#layer").input_value() == "1"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (400, 800)])
def test_it_fits_laptops_and_phones_light_and_dark(open_trees, size, scheme):
    width, height = size
    page = open_trees("#number=5", width=width, height=height, scheme=scheme)
    check_width(page, width, scheme)
    check_targets(page)
