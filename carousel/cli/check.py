"""``carousel check``: a run's gradients against finite differences."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.runs.kinds import check_run
from carousel.training.gradient_check import TOLERANCE

EXAMPLE = "Example: carousel check runs/book-lstm-v2"


def command(
    run: Annotated[Path, typer.Argument(help="A run folder of any kind of model.", show_default=False)],
    directions: Annotated[int, typer.Option(min=0, max=10_000, help="Random directions of each parameter.")] = 3,
    entries: Annotated[
        int, typer.Option(min=0, max=10_000, help="Single entries of each: the largest gradient's, others at random.")
    ] = 3,
    parameters: Annotated[
        str, typer.Option(help="Check these alone, by name: recurrent.W.i*,output.*", show_default=False)
    ] = "",
    tolerance: Annotated[float, typer.Option(min=0, help="Largest relative error that passes.")] = TOLERANCE,
    seed: options.Seed = 1,
    json: options.Json = False,
) -> None:
    """Compare a run's gradients with finite differences, on its own data, in double precision.

    The model has the run's best weights, reads the first training batch, and has no dropout. The table has a line for each
    parameter, the worst first; the exit status is 1 where an error is above the tolerance.
    """
    if not directions and not entries:
        raise InputError("with no --directions and no --entries nothing is checked")
    patterns = tuple(part.strip() for part in parameters.split(",") if part.strip())
    with screen.counting("checking") as tick:
        found = check_run(run, directions=directions, entries=entries, patterns=patterns, seed=seed, tick=tick)
    wrong = [row for row in found if not row.error <= tolerance]
    if json:
        rows = [row.as_dict() for row in found]
        screen.print_json({"run": str(run), "passes": not wrong, "tolerance": tolerance, "parameters": rows})
    else:
        table = [
            {
                "parameter": row.name,
                "shape": "×".join(map(str, row.shape)),
                "error": f"{row.error:.1e}",
                "at": row.at,
                "gradient": f"{row.gradient:.4g}",
                "difference": f"{row.difference:.4g}",
            }
            for row in found
        ]
        screen.print_rows("worst relative error of each parameter", table, left=("parameter", "at"))
        judged = f"{len(wrong)} of {len(found)} parameters are wrong" if wrong else f"all {len(found)} parameters are right"
        print(f"{judged}: relative errors {'above' if wrong else 'up to'} {tolerance if wrong else found[0].error:.1e}")
    if wrong:
        sys.exit(1)  # and not by Typer: the message is out
