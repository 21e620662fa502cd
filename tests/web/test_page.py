"""The page as a person uses it, in headless Chromium: type, step, clamp, replace, compare, link, save."""

import re

import pytest
from page_acts import compare, same_texts, valve, words
from page_looks import check_targets, check_width

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

TEXT = "the boy who waits near the king lost his hat"
OTHER = TEXT.replace("boy", "girl")
WIDTHS = (400, 1000, 2000)


@pytest.fixture
def page(open_page, server):
    return open_page(server.address)


def test_a_typed_text_is_read(page, server):
    page.locator("#text").fill("the girl who sings")
    page.get_by_role("button", name="Read", exact=True).click()
    sync_api.expect(page.locator("#words .word")).to_have_count(5)
    assert words(page)[1:] == ["the", "girl", "who", "sings"]
    _, found = server.ask("api/watch", {"text": "the girl who sings", "predictions": 8})
    shown = page.locator("#run-a .predictions .word").all_inner_texts()
    assert shown == [w.replace("<eos>", "¶") for w, _ in found["predictions"][1]]


def test_enter_reads_a_text_and_with_shift_begins_a_line(page):
    page.locator("#text").fill("the girl")
    page.locator("#text").press("Shift+Enter")
    assert page.locator("#text").input_value() == "the girl\n"
    page.locator("#text").press_sequentially("sings")
    page.locator("#text").press("Enter")
    sync_api.expect(page.locator("#words .word")).to_have_count(5)
    assert page.locator("#text").input_value() == "the girl\nsings"


def test_valves_show_their_mean_at_each_word(page, server):
    _, found = server.ask("api/watch", {"text": TEXT})
    for step in (1, 2, 3):
        for name in "ifo":
            units = found["values"][name][0][step]
            mean = sum(units) / len(units)
            shown = valve(page, name).locator(".value").text_content()
            assert float(shown) == pytest.approx(mean, abs=0.0051)
            says = valve(page, name).get_attribute("aria-label")
            assert says.startswith(f"valve {name} σ {shown}, mean opening: {name}ₜ = logistic(")
        page.locator("[data-go=on]").click()
    page.locator("#layer").select_option(index=1)
    for name in "ifo":
        means = [sum(layer[4]) / 9 for layer in found["values"][name]]
        assert float(valve(page, name).locator(".value").text_content()) == pytest.approx(means[1], abs=0.0051)
    assert abs(means[0] - means[1]) > 0.02  # of o: the layers can be told apart


def test_stepping_with_keys(page):
    page.locator("#now").click()
    for pressed, place in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 10), ("Home", 0)):
        page.keyboard.press(pressed)
        assert page.locator("#words li.current").evaluate("e => [...e.parentNode.children].indexOf(e)") == place
    assert page.locator("#now").inner_text() == "Before the first word"


def test_playing_goes_on_to_the_end_and_stops(page):
    page.locator("#speed").fill("4")
    page.locator("[data-go=first]").click()
    for _ in range(7):
        page.locator("[data-go=on]").click()
    page.locator("#now").click()
    page.keyboard.press(" ")
    assert page.locator("#play").inner_text() == "Pause"
    sync_api.expect(page.locator("#play")).to_have_text("Play")
    assert "hat" in page.locator("#now").inner_text()


def test_the_space_bar_presses_the_button_that_has_the_focus(page):
    page.locator("[data-go=on]").focus()
    page.keyboard.press(" ")
    sync_api.expect(page.locator("#words li.current")).to_contain_text("boy")
    assert page.locator("#play").inner_text() == "Play"


def test_a_replaced_word_makes_a_second_run_beside_the_first(page, server):
    compare(page, "boy", "girl")
    assert words(page, "b")[1:] == OTHER.split() and words(page)[1:] == TEXT.split()
    page.locator("[data-go=last]").click()
    (_, a), (_, b) = (server.ask("api/watch", {"text": t}) for t in (TEXT, OTHER))
    for run, found in (("a", a), ("b", b)):
        units = found["values"]["f"][0][-1]
        assert float(valve(page, "f", run).locator(".value").text_content()) == pytest.approx(sum(units) / 9, abs=0.0051)
    assert page.locator("#map-d").is_visible()
    tables = page.locator("#changes table")
    sync_api.expect(tables).to_have_count(2)  # drawn a moment later, where steps come fast
    assert "hat" in tables.nth(1).inner_text()


def test_the_difference_can_be_read_with_the_keyboard(page, server):
    compare(page, "boy", "girl")
    page.locator("#order").select_option("index")
    page.locator("#map-d canvas").focus()
    for pressed in ["ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown"]:
        page.keyboard.press(pressed)
    (_, a), (_, b) = (server.ask("api/watch", {"text": t}) for t in (TEXT, OTHER))
    expected = b["values"]["h"][0][3][3] - a["values"]["h"][0][3][3]
    said = page.locator("#map-d .readout").inner_text().replace("−", "-")
    assert said.startswith("“who”, unit 3: B - A = ")
    assert float(said.rpartition(" ")[2]) == pytest.approx(expected, abs=0.00051)


def test_a_clicked_valve_is_clamped(page, server):
    valve(page, "f").click()
    assert page.locator("#clamp-title").inner_text() == "Clamp f"
    page.locator("#clamp-value").fill("0.125")
    page.locator("#clamp-units").fill("0, 2-4")
    page.locator("#clamp-from").select_option("2")
    page.locator("#clamp-to").select_option("5")
    page.locator("#clamp-layer").select_option(index=1)
    page.get_by_role("button", name="Clamp and compare").click()
    page.wait_for_selector("#words .word.b")
    clamp = {"name": "f", "value": 0.125, "units": [0, 2, 3, 4], "from": 2, "to": 5, "layer": 0}
    _, b = server.ask("api/watch", {"text": TEXT, "clamps": [clamp]})
    for step, held in ((3, True), (5, False)):
        page.locator("#words .word.a").nth(step).click()
        mean = sum(b["values"]["f"][0][step]) / 9
        assert float(valve(page, "f", "b").locator(".value").text_content()) == pytest.approx(mean, abs=0.0051)
        assert ("clamped" in valve(page, "f", "b").get_attribute("class")) is held
        assert "clamped" not in valve(page, "f").get_attribute("class")
    page.get_by_role("button", name=re.compile("Take back: f")).click()
    sync_api.expect(page.locator("#run-b")).to_be_hidden()


def test_a_valve_answers_to_the_keyboard(page):
    valve(page, "o").focus()
    page.keyboard.press("Enter")
    assert page.locator("#clamp-title").inner_text() == "Clamp o"
    assert "Output valve o" in page.locator("#maps-title").inner_text()


def test_the_gradient_flow_is_drawn_and_stands_in_a_table(page, server):
    page.get_by_role("tab", name="Gradient flow").click()
    page.wait_for_selector("#flow-plot .curve")
    _, found = server.ask("api/gradients", {"text": TEXT})
    assert page.locator("#flow-plot path.curve").count() == 4  # two states in two layers
    page.get_by_text("The numbers").click()
    rows = page.locator("#flow-table tbody tr")
    assert rows.count() == len(found["words"])
    assert float(rows.nth(1).locator("td").first.inner_text()) == pytest.approx(found["size"]["m"][0][-2], rel=0.01)
    page.keyboard.press("Shift+Tab")
    page.locator("#tab-flow").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#tab-cell").get_attribute("aria-selected") == "true"


def test_any_word_is_followed_back_and_each_word_depends_on_those_before(page, server):
    page.get_by_role("tab", name="Gradient flow").click()
    page.wait_for_selector("#depends-legend .ramp")
    page.locator("#flow-end").select_option("4")
    sync_api.expect(page.locator("#flow-says")).to_contain_text(f"The error of “{TEXT.split()[3]}”")
    assert "end=4" in page.url
    page.locator("#depends-name").select_option("f")
    sync_api.expect(page.locator("#depends-legend b")).to_have_text("|∂L/∂f|, layer 0")
    page.locator("#depends").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    size = server.ask("api/connectivity", {"text": TEXT, "name": "f"})[1]["size"]["f"][0][2][0]
    sync_api.expect(page.locator("section:has(#depends) .readout")).to_have_text(f"“{TEXT.split()[2]}” by “¶”: {size:.3f}")


def test_units_of_one_run_are_put_into_the_other(page, server):
    compare(page, "boy", "girl")
    page.get_by_role("button", name="Find the units").click()
    page.wait_for_selector("#patch-legend .ramp")
    found = server.ask("api/patch", {"text": TEXT, "other": TEXT.replace("boy", "girl"), "name": "h", "layer": 0})[1]
    said = page.locator("#patch-says").inner_text()
    assert re.search(rf"{len(found['units'])} units? of h, put in at \S.*: \d+ % of the difference", said)
    page.locator("#patch-units").focus()
    page.keyboard.press("ArrowDown")
    says = page.locator("section:has(#patch-units) .readout").inner_text()
    assert says.startswith(" ".join(map(str, found["groups"][0]))) and says.endswith("% of the difference")
    page.get_by_role("button", name=re.compile("Take back: boy")).click()
    sync_api.expect(page.locator("#patch-go")).to_be_hidden()


def test_a_link_shows_the_same_again(page, open_page):
    compare(page, "boy", "girl")
    valve(page, "i").click()
    page.get_by_role("button", name="Clamp and compare").click()
    page.wait_for_selector(".chip >> nth=1")
    page.locator("[data-go=last]").click()
    page.wait_for_url(re.compile("step=10"))  # the address says so when the steps rest
    again = open_page(page.url)
    again.wait_for_selector("#words .word.b")
    same_texts(again, page, ("#words", "#changed", "#now", "#run-b", "#changes", "#chosen-facts"))


def test_a_copied_link_holds_the_step_that_is_seen(page):
    """The address follows a run through the text with some delay; the link does not."""
    copied = """() => {
      document.querySelector("[data-go=last]").click();
      document.querySelector("#copy").click();
      return location.hash;
    }"""
    assert "step=10" in page.evaluate(copied)


def test_a_link_that_makes_no_sense_is_no_harm(open_page, server):
    page = open_page(f"{server.address}#step=9999&layer=77&see=<b>&clamps=[[1]]&tab=x")
    assert words(page)[1:] == TEXT.split()


def test_what_the_server_refuses_is_said(page, open_page):
    open_page.expected = "the server responded with a status of 400"  # which Chromium logs by itself
    page.locator("#text").fill("the " * 501)
    page.locator("#text").press("Enter")
    page.wait_for_selector("#message:not([hidden])")
    assert "at most 500" in page.locator("#message").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_every_width_in_both_themes(open_page, server, width, scheme):
    page = open_page(f"{server.address}#other={OTHER.replace(' ', '+')}&step=3", width, scheme)
    page.wait_for_selector("#words .word.b")
    check_width(page, width, scheme)
    check_targets(page)


def test_a_translation_is_followed_from_one_language_into_the_other(open_page, translating):
    page = open_page(translating.address)
    _, found = translating.ask("api/watch", {"text": TEXT})
    assert words(page) == [w.replace("<eos>", "¶") for w in found["words"]]
    assert page.locator("#translations p").inner_text().strip() == found["translation"]
    assert page.locator("#tab-flow").is_hidden()
    page.locator("#words .word.a").first.click()  # the sentence begins at once, so its first word can be replaced
    page.locator("#replacement").fill("a")
    page.keyboard.press("Enter")
    page.wait_for_selector("#words .word.b")
    _, other = translating.ask("api/watch", {"text": "a" + TEXT[3:]})
    assert page.locator("#changed .chip").inner_text().splitlines()[0].removesuffix("×").strip() == "the → a"
    assert page.locator("#translations p").nth(1).inner_text().removeprefix("B").strip() == other["translation"]
    page.locator(f"#words li:nth-child({found['source'] + 1}) .word.a").click()
    assert page.locator("#now").inner_text() == "Before the first word is written"
    assert page.locator("#replacement").is_disabled()
    shown = page.locator("#run-a .predictions .word").all_inner_texts()
    assert shown == [w.replace("<eos>", "¶") for w, _ in found["predictions"][found["source"]]]


def test_a_pyramid_takes_its_steps_at_the_last_word_of_each(open_page, narrowing):
    page = open_page(narrowing.address + "#see=h&layer=1&step=0")
    _, found = narrowing.ask("api/watch", {"text": TEXT})
    rows = found["values"]["h"][1]
    assert [row[0] is None for row in rows[: found["source"]]] == [k % 2 == 0 for k in range(found["source"] - 1)] + [False]
    assert all(not any(row[:-1:2]) for row in found["attention"])
    assert page.locator("#chosen-facts").inner_text() == "this layer takes no step here"
    page.locator("#words .word.a").nth(1).click()
    assert page.locator("#chosen-facts").inner_text().startswith("mean ")


def test_a_valve_that_is_shut_changes_the_translation(open_page, translating):
    page = open_page(translating.address)
    valve(page, "f").click()
    page.locator("#clamp-from").select_option("3")
    page.get_by_role("button", name="Clamp and compare").click()
    page.wait_for_selector("#words .word.b")
    clamp = {"name": "f", "value": 0, "from": 3}
    _, other = translating.ask("api/watch", {"text": TEXT, "clamps": [clamp]})
    assert page.locator("#translations p").nth(1).inner_text().removeprefix("B").strip() == other["translation"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as one HTML file").click()
    saved = open_page(download.value.path().rename(download.value.path().with_suffix(".html")).as_uri(), offline=True)
    assert saved.locator("#translations").inner_text() == page.locator("#translations").inner_text()
    saved.locator("#text").fill(OTHER)  # alive: it translates what it was never asked before
    saved.get_by_role("button", name="Read", exact=True).click()
    sync_api.expect(saved.locator("#words .word.a").nth(1)).to_have_text(re.compile("girl"))


def test_a_clamp_is_labelled_with_the_words_that_it_holds(page, server):
    compare(page, "boy", "very old boy")
    valve(page, "f").click()
    page.locator("#clamp-from").select_option("5")
    page.get_by_role("button", name="Clamp and compare").click()
    page.wait_for_selector(".chip >> nth=1")
    word = words(page, "b")[5]
    assert f"from “{word}”" in page.locator(".chip").nth(1).inner_text() and word == "who"


def test_a_word_that_only_the_other_run_has_can_be_replaced(page):
    compare(page, "boy", "very old boy")
    extra = page.locator("#words li", has_text="–").locator(".word.b").first
    word = extra.locator(".text").inner_text()
    extra.click()
    assert page.locator("#replaced").inner_text() == page.locator("#replacement").input_value() == word
    page.locator("#replacement").fill("rather")
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("#changed .chip")).to_contain_text("rather")


def test_a_replaced_piece_leaves_the_rest_of_the_text_alone(open_page, pieces):
    page = open_page(f"{pieces.address}#text=the+boy+lost+😀+it")
    compare(page, " ?lost", "found")
    assert "other=the+boy+found+%F0%9F%98%80+it" in page.url


def test_units_that_run_backwards_are_refused(page):
    valve(page, "f").click()
    page.locator("#clamp-units").fill("3-1")
    page.get_by_role("button", name="Clamp and compare").click()
    page.wait_for_selector("#message:not([hidden])")
    assert "Units are numbers" in page.locator("#message").inner_text()
