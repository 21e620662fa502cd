"""``carousel gradients``: how the error flows back, at first weights or in a trained model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from carousel.cli import commands, options, screen
from carousel.cli.connectivity import between
from carousel.errors import InputError
from carousel.insight import figures, gradient_decay, theory
from carousel.language.model import ModelConfig
from carousel.runs.language import LanguageRun
from carousel.training.config import TrainConfig

EXAMPLE = "Example: carousel gradients --cells rnn,cec,lstm-v1,lstm-v2 --scale large --figure gradients.png"
CELLS = "rnn,cec,lstm-v1,lstm-v2,lstm-v3,lstm-v4"


def command(
    run: Annotated[
        Path | None, typer.Argument(help="A run folder; without it, cells at first weights.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None, typer.Argument(help="Text to read; by default the run's validation text.", show_default=False)
    ] = None,
    cells: Annotated[str, typer.Option(help="Cells at first weights, separated by commas.")] = CELLS,
    steps: Annotated[int, typer.Option(min=3, help="Steps of each sequence.")] = 200,
    hidden: Annotated[int, options.option(ModelConfig, "hidden", "Units (of cells at first weights).")] = 32,
    batch_size: Annotated[int, options.option(TrainConfig, "batch_size", "Sequences.")] = 16,
    scale: Annotated[
        str | None,
        typer.Option(
            help="Largest singular value of recurrent weights: small (½), one, large (4) or a number.", show_default=False
        ),
    ] = None,
    forget_bias: options.ForgetBias = None,
    seed: Annotated[int, options.option(TrainConfig, "seed", "Seed of weights and inputs.")] = 1,
    jacobian: Annotated[bool, typer.Option("--jacobian", help="Also compute the largest singular value of ∂x_t/∂x_k.")] = False,
    text: Annotated[
        str | None,
        typer.Option(
            help="A text that a run reads: the gradient of each word's log-odds at each word before it.", show_default=False
        ),
    ] = None,
    word: Annotated[
        int | None,
        typer.Option(min=1, help="With --text, of this word alone; 1 is the first.", show_default=False),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            help="With --text, states and valves, separated by commas, and “input”; by default input and states.",
            show_default=False,
        ),
    ] = None,
    layer: options.Layer = None,
    clamp: options.ClampOptions = None,
    figure: options.Figure = None,
    sensitivity: Annotated[
        Path | None,
        typer.Option(help="Write Graves' picture of the last cell, or of the run, to this file.", show_default=False),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure how the gradient of the last step's error decays: half-life, slope, size after 1, 10 and 100 steps.

    Sizes are of ∂E_t/∂x_k over all states together, E_t the model's error at the last step (at first weights: the
    message along a direction drawn at random), averaged over sequences, and relative to one step back.

    With --text: how strongly the log-odds of each word depend on each word before it.
    """
    for path in (figure, sensitivity):
        figures.check(path)
    if text is not None:
        between(run, text, word, names, layer, clamp, figure=figure, json=json)
        return
    if word is not None or names is not None or layer is not None or clamp:
        raise InputError("--word, --names, --layer and --clamp are for the words of a text; add --text, or leave them out")
    size = _scale(scale)
    known = commands.cells(cells)
    if run is not None and (cells, hidden, scale, forget_bias, seed) != (CELLS, 32, None, None, 1):
        raise InputError(
            "--cells, --hidden, --scale, --forget-bias and --seed are for first weights; leave them out with a run"
        )
    with screen.counting("following the error back") as tick:
        if run is not None:
            model = LanguageRun(run)
            found = [model.gradients(file, steps=steps, rows=batch_size, jacobian=jacobian, tick=tick)]
        else:
            found = []
            for k, name in enumerate(known):
                found.append(
                    gradient_decay.at_first_weights(
                        name,
                        hidden=hidden,
                        steps=steps,
                        rows=batch_size,
                        scale=size,
                        forget_bias=forget_bias,
                        seed=seed,
                        jacobian=jacobian,
                        tick=lambda done, of, k=k: tick(k * of + done, len(known) * of),  # type: ignore[misc]  # k is no argument of a Tick
                    )
                )
    weights = "" if size is None else f", largest singular value {size:g}"
    title = str(run) if run is not None else f"first weights, {hidden} units{weights}"
    if figure is not None:
        figures.save(figures.gradient_decay(found, title), figure)
    if sensitivity is not None:
        figures.save(figures.sensitivity(found[-1].layer, found[-1].data[:60, 0]), sensitivity)
    if json:
        screen.print_json([r.as_dict() for r in found])
        return
    shown = [_shown(r) for r in found]
    screen.print_rows(title, shown, ("cell",))
    for path in (figure, sensitivity):
        if path is not None:
            print(f"figure {path}")


def _shown(r: gradient_decay.GradientDecay) -> dict[str, str]:
    decay = r.decay
    shown = {"cell": r.label, "half-life": _number(decay.half_life, ".3g"), "slope": _number(decay.slope, "+.3f")}
    shown |= {f"at {k}": _number(r.at(k), ".2g") for k in gradient_decay.LAGS}
    shown["bound"] = _number(r.bound, ".3g")
    if r.singular_values is not None:
        shown |= {f"σ₁ at {k}": _number(r.singular_values.get(k), ".2g") for k in gradient_decay.LAGS}
    return shown


def _number(x: float | None, form: str) -> str:
    return "" if x is None or math.isnan(x) else "none" if math.isinf(x) else format(x, form)


def _scale(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = theory.SCALES[text] if text in theory.SCALES else float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise InputError(f"--scale takes {', '.join(theory.SCALES)} or a number above 0, not {text!r}")
    return value
