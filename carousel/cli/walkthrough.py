"""``carousel walkthrough``: the lecture's example, word by word, on a translator of one's own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from carousel.cli import options, screen
from carousel.cli.pairs import second_text
from carousel.corpora.annotated import read_sentences
from carousel.corpora.czech_pairs import read_pairs
from carousel.corpora.czech_words import PEOPLE
from carousel.insight import figures
from carousel.insight.interventions import INTERVENTIONS, Forecast, Told, outputs_under, patched_share
from carousel.insight.walkthrough import TICKS, Walkthrough, counts
from carousel.insight.walkthrough_figure import walkthrough as draw
from carousel.runs.translator import TranslatorRun
from carousel.translation.score import agreement

EXAMPLE = (
    'Example: carousel walkthrough runs/czech "I am a boy who likes to learn" --replace boy=girl --labels pairs/test.jsonl'
)
MOST_PATCHED = 60  # sentences
LEFT = {"first", "second", "", "after", "until", "side", "read from the memory", "held", "patched", "translation"}
LEFT |= {"over many sentences"}  # columns of words
TEACHING = 100  # sentences beyond the ones that are read, at least, from which a forecast can be learnt


def command(
    run: options.TranslatorRun,
    text: options.Text,
    other: Annotated[str | None, typer.Argument(help="The sentence that differs.", show_default=False)] = None,
    replace: Annotated[
        str | None, typer.Option(help="word=other: the sentence that differs, made from the first.", show_default=False)
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Annotated sentences (JSONL of carousel translate corpus), for probes and for agreement with valves held.",
            show_default=False,
        ),
    ] = None,
    sentences: Annotated[
        int, typer.Option(min=10, help="How many of them are read; from the others, 100 at least, a forecast is learnt.")
    ] = 600,
    layer: options.Layer = None,
    units: Annotated[int, typer.Option(min=1, help="Units to list.")] = 8,
    figure: Annotated[Path, typer.Option(help="Where the figure goes (.png, .pdf or .svg).")] = Path("walkthrough.png"),
    json: options.Json = False,
) -> None:
    """Translate two sentences that differ in a word; show valves, memory, probes of it, and the effect of held valves.

    For translators from memory alone, of which encoder and decoder have as many layers, in one direction.
    """
    figures.check(figure)
    second = second_text(text, other, replace)
    translator = TranslatorRun(run)
    model, source, target = translator.model, translator.source, translator.target
    number = options.layer_number(layer, model.encoder.num_layers)
    given = [] if labels is None else read_sentences(labels)[:sentences]
    all_pairs = [] if labels is None else read_pairs(labels)
    pairs, others = all_pairs[:sentences], all_pairs[sentences:]
    with screen.counting("reading the memory") as tick:
        each = _counter(tick, TICKS * (len(given[0].labels) if given else 0))
        found = translator.walkthrough(text, second, given, layer=number, tick=each)
    agreed, told = {}, {}
    if pairs and {"i", "f"} <= set(found.a.valves):
        interpreter = translator.interpreter(beam=1)
        with screen.counting("holding valves") as tick:
            forecast = Forecast(model, source, others) if len(others) >= TEACHING else None
            for k, intervention in enumerate(INTERVENTIONS, 1):
                outputs = outputs_under(interpreter, pairs, intervention)
                agreed[intervention.what] = agreement(pairs, outputs)["subject"]
                if forecast is not None:
                    told[intervention.what] = forecast.tell(pairs, outputs, intervention)
                tick(k, len(INTERVENTIONS))
    noun = _put_in(text, second)
    shares: dict[str, float] = {}
    of = 0
    if pairs and noun:
        with screen.counting("patching") as tick:
            run_, each = (model, source, target), _counter(tick, MOST_PATCHED)
            shares, of = patched_share(run_, pairs, noun, found.memory, number, MOST_PATCHED, each)
    figures.save(draw(found), figure)
    if json:
        row: dict[str, Any] = {"agreement": {k: a.as_dict() for k, a in agreed.items()}}
        row |= {"foretold": {k: t.as_dict() for k, t in told.items()}}
        row |= {"patched_over_many": shares, "patched_of": of}
        screen.print_json(found.as_dict() | row)
        return
    _print(found, units)
    if agreed:
        rows = [
            {
                "over many sentences": k,
                "right": f"{100 * a.share:.1f} %",
                "of those there": f"{100 * a.share_there:.1f} %",
                "another form": str(a.wrong),
                "not there": str(a.missing),
            }
            for k, a in agreed.items()
        ]
        _table("words that agree with the subject", rows)
    if told:
        _table("foretold from the memory before a word is written, of the words that are there", _foretold(told))
    if of:
        rows = [{"units that differ most": k, "becomes the other sentence": f"{100 * v:.0f} %"} for k, v in shares.items()]
        _table(f"{of} sentences about someone of the other gender, with units of the memory set as for {noun}", rows)
    print(f"wrote {figure}")


def _counter(tick: Callable[[int, int], None], total: int) -> Callable[[], None]:
    """Return a function to be called once for each of ``total`` steps."""
    numbers = count(1)
    return lambda: tick(next(numbers), total)


def _foretold(told: dict[str, Told]) -> list[dict[str, str]]:
    return [
        {
            "over many sentences": k,
            "right, foretold": f"{100 * t.foretold:.1f} %",
            "right": f"{100 * t.right:.1f} %",
            "in the form foretold": f"{100 * t.as_foretold:.1f} %",
        }
        for k, t in told.items()
    ]


def _put_in(text: str, other: str) -> str | None:
    """Return the noun that was put in, where the corpus has it."""
    known = {n.english[0] for n in PEOPLE}
    return next((b for a, b in zip(text.split(), other.split(), strict=False) if a != b and b in known), None)


def _print(found: Walkthrough, units: int) -> None:
    print(found.a.translation)
    print(found.b.translation)
    size = found.pair.size(found.memory)[found.layer]
    rows = []
    for k, (i, j) in enumerate(found.pair.places):
        row = {
            "first": found.a.words[i].strip(),
            "second": found.b.words[j].strip(),
            "": "read" if i < found.a.source else "written",
        }
        for name in found.a.valves:
            row[name] = f"{found.valves(0)[name][i]:.2f} {found.valves(1)[name][j]:.2f}"
        row["came in"] = f"{found.written[0][i]:.2f} {found.written[1][j]:.2f}"
        row[f"|Δ{found.memory}|"] = f"{size[k]:.3f}"
        for r in found.readings:
            row[r.of] = " / ".join(dict.fromkeys(r.labels[which][p][0] for which, p in ((0, i), (1, j))))
        rows.append(row)
    _table(f"valves and memory {found.memory}, layer {found.layer}: first and second sentence", rows)
    carriers = [{k: f"{v:.2f}" if isinstance(v, float) else str(v) for k, v in c.items()} for c in found.carriers(units)]
    _table("units that differ most: for how many steps above half, until which word", carriers)
    if found.readings:
        shares = [
            {"read from the memory": r.of}
            | {n: f"{100 * getattr(r, n):.1f} %" for n in ("linear", "control", "untrained", "majority")}
            for r in found.readings
        ]
        _table("probes, on words of sentences not seen", shares)
    _table("the second sentence with a valve held", [{"held": h.what, "translation": h.translation} for h in found.held])
    if found.patched:
        assert found.found is not None
        brought = [found.found.curve[k - 1] for k in counts(len(found.found.units))]
        rows = [
            {"patched": h.what, "share of the log-odds": f"{100 * s:.0f} %", "translation": h.translation}
            for h, s in zip(found.patched, brought, strict=True)
        ]
        at = " / ".join(dict.fromkeys(w.strip() for w in reversed(found.found.words[found.found.word])))
        _table(f"the first sentence with units of its memory set to the second's while {at} is read", rows)
        print("units, as they were found: " + " ".join(map(str, found.found.units)))


def _table(title: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        print()
        screen.print_rows(title, rows, LEFT)
