"""``carousel export``: a trained model for other machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carousel import files
from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.export.c99.weights import PRECISIONS
from carousel.runs.language import LanguageRun

EXAMPLE = "Example: carousel export runs/book-lstm-v2 -o model.c, then cc -O3 -DMAIN model.c -lm -o model && ./model The"


def command(
    run: options.Run,
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.", show_default=False)],
    to: Annotated[str, typer.Option(help="c: one C99 file that needs math.h alone.")] = "c",
    precision: Annotated[str, typer.Option(help=f"Of the weights: {', '.join(PRECISIONS)}.")] = PRECISIONS[0],
    json: options.Json = False,
) -> None:
    """Write a language model as one file that runs without Python: cell, weights, vocabulary, and a program."""
    files.check(out)
    if to != "c":
        raise InputError(f"`to` must be c, not {to!r}")
    model = LanguageRun(run)
    with screen.busy("writing C"):
        text = model.c(precision)
        files.write(out, text)
    if json:
        screen.print_json({"run": str(run), "file": str(out), "to": to, "precision": precision, "bytes": len(text.encode())})
        return
    name = out.with_suffix("").name
    print(f"wrote {out} ({len(text.encode()) / 1e6:.1f} MB of text)")
    print(f'cc -O3 -DMAIN {out} -lm -o {name} && ./{name} -n 50 -t 0.8 "The"')
