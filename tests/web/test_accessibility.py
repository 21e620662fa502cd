"""All of the page can be used by everybody: axe-core finds no fault on any tab or panel, and keys alone reach all of it."""

import json

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

TEXT = "the boy who waits near the king lost his hat"
COLOURS = ["color-contrast", "link-in-text-block"]  # rules whose result the colours decide
ALONE = {"resultTypes": ["violations"]}  # listing what is right takes a third of the time
SCREENS = [(1280, 800), (1920, 1080), (400, 800)]


@pytest.fixture(scope="session")
def faults():
    """``faults(page, where)`` → a line for each fault that axe-core finds: all rules, then those of colours, dark."""
    module = "axe_playwright_python.sync_playwright"
    axe = pytest.importorskip(module, reason="axe-core is not installed: pip install axe-playwright-python").Axe()

    def found(page, where):
        lines = []
        for scheme, options in {"light": {}, "dark": {"runOnly": COLOURS}}.items():
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(100)
            for rule in axe.run(page, options=ALONE | options).response["violations"]:
                first = rule["nodes"][0]["html"][:160]
                lines.append(f"{where}, {scheme}: {rule['impact']}: {rule['id']}, {len(rule['nodes'])} times: {first}")
        page.emulate_media(color_scheme="light")
        return lines

    return found


def open_find(page):
    page.locator("#find summary").click()
    page.get_by_role("button", name="Where it is highest and lowest", exact=True).click()
    page.wait_for_selector("#find figure")


def open_unit(page):
    page.locator("#unit-number").fill("3")
    page.wait_for_selector("#unit-tracks .track")
    for part in ("extremes", "probes"):
        page.locator(f".{part} summary").click()
        page.wait_for_selector(f".{part} table")


def open_flow(page):
    page.get_by_role("tab", name="Gradient flow").click()
    page.wait_for_selector("#flow-plot .curve")
    page.wait_for_selector("#depends-legend .ramp")
    page.get_by_text("The numbers").click()


def open_comparison(page):
    page.get_by_role("tab", name="The cell").click()
    page.locator("#words .word.a").nth(2).click()
    page.locator("#replacement").fill("girl")
    page.keyboard.press("Enter")
    page.wait_for_selector("#words .word.b")


def open_patch(page):
    page.locator("#patch-go").click()
    page.wait_for_selector("#patch-legend .ramp")


def open_models(page):
    page.reload()
    page.wait_for_selector("#words .word.b")
    page.locator("#model-b").select_option("rnn")
    page.wait_for_selector("#map-d", state="hidden")
    page.locator("#training summary").click()
    page.wait_for_selector("#training .course-line")


def clamp(page):
    page.get_by_role("button", name="Clamp and compare").click()
    page.wait_for_selector("#changed .chip >> nth=1")


def refuse(page):
    page.locator("#clamp-units").fill("3-1")
    page.get_by_role("button", name="Clamp and compare").click()
    page.wait_for_selector("#message:not([hidden])")


@pytest.fixture(scope="session")
def labels(tmp_path_factory):
    """A corpus with labels, of words that the two runs know."""
    path = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    given = [
        {"words": ["the", noun, "who", verb, "lost", own, "hat"], "labels": {"gender": [gender] * 7}}
        for noun, own, gender in (("boy", "his", "m"), ("girl", "her", "f"))
        for verb in ("waits", "sings") * 10
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in given))
    return path


@pytest.mark.parametrize("screen", SCREENS, ids=lambda s: f"{s[0]}x{s[1]}")
def test_a_language_model_is_shown_to_everybody(serve, two_runs, labels, open_page, faults, screen):
    width, height = screen
    page = open_page(serve(*two_runs[::-1], corpus=labels).address, width, height=height)
    found = []
    for steps in ((open_unit, open_find), (open_flow,), (open_comparison, open_patch, clamp, refuse), (open_models,)):
        for step in steps:
            step(page)
        found += faults(page, steps[-1].__name__)
    assert found == []


@pytest.mark.parametrize("screen", SCREENS, ids=lambda s: f"{s[0]}x{s[1]}")
def test_a_translator_is_shown_to_everybody(looking, open_page, faults, screen):
    width, height = screen
    page = open_page(f"{looking.address}#step=12", width, height=height)
    page.locator("#words .word.a").nth(2).click()
    page.locator("#replacement").fill("girl")
    page.keyboard.press("Enter")
    page.wait_for_selector("#attention-b canvas")
    assert faults(page, "attention") == []


@pytest.mark.parametrize("kind", ["growing", "computing"])
@pytest.mark.parametrize("screen", SCREENS, ids=lambda s: f"{s[0]}x{s[1]}")
def test_a_tree_is_shown_to_everybody(request, open_page, faults, kind, screen):
    width, height = screen
    open_page.until = "#tree .node"
    seen = {"growing": "#number=5&level=1", "computing": f"#text=[SM {'[MAX 1 2 ] ' * 30}]"}
    page = open_page(request.getfixturevalue(kind).address + seen[kind], width, height=height)
    page.locator("#tree").focus()
    page.keyboard.press("ArrowDown")
    found = faults(page, "tree")
    open_page.expected = "400 (Bad Request)"
    page.locator("#text").fill("(? a")
    page.locator("#text").press("Enter")
    page.wait_for_selector("#message:not([hidden])")
    assert [*found, *faults(page, "refuse")] == []


@pytest.mark.parametrize("screen", SCREENS, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("kind", ["spelling", "scanning"])
def test_a_transcription_is_shown_to_everybody(request, open_page, faults, kind, screen):
    width, height = screen
    open_page.until = "#spikes svg"
    page = open_page(f"{request.getfixturevalue(kind).address}#number=2&level=3", width, height=height)
    page.wait_for_selector("#legend .ramp")
    page.locator("#spikes").focus()
    page.keyboard.press("ArrowRight")
    assert faults(page, kind) == []


def open_cells(open_page, writing, **screen):
    """The page without a run, with all that can be opened open."""
    open_page.until = "#code"
    page = open_page(f"{writing.address}#cell=lstm-v3", **screen)
    page.set_default_timeout(30_000)
    for part in ("#decay-plot svg", "#chart-back svg"):
        page.wait_for_selector(part)
    for summary in page.locator("summary:visible").all():
        summary.click()
    page.wait_for_selector("#one-table td")
    return page


@pytest.mark.parametrize("screen", SCREENS, ids=lambda s: f"{s[0]}x{s[1]}")
def test_a_cell_is_written_by_everybody(writing, open_page, faults, screen):
    width, height = screen
    page = open_cells(open_page, writing, width=width, height=height)
    found = faults(page, "write")
    page.locator("#train").click()
    page.wait_for_selector("#chart-loss svg")
    found += faults(page, "train")
    page.locator("#train").click()
    page.locator("#code").fill("@cell\ndef one(e, h):\n    return hh")
    page.wait_for_selector("#gutter .wrong")
    assert [*found, *faults(page, "refuse")] == []


def focusable(page):
    """The names of what a key could reach: shown, enabled, and a stop of the Tab key."""
    return page.evaluate(
        """[...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
           .filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility() && !e.matches(".skip"))
           .map((e, k) => (e.dataset.key = e.id || `${e.tagName} ${k}`))"""
    )


def check_keys(page, least=20):
    """Check that the Tab key reaches all that it should, and that this is more than so much."""
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    wanted, reached = focusable(page), []
    for _ in range(len(wanted) + 20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.key ?? null"))
    assert set(wanted) - set(reached) == set() and len(wanted) > least


def test_the_tab_key_reaches_all_of_a_cell_that_is_written(writing, open_page):
    check_keys(open_cells(open_page, writing))


@pytest.mark.parametrize("screen", SCREENS, ids=lambda s: f"{s[0]}x{s[1]}")
def test_labels_are_shown_to_everybody(tagging, open_page, faults, screen):
    width, height = screen
    open_page.until = "#steps li"
    page = open_page(f"{tagging.address}#level=1&text={'x y ' * 100}", width, height=height)
    assert faults(page, "labels") == []


@pytest.mark.parametrize("kind", ["growing", "spelling", "scanning", "tagging"])
def test_the_tab_key_reaches_all_of_an_example(request, open_page, kind):
    open_page.until = "#legend .ramp"
    check_keys(open_page(f"{request.getfixturevalue(kind).address}#number=5"), 14)


@pytest.mark.parametrize("tab", ["cell", "flow"])
def test_the_tab_key_reaches_all_of_it(side_by_side, open_page, tab):
    page = open_page(f"{side_by_side.address}#model=1&beside=0&unit=2&tab={tab}")
    page.wait_for_selector("#depends-legend .ramp" if tab == "flow" else "#words .word.b")
    for summary in page.locator("summary:visible").all():
        summary.click()
    page.wait_for_timeout(500)
    check_keys(page)
