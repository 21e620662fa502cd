"""``carousel compare``: several cells under one budget, or several recipes with theirs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from carousel import files
from carousel.cli import commands, options, screen
from carousel.cli.train import configure
from carousel.errors import InputError
from carousel.language.compare import Comparison
from carousel.language.config import Config, TextConfig
from carousel.language.model import ModelConfig
from carousel.language.recipes import RECIPES
from carousel.language.task import PERPLEXITY
from carousel.training.comparison import Point
from carousel.training.config import TrainConfig
from carousel.training.recipes import Recipe

EXAMPLE = "Example: carousel compare book.txt --cells mlp,rnn,cec,lstm-v1,lstm-v2 --epochs 5"
CELLS = "mlp,rnn,cec,lstm-v1,lstm-v2,lstm-v3,lstm-v4"
COLUMNS = ["name", "seconds", "perplexity"]


@options.made_from(TextConfig, ModelConfig, TrainConfig, without=("cell", "forget_bias", "watch_gradients"))
def command(
    context: typer.Context,
    files: options.Files = None,
    cells: Annotated[
        str | None, typer.Option(help=f"Cells, separated by commas; without --recipes {CELLS}.", show_default=False)
    ] = None,
    recipes: Annotated[
        str | None,
        typer.Option(
            help="Recipes by name or .toml file, separated by commas; other options override them.", show_default=False
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each, with seeds from --seed on.")] = 1,
    parameters: Annotated[
        int | None,
        typer.Option(help="Give each model as many units as this number of parameters allows.", show_default=False),
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            help="A .csv file of others' results for the figure: name, seconds of training, validation perplexity.",
            show_default=False,
        ),
    ] = None,
    valid: options.Valid = None,
    test: options.Test = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; runs/FILE-compare by default.", show_default=False)
    ] = None,
    json: options.Json = False,
    **given: Any,
) -> None:
    """Train several cells or recipes on the same text: the lecture's progression in one table and figure.

    Cells have the same settings, recipes their own. If it is interrupted, run it again to continue.
    """
    if not files:
        raise InputError("give a text file to train on")
    others = read_others(beside) if beside else []
    names = commands.cells(cells or CELLS) if cells is not None or recipes is None else []
    configs = {name: configure(given, files, valid, test, cell=name) for name in names}
    for each in _recipes(recipes):
        if each.name in configs:
            raise InputError(f"{each.name} stands twice in the comparison; each model needs a name of its own")
        otherwise = {name: value for name, value in each.settings.items() if not options.is_given(context, name)}
        configs[each.name] = configure(given, files, valid, test, cell=ModelConfig.cell, otherwise=otherwise)
    folder = out or Path("runs") / f"{files[0].stem}-compare"
    rows = run(folder, configs, parameters, seeds, others)
    if json:
        screen.print_json(rows)
        return
    show(rows, "Held-out text" if recipes else "Held-out text under one budget")
    print(f"\nfigure {folder / 'compare.png'}")


def _recipes(named: str | None) -> list[Recipe]:
    found = [RECIPES.recipe(name.strip()) for name in (named or "").split(",") if name.strip()]
    if named is not None and not found:
        raise InputError("--recipes needs at least one recipe")
    return found


def read_others(path: Path) -> list[Point]:
    """Read others' results: a line of name, seconds, perplexity for each, under a line that says so. Raises InputError."""
    header, *lines = [*csv.reader(files.read(path).splitlines(), skipinitialspace=True)] or [[]]
    if header != COLUMNS:
        raise InputError(f"{path} must begin with the line {','.join(COLUMNS)}")
    found = []
    for number, line in enumerate(lines, 2):
        try:
            name, seconds, perplexity = line
            found.append(Point(name, float(seconds), float(perplexity)))
        except ValueError:
            raise InputError(f"{path}, line {number}: need a name and two numbers, not {','.join(line)!r}") from None
        if not 0 < min(found[-1][1:]) <= max(found[-1][1:]) < 1e12:
            raise InputError(f"{path}, line {number}: seconds and perplexity must be above zero, and below 1e12")
    return found


def run(
    folder: Path, configs: Mapping[str, Config], parameters: int | None = None, seeds: int = 1, others: Sequence[Point] = ()
) -> list[dict[str, Any]]:
    """Compare, with progress on the screen."""
    screens: list[screen.TrainingScreen] = []

    def observer(name: str) -> screen.TrainingScreen:
        for s in screens:
            s.__exit__(None, None, None)
        screens[:] = [screen.TrainingScreen(name, PERPLEXITY).__enter__()]
        return screens[0]

    with files.owning(folder):
        with screen.preparing() as tick:
            comparison = Comparison(folder, configs, parameters, seeds, tick)
        try:
            return comparison.run(observer, others)
        finally:
            for s in screens:
                s.__exit__(None, None, None)


def show(rows: list[dict[str, Any]], title: str) -> None:
    """Print the table of a comparison."""
    formats = [
        {
            "model": r["model"],
            "parameters": f"{r['parameters']:,}" if "parameters" in r else "",
            "perplexity": screen.perplexity(r["perplexity"])
            + (f" ± {screen.perplexity(r['spread'])}" if "spread" in r else ""),
            "bits per character": f"{r['bits_per_character']:.3f}",
            "words per second": f"{r['words_per_second']:,.0f}" if r.get("words_per_second") else "",
            "seconds": f"{r['seconds']:.0f}" if "seconds" in r else "",
        }
        for r in rows
    ]
    screen.print_rows(title, formats, ("model",))
