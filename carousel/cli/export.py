"""``carousel export``: a trained model for other machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carousel import files
from carousel.cli import options, screen
from carousel.export.targets import PRECISIONS, TARGETS, target
from carousel.runs.language import LanguageRun

EXAMPLE = "Example: carousel export runs/book-lstm-v2 -o model.c, then cc -O3 -DMAIN model.c -lm -o model && ./model The"
TO = f"{'; '.join(f'{t.name}: {t.about}' for t in TARGETS.values())}. Without it the end of the file's name decides."

PRECISION = f"Of the weights: {', '.join(PRECISIONS)}. By default {PRECISIONS[0]}, in a page int8."


def command(
    run: options.Run,
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.", show_default=False)],
    to: Annotated[str | None, typer.Option(help=TO, show_default=False)] = None,
    precision: Annotated[str | None, typer.Option(help=PRECISION, show_default=False)] = None,
    json: options.Json = False,
) -> None:
    """Write a language model as a file that runs without Python: a program in C, a module for the web, a page."""
    files.check(out)
    kind = target(to, out)
    precision = precision or kind.precisions[0]
    kind.check(precision)
    model = LanguageRun(run)
    with screen.busy(f"writing {out.name}"):
        written = model.export(out, kind.name, precision)
    sizes = {str(path): path.stat().st_size for path in written}
    if json:
        screen.print_json({"run": str(run), "files": sizes, "to": kind.name, "precision": precision})
        return
    for path, size in sizes.items():
        print(f"wrote {path} ({size / 1e6:.1f} MB)")
    print(kind.next(out))
