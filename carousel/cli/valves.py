"""``carousel valves``: gates and memory while a model reads a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from carousel import files
from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.insight import figures
from carousel.insight.watch import habits
from carousel.runs.language import LanguageRun

EXAMPLE = 'Example: carousel valves runs/book-lstm-v2 "the boy lost his hat ." --figure valves.png'


def command(
    run: options.Run,
    text: options.Text,
    names: Annotated[
        str | None, typer.Option(help="Valves and states, separated by commas; all of them by default.", show_default=False)
    ] = None,
    layer: options.Layer = None,
    clamp: options.ClampOptions = None,
    figure: options.Figure = None,
    npz: Annotated[
        Path | None, typer.Option(help="Write all arrays (layers, words, units) to this file.", show_default=False)
    ] = None,
    json: options.Json = False,
) -> None:
    """Show every valve, memory and message at every word, and the word's surprisal.

    A unit is shut where its mean over the words is below 0.1, open above 0.9, moving where its standard deviation is above
    0.1. With --clamp, the text is read a second time with the valves held, and the changes are shown.
    """
    figures.check(figure)
    if npz is not None:
        files.check(npz)
    model = LanguageRun(run)
    clamps = options.clamps(clamp)
    with screen.busy("reading"):
        watched = model.watch(text, clamp=clamps)
    number = options.layer_number(layer, model.layer.num_layers)
    chosen = watched.chosen(_listed(names))
    if npz is not None:
        with files.replacing(npz) as file:
            np.savez_compressed(file, words=np.array(watched.words), **watched.arrays())  # type: ignore[arg-type]  # arrays by name
    if figure is not None:
        figures.save(figures.valves(watched, chosen, number), figure)
    change = model.compare(text, clamp_b=clamps) if clamps else None
    if json:
        told = watched.as_dict()
        if change is not None:
            told["clamped"] = change.as_dict(watched.states[-1])
        screen.print_json(told)
        return
    rows = []
    for k, word in enumerate(watched.words):
        bits = watched.surprisal[k]
        word += "" if watched.known[k] else " (unknown)"
        row = {"word": word, "bits": "" if bits is None else f"{bits:.2f}"}
        if change is not None:
            plain = change.a.surprisal[k]
            row = {"word": word, "bits": "" if plain is None else f"{plain:.2f}", "clamped": row["bits"]}
            row["bits between predictions"] = f"{change.divergence[k]:.3f}"
        row |= {n: f"{watched.values[n][number][k].mean():.2f}" for n in chosen if n in watched.valves}
        row |= {f"|{n}|": f"{np.abs(watched.values[n][number][k]).mean():.2f}" for n in chosen if n in watched.states}
        row["next"] = " ".join(f"{w} {p:.2f}" for w, p in watched.predictions[k][:3])
        rows.append(row)
    columns = {h: "left" if h in ("word", "next") else "right" for h in rows[0]}
    screen.out.print(screen.table(f"layer {number}; means over units", columns, rows))
    for name in chosen:
        if name in watched.valves:
            kinds = habits(watched.values[name][number])
            print(f"{name}: {len(kinds.shut)} units shut, {len(kinds.open)} open, {len(kinds.moving)} moving")
    for path in (figure, npz):
        if path is not None:
            print(f"wrote {path}")


def _listed(names: str | None) -> list[str] | None:
    """Return the names that an option has, separated by commas. Raises InputError where there is none."""
    found = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
    if found == []:
        raise InputError("--names needs at least one name of a valve or state")
    return found
