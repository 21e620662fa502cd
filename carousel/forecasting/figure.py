"""The figure of forecasts: the values before, the forecast with its intervals, and the values observed since."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carousel.forecasting.forecast import Forecast
from carousel.plotting import Figure

BANDS = ((0.05, 0.95, 0.18), (0.25, 0.75, 0.3))  # lower and upper quantile, and how dense the colour is
COLOUR, CAME = "#0072b2", "#d55e00"
MOST_PANELS = 8


def draw(forecasts: Sequence[Forecast], title: str, history: int) -> Figure:
    """Draw forecasts, a panel each.

    Args:
        forecasts: of which the first ``MOST_PANELS`` are drawn.
        title: of the figure.
        history: number of values to draw before each forecast.
    """
    shown = forecasts[:MOST_PANELS]
    figure = Figure(figsize=(8.5, 1.0 + 2.6 * len(shown)), layout="constrained")
    for axes, f in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        before = f.before[-history:]
        past, to_come = np.arange(1 - len(before), 1), np.arange(1, len(f.values) + 1)
        axes.plot(past, before, color="#333", linewidth=1.3)
        for low, high, dense in BANDS:
            if {low, high} <= f.quantiles.keys():
                band = f.quantiles[low], f.quantiles[high]
                share = f"{100 * (high - low):.0f} % interval"
                axes.fill_between(to_come, *band, color=COLOUR, alpha=dense, linewidth=0, label=share)
        alone = {"marker": "o", "markersize": 4} if len(to_come) == 1 else {}
        axes.plot(to_come, f.values, color=COLOUR, linewidth=1.8, label="forecast", **alone)
        if len(f.came):
            axes.plot(to_come[: len(f.came)], f.came, "o-", color=CAME, markersize=3, linewidth=1, label="observed")
        axes.axvline(0.5, color="#999", linewidth=0.8, linestyle=":")
        axes.set_ylabel(f.series)
        axes.grid(True, color="0.93")
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("steps after the last known value" + (f" (step 1: {f.times[0]})" if f.times else ""))
    figure.axes[0].set_title(title, loc="left")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=4)
    return figure
