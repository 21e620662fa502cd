"""The page in a lecture hall: all together on the screen, smooth steps, one unit over the words; in headless Chromium."""

import json
import re
from itertools import pairwise

import pytest
from page_post import Post

import carousel
from carousel.corpora import english
from carousel.corpora.annotated import read_sentences

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

TEXT = "the boy who waits near the king lost his hat"
UNIT = 3


@pytest.fixture
def page(open_page, server):
    return open_page(f"{server.address}#see=h&step=2", 1280, height=800)


def choose(page, unit=UNIT):
    page.locator("#unit-number").fill(str(unit))
    page.wait_for_selector("#unit-tracks .track")


@pytest.mark.parametrize("width", [1280, 400])
def test_words_steps_valves_and_quantity_are_on_the_screen_together(open_page, server, width):
    page = open_page(server.address, width, height=800)
    parts = ["#words .current", "[data-go=on]", "#see", "#maps-title", "#map-a .heads .now"]
    parts += [f"#run-a .valve[data-name={name}]" for name in "ifo"]
    for part in parts:
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, part
        assert box["y"] >= 0 and box["y"] + box["height"] <= 800, part
    page.evaluate("scrollTo(0, 300)")
    for part in ("#words .current", "[data-go=on]"):  # these stay
        box = page.locator(part).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 800, part


def test_a_step_paints_no_map_and_makes_no_words_anew(page):
    page.evaluate("""() => {
        const paint = CanvasRenderingContext2D.prototype.putImageData;
        window.painted = 0;
        CanvasRenderingContext2D.prototype.putImageData = function (...given) {
            window.painted += 1;
            paint.apply(this, given);
        };
        window.before = [...document.querySelectorAll("#words li, #map-a span, .predictions li")];
    }""")
    choose(page)
    at = [page.locator("#map-a .mark.now").bounding_box()["x"]]
    for _ in range(4):
        page.locator("[data-go=on]").click()
        at.append(page.locator("#map-a .mark.now").bounding_box()["x"])
    assert at == sorted(set(at)) and page.evaluate("window.painted") == 0
    assert page.evaluate("window.before.every((element) => element.isConnected)")
    page.locator("#see").select_option("f")
    assert page.evaluate("window.painted") == 1


def test_words_over_a_map_can_be_read_however_many_there_are(open_page, server):
    page = open_page(f"{server.address}#text={'+'.join(['the+boy+waits+near'] * 50)}&step=77")
    shown = "[...document.querySelectorAll('#map-a .heads span:not([hidden])')].map((e) => parseFloat(e.style.left))"
    left = page.evaluate(shown)
    assert 10 < len(left) < 200 and min(b - a for a, b in pairwise(left)) >= 17
    assert page.locator("#map-a .heads b").inner_text() == "the"  # the word that is seen has its label always
    page.get_by_label("A label for every word").check()
    left = page.evaluate(shown)
    assert len(left) > 190 and min(b - a for a, b in pairwise(left)) >= 17
    frame, now = page.locator("#map-a .map").bounding_box(), page.locator("#map-a .mark.now").bounding_box()
    assert frame["x"] <= now["x"] <= frame["x"] + frame["width"]  # the map goes along


def test_what_is_typed_is_read_as_it_is_typed(page, server):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("watch") else None)
    page.locator("#text").fill("")
    page.keyboard.type("the girl who", delay=10)
    sync_api.expect(page.locator("#words .word .text")).to_have_text(["¶", "the", "girl", "who"])
    assert "who" in page.locator("#words .current").inner_text()  # at the caret
    assert len(asked) < len("the girl who") and page.locator("#text").evaluate("e => e === document.activeElement")


def test_a_row_of_the_map_chooses_its_unit(page, server):
    page.locator("#order").select_option("index")
    canvas = page.locator("#map-a canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * 4.5 / 11, "y": box["height"] * (UNIT + 0.5) / 9})
    assert page.locator("#unit-number").input_value() == str(UNIT)
    assert page.locator("#now").inner_text() == "Word 4 of 10: waits"
    _, found = server.ask("api/watch", {"text": TEXT})
    for name in "hmifo":
        shown = page.locator(f".track[data-name={name}] .values").inner_text().replace("−", "-")
        assert float(shown) == pytest.approx(found["values"][name][0][4][UNIT], abs=0.0051)
    after = [units[UNIT] for units in found["values"]["h"][0]]
    highest = found["words"][after.index(max(after))]
    assert f"Highest after “{highest}” ({max(after):.2f})".replace("-", "−") in page.locator("#unit-facts").inner_text()
    rows = page.locator("#unit-gates tbody tr").all_inner_texts()
    for name, row in zip("ifo", rows, strict=True):
        gate = [units[UNIT] for units in found["values"][name][0]]
        moves = [k for k in range(1, len(gate)) if abs(gate[k] - gate[k - 1]) > 0.25]
        counts = [sum(v < 0.1 for v in gate), sum(v > 0.9 for v in gate), len(moves)]
        assert [int(c) if c.isdecimal() else 0 for c in re.findall(r"\t(\d+|–)", row)] == counts
    assert page.evaluate("new Set([...document.querySelectorAll('#words .text')].map((e) => e.style.background)).size") > 3
    assert f"unit={UNIT}" in page.url
    page.locator("#unit-text [data-place='6']").click()
    assert "the" in page.locator("#now").inner_text()


def test_a_unit_is_chosen_and_clamped_with_keys_alone(page, server):
    page.locator("#order").select_option("index")
    page.locator("#map-a canvas").focus()
    for pressed in ["ArrowDown", *["ArrowDown"] * UNIT, "Enter"]:
        page.keyboard.press(pressed)
    assert page.locator("#unit-number").input_value() == str(UNIT)
    page.locator("#unit-below").focus()
    page.keyboard.press("Enter")
    assert page.locator("#unit-number").input_value() == str(UNIT + 1)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # clamp it
    page.keyboard.type("0.5")
    page.keyboard.press("Enter")
    page.wait_for_selector("#words .word.b")
    assert f"h = 0.50, unit {UNIT + 1}, layer 0, from “boy”" in page.locator("#changed").inner_text()
    assert page.locator("#unit-tracks .line.b").count() == 5 and page.locator("#unit-text p").count() == 2
    page.locator("#unit-close").focus()
    page.keyboard.press("Enter")
    assert page.locator("#unit-body").is_hidden() and "unit=" not in page.url


@pytest.fixture(scope="module")
def annotated(tmp_path_factory):
    """A run that was trained a little on the corpus with agreement, and its annotated sentences."""
    room = tmp_path_factory.mktemp("agree")
    given = [*english.sentences(150, seed=3)]
    (room / "text.txt").write_text("\n".join(s.text for s in given) + "\n")
    (room / "labels.jsonl").write_text("".join(json.dumps({"words": s.words, "labels": s.labels}) + "\n" for s in given))
    how = {"feed": "sentences", "length": 40, "epochs": 1, "hidden": 9, "embedding": 8}
    return carousel.train(room / "text.txt", room / "run", cell="lstm-v3", **how), room / "labels.jsonl"


def test_the_corpus_and_a_probe_tell_of_the_unit(annotated, serve, open_page):
    run, labels = annotated
    served = serve(run.folder, corpus=labels)
    page = open_page(f"{served.address}#see=h")
    choose(page)
    page.locator(".probes summary").click()
    rows = page.locator(".probes tbody tr")
    wanted = run.probe_unit(labels, UNIT, name="h")
    sync_api.expect(rows).to_have_count(len(wanted))
    assert served.ask("api/probe", {"name": "h", "unit": UNIT})[1]["probes"] == [p.as_dict() for p in wanted]
    for row, probe in zip(rows.all_inner_texts(), wanted, strict=True):
        cells = row.split("\t")
        right, above = (float(x.strip("()%").replace("−", "-")) for x in re.findall(r"\(?[+−\d.]+", cells[1]))
        assert cells[0] == probe.of and right == pytest.approx(100 * probe.score, abs=0.51)
        assert above == pytest.approx(100 * (probe.score - max(probe.majority, probe.control)), abs=0.51)
    page.locator(".extremes summary").click()
    highest, lowest = run.indexed(read_sentences(labels)).unit(UNIT)
    sync_api.expect(page.locator(".extremes figure")).to_have_count(10)
    first = page.locator(".extremes figure").first
    assert first.locator("figcaption").inner_text() == f"Line {highest[0].line}: {highest[0].value:.3f}".replace("-", "−")
    assert f" {lowest[0].value:.3f}".replace("-", "−") in page.locator(".extremes figcaption").nth(5).inner_text()
    assert first.locator("td.inside").first.inner_text() == highest[0].words[highest[0].first]
    page.locator("#unit-number").fill(str(UNIT + 1))  # what is opened stays so, for another unit
    other = run.probe_unit(labels, UNIT + 1, name="h")
    sync_api.expect(rows.first.locator("th")).to_have_text(other[0].of)
    wanted = ", ".join(f"{label} {mean:.2f}".replace("-", "−") for label, mean in other[0].means.items())
    sync_api.expect(rows.first.locator("td").last).to_have_text(wanted)


def test_without_labels_the_panel_says_where_a_probe_comes_from(page, server):
    choose(page)
    assert "With labels beside the corpus" in page.locator("#unit-more").inner_text()
    status, found = server.ask("api/probe", {"name": "h", "unit": 2})
    assert status == 400 and "corpus with labels" in found["error"]


def test_a_late_answer_about_another_unit_is_dropped(annotated, serve, open_page):
    run, labels = annotated
    open_page.expected = "the server responded with a status of 400"
    page = open_page(f"{serve(run.folder, corpus=labels).address}#see=h")
    choose(page)
    post = Post(page, "find")
    post.hold_next()
    page.locator(".extremes summary").click()
    post.wait()
    page.locator("#unit-number").fill(str(UNIT + 1))
    sync_api.expect(page.locator(".extremes figure")).to_have_count(10)
    before = page.locator(".extremes").inner_text()
    post.deliver()
    assert page.locator(".extremes").inner_text() == before
    post.refusal = "the states of the corpus cannot be written"
    page.locator("#unit-number").fill(str(UNIT + 2))
    sync_api.expect(page.locator(".extremes p")).to_have_text(post.refusal)
