"""A transcriber's probabilities over an input, and their figure (after Graves et al. 2006)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.plotting import Figure
from carousel.transcription.model import BLANK

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f3fbf", "#b5a800", "#1b1b1b")
MOST_LABELS = 12  # with a line and a name of their own


@dataclass(frozen=True)
class Spikes:
    """A transcription of an input, with the probabilities behind it.

    Attributes:
        picture: the input as an image, (height, width) or, of a series, (numbers, steps).
        logs: log-probabilities (T′, labels + 1), the blank's first.
        ids: the labels of the transcription, from 1.
        spans: first step of each label, and the step after its last, on the likeliest path, in steps of the output.
        labels: the texts of all labels of the run.
        factor: number of input steps that one output step stands for.
        text: the transcription.
        meant: the right transcription; None where it is unknown.
    """

    picture: np.ndarray
    logs: np.ndarray
    ids: tuple[int, ...]
    spans: list[tuple[int, int]]
    labels: tuple[str, ...]
    factor: int
    text: str
    meant: str | None = None

    @property
    def places(self) -> list[dict[str, Any]]:
        """The span and the peak of each label of the transcription, in steps of the input, and its probability at the peak."""
        found = []
        for k, (begin, stop) in zip(self.ids, self.spans, strict=True):
            peak = begin + int(self.logs[begin:stop, k].argmax())
            wide = self.picture.shape[1]
            found.append(
                {
                    "label": self.labels[k - 1],
                    "begin": begin * self.factor,
                    "stop": min(stop * self.factor, wide),
                    "peak": min(peak * self.factor + self.factor // 2, wide - 1),
                    "probability": float(np.exp(self.logs[peak, k])),
                }
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        facts = {"text": self.text, "meant": self.meant, "factor": self.factor, "labels": list(self.labels)}
        return facts | {"places": self.places, "probabilities": np.exp(self.logs).round(6).tolist()}


def draw(found: Spikes) -> Figure:
    """Return the figure: the input, and below it the probability of each label and of the blank over the same steps."""
    height, wide = found.picture.shape
    upper = min(max(8.5 * height / wide, 0.8), 4.0)
    figure = Figure(figsize=(9, 2.6 + upper), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[upper, 2.2])
    edges = (-0.5, wide - 0.5, height - 0.5, -0.5)
    above.imshow(found.picture, cmap="gray_r", aspect="auto", interpolation="nearest", extent=edges)
    above.set_yticks([])
    chances = np.exp(found.logs)
    middles = (np.arange(len(chances)) + 0.5) * found.factor - 0.5
    below.plot(middles, chances[:, BLANK], ls="--", color="#999", lw=1, label="blank")
    order = sorted(set(found.ids), key=lambda k: -chances[:, k].max())[:MOST_LABELS]
    colour = {k: COLOURS[n % len(COLOURS)] for n, k in enumerate(sorted(order))}
    for k in range(1, chances.shape[1]):
        if k in colour:
            below.plot(middles, chances[:, k], color=colour[k], lw=1.6)
        elif chances[:, k].max() > 0.02:
            below.plot(middles, chances[:, k], color="#bbb", lw=0.8)
    for place, k in zip(found.places, found.ids, strict=True):
        shade = colour.get(k, "#777")
        for axes in (above, below):
            axes.axvspan(place["begin"] - 0.5, place["stop"] - 0.5, color=shade, alpha=0.22, lw=0)
        middle = place["peak"] - (found.factor % 2 == 0) / 2
        below.annotate(place["label"], (middle, 1.03), ha="center", va="bottom", color=shade, fontsize=12)
    below.set_ylim(0, 1.2)
    below.set_yticks([0, 0.5, 1])
    below.set_ylabel("probability")
    below.set_xlabel("step of the input")
    below.legend(frameon=False, loc="center right", fontsize=8)
    title = found.text if found.meant in (None, found.text) else f"{found.text}, meant {found.meant}"
    above.set_title(f"read as {title}", loc="left")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
