"""The looks of a page: its width, its theme, the size of all that one presses."""

import re


def check_width(page, width, scheme):
    """Check that a page is no wider than its window, and as light or dark as its scheme."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    channels = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (sum(map(int, channels)) < 384) is (scheme == "dark")


def check_targets(page, kinds="button, input, select"):
    """Check that all of these are high enough for a finger."""
    small = page.evaluate(
        """(kinds) => [...document.querySelectorAll(kinds)].filter(e => e.offsetParent && e.type !== 'range')
           .filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML)""",
        kinds,
    )
    assert small == []
