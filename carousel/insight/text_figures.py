"""Figures over the words of a text: valves and states, a pair of texts, what patched units bring, what words depend on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from carousel.errors import InputError
from carousel.insight.connectivity import INPUT, Connectivity
from carousel.insight.figure_parts import (
    COLOURS,
    NAME_HEIGHT,
    NAME_WIDTH,
    OPENING,
    SIGNED,
    SIZE,
    SLIDE,
    most_moving,
    name_rows,
    name_units,
    name_words,
    plain,
    write_in,
)
from carousel.insight.pairs import Pair
from carousel.insight.patching import Patching
from carousel.insight.watch import Watched, habits
from carousel.plotting import Figure

BESIDE = 40  # units that panels beside each other name


def valves(watched: Watched, names: Sequence[str] | None = None, layer: int = -1) -> Figure:
    """Draw words across and units down, a panel a valve or state (by default each); all have the units in one order.

    The units that move most are on top. Panels stand beside each other, or below each other where the text is long.
    Raises InputError for a layer that is not there.
    """
    names = watched.chosen(names)
    rows = [k for k, x in enumerate(watched.values[names[0]]) if not np.ma.getmaskarray(x).all()]  # a translator may lack some
    layer = rows[layer] if -len(rows) <= layer < 0 else layer
    if layer not in rows:
        raise InputError(f"there is no layer {layer} to draw; there are {', '.join(map(str, rows))}")
    values = {n: watched.values[n][layer] for n in names}
    beside = len(watched.words) * len(names) * NAME_WIDTH * 0.8 < SLIDE[0] - 1.5
    most = BESIDE if beside else max(4, int((SLIDE[1] - 1.4 - 0.3 * len(names)) / len(names) / NAME_HEIGHT))
    sizes = {x.shape[1] for x in values.values()}
    orders = {k: most_moving([x for x in values.values() if x.shape[1] == k], most) for k in sizes}
    figure = Figure(figsize=SLIDE, layout="constrained")
    shape: dict[str, Any] = (
        {"ncols": len(names), "sharey": len(sizes) == 1} if beside else {"nrows": len(names), "sharex": True}
    )
    all_axes = np.atleast_1d(figure.subplots(**shape))
    images: dict[str, tuple[Any, list[Any]]] = {}
    for k, (axes, name) in enumerate(zip(all_axes, names, strict=True)):
        x, valve = values[name], name in watched.valves
        known = x[~np.ma.getmaskarray(x).any(1)]  # a decoder may lack a layer's values
        order, kinds = orders[x.shape[1]], habits(known)
        top = 1.0 if valve or not known.size else float(np.quantile(np.abs(known), 0.99)) or 1.0
        how: dict[str, Any] = {"cmap": OPENING if valve else SIGNED, "vmin": 0 if valve else -top, "vmax": top}
        image = axes.imshow(x[:, order].T, aspect="auto", interpolation="nearest", **how)
        images.setdefault("opening" if valve else name, (image, []))[1].append(axes)
        said = f"{len(kinds.shut)} shut, {len(kinds.open)} open, {len(kinds.moving)} moving" if valve else "state"
        axes.set_title(f"{name}   " if not beside else name, loc="left", fontsize=11, fontweight="bold")
        axes.set_title(said, loc="right", fontsize=7.5 if beside else 9, color="0.35")
        axes.tick_params(axis="both", length=0)
        if not beside or not k or len(sizes) > 1:
            name_units(axes, order)
            axes.set_ylabel("unit", fontsize=8)
        if beside or axes is all_axes[-1]:
            width = (SLIDE[0] - 1.5) / len(names) if beside else SLIDE[0] - 1.5
            name_words(axes, watched.words, width, 7.5 if beside else 8)
        plain(axes)
    for label, (image, axes) in images.items():
        place = (
            {"location": "bottom", "shrink": 0.8, "aspect": 15 * len(axes), "pad": 0.02}
            if beside
            else {"pad": 0.01, "aspect": 18}
        )
        bar = figure.colorbar(image, ax=axes, label=label, extend="neither" if label == "opening" else "both", **place)
        bar.ax.tick_params(labelsize=7)
    shown = max(len(o) for o in orders.values())
    figure.suptitle(
        f"layer {layer}: the {shown} of {max(sizes)} units that move most in all panels together, one order for all"
        if len(sizes) == 1
        else f"layer {layer}: the units that move most, those of one size in one order",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    return figure


def pair(comparison: Pair, name: str | None = None, layer: int = -1) -> Figure:
    """Draw where two texts part: the difference of a state (by default the memory), unit by unit, and of the predictions."""
    name = comparison.chosen(name)
    layer %= len(comparison.differences[name])
    x = comparison.differences[name][layer]
    order = np.argsort(-np.abs(x[comparison.first :]).max(0), kind="stable")[:BESIDE]
    figure = Figure(figsize=SLIDE, layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    most = float(np.quantile(np.abs(x[:, order]), 0.99)) or 1.0
    image = top.imshow(x[:, order].T, aspect="auto", cmap=SIGNED, vmin=-most, vmax=most, interpolation="nearest")
    figure.colorbar(image, ax=top, pad=0.01, aspect=25, extend="both", label=f"{name}, first − second")
    top.set_title(
        f"difference of {name}, layer {layer}: the {len(order)} of {x.shape[1]} units that differ most, the greatest on top",
        loc="left",
        fontsize=11,
    )
    name_units(top, order.tolist())
    top.tick_params(axis="x", length=0)
    top.set_ylabel("unit")
    plain(top)
    below.bar(np.arange(len(x)), comparison.divergence, color="0.35", width=0.7)
    below.set_title("bits between the predictions of the next word", loc="left", fontsize=9)
    below.spines[["top", "right"]].set_visible(False)
    for axes in (top, below):
        axes.axvline(comparison.first - 0.5, color="0.4", linewidth=0.8, linestyle=":")
    name_words(below, both(comparison.places, comparison.a.words, comparison.b.words), SLIDE[0] - 2)
    return figure


def both(places: Sequence[tuple[int, int]], a: Sequence[str], b: Sequence[str]) -> list[str]:
    """Return the words of two texts at each place, once where they are the same."""
    return [" / ".join(dict.fromkeys(w.strip() or w for w in (a[i], b[j]))) for i, j in places]


def patching(found: Patching) -> Figure:
    """Draw what patches bring, in per cent of the difference between the two runs.

    Above, all units of each valve and state at each word; below, groups of units of one of them; beside, the share by how many
    units are patched.
    """
    figure = Figure(figsize=SLIDE, layout="constrained")
    words = [" / ".join(dict.fromkeys(w.strip() or w for w in pair)) for pair in found.words]
    layers = len({k for _, k in found.quantities}) > 1
    rows = [f"{n}, layer {k}" if layers else n for n, k in found.quantities]
    parts: Any = figure.subfigures(1, 2, width_ratios=[1.7, 1], wspace=0.02)
    left, right = parts
    heights = [len(rows) + 0.5, len(found.groups) + 0.5]
    top, below = left.subplots(2, 1, height_ratios=heights)
    labels = [_lines(label) for label in found.labels()]
    for axes, values, names in ((top, found.by_quantity, rows), (below, found.by_group, labels)):
        axes.imshow(values, aspect="auto", cmap=SIZE, vmin=0, vmax=1, interpolation="nearest")
        write_in(axes, values, 8 if values.shape[1] < 20 else 6)
        axes.set_xticks(np.arange(values.shape[1] + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(values.shape[0] + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="0.88", linewidth=0.6)
        axes.tick_params(which="minor", length=0)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.tick_params(axis="y", length=0)
        plain(axes)
    top.set_xticks([])
    name_words(below, words, 5.4, 9)
    layer = f", layer {found.layer}" if layers else ""
    top.set_title("all units, put in while one word is read: % of the difference", loc="left", fontsize=10)
    below.set_title(
        f"units of {found.name}{layer}, by number, in the order in which they were found", loc="left", fontsize=10, pad=10
    )
    axes = right.subplots()
    counts = np.arange(len(found.curve) + 1)
    axes.plot(counts, [0, *(100 * np.array(found.curve))], "o-", color=COLOURS[2], markersize=4)
    axes.set_ylim(min(0, 100 * min(found.curve)) - 3, max(103, 100 * max(found.curve) + 5))
    axes.set_xlim(0, len(found.curve) + 0.5)
    axes.axhline(100, color="0.7", linewidth=1, linestyle=(0, (4, 3)))
    axes.grid(color="0.93")
    axes.spines[["top", "right"]].set_visible(False)
    each = max(1, len(counts) // 40)
    axes.set_xticks(counts[1::each], [str(u) for u in found.units[::each]], fontsize=7, rotation=90 if len(counts) > 10 else 0)
    axes.set_xlabel(f"unit of {found.name}, added to those before it, at “{words[found.word]}”")
    axes.set_ylabel("% of the difference")
    axes.set_title("each next unit is the one that brings most", loc="left", fontsize=10)
    a, b = (text if len(text) < 60 else text[:59] + "…" for text in (x.strip() for x in found.answers))
    said = f"how far “{b}” becomes “{a}”" if len(a) < 20 else f"how far “{b}”\nbecomes “{a}”"
    unpatched, whole = (f"{x:+.1f}".replace("-", "−") for x in found.odds[::-1])
    odds = f"log-odds: {unpatched} bits unpatched, {whole} bits to reach"
    figure.suptitle(f"{said}\n{odds}", x=0.01, ha="left", fontsize=12)
    return figure


def connectivity(found: Connectivity, names: Sequence[str] | None = None, layer: int = -1) -> Figure:
    """Draw how strongly words depend on the words before: these across, the words that depend on them down, a panel a quantity.

    Where one word was followed back, its sizes are bars.
    """
    names = list(names or found.sizes)
    figure = Figure(figsize=SLIDE, layout="constrained")
    one = len(found.ends) == 1
    width = SLIDE[0] - 1 if one else (SLIDE[0] - 1) / len(names)
    every = np.atleast_1d(figure.subplots(len(names), 1, sharex=True) if one else figure.subplots(1, len(names), sharey=True))
    words = found.words[: max(found.ends)]
    for k, (axes, name) in enumerate(zip(every, names, strict=True)):
        x = found.of(name, layer)[:, : len(words)]
        where = "" if name == INPUT or len(found.sizes[name]) == 1 else f", layer {layer % len(found.sizes[name])}"
        if one:
            axes.bar(range(len(words)), x[0], color=COLOURS[2], width=0.7)
            axes.set_ylabel(f"|∂L/∂{name}|{where}")
            axes.spines[["top", "right"]].set_visible(False)
        else:
            image = axes.imshow(x, aspect="auto", cmap=SIZE, vmin=0, vmax=float(np.nanquantile(x, 0.99)) or 1.0)
            figure.colorbar(image, ax=axes, location="bottom", shrink=0.7, aspect=30, pad=0.02, extend="max")
            axes.set_title(f"|∂L/∂{name}|{where}", loc="left", fontsize=10)
            axes.tick_params(axis="both", length=0)
            plain(axes)
        if k == 0 and not one:
            name_rows(axes, [found.words[end] for end in found.ends], SLIDE[1] - 2)
            axes.set_ylabel("log-odds of")
        if not one or axes is every[-1]:
            name_words(axes, words, width, 9 if one else 8)
    said = f"the log-odds of “{found.words[found.ends[0]].strip()}”" if one else "the log-odds of each word"
    figure.suptitle(f"{said}: the gradient by the words before it", x=0.01, ha="left", fontsize=11)
    return figure


def _lines(label: str, width: int = 24) -> str:
    """Return a label on several lines where it is long."""
    lines = [""]
    for word in label.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
