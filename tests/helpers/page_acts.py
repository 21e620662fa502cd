"""Acts of a person on the page, and what stands on it."""

import re


def words(page, run="a"):
    return page.locator(f"#words .word.{run} .text").all_inner_texts()


def valve(page, name, run="a"):
    return page.locator(f"#run-{run} .valve[data-name={name}]")


def compare(page, old, new):
    """Click a word, and put another in its place."""
    page.locator("#words .word.a", has_text=re.compile(f"^{old}")).first.click()
    page.locator("#replacement").fill(new)
    page.keyboard.press("Enter")
    page.wait_for_selector("#words .word.b")


def same_texts(one, other, parts):
    """Compare parts of two pages, once they rest: a table waits until no further step follows."""
    for part in parts:
        found = (None, "")
        for _ in range(60):
            found = tuple(p.locator(part).inner_text() for p in (one, other))
            if found[0] == found[1]:
                break
            one.wait_for_timeout(50)
        assert found[0] == found[1]
