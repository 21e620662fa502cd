"""``carousel probe``: properties read from the memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.insight import figures
from carousel.insight.probes import TICKS
from carousel.runs.language import LanguageRun, read
from carousel.training.config import TrainConfig

EXAMPLE = "Example: carousel probe runs/train-lstm-v3 agree/test.jsonl --property gender,number"


def command(
    run: options.Run,
    file: Annotated[Path, typer.Argument(help="Sentences with labels for each word (.jsonl).", show_default=False)],
    property: Annotated[
        str | None, typer.Option(help="Labels to read, separated by commas; all by default.", show_default=False)
    ] = None,
    state: Annotated[str | None, typer.Option(help="State to read from; the memory by default.", show_default=False)] = None,
    layer: options.Layer = None,
    units: Annotated[int, typer.Option(min=1, help="Units to list.")] = 3,
    held_out: Annotated[float, typer.Option(min=0.05, max=0.95, help="Share of the sentences kept for the score.")] = 0.3,
    seed: Annotated[
        int, options.option(TrainConfig, "seed", "Seed of that choice, of the control task and of first weights.")
    ] = 1,
    figure: options.Figure = None,
    json: options.Json = False,
) -> None:
    """Test how well a property of each word can be read from memory: by all units linearly, and by each unit alone.

    Scores are shares right on sentences not seen. "control": the same probe where each word that sets the property sets a
    random label of its own (Hewitt and Liang 2019); "untrained": the same model at first weights; "commonest": always that
    label. A line of the file: {"words": ["a", "boy"], "labels": {"gender": [null, "m"]}}.
    """
    figures.check(figure)
    model = LanguageRun(run)
    given = read(file)
    told = list(dict.fromkeys(n for s in given for n in s.labels))
    wanted = told if property is None else [p.strip() for p in property.split(",") if p.strip()]
    missing = [p for p in wanted if p not in told]
    if missing or not wanted:
        raise InputError(f"{file} tells of {', '.join(told) or 'nothing'}, not of {', '.join(missing) or 'nothing'}")
    number = options.layer_number(layer, model.layer.num_layers)
    found = []
    with screen.counting("probing") as show:
        done = iter(range(1, TICKS * len(wanted) + 1))

        def tick() -> None:
            show(next(done), TICKS * len(wanted))

        for name in wanted:
            found.append(model.probe(given, name, name=state, layer=number, held_out=held_out, seed=seed, tick=tick))
    if figure is not None:
        figures.save(figures.probes(found), figure)
    if json:
        screen.print_json([p.as_dict() for p in found])
        return
    rows = []
    for p in found:
        rows.append(
            {
                "property": p.of,
                "linear": f"{p.linear:.3f}",
                "control": f"{p.control:.3f}",
                "untrained": f"{p.untrained:.3f}",
                "commonest": f"{p.majority:.3f}",
                "best units alone": "  ".join(f"{u.unit}: {u.score:.3f}" for u in p.units[:units]),
                "by words since it was set": "  ".join(f"{k}: {s:.2f}" for k, (s, _) in p.by_distance.items()),
                "words": f"{p.counts[1]:,}",
            }
        )
    title = f"read from {found[0].name}, layer {number}: share right on sentences not seen"
    left = ("property", "best units alone", "by words since it was set")
    screen.print_rows(title, rows, left)
    if figure is not None:
        print(f"wrote {figure}")
