"""``carousel gradients --text``: how strongly each word depends on each word before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.insight import figures
from carousel.insight.connectivity import Connectivity
from carousel.runs.language import LanguageRun

MOST = 5  # words that the table names


def between(
    folder: Path | None,
    text: str,
    word: int | None,
    names: str | None,
    layer: int | None,
    clamp: list[str] | None,
    *,
    figure: Path | None,
    json: bool,
) -> None:
    """Do the command's work; arguments as its options are."""
    if folder is None:
        raise InputError("--text is for a run, so give its folder")
    run = LanguageRun(folder)
    number = options.layer_number(layer, run.layer.num_layers)
    chosen = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
    with screen.counting("following the words back") as tick:
        found = run.connectivity(
            text, names=chosen, ends=None if word is None else [word], clamp=options.clamps(clamp), tick=tick
        )
    if figure is not None:
        figures.save(figures.connectivity(found, layer=number), figure)
    if json:
        screen.print_json(found.as_dict())
        return
    for name in found.sizes:
        print()
        screen.print_rows(_title(found, name, number), _rows(found, name, number), {"word", "depends on"})
    if figure is not None:
        print(f"wrote {figure}")


def _title(found: Connectivity, name: str, layer: int) -> str:
    return f"|∂L/∂{name}|, the words with the greatest" + (f"; layer {layer}" if len(found.sizes[name]) > 1 else "")


def _rows(found: Connectivity, name: str, layer: int) -> list[dict[str, str]]:
    """Return for each word the words before it on which it depends most."""
    sizes, rows = found.of(name, layer), []
    for row, end in enumerate(found.ends):
        order = np.argsort(-sizes[row, :end], kind="stable")[:MOST]
        rows.append(
            {
                "word": f"{end} {found.words[end].strip()}",
                "depends on": "  ".join(f"{found.words[k].strip()} {sizes[row, k]:.2g}" for k in order),
            }
        )
    return rows
