"""``carousel claims``: the lectures' sentences on their cells, tried."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.insight import figures
from carousel.insight.claims import CLAIMS
from carousel.insight.claims.claim import Trial, TrialConfig
from carousel.text.lines import check_file

EXAMPLE = "Example: carousel claims forget --seeds 5 --figure forget.png"


def command(
    claim: Annotated[str, typer.Argument(help="projection, forget or peepholes.", show_default=False)],
    files: Annotated[
        list[Path] | None, typer.Argument(help="For projection: text files to train on; by default Python's own documentation.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds, from 1 on.")] = 5,
    steps: Annotated[
        int, typer.Option(min=0, help="Steps of training (epochs, for projection); 0: as in the documentation.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder that keeps finished runs; runs/claims by default.", show_default=False),
    ] = None,
    threads: options.Threads = 1,
    figure: options.Figure = None,
    json: options.Json = False,
) -> None:
    """Train the cells that a claim compares, with several seeds, and judge the claim by a rule.

    A claim holds where the difference has its sign with every seed and its mean is more than two standard errors; it does not
    hold where that is so the other way round; else it is undecided. Finished runs are kept, and not done again.
    """
    figures.check(figure)
    if claim not in CLAIMS:
        raise InputError(f"no claim is called {claim!r}; there are {', '.join(CLAIMS)}")
    if files and claim != "projection":
        raise InputError(f"the claim {claim!r} makes its own sequences and reads no text")
    for path in files or ():
        check_file(path)
    if threads:
        torch.set_num_threads(threads)
    trial = Trial(CLAIMS[claim], TrialConfig(steps, tuple(files or ()), out or Path("runs") / "claims" / claim))
    with screen.counting(claim) as tick:
        trial.run(range(1, seeds + 1), tick)
    if figure is not None:
        figures.save(figures.claim(trial), figure)
    if json:
        screen.print_json(trial.as_dict())
        return
    tried = trial.claim
    rows = []
    for way, text in tried.ways.items():
        row = {"": text}
        for name in tried.figures:
            row[name] = "  ".join(f"{v:,.0f}" if v >= 1000 else f"{v:.3g}" for v in trial.values(way, name))
        rows.append(row)
    print(f"“{tried.says}”\n{tried.source}\n")
    screen.out.print(screen.table(f"seeds 1 to {seeds}", dict.fromkeys(rows[0], "left"), rows))
    print()
    for name, text in tried.figures.items():
        print(f"{name}: {text}")
    print()
    for q in tried.questions:
        print(f"{q.verdict(trial.runs)}: {q.asks}")
    if figure is not None:
        print(f"wrote {figure}")
