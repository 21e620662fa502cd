"""The walkthrough as one figure: valves, memory and probes, word by word."""

from __future__ import annotations

from typing import Any

import numpy as np

from carousel.insight.figure_parts import COLOURS
from carousel.insight.walkthrough import Walkthrough
from carousel.plotting import Figure

MOST_UNITS = 40  # that the panel of the memory shows
NAMES = {"f": "forget", "i": "memory (input)", "o": "output", "z": "update", "r": "reset"}


def walkthrough(walked: Walkthrough) -> Figure:
    """Draw the walkthrough, words across: the English ones, then the Czech ones.

    From the top: how far the valves are open (mean over units; solid the first sentence, dashed the second), and the size of
    the values that came into the memory; the difference of the memory, unit by unit; the labels that probes read from it.
    """
    steps = len(walked.pair.places)
    probes = len(walked.readings)
    heights = [2.0, 1.1, 3.2] + [0.55 * probes + 0.2] * bool(probes)
    figure = Figure(figsize=(max(9.0, 0.62 * steps + 2.2), sum(heights) + 2.1), layout="constrained")
    axes = np.atleast_1d(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
    places = [[p[k] for p in walked.pair.places] for k in (0, 1)]
    _valves(axes[0], walked, places)
    _written(axes[1], walked, places)
    _memory(axes[2], walked)
    if probes:
        _probes(axes[3], walked, places)
    border = sum(i < walked.a.source for i, _ in walked.pair.places) - 0.5
    for each in axes:
        each.axvline(border, color="0.35", linewidth=1)
        each.axvline(walked.pair.first, color="0.6", linewidth=0.8, linestyle=":")
    words = []
    for i, j in walked.pair.places:
        pair = dict.fromkeys(w.strip() or w for w in (walked.a.words[i], walked.b.words[j]))
        words.append(" / ".join(pair))
    axes[-1].set_xticks(range(steps), words, rotation=55, ha="right", rotation_mode="anchor")
    figure.suptitle(f"{walked.a.translation}\n{walked.b.translation}", x=0.01, ha="left", fontsize=11)
    return figure


def _valves(axes: Any, walked: Walkthrough, places: list[list[int]]) -> None:
    for colour, name in zip(COLOURS, walked.a.valves, strict=False):
        for which, style in ((0, "-"), (1, (0, (3, 2)))):
            label = f"{name}, {NAMES[name]}" if name in NAMES else name
            line = walked.valves(which)[name][places[which]]
            axes.plot(line, color=colour, linestyle=style, marker=".", linewidth=1.4, label=None if which else label)
    axes.set_ylim(0, 1.15)
    axes.set_ylabel("mean opening")
    title = "valves: solid the first sentence, dashed the second" if walked.a.valves else "this cell has no valves"
    axes.set_title(title, loc="left", fontsize=9)
    if walked.a.valves:
        axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=4)
    axes.spines[["top", "right"]].set_visible(False)


def _written(axes: Any, walked: Walkthrough, places: list[list[int]]) -> None:
    at = np.arange(len(places[0]))
    for which, shift, colour in ((0, -0.2, COLOURS[0]), (1, 0.2, COLOURS[1])):
        axes.bar(at + shift, walked.written[which][places[which]], width=0.4, color=colour, label=("first", "second")[which])
    axes.set_title(f"new in the memory {walked.memory} (root mean square over units)", loc="left", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
    axes.spines[["top", "right"]].set_visible(False)


def _memory(axes: Any, walked: Walkthrough) -> None:
    x = walked.pair.differences[walked.memory][walked.layer]
    order = np.argsort(-np.abs(x[walked.pair.first :]).max(0), kind="stable")[:MOST_UNITS]
    most = float(np.abs(x).max()) or 1.0
    image = axes.imshow(x[:, order].T, aspect="auto", cmap="PuOr", vmin=-most, vmax=most, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, pad=0.01, aspect=18)
    axes.set_title(
        f"difference of {walked.memory}, first − second: the {len(order)} units of {x.shape[1]} that differ most",
        loc="left",
        fontsize=9,
    )
    axes.set_ylabel("units")
    axes.set_yticks([])


def _probes(axes: Any, walked: Walkthrough, places: list[list[int]]) -> None:
    """Draw a row for each property and sentence: the label that is read, darker where the probe is surer."""
    rows = [(r, which) for r in walked.readings for which in (0, 1)]
    sure = np.array([[r.labels[which][p][1] for p in places[which]] for r, which in rows])
    axes.imshow(sure, aspect="auto", cmap="Blues", vmin=0.3, vmax=1.4)
    for y, (r, which) in enumerate(rows):
        for x, p in enumerate(places[which]):
            label, chance = r.labels[which][p]
            said = {"True": "yes", "False": "no", "present": "pres", "future": "fut"}.get(label, label)
            axes.text(x, y, said, ha="center", va="center", fontsize=7, color="black" if chance > 0.6 else "0.55")
    names = [f"{r.of}, {('first', 'second')[which]}" for r, which in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_title("labels that linear probes read from the memory (grey where they are not sure)", loc="left", fontsize=9)
    axes.spines[:].set_visible(False)
