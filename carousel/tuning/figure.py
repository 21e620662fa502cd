"""The figure of a search: losses of the trials, the settings that mattered, and the losses over each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from carousel.plotting import Figure as make
from carousel.tuning.axes import Axis
from carousel.tuning.search import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 6  # settings that have a picture of their own, those that mattered most
DONE, GIVEN_UP, BEST = "#2b6cb0", "#a0aec0", "#dd6b20"


def draw(axes: Sequence[Axis], trials: Sequence[Trial], importances: Mapping[str, float], title: str) -> Figure:
    """Draw a search.

    Args:
        axes: its settings.
        trials: those that have a loss are shown.
        importances: of the settings by name; empty where too few trials tell them.
        title: over the figure.
    """
    ranked = sorted(axes, key=lambda a: -importances.get(a.name, 0.0))[:MOST]
    figure = make(figsize=(12.8, 7.2), layout="constrained")
    top, bottom = figure.subfigures(2, 1)  # type: ignore[misc]  # an array, though its type says one
    history, mattered = top.subplots(1, 2, width_ratios=(1.5, 1))
    shown = [t for t in trials if t.loss is not None]
    _history(history, shown)
    _importances(mattered, [a.name for a in axes], importances)
    each: Any = bottom.subplots(1, len(ranked), sharey=True, squeeze=False)[0]
    for place, one in zip(each, ranked, strict=True):
        _over(place, one, shown)
    each[0].set_ylabel("validation loss")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def _kinds(trials: Sequence[Trial]) -> list[tuple[str, str, list[Trial]]]:
    """Return the trials that were completed and those that were not, with marker and colour."""
    done = [t for t in trials if t.state == "complete"]
    return [("x", GIVEN_UP, [t for t in trials if t.state != "complete"]), ("o", DONE, done)]


def _history(axes: Any, trials: Sequence[Trial]) -> None:
    for (marker, colour, some), label in zip(_kinds(trials), ("given up", "completed"), strict=True):
        if some:
            axes.scatter([t.number for t in some], [t.loss for t in some], c=colour, marker=marker, s=26, label=label, zorder=3)
    done = [t for t in trials if t.state == "complete" and t.loss is not None]
    best = list(accumulate((t.loss or 0.0 for t in done), min))
    axes.step([t.number for t in done], best, where="post", color=BEST, label="best so far", zorder=2)
    _limit(axes, trials)
    axes.set(xlabel="trial", ylabel="validation loss", title="Trials")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _importances(axes: Any, names: Sequence[str], importances: Mapping[str, float]) -> None:
    ranked = sorted(names, key=lambda n: importances.get(n, 0.0))
    axes.barh(ranked, [100 * importances.get(n, 0.0) for n in ranked], color=DONE)
    for row, name in enumerate(ranked):
        if name in importances:
            axes.text(100 * importances[name] + 1, row, f"{100 * importances[name]:.0f} %", va="center", fontsize=9)
    axes.set(xlim=(0, 112), xlabel="% of the losses' spread", title="Settings that mattered")
    axes.spines[["top", "right"]].set_visible(False)
    if not importances:
        axes.text(0.5, 0.5, "four trials or more\nhave to be completed", ha="center", va="center", transform=axes.transAxes)


def _over(axes: Any, axis: Axis, trials: Sequence[Trial]) -> None:
    """Draw the losses over one setting."""
    places = {value: k for k, value in enumerate(axis.values)}
    for marker, colour, some in _kinds(trials):
        at = [places[t.settings[axis.name]] if places else float(t.settings[axis.name]) for t in some]
        axes.scatter(at, [t.loss for t in some], c=colour, marker=marker, s=22)
    if places:
        axes.set_xticks(range(len(places)), list(places), rotation=0 if len(places) < 4 else 30)
        axes.set_xlim(-0.5, len(places) - 0.5)
    elif axis.log:
        axes.set_xscale("log")
    _limit(axes, trials)
    axes.set_xlabel(axis.name)
    axes.spines[["top", "right"]].set_visible(False)


def _limit(axes: Any, trials: Sequence[Trial]) -> None:
    """Leave out the losses of a few trials that went wrong, which would flatten all others."""
    losses = sorted(t.loss for t in trials if t.loss is not None)
    upper = losses[int(0.9 * (len(losses) - 1))]
    if len(losses) > 3 and upper > losses[0]:
        axes.set_ylim(losses[0] - 0.08 * (upper - losses[0]), upper + 0.3 * (upper - losses[0]))
