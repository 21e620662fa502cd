"""``carousel pairs``: two texts that differ in a word, and the effect of the difference."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from carousel.cli import options, screen
from carousel.cli.patches import patches
from carousel.errors import InputError
from carousel.insight import figures
from carousel.runs.language import LanguageRun

EXAMPLE = 'Example: carousel pairs runs/book-lstm-v2 "the boy lost his hat ." --replace boy=girl'


def command(
    run: options.Run,
    text: options.Text,
    other: Annotated[str | None, typer.Argument(help="The text that differs.", show_default=False)] = None,
    replace: Annotated[
        str | None, typer.Option(help="word=other: the text that differs, made from the first.", show_default=False)
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="State or valve to compare; the memory by default.", show_default=False)
    ] = None,
    layer: options.Layer = None,
    clamp: options.ClampOptions = None,
    units: Annotated[int, typer.Option(min=1, help="Units to list.")] = 8,
    patch: Annotated[
        bool, typer.Option("--patch", help="Put the first text's values into the reading of the second, unit by unit.")
    ] = False,
    answers: Annotated[
        str | None,
        typer.Option(
            help="With --patch, word=other: next words of both that are compared; by default those that part most.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        int | None,
        typer.Option(
            min=0, help="With --patch, the number of the second text's word after which they come.", show_default=False
        ),
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="With --patch, units to search, at most.")] = 32,
    figure: options.Figure = None,
    json: options.Json = False,
) -> None:
    """Show where two texts' memories and predictions differ, which units carry it and for how long.

    "Bits between predictions" is the Jensen–Shannon divergence of the next word; "more bits in the second" says how
    much more surprising the next word, the same in both, is there.

    With --patch it shows which units at which word carry the difference: the share of the log-odds between the two
    answers that comes along where they have the first text's values. A translator's answers are its two translations.
    """
    figures.check(figure)
    second = second_text(text, other, replace)
    if patch:
        patches(run, text, second, state, layer, clamp, answers=answers, at=at, most=most, figure=figure, json=json)
        return
    if answers is not None or at is not None:
        raise InputError("--answers and --at are for --patch; add it, or leave them out")
    model = LanguageRun(run)
    with screen.busy("reading both texts"):
        found = model.compare(text, second, clamp=options.clamps(clamp) or None)
    name = found.chosen(state)
    number = options.layer_number(layer, model.layer.num_layers)
    if figure is not None:
        figures.save(figures.pair(found, name, number), figure)
    if json:
        screen.print_json(found.as_dict(name))
        return
    size = found.size(name)[number]
    rows = []
    for k, (i, j) in enumerate(found.places):
        more = found.surprise[k]
        rows.append(
            {
                "first": found.a.words[i],
                "second": found.b.words[j],
                f"|Δ{name}|": f"{size[k]:.4f}",
                "bits between predictions": f"{found.divergence[k]:.4f}",
                "more bits in the second": "" if more is None else f"{more:+.2f}",
                "next, first": " ".join(w for w, _ in found.a.predictions[i][:3]),
                "next, second": " ".join(w for w, _ in found.b.predictions[j][:3]),
            }
        )
    left = ("first", "second", "next, first", "next, second")
    screen.print_rows(f"{name}, layer {number}", rows, left)
    carriers = [
        {
            "layer": str(c.layer),
            "unit": str(c.unit),
            "greatest": f"{c.greatest:.3f}",
            "after": found.a.words[found.places[c.at][0]],
            "words above half": str(c.words),
        }
        for c in found.carriers(name, units)
    ]
    print()
    title = f"units of {name} that carry the difference"
    screen.print_rows(title, carriers, ("after",))
    if figure is not None:
        print(f"wrote {figure}")


def second_text(text: str, other: str | None, replace: str | None) -> str:
    """Return the text that differs: given, or made of the first. Raises InputError where neither can be, or both."""
    if (other is None) == (replace is None):
        raise InputError("give a second text, or --replace word=other, and not both")
    if other is not None:
        return other
    assert replace is not None  # one of the two is given
    word, equals, instead = replace.partition("=")
    if not equals or not instead.strip():
        raise InputError(f"--replace takes word=other, not {replace!r}")
    if word not in text.split():
        raise InputError(f"--replace takes word=other, with a word of the text; {word!r} is none")
    return re.sub(rf"(?<!\S){re.escape(word)}(?!\S)", lambda _: instead, text)
