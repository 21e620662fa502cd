"""The page of a transcriber in headless Chromium: spikes under the input, memories that fill, read by pointer and keys."""

import re

import pytest
from page_looks import check_targets, check_width

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
expect = sync_api.expect
CORNERS = ["top left", "top right", "bottom left", "bottom right"]
FILLED = """c => {
  const copy = new OffscreenCanvas(c.width, c.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(c, 0, 0);
  const { data, width, height } = copy.getImageData(0, 0, c.width, c.height);
  return Array.from({ length: height }, (_, r) => Array.from({ length: width }, (_, k) => data[4 * (r * width + k) + 3] > 0));
}"""


@pytest.fixture
def open_example(open_page):
    """``open_example(server, hash="", …)``: the page of a transcriber, when an example and a memory are seen."""

    def begin(server, hash="", **how):
        open_page.until = "#spikes svg"
        page = open_page(server.address + hash, **{"width": 1280, "height": 800} | how)
        expect(page.locator("#level-says")).not_to_have_text("", timeout=30_000)
        return page

    return begin


def letters(page, which):
    """The labels of a row, each with its place in pixels."""
    found = page.locator(f"#spikes .letter.{which}")
    return [(each.text_content(), float(each.get_attribute("x"))) for each in found.all()]


def test_labels_stand_under_their_spikes(open_example, spelling):
    page = open_example(spelling, "#number=4")
    _, found = spelling.ask("api/example", {"number": 4})
    box, canvas = page.locator("#spikes .aligned").bounding_box(), page.locator("#spikes canvas").bounding_box()
    across = canvas["width"] / len(found["picture"][0])
    for which, places in (("read", found["places"]), ("meant", found["right"])):
        expected = [(p["label"], canvas["x"] - box["x"] + p["peak"] * across) for p in places]  # a step of the output is two
        assert letters(page, which) == [(label, pytest.approx(x, abs=2)) for label, x in expected]
    lines = page.locator("#spikes .line").count()
    assert (
        lines == len({p["label"] for p in [*found["places"], *found["right"]]}) and page.locator("#spikes .blank").count() == 1
    )
    says = page.locator("#verdict").inner_text()
    assert found["text"] in says and ("right" if found["text"] == found["meant"] else f"meant {found['meant']}") in says


def test_a_step_is_read_by_keys(open_example, spelling):
    page = open_example(spelling, "#number=4")
    _, found = spelling.ask("api/example", {"number": 4})
    page.locator("#spikes").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    row = found["probabilities"][2]
    best = max(range(len(row)), key=row.__getitem__)
    name = found["labels"][best - 1] if best else "blank"
    expect(page.locator("#at-step")).to_contain_text(f"Step 2 (of the input 4 to 5): {name} ")
    page.keyboard.press("Escape")
    expect(page.locator("#at-step")).to_contain_text(f"Step {len(found['probabilities']) - 1} ")


def test_a_sequence_is_read_step_by_step(open_example, spelling):
    page = open_example(spelling, "#number=4&level=0")
    _, found = spelling.ask("api/example", {"number": 4})
    steps = len(spelling.ask("api/memory", {"number": 4, "name": "h"})[1]["values"][0])
    expect(page.locator("#level-says")).to_have_text(f"0 of {steps - 1}")
    cover = page.locator("#spikes .cover")
    wide = float(cover.get_attribute("width"))
    assert page.locator("#spikes .letter.unread").count() == len([p for p in found["places"] if p["peak"] >= 2])
    page.get_by_role("button", name="The last step").click()
    expect(page.locator("#level-says")).to_have_text(f"{steps - 1} of {steps - 1}")
    assert float(cover.get_attribute("width")) < 3 < wide and page.locator("#spikes .letter.unread").count() == 0


def test_the_map_of_a_sequence_chooses_the_unit_and_the_direction(open_example, spelling):
    page = open_example(spelling, "#number=4")
    page.locator("#map").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    unit = re.search(r"unit (\d+)", page.locator("#units .readout").inner_text())[1]
    page.keyboard.press("Enter")
    expect(page.locator("#unit")).to_have_value(unit)
    page.locator("#corner").select_option("backwards")
    expect(page.locator("#map")).to_have_attribute("aria-label", re.compile("backwards"))


def test_a_grid_fills_from_its_corners_diagonal_by_diagonal(open_example, scanning):
    page = open_example(scanning, "#number=2&level=5")
    canvases = page.locator(".scan canvas[tabindex]")
    assert page.locator(".scan figcaption").all_inner_texts() == ["The image", *(f"from the {c}" for c in CORNERS)]
    for corner, canvas in zip(CORNERS, canvases.all(), strict=True):
        filled = canvas.evaluate(FILLED)
        rows, columns = len(filled), len(filled[0])
        for r, row in enumerate(filled):
            for c, there in enumerate(row):
                i = r if corner.startswith("top") else rows - 1 - r
                j = c if corner.endswith("left") else columns - 1 - c
                assert there is (i + j <= 5), (corner, r, c)
    page.get_by_role("button", name="Step after").click()
    expect(page.locator("#level-says")).to_have_text(f"6 of {rows + columns - 2}")
    assert sum(map(sum, canvases.first.evaluate(FILLED))) == 28
    page.locator("#speed").fill("30")
    page.locator("#level").fill(str(rows + columns - 6))
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#level-says")).to_have_text(f"{rows + columns - 2} of {rows + columns - 2}")
    assert all(map(all, canvases.first.evaluate(FILLED)))


def test_the_values_of_a_grid_are_those_of_the_server(open_example, scanning):
    page = open_example(scanning, "#number=2&unit=3&corner=bottom right")
    _, found = scanning.ask("api/memory", {"number": 2, "name": "h", "unit": 3})
    canvas = page.locator(".scan canvas[tabindex]")
    assert canvas.count() == 1
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    values = found["values"][3]
    value = f"{values[-1][-1]:.3f}".replace("-", "−")
    expect(page.locator(".scan .readout >> nth=1")).to_have_text(f"row {len(values) - 1}, column {len(values[0]) - 1}: {value}")
    page.locator("#layer").select_option("1")
    expect(page.locator("#level-says")).to_have_text(re.compile("^3[0-9] of|^4[0-9] of"))
    page.locator("#see").select_option("u")
    expect(page.locator("#memory-title")).to_have_text("Valve u, unit 3")


def test_another_example_is_chosen(open_example, spelling):
    page = open_example(spelling)
    page.locator("#number").fill("7")
    page.keyboard.press("Enter")
    _, found = spelling.ask("api/example", {"number": 7})
    expect(page.locator("#verdict b")).to_have_text(found["text"])
    page.locator("#part").select_option("valid")
    _, found = spelling.ask("api/example", {"part": "valid", "number": 0})
    expect(page.locator("#verdict b")).to_have_text(found["text"])
    expect(page).to_have_url(re.compile("part=valid"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (400, 800)])
@pytest.mark.parametrize("kind", ["spelling", "scanning"])
def test_it_fits_laptops_and_phones_light_and_dark(open_example, request, kind, size, scheme):
    width, height = size
    page = open_example(request.getfixturevalue(kind), "#number=2", width=width, height=height, scheme=scheme)
    check_width(page, width, scheme)
    check_targets(page)
