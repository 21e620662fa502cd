"""``carousel demo``: the main job in a few minutes, on text that every Python carries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carousel import files
from carousel.cli import compare, options, screen
from carousel.language.demo import demo_configs
from carousel.runs.language import LanguageRun

EXAMPLE = "Example: carousel demo --out runs/demo"


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for text, runs and figures.")] = Path("runs/demo"),
    epochs: Annotated[int | None, typer.Option(min=1, help="Times the text is read.", show_default=False)] = None,
    json: options.Json = False,
) -> None:
    """Train an LSTM and an MLP on Python's own documentation, and compare them with n-gram models."""
    with files.owning(out):
        configs = demo_configs(out, epochs)
        rows = compare.run(out, configs)
    run = out / list(configs)[-1]
    passage = LanguageRun(run).pieces("The ", 120, temperature=0.7, seed=1)
    if json:
        screen.print_json({"rows": rows, "passage": "".join(passage), "run": str(run), "curve": str(run / "curve.png")})
        return
    print()
    compare.show(rows, "Topics of Python's documentation that no model has seen")
    print("\nA passage by the LSTM:\n")
    print("The ", end="")
    for piece in passage:
        print(piece, end="", flush=True)
    print(f"\n\nrun folder      {run}\nlearning curve  {run / 'curve.png'}\ncomparison      {out / 'compare.png'}")
