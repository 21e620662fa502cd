"""Figures to put into a lecture: gradients by lag, valves over a text, a pair of texts."""

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
from carousel.insight.gradient_decay import GradientDecay
from carousel.insight.jacobian import first_input_sensitivity
from carousel.insight.pairs import Pair
from carousel.insight.probes import Probe
from carousel.insight.watch import Watched, habits
from carousel.layers import Recurrent
from carousel.plotting import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#8c564b", "#7f3fbf", "#b5a800")
FORMATS = (".png", ".pdf", ".svg")
MOST_UNITS = 60  # that a panel shows
UNIT_HEIGHT = 0.055  # inches


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
        found: of a text (``Watched``) or two (``Pair``); gradient decay or probes, one or a list.
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
    figure = Figure(figsize=(8.5, 5), layout="constrained")
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
    gates = {n: v[-1, :, 0].numpy() for n, v in recorded.items()}
    last = list(felt.values())[-1]
    steps, units = last.shape
    order = np.argsort(-last[steps // 2 :].mean(0), kind="stable")[:MOST_UNITS]
    panels = [(f"|∂{n}ₜ/∂e₁|", v, float(np.quantile(v, 0.99)) or 1.0, "Greys") for n, v in felt.items()]
    panels += [(n, v, 1.0, "cividis") for n, v in gates.items()]
    height = max(0.9, UNIT_HEIGHT * len(order))
    figure = Figure(figsize=(max(7.0, min(16.0, 0.18 * steps)), (height + 0.35) * len(panels) + 0.9), layout="constrained")
    all_axes = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    for axes, (name, v, top, colours) in zip(all_axes, panels, strict=True):
        shown = v[:, order] if v.shape[1] == units else v[:, :MOST_UNITS]
        image = axes.imshow(shown.T, aspect="auto", cmap=colours, vmin=0, vmax=top, interpolation="nearest")
        axes.set_ylabel(name)
        axes.set_yticks([])
        figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
    figure.suptitle("How strongly each unit feels the first input; the units that feel it longest on top", x=0.01, ha="left")
    all_axes[-1].set_xlabel("step")
    return figure


def valves(watched: Watched, names: Sequence[str] | None = None, layer: int = -1) -> Figure:
    """Draw words across, units down (the ones that move most on top), a panel a valve or state (by default each)."""
    steps, names = len(watched.words), watched.chosen(names)
    layer %= len(watched.values[names[0]])
    counts = [min(MOST_UNITS, watched.values[n].shape[2]) for n in names]
    heights = [max(0.8, UNIT_HEIGHT * c) for c in counts]
    figure = Figure(figsize=(max(6.5, 0.42 * steps + 1.6), sum(heights) + 0.45 * len(names) + 1.2), layout="constrained")
    all_axes = np.atleast_1d(figure.subplots(len(names), 1, sharex=True, height_ratios=heights))
    for axes, name in zip(all_axes, names, strict=True):
        x = watched.values[name][layer]
        kinds = habits(x[~np.ma.getmaskarray(x).any(1)])
        valve = name in watched.valves
        top = 1.0 if valve else float(np.abs(x).max()) or 1.0
        order = list(kinds.order[:MOST_UNITS])
        colours = "cividis" if valve else "PuOr"
        image = axes.imshow(x[:, order].T, aspect="auto", cmap=colours, vmin=0 if valve else -top, vmax=top)
        more = f", {len(order)} of {x.shape[1]} units" if len(order) < x.shape[1] else ""
        said = f"{len(kinds.shut)} shut, {len(kinds.open)} open, {len(kinds.moving)} moving" if valve else "state"
        axes.set_title(f"{name}   {said}{more}", loc="left", fontsize=9)
        axes.set_ylabel("units")
        axes.set_yticks([])
        figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
    figure.suptitle(f"layer {layer}; the units that move most are on top", x=0.01, ha="left", fontsize=10)
    _words(all_axes[-1], watched.words, steps)
    return figure


def pair(comparison: Pair, name: str | None = None, layer: int = -1) -> Figure:
    """Draw where two texts part: the difference of a state (by default the memory), unit by unit, and of the predictions."""
    name = comparison.chosen(name)
    layer %= len(comparison.differences[name])
    x = comparison.differences[name][layer]
    steps = len(x)
    order = np.argsort(-np.abs(x[comparison.first :]).max(0), kind="stable")[:MOST_UNITS]
    height = max(1.2, UNIT_HEIGHT * len(order))
    figure = Figure(figsize=(max(6.5, 0.5 * steps + 1.6), height + 3.4), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[height, 1.6])
    most = float(np.abs(x).max()) or 1.0
    image = top.imshow(x[:, order].T, aspect="auto", cmap="PuOr", vmin=-most, vmax=most)
    figure.colorbar(image, ax=top, pad=0.01, aspect=15, label="first − second")
    top.set_title(f"difference of {name}, layer {layer}; the units that carry most of it are on top", loc="left", fontsize=10)
    top.set_yticks([])
    top.set_ylabel("units")
    places = np.arange(steps)
    below.bar(places, comparison.divergence, color=COLOURS[0], width=0.7)
    below.set_ylabel("bits between\nthe predictions")
    below.spines[["top", "right"]].set_visible(False)
    words = []
    for i, j in comparison.places:
        a, b = comparison.a.words[i], comparison.b.words[j]
        words.append(a if a == b else f"{a} / {b}")
    _words(below, words, steps)
    return figure


def _words(axes: Any, words: Sequence[str] | None, steps: int) -> None:
    if words is None:
        axes.set_xlabel("step")
        return
    shown = [(w.strip() or repr(w)).replace("$", r"\$") for w in words]  # no formula
    slant: dict[str, Any] = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if steps > 8 else {}
    axes.set_xticks(range(steps), shown, **slant)
    axes.tick_params(axis="x", length=0)


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
