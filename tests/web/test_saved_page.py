"""A page that is one HTML file, a saved one or an exported translator: it computes and says what the server's page does."""

import re

import numpy as np
import pytest
from page_acts import compare, same_texts, valve
from page_looks import check_width

from carousel import Clamp, load
from carousel.web.server import page_of_examples

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

TEXT = "the boy who waits near the king lost his hat"
OTHER = TEXT.replace("boy", "girl")


@pytest.fixture
def page(open_page, server):
    return open_page(server.address)


@pytest.fixture(scope="module")
def file(server, tmp_path_factory):
    """The page as one HTML file, which knows how the error of TEXT flows back."""
    question = f'api/gradients {{"text":"{TEXT}"}}'
    status, html = server.ask("api/page", {"hash": "", "questions": [question]})
    assert status == 200
    path = tmp_path_factory.mktemp("saved") / "page.html"
    path.write_text(html)
    return path


@pytest.fixture
def saved(file, open_page):
    """That page, open from its file with the network off."""
    return open_page(file.as_uri(), offline=True)


def test_a_saved_page_shows_what_was_seen(page, open_page, tmp_path):
    compare(page, "boy", "girl")
    page.locator("[data-go=last]").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as one HTML file").click()
    assert download.value.suggested_filename == "boys-and-girls.html"
    download.value.save_as(tmp_path / "saved.html")
    saved = open_page((tmp_path / "saved.html").as_uri(), offline=True)
    saved.wait_for_selector("#words .word.b")
    same_texts(saved, page, ("#words", "#now", "#run-a", "#run-b", "#changes", "#chosen-facts"))
    saved.locator("[data-go=back]").click()
    assert "his" in saved.locator("#now").inner_text()
    assert saved.get_by_role("button", name="Save as one HTML file").is_hidden()
    saved.get_by_role("tab", name="Gradient flow").click()
    saved.wait_for_selector("#flow-plot .curve")


def test_a_saved_page_computes_what_the_server_does(page, saved, run):
    """Another text, another word and a clamp: nothing that was known when the page was saved."""
    clamp = {"name": "f", "value": 0.125, "units": [0, 2, 3, 4], "from": 2, "to": 5, "layer": 0}
    text = "a queen  who sings\n near the zebra"
    found = saved.evaluate(
        "async ([text, clamps]) => (await carousel).watch(text, { clamps, predictions: 5 })", [text, [clamp]]
    )
    wanted = load(run).watch(text, clamp=[Clamp("f", 0.125, (0, 2, 3, 4), 2, 5, 0)], predictions=5)
    assert found["words"] == list(wanted.words) and found["known"] == list(wanted.known)
    assert [span and text[slice(*span)] for span in found["spans"]][1:4] == ["a", "queen", "who"]
    for name, values in wanted.values.items():
        np.testing.assert_allclose(found["values"][name], values, atol=2e-6)
    np.testing.assert_allclose(found["surprisal"][1:], wanted.surprisal[1:], atol=1e-5)
    assert [[w for w, _ in each] for each in found["predictions"]] == [[w for w, _ in each] for each in wanted.predictions]
    for opened in (page, saved):
        opened.locator("#text").fill(TEXT.replace("hat", "queen"))
        opened.get_by_role("button", name="Read", exact=True).click()
        sync_api.expect(opened.locator("#run-b")).to_be_hidden()
        compare(opened, "waits", "sings")
        valve(opened, "i").click()
        opened.locator("#clamp-value").fill("0.5")
        opened.get_by_role("button", name="Clamp and compare").click()
        opened.wait_for_selector(".chip >> nth=1")
        opened.locator("[data-go=last]").click()
    same_texts(saved, page, ("#words", "#changed", "#now", "#run-b", "#changes", "#chosen-facts"))


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light"), (1920, "dark")])
def test_a_saved_page_fits_every_width(file, open_page, width, scheme):
    seen = f"#other={OTHER.replace(' ', '+')}&step=3"
    opened = open_page(file.as_uri() + seen, width, scheme, offline=True)
    opened.wait_for_selector("#changes td")
    check_width(opened, width, scheme)


def test_a_saved_page_keeps_the_gradients_of_its_texts_and_says_where_others_are(saved):
    saved.get_by_role("tab", name="Gradient flow").click()
    saved.wait_for_selector("#flow-plot .curve")
    said = saved.locator("#foot").inner_text()
    assert "carousel serve" in said and "8 bits" in said and saved.locator("#alone").is_visible()
    saved.locator("#text").fill("the girl who sings")
    saved.get_by_role("button", name="Read", exact=True).click()
    sync_api.expect(saved.locator("#tabs")).to_be_hidden()
    assert saved.locator("#view-cell").is_visible()


def test_a_saved_page_refuses_what_the_server_refuses(saved, server):
    for text in ("the " * 501, "x" * 20_001):
        saved.locator("#text").evaluate("(e, text) => { e.removeAttribute('maxlength'); e.value = text }", text)
        saved.get_by_role("button", name="Read", exact=True).click()
        saved.wait_for_selector("#message:not([hidden])")
        sync_api.expect(saved.locator("#message")).to_have_text(server.ask("api/watch", {"text": text})[1]["error"])


def test_a_saved_page_shows_no_numbers_that_are_none(saved):
    valve(saved, "f").click()
    saved.locator("#clamp-value").fill("1e39")
    saved.get_by_role("button", name="Clamp and compare").click()
    saved.wait_for_selector("#message:not([hidden])")
    sync_api.expect(saved.locator("#message")).to_contain_text("values are not finite")


@pytest.fixture(scope="module")
def looking_file(looking_translator, tmp_path_factory):
    """What carousel export writes of the translator with attention."""
    path = tmp_path_factory.mktemp("exported") / "translator.html"
    assert load(looking_translator).export(path) == [path]
    return path


def test_an_exported_translator_computes_and_shows_what_the_server_does(open_page, looking, looking_file):
    clamp = {"name": "h", "value": 0.25, "units": [0, 3], "from": 2, "to": 13, "layer": 1}
    alone = open_page(looking_file.as_uri(), offline=True)
    served = open_page(looking.address)
    for clamps in ([], [clamp]):
        _, wanted = looking.ask("api/watch", {"text": OTHER, "clamps": clamps, "predictions": 5})
        found = alone.evaluate(
            "async ([text, clamps]) => (await carousel).watch(text, { clamps, predictions: 5 })", [OTHER, clamps]
        )
        for name in ("words", "known", "spans", "source", "translation", "written"):
            assert found[name] == wanted[name]
        for name, rows in wanted["values"].items():
            np.testing.assert_allclose(np.array(found["values"][name], float), np.array(rows, float), atol=6e-5)  # 4 digits
        np.testing.assert_allclose(found["attention"], wanted["attention"], atol=6e-5)
        likely, expected = ([[w for w, _ in each] for each in told["predictions"]] for told in (found, wanted))
        assert likely == expected
    for page in (alone, served):
        page.locator("#text").fill(OTHER)
        page.get_by_role("button", name="Read", exact=True).click()
        sync_api.expect(page.locator("#words .word.a").nth(1)).to_have_text(re.compile("girl"))
        compare(page, "waits", "sings")
        page.locator("#layer").select_option("2, forwards")
        page.locator("[data-go=last]").click()
        page.locator("#attention-b canvas").focus()
        page.keyboard.press("ArrowDown")
    same_texts(alone, served, ("#words", "#translations", "#now", "#run-b", "#changes", "#chosen-facts", "#attention"))
    said = alone.locator("#attention-b .readout").inner_text()
    assert re.fullmatch(r"“.+” is written with .+ % of the attention on “.+”", said)


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_an_exported_translator_fits_every_width(open_page, looking_file, width, scheme):
    page = open_page(f"{looking_file.as_uri()}#other={OTHER.replace(' ', '+')}&step=12", width, scheme, offline=True)
    page.wait_for_selector("#attention-b canvas")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    script = "[...document.querySelectorAll('#words .word.a')].map(e => Number(e.style.getPropertyValue('--looked')))"
    shaded, read = page.evaluate(script), len(TEXT.split()) + 1
    assert sum(shaded[:read]) == pytest.approx(1, abs=0.01) and max(shaded[read:]) == 0


def test_an_exported_translator_refuses_what_the_server_refuses(open_page, looking, looking_file):
    page = open_page(looking_file.as_uri(), offline=True)
    for text in ("a king\nand a queen", "the " * 501):
        page.locator("#text").fill(text)
        page.get_by_role("button", name="Read", exact=True).click()
        page.wait_for_selector("#message:not([hidden])")
        sync_api.expect(page.locator("#message")).to_have_text(looking.ask("api/watch", {"text": text})[1]["error"])


@pytest.mark.parametrize(
    ("of", "until", "parts"),
    [
        ("of_trees", "#tree svg", ("#verdict", "#running", "#tree-title", "#node")),
        ("of_series", "#spikes svg", ("#verdict", "#spikes", "#memory-title", "#at-step")),
        ("of_images", "#spikes svg", ("#verdict", "#spikes", "#memory-title", "#at-step")),
    ],
)
def test_a_page_of_examples_in_one_file_shows_what_the_server_does(request, open_page, tmp_path, of, until, parts):
    """Another example, another quantity and another unit, with the network off."""
    folder = request.getfixturevalue(of)
    server = request.getfixturevalue({"of_trees": "growing", "of_series": "spelling", "of_images": "scanning"}[of])
    path = tmp_path / "examples.html"
    path.write_text(page_of_examples(load(folder), 2))
    open_page.until = until
    alone, served = open_page(path.as_uri(), offline=True), open_page(f"{server.address}#part=test")
    part = alone.locator("#part").input_value()
    for page in (alone, served):
        page.locator("#part").select_option(part)
        page.locator("#number").fill("1")
        page.keyboard.press("Enter")
        page.locator("#see").select_option("f" if page.locator("#see option[value=f]").count() else "l")
    for unit in ("2", "0"):  # one of them is not the unit that moves most
        for page in (alone, served):
            page.locator("#unit").fill(unit)
            page.keyboard.press("Enter")
        same_texts(alone, served, parts)
    assert alone.locator("#message").is_hidden() and alone.locator("#number").get_attribute("max") == "1"
    assert alone.locator("#reader").is_hidden() and "no model" in alone.locator("#foot").inner_text()
