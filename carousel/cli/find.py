"""``carousel find``: a text searched by a model's states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.insight.search.indexed import Alike, Excerpt, Indexed
from carousel.insight.search.switches import Off
from carousel.runs.language import LanguageRun, read

EXAMPLE = 'Example: carousel find runs/train-lstm-v3 agree/test.jsonl --like "the boy who waits lost his hat ." --span 2:6'
MARKS = "«", "»"  # around a place
NONE = "·"


def command(
    run: options.Run,
    file: Annotated[
        Path | None,
        typer.Argument(help="Text to search, or sentences with labels (.jsonl); by default the run's own.", show_default=False),
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="Find places where units behave as on a span of this text.", show_default=False)
    ] = None,
    span: Annotated[
        str | None,
        typer.Option(help="The span: 2:6 is words 2 to 5, word 0 the end of line before the text.", show_default=False),
    ] = None,
    threshold: Annotated[float, typer.Option(help="A unit is on where its value, or the opposite, is at least this.")] = 0.3,
    off: Annotated[Off, typer.Option(help="Where the units must be off: both sides of the span, before, after.")] = "both",
    nearest: Annotated[
        bool, typer.Option("--nearest", help="Instead, find the states nearest to the state after the span's last word.")
    ] = False,
    unit: Annotated[
        int | None, typer.Option(min=0, help="Find the words after which this unit is highest and lowest.", show_default=False)
    ] = None,
    quantity: Annotated[str | None, typer.Option(help="Quantity to search; the memory by default.", show_default=False)] = None,
    layer: options.Layer = None,
    part: Annotated[str, typer.Option(help="Which of the run's own texts: train, valid or test.")] = "valid",
    annotations: options.Annotations = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Places to show.")] = 10,
    context: Annotated[int | None, typer.Option(min=0, max=1000, help="Words around each.", show_default=False)] = None,
    json: options.Json = False,
) -> None:
    """Find places in a text where a model's units behave as on a span of words; the nearest states; a unit's extremes.

    The text is read once, and its states are kept in the run folder, in "states". −17 is unit 17 where it is on with a
    negative value. With labels, the command says for each unit the label that goes best with it: of the words where the unit is
    on the share that have the label, the reverse, and the share of the label among all.
    """
    if (like is None) == (unit is None):
        raise InputError("say what to find: `like` or `unit`, one of the two")
    if like is None and (nearest or span is not None):
        raise InputError("`span` and `nearest` are about a text; give it with `like`")
    model = LanguageRun(run)
    words = None if span is None else _span(span)
    number = options.layer_number(layer, model.layer.num_layers)
    given = read(file) if file is not None and file.suffix == ".jsonl" else file
    with screen.counting("reading the text") as tick:
        text = model.indexed(given, part=part, name=quantity, layer=number, annotations=annotations, tick=tick)
    if unit is not None:
        ends = text.unit(unit, count=count, context=context)
        if json:
            screen.print_json({end: [e.as_dict() for e in each] for end, each in zip(("highest", "lowest"), ends, strict=True)})
            return
        for end, each in zip(("highest", "lowest"), ends, strict=True):
            print(f"unit {unit} of {text.name}, layer {text.layer}, is {end} after")
            _show(text, each)
        return
    assert like is not None  # refused above
    if nearest:
        found = text.nearest(like, -1 if words is None else words[1] - 1, count=count, context=context)
        if json:
            screen.print_json([e.as_dict() for e in found])
            return
        print(f"nearest {text.name}, layer {text.layer}, by distance")
        _show(text, found)
        return
    alike = text.like(like, words, threshold=threshold, off=off, count=count, context=context)
    if json:
        screen.print_json(alike.as_dict())
        return
    _tell(text, alike)
    _show(text, alike.best)


def _span(given: str) -> tuple[int, int]:
    """Return the words of ``--span``. Raises InputError where it is none."""
    begin, _, end = given.partition(":")
    if not (begin.strip().isdecimal() and end.strip().isdecimal()) or int(begin) >= int(end):
        raise InputError(f"`span` must be such as 2:6, not {given!r}")
    return int(begin), int(end)


def _tell(text: Indexed, found: Alike) -> None:
    """Print the units that are on over the span, each by itself, and how many places they share."""
    gap = _gap(text)
    before, inside, after = (
        gap.join(found.words[a:b]) for a, b in ((0, found.begin), (found.begin, found.end), (found.end, None))
    )
    print(gap.join(filter(None, (before, MARKS[0] + inside + MARKS[1], after))))
    rows = [
        {
            "unit": str(u.switch),
            "places": f"{u.places:,}",
            "words": f"{u.tokens:,}",
            **{
                key: value
                for d in u.described[:1]
                for key, value in {
                    "goes with": f"{d.property}={d.label}",
                    "precision": f"{d.precision:.3f}",
                    "recall": f"{d.recall:.3f}",
                    "of all": f"{d.share:.3f}",
                }.items()
            },
        }
        for u in sorted(found.units, key=lambda u: -max((d.correlation for d in u.described), default=0))
    ]
    print(f"{text.name}, layer {text.layer}; {len(text):,} words are searched")
    screen.print_rows("", rows, ("goes with",))
    shared = ", ".join(f"{k} of {len(found.units)} units: {n:,}" for k, n in list(found.counts.items())[:6])
    print(f"places that units share: {shared or 'none'}")


def _show(text: Indexed, places: Sequence[Excerpt]) -> None:
    """Print places in their context, labels below."""
    for e in places:
        value = "" if e.value is None else f", {e.value:.4g}"
        units = f", units {' '.join(map(str, e.units))}" if e.units else ""
        print(f"\nline {e.line:,}{value}{units}")
        words = ["¶" if w == "<eos>" else w for w in e.words]
        if text.vocabulary.kind == "word":
            words[e.first] = MARKS[0] + words[e.first]
            words[e.stop - 1] += MARKS[1]
            tracks = {name: [NONE if v is None else v for v in labels] for name, labels in e.tracks.items()}
            widths = [max(map(len, column)) for column in zip(words, *tracks.values(), strict=True)]
            margin = max([0, *(len(name) + 2 for name in tracks)])
            for name, row in [("", words), *tracks.items()]:
                line = " ".join(x.ljust(w) for x, w in zip(row, widths, strict=True))
                print(f"  {name.ljust(margin)}{line}".rstrip())
        else:
            parts = ("".join(words[a:b]) for a, b in ((0, e.first), (e.first, e.stop), (e.stop, None)))
            before, inside, after = parts
            print(f"  {before}{MARKS[0]}{inside}{MARKS[1]}{after}")
            for name, labels in e.tracks.items():
                said = list(dict.fromkeys(NONE if v is None else v for v in labels[e.first : e.stop]))
                print(f"  {name}: {' → '.join(said)}")


def _gap(text: Indexed) -> str:
    return " " if text.vocabulary.kind == "word" else ""
