"""What figures have in common: their sizes, their colours, and how axes name words and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#8c564b", "#7f3fbf", "#b5a800")
# One colour, one meaning: how far a valve is open; what has a sign, a state or a difference; sizes and shares.
OPENING, SIGNED, SIZE = "cividis", "PuOr", "Greens"
SLIDE = (12.8, 7.2)  # inches, 16:9: as wide as a page, as high as a slide
PLOT = (9.6, 5.4)  # the same shape for curves, whose text is then larger
NAME_HEIGHT = 0.115  # inches that a named unit takes
NAME_WIDTH = 0.125  # inches that a slanted word takes


def printable(words: Sequence[str]) -> list[str]:
    """Return words as an axis shows them."""
    return [(w.strip() or repr(w)).replace("$", r"\$") for w in words]  # no formula


def name_rows(axes: Any, words: Sequence[str], height: float) -> None:
    """Write words beside the rows of an axis that is ``height`` inches high."""
    each = max(1, int(np.ceil(len(words) * NAME_HEIGHT / height)))
    axes.set_yticks(range(0, len(words), each), printable(words)[::each], fontsize=8)


def name_words(axes: Any, words: Sequence[str], width: float = SLIDE[0], size: float = 9) -> None:
    """Write words under the columns of an axis that is ``width`` inches wide: all, or every second or third of too many."""
    shown = printable(words)
    each = max(1, int(np.ceil(len(shown) * NAME_WIDTH * size / 9 / width)))
    flat = len(shown) * 0.085 * size / 9 * max(map(len, shown)) < width
    slant: dict[str, Any] = {} if flat else {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(0, len(shown), each), shown[::each], fontsize=size, **slant)
    axes.tick_params(axis="x", length=0)


def name_units(axes: Any, units: Sequence[int], size: float = 7) -> None:
    """Write the numbers of units beside the rows of an axis."""
    axes.set_yticks(range(len(units)), [str(u) for u in units], fontsize=size)
    axes.tick_params(axis="y", length=0, pad=2)


def most_moving(values: Sequence[np.ndarray], most: int) -> list[int]:
    """Return the units that move most, in all of several quantities together, (T, units) each; masked rows do not count."""
    there = [np.asarray(x[~np.ma.getmaskarray(x).any(1)]) for x in values]
    spreads = [x.std(0) / (float(x.std(0).max()) or 1.0) for x in there]
    return np.argsort(-np.sum(spreads, 0), kind="stable")[:most].tolist()


def plain(axes: Any) -> None:
    """Leave out the frame of a heat map."""
    axes.spines[:].set_visible(False)


def write_in(axes: Any, values: np.ndarray, size: float = 7) -> None:
    """Write shares into the cells of a heat map, in per cent, without those that round to nothing."""
    for (row, column), x in np.ndenumerate(values):
        if abs(x) >= 0.05:
            colour = "white" if x > 0.6 else "0.15"
            axes.text(column, row, f"{100 * x:.0f}", ha="center", va="center", fontsize=size, color=colour)
