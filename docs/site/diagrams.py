"""Draws the diagrams of the documentation: ``python docs/site/diagrams.py``; a test compares what is stored.

``rooms.svg`` is made from the contract in ``pyproject.toml`` that says which room may import which.
"""

from __future__ import annotations

import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "docs" / "figures"

STYLE = """
svg { background: #fdfdfb; font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
.box { fill: #f3f6f3; stroke: #c6d1c9; stroke-width: 1.5; }
.start { fill: #e4eef8; stroke: #4a80b6; }
.target { fill: #f8f0df; stroke: #c79a3b; }
.title { font-weight: 600; font-size: 15px; fill: #17212b; }
.note { font-size: 13px; fill: #46566a; }
.code { font: 13px ui-monospace, "DejaVu Sans Mono", monospace; fill: #17212b; }
.label { font-size: 13px; fill: #46566a; font-style: italic; }
.arrow { fill: none; stroke: #46566a; stroke-width: 2; marker-end: url(#head); }
"""
HEAD = '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
HEAD += '<path d="M0 0L10 5L0 10z" fill="#46566a"/></marker></defs>'

# What each room is for; a room that is not told of here is drawn by its name alone.
ROOMS = {
    "cli": "the commands; no logic of their own",
    "web": "the server of the page",
    "page": "the page's files and facts",
    "notebook": "what a notebook shows of a cell",
    "runs": "load and train from Python",
    "bench": "measurements, side by side",
    "insight": "error back, memory forth",
    "translation": "translators",
    "forecasting": "forecasters",
    "transcription": "transcribers (CTC)",
    "labelling": "labellers",
    "tasks": "the 1997 tasks",
    "language": "language models",
    "export": "models for other machines",
    "integrations": "layers in other packages",
    "plotting": "matplotlib, when needed",
    "training": "the loop, run folders, checkpoints",
    "tuning": "search for settings",
    "corpora": "texts, generated or carried along",
    "text": "lines, vocabularies, encoded text",
    "hierarchy": "stacks that subsample",
    "layers": "Recurrent, Streaming, conversion",
    "kernels": "back ends: PyTorch, C++, Triton",
    "cells": "the cells, each a few lines",
    "drawing": "a cell as a picture",
    "equations": "the language of a cell",
    "series": "columns of tables",
    "files": "files written whole",
    "errors": "errors of one line",
}


class Drawing:
    """An SVG that grows."""

    def __init__(self, width: int, height: int, label: str):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            f'role="img" aria-label="{escape(label)}">',
            f"<style>{STYLE}</style>",
            HEAD,
            f'<rect width="{width}" height="{height}" rx="8" fill="#fdfdfb"/>',
        ]

    def box(self, x: int, y: int, width: int, height: int, title: str, *lines: str, kind: str = "", code: str = "") -> None:
        """A box with a title, lines below it, and perhaps a line of code."""
        self.parts.append(f'<rect class="box {kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')
        rows = [("title", title), *(("note", line) for line in lines), *([("code", code)] if code else [])]
        top = y + height / 2 - 10 * (len(rows) - 1) + 5
        for k, (kind, text) in enumerate(rows):
            self.text(x + width / 2, top + 20 * k, text, kind)

    def text(self, x: float, y: float, text: str, kind: str, anchor: str = "middle") -> None:
        self.parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>')

    def arrow(self, *points: tuple[int, int]) -> None:
        self.parts.append(f'<path class="arrow" d="M{" L".join(f"{x} {y}" for x, y in points)}"/>')

    def __str__(self) -> str:
        return "\n".join([*self.parts, "</svg>\n"])


def path() -> Drawing:
    """The path from a cell's function to what runs it, with the memory's line of LSTM v3 at every station."""
    d = Drawing(760, 742, "From a cell function through trace, stages and loop to derivative, tangent and the back ends")
    middle = 190
    d.box(20, 20, 340, 74, "@cell function", "equations, as on the slide", kind="start", code="h = f * h + i * tanh(…)")
    d.box(20, 130, 340, 74, "trace", "run once on symbols; sizes joined", code="W.he @ e is a product, h a state")
    d.box(20, 240, 340, 74, "stages", "which products can be computed when", code="W.he @ e: for all steps, before the loop")
    d.box(20, 350, 340, 74, "loop", "assignments and groups of products", code="h_t = f_t*h_tm1 + i_t*x0")
    for y in (94, 204, 314):
        d.arrow((middle, y), (middle, y + 36))
    d.box(430, 112, 310, 50, "text, LaTeX, counts, first values", kind="target")
    d.box(430, 172, 310, 50, "the drawing", kind="target")
    d.arrow((360, 160), (395, 160), (395, 137), (430, 137))
    d.arrow((395, 160), (395, 197), (430, 197))
    d.box(430, 250, 310, 54, "reference, in PyTorch", "any device and type; the oracle", kind="target")
    d.arrow((360, 277), (430, 277))
    d.box(20, 470, 340, 74, "derivative", "the loop backwards", code="f_t_bar = h_t_bar*h_tm1")
    d.box(400, 470, 340, 74, "tangent", "the loop forwards: a loop again", code="h_t_d1 = f_t*h_tm1_d1 + f_t_d1*h_tm1 + …")
    d.arrow((middle, 424), (middle, 470))
    d.arrow((360, 375), (570, 375), (570, 470))
    d.arrow((640, 470), (640, 400), (360, 400))
    d.text(652, 418, "once more", "label", "start")
    d.box(20, 632, 226, 80, "C++", "processors: AVX-512,", "AVX2, any other", kind="target")
    d.box(267, 632, 226, 80, "Triton", "GPUs", kind="target")
    d.box(514, 632, 226, 80, "JAX's scan", "to measure beside", kind="target")
    d.arrow((middle, 544), (middle, 590), (133, 590), (133, 632))
    d.arrow((middle, 590), (380, 590), (380, 632))
    d.arrow((380, 590), (627, 590), (627, 632))
    d.text(400, 580, "printers: one for each language", "label", "start")
    return d


def rooms() -> Drawing:
    """The rooms of the code, as the contract has them: each imports only rooms below it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    height, gap, left, width = 50, 14, 30, 700
    d = Drawing(760, len(layers) * (height + gap) + 60, "The rooms of the code; each may import those below it")
    for k, layer in enumerate(layers):
        names = [name.strip().removeprefix("carousel.") for name in layer.split("|")]
        each = (width - gap * (len(names) - 1)) // len(names)
        for n, name in enumerate(names):
            kind = {"cli": "target", "web": "target", "equations": "start", "cells": "start"}.get(name, "")
            told = (ROOMS[name],) if name in ROOMS else ()
            assert 7 * len(ROOMS.get(name, "")) <= each, f"the note of {name} is wider than its box"
            d.box(left + n * (each + gap), 20 + k * (height + gap), each, height, name, *told, kind=kind)
    note = "A room imports only rooms below it. Rooms side by side do not know each other."
    bottom = 20 + len(layers) * (height + gap)
    d.text(left + width / 2, bottom + 16, note, "label")
    return d


DIAGRAMS = {"path.svg": path, "rooms.svg": rooms}

if __name__ == "__main__":
    for name, draw in DIAGRAMS.items():
        (FIGURES / name).write_text(str(draw()))
