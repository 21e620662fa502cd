"""``carousel pairs --patch``: which units at which word carry the difference between two texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.insight import figures
from carousel.insight.patching import Patching
from carousel.runs.language import LanguageRun
from carousel.runs.loading import load
from carousel.runs.translator import TranslatorRun


def patches(
    folder: Path,
    text: str,
    second: str,
    state: str | None,
    layer: int | None,
    clamp: list[str] | None,
    *,
    answers: str | None,
    at: int | None,
    most: int,
    figure: Path | None,
    json: bool,
) -> None:
    """Do the command's work; arguments as its options are."""
    run, clamps = load(folder), options.clamps(clamp)
    with screen.counting("patching") as tick:
        if isinstance(run, LanguageRun):
            number = options.layer_number(layer, run.layer.num_layers)
            words = _answers(answers)
            found = run.patch(text, second, name=state, layer=number, answers=words, at=at, most=most, clamp=clamps, tick=tick)
        elif isinstance(run, TranslatorRun):
            if answers is not None or at is not None or clamps:
                raise InputError(
                    "--answers, --at and --clamp are for language models; a translator's answers are its translations"
                )
            number = options.layer_number(layer, run.model.encoder.num_layers)
            found = run.patch(text, second, name=state, layer=number, most=most, tick=tick)
        else:
            raise InputError(f"{folder} holds another kind of run; language models and translators can be patched")
    if figure is not None:
        figures.save(figures.patching(found), figure)
    if json:
        screen.print_json(found.as_dict())
        return
    _print(found)
    if figure is not None:
        print(f"wrote {figure}")


def _answers(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    a, _, b = (part.strip() for part in text.partition("="))
    if not a or not b:
        raise InputError(f"--answers takes word=other, not {text!r}")
    return a, b


def _print(found: Patching) -> None:
    a, b = (x.strip() for x in found.answers)
    print(f"first: {a}\nsecond: {b}")
    print(
        f"bits by which the first is likelier: {found.odds[0]:+.2f} after the first text, {found.odds[1]:+.2f} after the second"
    )
    words = [" / ".join(dict.fromkeys(w.strip() or w for w in pair)) for pair in found.words]
    layers = len({k for _, k in found.quantities}) > 1
    rows = [{"all units": f"{n}, layer {k}" if layers else n} for n, k in found.quantities]
    _table(
        "% of the difference that comes along, patched while one word is read", rows, words, found.numbers, found.by_quantity
    )
    layer = f", layer {found.layer}" if layers else ""
    _table(
        f"units of {found.name}{layer}", [{"units": label} for label in found.labels()], words, found.numbers, found.by_group
    )
    print()
    enough = found.enough()
    more = f"{enough} of them bring 90 %" if enough else f"together {100 * found.curve[-1]:.0f} %"
    print(f"units as they were found at “{words[found.word]}”: {' '.join(map(str, found.units))}; {more}")


def _table(title: str, rows: list[dict[str, str]], words: list[str], numbers: Sequence[int], shares: np.ndarray) -> None:
    """Print shares in per cent; words that come twice are told apart by their numbers."""
    columns = [w if words.count(w) == 1 else f"{w} {n}" for n, w in zip(numbers, words, strict=True)]
    for row, values in zip(rows, shares, strict=True):
        row |= {c: str(round(100 * float(v))) for c, v in zip(columns, values, strict=True)}
    print()
    screen.print_rows(title, rows, set(list(rows[0])[:1]))
