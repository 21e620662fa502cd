"""The page's files: served one by one, or as one HTML file that needs no server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

# What answers one file is the browser, in the place of the server.
COMMON = ("state", "link", "browser", "api", "asking", "tables", "colours", "theme", "numbers", "layers", "models")


@dataclass(frozen=True)
class Page:
    """A page that can be one file: its HTML, and its scripts and styles, each after those that it needs."""

    html: str
    modules: tuple[str, ...]
    styles: tuple[str, ...]


MODEL = Page(
    "index.html",
    (
        *COMMON,
        *("drawing", "heatmap", "words", "panels", "quantity", "units", "dragging", "clamping", "carried", "attention"),
        *("depends", "flow", "patch", "save", "player", "tabs", "main"),
    ),
    ("theme", "style", "cell", "maps", "attention", "models"),
)


def _of_examples(*own: str) -> Page:
    shared = (*COMMON, "drawing", "heatmap", "words", "panels", "quantity", "player", "examples")
    return Page("examples.html", (*shared, *own, "onekind", "example_pages"), ("theme", "style", "maps", "examples", "spikes"))


EXAMPLES = {  # by what the run does
    "trees": _of_examples("treeview", "trees"),
    "labels": _of_examples("labels"),
    "transcription": _of_examples("spikesview", "gridview", "transcriptions"),
}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@cache
def files() -> Mapping[str, bytes]:
    """Return the page's own files by name."""
    return {path.name: path.read_bytes() for path in resources.files("carousel.page").joinpath("static").iterdir()}


def one_file(
    answers: Mapping[str, Any], hash: str = "", code: str = "", weights: str = "", model: str = "0", page: Page = MODEL
) -> str:
    """Return a page as one HTML file.

    Args:
        answers: answers by question: the facts under ``api/run``, and all that the model inside, or a page without one,
            cannot compute.
        hash: the view that the page opens with, as it stands in the page's address.
        code: JavaScript that declares ``loaded(weights)``, a promise of the model; without it the page is a still picture.
        weights: the model's weights as text.
        model: the name of the model inside, as the page's questions have it.
        page: which page it is.
    """
    kept = json.dumps({"hash": hash, "model": model, "answers": answers}, separators=(",", ":")).replace("<", "\\u003c")
    styles = "\n".join(_text(f"{name}.css") for name in page.styles)
    scripts = "\n".join(map(_scope, page.modules))
    head = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n<style>\n{styles}</style>\n'
    tail = f'<script type="application/json" id="saved">{kept}</script>\n'
    if code:
        model = 'globalThis.carousel = loaded(document.getElementById("weights").textContent);\n'
        tail += f'<script type="text/plain" id="weights">{weights}</script>\n<script type="module">\n{code}\n{model}</script>\n'
    tail += f'<script type="module">\n{scripts}</script>\n'
    html = re.sub(r'^<(link rel="stylesheet"|script).*\n', "", _text(page.html), flags=re.MULTILINE)
    return html.replace("</head>", f"{head}</head>").replace("</body>", f"{tail}</body>")


def _scope(name: str) -> str:
    """Return a module as a scope of its own, of which the modules after it see what it exports."""
    text = re.sub(r"^import .*;\n", "", _text(f"{name}.js"), flags=re.MULTILINE)
    exported = ", ".join(re.findall(r"^export (?:async )?(?:function|const|class) ([\w$]+)", text, re.MULTILINE))
    inside = re.sub(r"^export ", "", text, flags=re.MULTILINE)
    return f"const {{ {exported} }} = (() => {{\n{inside}return {{ {exported} }};\n}})();\n"


def _text(name: str) -> str:
    return files()[name].decode()
