"""``carousel compare``: several cells under one budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from carousel import files
from carousel.cli import commands, options, screen
from carousel.cli.train import configure
from carousel.errors import InputError
from carousel.language.compare import Comparison
from carousel.language.config import TextConfig
from carousel.language.model import ModelConfig
from carousel.language.task import PERPLEXITY
from carousel.training.config import TrainConfig

EXAMPLE = "Example: carousel compare book.txt --cells mlp,rnn,cec,lstm-v1,lstm-v2 --epochs 5"


@options.made_from(TextConfig, ModelConfig, TrainConfig, without=("cell", "forget_bias", "watch_gradients"))
def command(
    files: options.Files = None,
    cells: Annotated[str, typer.Option(help="Cells, separated by commas.")] = "mlp,rnn,cec,lstm-v1,lstm-v2,lstm-v3,lstm-v4",
    parameters: Annotated[
        int | None,
        typer.Option(help="Give each model as many units as this number of parameters allows.", show_default=False),
    ] = None,
    valid: options.Valid = None,
    test: options.Test = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; runs/FILE-compare by default.", show_default=False)
    ] = None,
    json: options.Json = False,
    **given: Any,
) -> None:
    """Train several cells on the same text with the same settings: the lecture's progression in one table and figure.

    Interrupted, the same command goes on where it stopped.
    """
    if not files:
        raise InputError("give a text file to train on")
    names = commands.cells(cells)
    config, *_ = [configure(given, files, valid, test, cell=name) for name in names]
    folder = out or Path("runs") / f"{files[0].stem}-compare"
    rows = run(folder, config, names, parameters)
    if json:
        screen.print_json(rows)
        return
    show(rows, "Held-out text under one budget")
    print(f"\nfigure {folder / 'compare.png'}")


def run(folder: Path, config: Any, names: list[str], parameters: int | None = None) -> list[dict[str, Any]]:
    """Compare, with progress on the screen."""
    screens: list[screen.TrainingScreen] = []

    def observer(cell: str) -> screen.TrainingScreen:
        for s in screens:
            s.__exit__(None, None, None)
        screens[:] = [screen.TrainingScreen(cell, PERPLEXITY).__enter__()]
        return screens[0]

    with files.owning(folder):
        with screen.preparing() as tick:
            comparison = Comparison(folder, config, names, parameters, tick)
        try:
            return comparison.run(observer)
        finally:
            for s in screens:
                s.__exit__(None, None, None)


def show(rows: list[dict[str, Any]], title: str) -> None:
    """Print the table of a comparison."""
    formats = [
        {
            "model": r["model"],
            "parameters": f"{r['parameters']:,}" if "parameters" in r else "",
            "perplexity": f"{r['perplexity']:.2f}" if r["perplexity"] < 1e7 else f"{r['perplexity']:.1e}",
            "bits per character": f"{r['bits_per_character']:.3f}",
            "words per second": f"{r['words_per_second']:,.0f}" if r.get("words_per_second") else "",
            "seconds": f"{r['seconds']:.0f}" if "seconds" in r else "",
        }
        for r in rows
    ]
    screen.print_rows(title, formats, ("model",))
