"""The page's panels hold: the latest question wins, and what is refused is said in the panel, in one line."""

import pytest
from page_post import Post

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

TEXT = "the boy who waits near the king lost his hat"
OTHER = TEXT.replace("boy", "girl")


@pytest.fixture
def page(open_page, server):
    open_page.expected = "the server responded with a status of 400"  # which Chromium logs by itself
    return open_page(server.address)


@pytest.fixture
def find(page):
    page.locator("#find summary").click()
    sync_api.expect(page.locator("#find select").first.locator("option")).to_have_count(11)
    return page.locator("#find")


def test_find_shows_the_latest_answer(page, find):
    post = Post(page, "find")
    post.hold_next()
    find.get_by_role("button", name="Where it is highest and lowest").click()
    post.wait()
    find.get_by_role("button", name="Nearest to the last word").click()
    sync_api.expect(find.locator(".muted").first).to_contain_text("Nearest h after “the”")
    post.deliver()
    assert find.locator("h3").all_inner_texts() == ["By distance"]
    assert "Nearest h after" in find.locator(".muted").first.inner_text()


def test_find_tells_of_the_question_that_was_asked(page, find):
    """What is typed while it searches does not change what the answer is said to be about."""
    post = Post(page, "find")
    post.hold_next()
    number = find.get_by_label("Unit")
    number.fill("3")
    find.get_by_role("button", name="Where it is highest and lowest").click()
    post.wait()
    number.fill("5")
    post.deliver()
    assert find.locator(".muted").first.inner_text() == "Unit 3 of h, one place a line."


def test_find_says_what_is_refused_in_its_panel(page, find, server):
    find.get_by_label("Unit").fill("99")
    find.get_by_role("button", name="Where it is highest and lowest").click()
    sync_api.expect(find.locator(".muted").first).to_contain_text("units are 0 to 8")
    assert page.locator("#message").is_hidden() and find.locator("h3").count() == 0
    find.get_by_label("Unit").fill("3")
    find.get_by_role("button", name="Where it is highest and lowest").click()
    sync_api.expect(find.locator("h3")).to_have_text(["Highest", "Lowest"])


def test_words_of_an_older_text_are_not_offered(page, find):
    post = Post(page, "watch")
    post.hold_next()
    page.locator("#text").fill("a king and a queen read")
    page.locator("#text").press("Enter")
    post.wait()
    page.locator("#text").fill("the girl who sings")
    page.locator("#text").press("Enter")
    page.wait_for_timeout(300)
    post.deliver()
    sync_api.expect(page.locator("#words .word")).to_have_count(5)
    sync_api.expect(find.locator("select").first.locator("option")).to_have_count(5)
    assert "sings" in find.locator("select").first.inner_text()


@pytest.fixture
def flow(page):
    page.get_by_role("tab", name="Gradient flow").click()
    page.wait_for_selector("#depends-legend .ramp")
    sync_api.expect(page.locator("#flow-says")).to_contain_text("The error of “hat”")
    return page


def test_the_flow_of_the_latest_word_is_shown(flow):
    post = Post(flow, "gradients")
    post.hold_next()
    flow.locator("#flow-end").select_option("4")
    post.wait()
    flow.locator("#flow-end").select_option("2")
    sync_api.expect(flow.locator("#flow-says")).to_contain_text("The error of “boy”")
    post.deliver()
    assert "The error of “boy”" in flow.locator("#flow-says").inner_text()
    assert flow.locator("#flow-table tbody tr").count() == 2


def test_the_flow_says_what_is_refused_in_its_panel(flow):
    post = Post(flow, "gradients")
    post.refusal = "the model's gradients are not finite"
    flow.locator("#flow-end").select_option("4")
    sync_api.expect(flow.locator("#flow-error")).to_have_text(post.refusal)
    assert flow.locator("#flow-plot").is_hidden() and flow.locator("#message").is_hidden()
    post.refusal = None
    flow.locator("#flow-end").select_option("3")
    sync_api.expect(flow.locator("#flow-says")).to_contain_text("The error of “who”")
    assert flow.locator("#flow-error").is_hidden() and flow.locator("#flow-plot .curve").first.is_visible()


def test_the_map_of_words_shows_the_latest_quantity(flow):
    post = Post(flow, "connectivity")
    post.hold_next()
    flow.locator("#depends-name").select_option("f")
    post.wait()
    flow.locator("#depends-name").select_option("i")
    legend = flow.locator("#depends-legend b")
    sync_api.expect(legend).to_have_text("|∂L/∂i|, layer 0")
    post.deliver()
    assert legend.inner_text() == "|∂L/∂i|, layer 0"


def test_the_map_of_words_says_what_is_refused_in_its_panel(flow):
    post = Post(flow, "connectivity")
    post.refusal = "the derivatives are not finite"
    flow.locator("#depends-name").select_option("f")
    sync_api.expect(flow.locator("#depends-says")).to_have_text(post.refusal)
    assert flow.locator("#message").is_hidden() and flow.locator("#depends").is_hidden()
    post.refusal = None
    flow.locator("#depends-name").select_option("i")
    sync_api.expect(flow.locator("#depends-legend b")).to_have_text("|∂L/∂i|, layer 0")
    assert flow.locator("#depends-says").inner_text() == "" and flow.locator("#depends").is_visible()


@pytest.fixture
def compared(open_page, server):
    open_page.expected = "the server responded with a status of 400"
    page = open_page(f"{server.address}#other={OTHER.replace(' ', '+')}")
    page.wait_for_selector("#patch-go")
    return page


def test_patches_of_older_words_are_dropped(compared):
    post = Post(compared, "patch")
    post.hold_next()
    compared.locator("#patch-go").click()
    post.wait()
    assert compared.locator("#patch-go").is_disabled()
    compared.locator("#words .word.a").nth(2).click()
    compared.locator("#replacement").fill("king")
    compared.keyboard.press("Enter")
    sync_api.expect(compared.locator("#changed .chip")).to_contain_text("king")
    post.deliver()
    assert compared.locator("#patch-found").is_hidden() and compared.locator("#patch-says").inner_text() == ""
    assert compared.locator("#patch-go").is_enabled()
    compared.locator("#patch-go").click()
    sync_api.expect(compared.locator("#patch-says")).to_contain_text("of the difference")


def test_patches_say_what_is_refused_in_their_panel(compared):
    post = Post(compared, "patch")
    post.refusal = "the two texts differ at the first word, so there is nothing to patch"
    compared.locator("#patch-go").click()
    sync_api.expect(compared.locator("#patch-says")).to_have_text(post.refusal)
    assert compared.locator("#message").is_hidden() and compared.locator("#patch-go").is_enabled()
