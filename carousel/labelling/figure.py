"""The figure of a score: the confusion of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carousel.labelling.score import LabelScore
from carousel.plotting import Figure as make

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LABELS = 30
MOST_NUMBERS = 20  # labels, up to which each field has its number


def draw(found: LabelScore, title: str = "") -> Figure:
    """Draw the confusion table as shares of each right label; of many labels the rarest are one row and column."""
    names, counts = _shown(found)
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    size = 2.6 + 0.34 * len(names)
    figure = make(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 4 else 0)
    axes.set_yticks(range(len(names)), [f"{n}  ({c:,})" for n, c in zip(names, totals[:, 0], strict=True)])
    axes.set_xlabel("predicted label")
    axes.set_ylabel("right label (count)")
    axes.set_title(f"{title}\naccuracy {100 * found.accuracy:.2f} %, macro F1 {100 * found.macro_f1:.2f} %".strip(), loc="left")
    for row, column in np.argwhere(counts > 0) if len(names) <= MOST_NUMBERS else ():
        share = shares[row, column]
        colour = "white" if share > 0.55 else "#333"
        axes.text(
            column, row, f"{100 * share:.0f}" if share >= 0.005 else "<1", ha="center", va="center", color=colour, fontsize=8
        )
    figure.colorbar(image, ax=axes, shrink=0.6, label="% of the right label")
    return figure


def _shown(found: LabelScore) -> tuple[list[str], np.ndarray]:
    """Return the labels to draw, in their order, and their counts; the rarest labels are joined where there are many."""
    used = np.flatnonzero(found.confusion.any(0) | found.confusion.any(1))
    counts = found.confusion[np.ix_(used, used)]
    names = [found.labels[k] for k in used]
    if len(names) <= MOST_LABELS:
        return names, counts
    often = np.sort(np.argsort(-counts.sum(1), kind="stable")[: MOST_LABELS - 1])
    rest = np.setdiff1d(np.arange(len(names)), often)
    join = np.zeros((MOST_LABELS, len(names)), counts.dtype)
    join[np.arange(MOST_LABELS - 1), often] = 1
    join[-1, rest] = 1
    return [*(names[k] for k in often), f"{len(rest)} others"], join @ counts @ join.T
