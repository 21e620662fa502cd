"""``carousel forecast``: train a forecaster, score it, forecast with it, look at it."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from carousel import files
from carousel.cli import commands, options, screen, training
from carousel.errors import InputError
from carousel.forecasting import examples
from carousel.forecasting.config import ForecastConfig, ForecasterConfig, SeriesConfig, WindowTraining
from carousel.forecasting.forecast import LEVELS, Forecast
from carousel.forecasting.others import has_ets
from carousel.forecasting.task import metric
from carousel.insight import figures
from carousel.runs.forecaster import KINDS, ForecastRun, configured, prepared
from carousel.runs.making import owned
from carousel.training.processes import Processes

EXAMPLE = "Example: carousel forecast train sales.csv --time month --horizon 12 --season 12"

app = commands.Commands(
    no_args_is_help=True,
    help="Train a forecaster of one or many series, score it by MASE and CRPS, forecast with it, draw its forecasts.",
)
Run = Annotated[Path, typer.Argument(help="A run folder, as carousel forecast train leaves it.", show_default=False)]
Table = Annotated[
    Path | None,
    typer.Argument(help="A file with the columns of the run's; without it, the run's own series.", show_default=False),
]
Known = Annotated[
    int | None, typer.Option(min=1, help="Forecast after so many values; by default after all.", show_default=False)
]
USUAL = ",".join(f"{level:g}" for level in LEVELS)
Levels = Annotated[
    str | None,
    typer.Option(help=f"Levels of quantiles, separated by commas; by default {USUAL}, as far as learnt.", show_default=False),
]


@app.command("train", epilog=EXAMPLE)
@options.made_from(SeriesConfig, ForecasterConfig, WindowTraining)
def train(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="Named columns: .csv with a first line of names, .npz, .parquet.", show_default=False)
    ] = None,
    out: Annotated[Path | None, training.out("FILE")] = None,
    resume: options.Resume = None,
    json: options.Json = False,
    **given: Any,
) -> None:
    """Train a forecaster on columns of numbers, a series each; Ctrl-C stops it so that --resume can continue.

    The last steps are kept for carousel forecast score, those before them for validation.
    """
    processes = Processes()

    def fresh() -> tuple[Path, ForecastConfig]:
        if file is None:
            raise InputError("give a file of named columns to train on, or --resume RUN")
        files.check_regular(file)
        settings = {name: value for kind in KINDS for name, value in options.chosen(kind, given).items()}
        config = configured(file, settings.pop("cell").strip(), settings)
        return out or Path("runs") / f"{file.stem}-{config.model.cell}", config

    own = "its own series; leave the file out"
    folder, config = training.begin(context, processes, resume, ForecastConfig, given, (file, own), fresh)
    with owned(folder, processes):
        show = screen.TrainingScreen(config.model.cell, metric(config))
        trainer = prepared(folder, config, processes, fresh=resume is None, observer=show)
        training.follow(trainer, show, json, "carousel forecast train")


@app.command("score", epilog="Example: carousel forecast score runs/sales-lstm-v2")
def score(
    run: Run,
    stride: Annotated[int, typer.Option(min=1, help="Steps from one place to forecast from to the next.")] = 1,
    alone: Annotated[bool, typer.Option("--alone", help="Fit no ETS (statsmodels) beside.")] = False,
    json: options.Json = False,
) -> None:
    """Score forecasts over each series' last steps by MASE and CRPS, beside the seasonal naive forecast and ETS.

    MASE: mean absolute error by that of the seasonal naive forecast over the values before. CRPS: of the whole distribution,
    in the series' unit. 80 %: share of the values between the quantiles 0.1 and 0.9.
    """
    found = ForecastRun(run)
    with screen.counting("forecasting") as tick:
        scored = found.score(stride=stride, others=not alone, tick=tick)
    if not alone and not has_ets():
        screen.err.print("no ETS beside: pip install 'carousel-rnn[series]'")
    if json:
        screen.print_json({**scored.as_dict(), "horizon": found.model.horizon, "season": found.config.series.season})
        return
    rows = []
    for name, errors in [(found.config.model.cell, scored.model), *scored.others.items()]:
        coverage = "" if errors.coverage is None else f"{100 * errors.coverage:.0f} %"
        row = {"forecast": name, "MASE": f"{errors.mase:.3f}", "CRPS": f"{errors.crps:.4g}"}
        rows.append(row | {"CRPS, scaled": f"{errors.scaled_crps:.3f}", "80 %": coverage})
    what = f"{scored.forecasts} forecasts of {found.model.horizon} steps, {len(scored.series)} series"
    screen.print_rows(what, rows, left=("forecast",))


@app.command("predict", epilog="Example: carousel forecast predict runs/sales-lstm-v2 this-year.csv --out next.csv")
def predict(
    run: Run,
    table: Table = None,
    known: Known = None,
    levels: Levels = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write CSV to this file.", show_default=False)] = None,
    json: options.Json = False,
) -> None:
    """Forecast what follows: a line of CSV for each step, its median (a mean, of a model for squared errors), and quantiles."""
    if out is not None:
        files.check(out)
    found = ForecastRun(run).predict(table, known=known, levels=None if levels is None else _levels(levels))
    if out is not None:
        files.write(out, _csv(found))
    if json:
        screen.print_json({"run": str(run), "forecasts": [f.as_dict() for f in found]})
    elif out is None:
        sys.stdout.write(_csv(found))
    else:
        print(f"wrote {out}")


@app.command("show", epilog="Example: carousel forecast show runs/sales-lstm-v2 --figure next.png")
def show(
    run: Run,
    table: Table = None,
    figure: Annotated[Path, typer.Option(help="Write the figure to this file (.png, .pdf or .svg).")] = Path("forecast.png"),
    known: Known = None,
    ending: Annotated[bool, typer.Option("--test", help="Forecast the last horizon of the values, beside what came.")] = False,
    history: Annotated[
        int | None, typer.Option(min=1, help="Values before a forecast that are shown.", show_default=False)
    ] = None,
) -> None:
    """Draw forecasts with intervals of 50 and 90 %, one panel per series."""
    figures.check(figure)
    found = ForecastRun(run)
    if ending and (known is not None or table is not None):
        raise InputError("--test is about the run's own series, and says after how many values; leave --known and the file out")
    made = found.ending() if ending else found.predict(table, known=known)
    figures.save(found.figure(made, history), figure)
    print(f"wrote {figure}")


@app.command("data", epilog="Example: carousel forecast data sunspots sunspots.csv")
def data(
    name: Annotated[str, typer.Argument(help="sunspots (yearly) or co2 (monthly).")],
    out: Annotated[Path, typer.Argument(help="Where to write CSV.", show_default=False)],
) -> None:
    """Write a series from the package statsmodels."""
    files.check(out)
    content = examples.example(name)
    files.write(out, content)
    print(f"wrote {out}: {content.count(chr(10)) - 1} values")


def _levels(text: str) -> list[float]:
    try:
        found = sorted({float(part) for part in text.split(",") if part.strip()})
    except ValueError:
        found = []
    if not found or any(not 0 < level < 1 for level in found):
        raise InputError(f"--levels takes numbers between 0 and 1, separated by commas, not {text!r}")
    return found


def _csv(forecasts: list[Forecast]) -> str:
    rows = [row for f in forecasts for row in f.rows()]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
