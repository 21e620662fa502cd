"""Figures to put into a lecture; those over the words of a text are in ``text_figures``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel import files
from carousel.errors import InputError
from carousel.insight.agreement import Shut
from carousel.insight.claims.claim import Trial
from carousel.insight.connectivity import Connectivity
from carousel.insight.figure_parts import COLOURS, OPENING, PLOT, SIZE, SLIDE, name_units, plain
from carousel.insight.gradient_decay import GradientDecay
from carousel.insight.jacobian import first_input_sensitivity
from carousel.insight.pairs import Pair
from carousel.insight.patching import Patching
from carousel.insight.probes import Probe
from carousel.insight.text_figures import connectivity, pair, patching, valves
from carousel.insight.watch import Watched
from carousel.layers import Recurrent
from carousel.plotting import Figure

FORMATS = (".png", ".pdf", ".svg")
MOST_UNITS = 24  # that a panel of Graves' picture shows


def check(path: Path | None) -> None:
    """Refuse a name that no figure can have, before any work is done. Raises InputError."""
    if path is not None and path.suffix not in FORMATS:
        raise InputError(f"a figure is {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, not {path.name!r}")
    if path is not None:
        files.check(path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure whole, in the format that the name ends with."""
    check(path)
    with files.replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=130)


def of(found: Any, names: Sequence[str] | None = None, layer: int = -1) -> Figure:
    """Return the figure of what was found in a model.

    Args:
        found: of a text (``Watched``, ``Connectivity``) or two (``Pair``, ``Patching``); gradient decay or probes, one or a
            list.
        names: of a text, the valves and states that are shown; of a pair, the one.
        layer: of a text or a pair.

    Raises:
        InputError: the cell has nothing of that name.
        TypeError: for what has no figure.
    """
    if isinstance(found, Watched):
        return valves(found, names, layer)
    if isinstance(found, Pair):
        return pair(found, names[0] if names else None, layer)
    if isinstance(found, Patching):
        return patching(found)
    if isinstance(found, Connectivity):
        return connectivity(found, names, layer)
    several: list[Any] = list(found) if isinstance(found, list | tuple) else [found]
    if several and all(isinstance(f, GradientDecay) for f in several):
        return gradient_decay(several, "the error of the last step on its way back")
    if several and all(isinstance(f, Probe) for f in several):
        return probes(several)
    raise TypeError(f"there is no figure of {type(found).__name__}; there are those of a text, a pair, gradients and probes")


def gradient_decay(decays: Sequence[GradientDecay], title: str) -> Figure:
    """Draw |∂E_t/∂x_k| by t − k on a logarithmic scale, one line a cell, with the band of the middle four fifths.

    Theory is dashed in the same colour. All begin at 1 one step back, so that their fall can be compared.
    """
    figure = Figure(figsize=PLOT, layout="constrained")
    axes = figure.subplots()
    for r, colour in zip(decays, _colours(len(decays)), strict=True):
        lags, one = np.arange(1, len(r.measured)), r.measured[1] or 1.0
        axes.plot(lags, _positive(r.measured[1:] / one), color=colour, linewidth=2, label=r.label)
        axes.fill_between(lags, _positive(r.low[1:] / one), _positive(r.high[1:] / one), color=colour, alpha=0.12, linewidth=0)
        if r.theory is not None:
            axes.plot(lags, _positive(r.theory[1:] / r.theory[1]), color=colour, linewidth=1.3, linestyle=(0, (4, 3)))
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 1e-10), min(high, 1e10))
    axes.set_xlabel("steps back, t − k")
    axes.set_ylabel("|∂Eₜ/∂xₖ|, relative to one step back")
    axes.set_title(title, loc="left")
    axes.grid(True, which="major", color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside right upper", title="dashed: theory", title_fontsize="small")
    return figure


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)


def sensitivity(layer: Recurrent, data: Tensor) -> Figure:
    """Draw Graves' picture for a layer of any cell: how strongly each unit of the last layer still feels the first input.

    The valves that kept it stand below. ``data``: one sequence, (T, input_size).
    """
    felt = {n: v[-1] for n, v in first_input_sensitivity(layer, data).items()}
    with torch.no_grad():
        _, _, recorded = layer(data.unsqueeze(1), record=list(layer.cell.gates))
    gates = {n: v[-1][:, 0].numpy() for n, v in recorded.items()}
    last = list(felt.values())[-1]
    steps, units = last.shape
    panels = [(f"|∂{n}ₜ/∂e₁|", v, float(np.quantile(v, 0.99)) or 1.0, SIZE) for n, v in felt.items()]
    panels += [(n, v, 1.0, OPENING) for n, v in gates.items()]
    most = min(MOST_UNITS, max(4, int((SLIDE[1] - 1.2) / len(panels) / 0.13)))
    order = np.argsort(-last[steps // 2 :].mean(0), kind="stable")[:most]
    figure = Figure(figsize=SLIDE, layout="constrained")
    all_axes = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    for axes, (name, v, top, colours) in zip(all_axes, panels, strict=True):
        units_ = order if v.shape[1] == units else np.arange(min(most, v.shape[1]))
        image = axes.imshow(v[:, units_].T, aspect="auto", cmap=colours, vmin=0, vmax=top, interpolation="nearest")
        axes.set_ylabel(name)
        name_units(axes, units_.tolist(), 6.5)
        plain(axes)
        figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
    figure.suptitle(
        f"How strongly each unit feels the first input: the {len(order)} of {units} that feel it longest",
        x=0.01,
        ha="left",
    )
    all_axes[-1].set_xlabel("step")
    return figure


def _colours(count: int) -> list[str]:
    return [COLOURS[k % len(COLOURS)] for k in range(count)]


def probes(probed: Sequence[Probe]) -> Figure:
    """Draw how well properties are read, a group of bars each: from all units, from the best one alone, and the controls."""
    figure = Figure(figsize=(max(6.5, 1.9 * len(probed) + 2.5), 4.2), layout="constrained")
    axes = figure.subplots()
    ways = {
        "all units, linearly": [p.linear for p in probed],
        "the best unit alone": [p.units[0].score for p in probed],
        "control task": [p.control for p in probed],
        "all units at first weights": [p.untrained for p in probed],
        "the commonest label": [p.majority for p in probed],
    }
    colours = (COLOURS[0], COLOURS[5], COLOURS[1], COLOURS[4], "0.7")
    width = 0.8 / len(ways)
    for k, ((label, scores), colour) in enumerate(zip(ways.items(), colours, strict=True)):
        places = np.arange(len(probed)) + (k - 2) * width
        axes.bar_label(axes.bar(places, scores, width * 0.92, color=colour, label=label), fmt="{:.2f}", fontsize=8, padding=2)
    axes.set_xticks(range(len(probed)), [f"{p.of}\nin {p.name}, layer {p.layer}" for p in probed])
    axes.set_ylim(0, 1.1)
    axes.set_ylabel("share right, of words not seen")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper left", ncols=3)
    return figure


def shut_valves(shut: Sequence[Shut], untouched: float) -> Figure:
    """Draw agreement by how many words a valve is shut for, a panel a valve, a line a place."""
    valves = list(dict.fromkeys(s.valve for s in shut))
    figure = Figure(figsize=(max(6.5, 2.9 * len(valves)), 3.6), layout="constrained")
    all_axes = np.atleast_1d(figure.subplots(1, len(valves), sharey=True))
    says = {"before": "before the subject", "at": "from the subject on", "after": "from the word after it on"}
    for axes, valve in zip(all_axes, valves, strict=True):
        for (place, label), colour in zip(says.items(), ("0.6", COLOURS[1], COLOURS[0]), strict=True):
            points = [(0, untouched), *((s.count, s.agreement.share()) for s in shut if (s.valve, s.place) == (valve, place))]
            axes.plot(*zip(*points, strict=True), marker="o", color=colour, label=label)
        axes.axhline(0.5, color="0.75", linewidth=1, linestyle=(0, (4, 3)))
        axes.set_title(f"{valve} shut", loc="left")
        axes.set_xlabel("for so many words")
        axes.set_xticks([p[0] for p in points])
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("share of agreeing words right")
    all_axes[0].set_ylim(0.4, 1.03)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside upper left", ncols=3)
    return figure


def claim(trial: Trial) -> Figure:
    """Draw the measurements of each way, a point a seed; the bar is the mean."""
    tried = trial.claim
    names = [n for n in tried.figures if n != "parameters"]
    figure = Figure(figsize=(3.0 * len(names) + 2.8, 0.5 * len(tried.ways) + 1.9), layout="constrained")
    all_axes = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
    for axes, name in zip(all_axes, names, strict=True):
        for k, way in enumerate(tried.ways):
            values = trial.values(way, name)
            axes.plot(values, [k] * len(values), "o", color=COLOURS[k], alpha=0.65, markersize=7)
            axes.plot([np.mean(values)] * 2, [k - 0.28, k + 0.28], color=COLOURS[k], linewidth=2.5)
        every = [v for way in tried.ways for v in trial.values(way, name)]
        if min(every) > 0 and max(every) > 30 * min(every):
            axes.set_xscale("log")
        axes.set_xlabel(fill(tried.figures[name], 28))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, axis="x", color="0.92")
    all_axes[0].set_yticks(range(len(tried.ways)), list(tried.ways.values()))
    all_axes[0].invert_yaxis()
    figure.suptitle(f"“{tried.says}”", x=0.01, ha="left", fontsize=10)
    return figure
