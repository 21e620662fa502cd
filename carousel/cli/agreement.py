"""``carousel agreement``: does the subject still decide the words at the end, also when a valve is shut?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from carousel import files
from carousel.cli import commands, options, screen
from carousel.corpora import english
from carousel.errors import InputError
from carousel.insight import figures
from carousel.insight.agreement import Agreement
from carousel.runs.language import LanguageRun, read
from carousel.training.config import TrainConfig

app = commands.Commands(
    no_args_is_help=True, help="Agreement at a distance: generate an English corpus, and score a model on it."
)
COLUMNS = ("all", "pronoun", "verb", "distance 1-3", "distance 4-6", "distance 7-9", "distance 10+", "attractors 2")


@app.command(epilog="Example: carousel agreement corpus agree, then carousel train agree/train.txt --valid agree/valid.txt")
def corpus(
    folder: Annotated[Path, typer.Argument(help="Where to write it.", show_default=False)],
    train: Annotated[int, typer.Option(min=1, help="Sentences to train on.")] = 20000,
    valid: Annotated[int, typer.Option(min=1, help="For validation.")] = 1000,
    test: Annotated[int, typer.Option(min=1, help="For the end: subjects with predicates that training never has.")] = 2000,
    seed: Annotated[int, options.option(TrainConfig, "seed", "Seed.")] = 1,
) -> None:
    """Write English sentences in which the subject's gender and number decide words at a distance.

    As text to train on (train.txt, valid.txt, test.txt), and with labels after each word (.jsonl) for probes.
    """
    with files.owning(folder), screen.busy(f"writing {folder}"):
        english.write(folder, train, valid, test, seed)
    print(f"wrote {train:,}, {valid:,} and {test:,} sentences to {folder}")


@app.command(epilog="Example: carousel agreement score runs/train-lstm-v3 agree/test.jsonl --shut-valves --figure shut.png")
def score(
    run: options.Run,
    file: Annotated[Path, typer.Argument(help="Sentences with their agreeing words (.jsonl).", show_default=False)],
    clamp: options.ClampOptions = None,
    at: Annotated[
        int | None,
        typer.Option(help="Clamp from so many words after the subject's noun on (0: the noun).", show_default=False),
    ] = None,
    words: Annotated[int, typer.Option("--for", min=1, help="With --at: for so many words.")] = 1,
    shut_valves: Annotated[bool, typer.Option("--shut-valves", help="Shut each valve in turn, before, at and after.")] = False,
    figure: options.Figure = None,
    json: options.Json = False,
) -> None:
    """Count how often the right form is likelier than a wrong one, by distance and by nouns between that would mislead."""
    figures.check(figure)
    if figure is not None and not shut_valves:
        raise InputError("the figure is of --shut-valves; give both")
    held = options.clamps(clamp)
    if at is not None and (not held or any(c.begin or c.end is not None for c in held)):
        raise InputError("--at says when a --clamp begins, so it needs one, without steps of its own")
    if at is None and words != 1:
        raise InputError("--for goes with --at")
    model = LanguageRun(run)
    given = read(file)
    found = model.agreement(given, clamp=held, at=at, words=words)
    shut = []
    if shut_valves:
        with screen.counting("shutting valves") as tick:
            shut = model.shut_valves(given, tick=tick)
        if figure is not None:
            figures.save(figures.shut_valves(shut, found.share()), figure)
    if json:
        each = [{"valve": s.valve, "place": s.place, "words": s.count, "agreement": s.agreement.as_dict()} for s in shut]
        screen.print_json({"agreement": found.as_dict(), **({"shut": each} if shut_valves else {})})
        return
    columns = [c for c in COLUMNS if c in found.right]
    rows = [{"": "as it is" if not held else "clamped", **_row(found, columns)}]
    for s in shut:
        most = "up to " if s.place == "before" and s.count > 1 else ""  # there may be fewer words before it
        rows.append({"": f"{s.valve} shut for {most}{s.count}, {s.place} the subject", **_row(s.agreement, columns)})
    rows.append({"": "of", **{c: f"{found.right[c][1]:,}" for c in columns}})
    screen.out.print(
        screen.table("right form likelier than a wrong one, %", {"": "left", **dict.fromkeys(columns, "right")}, rows)
    )
    if figure is not None and shut_valves:
        print(f"wrote {figure}")


def _row(found: Agreement, columns: list[str]) -> dict[str, Any]:
    return {c: f"{100 * found.share(c):.1f}" for c in columns}
