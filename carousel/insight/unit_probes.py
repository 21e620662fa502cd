"""Properties read from one unit alone, beside controls: its value tells them, or does not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.insight.probes import CONTROLS, Halves, control

MOST_LABELS = 6  # whose means are given


@dataclass(frozen=True)
class UnitProbe:
    """A property that is read from a unit: shares right, from 0 to 1, of the words in sentences not seen.

    ``score``: logistic regression on the unit's value. ``majority``: always the label that is commonest in training.
    ``control``: the same probe of the control task (``carousel.insight.probes``), mean of three draws. ``means``: the unit's
    mean value after words of each label, the commonest label first. ``words``: that were held out.
    """

    of: str
    score: float
    majority: float
    control: float
    means: dict[str, float]
    words: int

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        shares = {name: round(getattr(self, name), 4) for name in ("score", "majority", "control")}
        means = {label: round(mean, 4) for label, mean in self.means.items()}
        return {"property": self.of, **shares, "means": means, "words": self.words}


def probe_unit(
    values: Sequence[Tensor], given: Sequence[Sentence], unit: int, *, held_out: float = 0.3, seed: int = 1
) -> list[UnitProbe]:
    """Read each property of sentences from a unit; return the scores, the farthest above the commonest label first.

    A property that has one label everywhere, or none in too few sentences, is left out.

    Args:
        values: after each word, (words, units) a sentence.
        given: annotated sentences.
        unit: its number.
        held_out: the share of sentences that is kept for the score.
        seed: of their choice, and of the control task.

    Raises:
        InputError: there is no such unit, or its values are not finite.
    """
    units = values[0].shape[1] if values else 0
    if not 0 <= unit < units:
        raise InputError(f"there is no unit {unit}; units are 0 to {units - 1}")
    alone = [x[:, [unit]] for x in values]
    if not all(x.isfinite().all() for x in alone):
        raise InputError("the model's values are not finite; was it trained to the end?")
    data = Halves.drawn(alone, given, held_out, seed)
    found = []
    for name in dict.fromkeys(name for s in given for name in s.labels):
        labels = [s.labels.get(name, (None,) * len(s.words)) for s in given]
        y, truth = data.split(labels)
        if not len(truth) or len(set(y)) < 2:
            continue
        controls = []
        for draw in range(CONTROLS):
            task = control(given, labels, f"{seed} {draw}")
            controls.append(np.mean(data.fit(task) == data.split(task)[1]))
        common = Counter(y.tolist()).most_common(1)[0][0]
        score, majority = float(np.mean(data.fit(labels) == truth)), float(np.mean(truth == common))
        found.append(UnitProbe(name, score, majority, float(np.mean(controls)), _means(alone, labels), len(truth)))
    return sorted(found, key=lambda p: p.majority - p.score)


def _means(alone: Sequence[Tensor], labels: Sequence[Sequence[Any]]) -> dict[str, float]:
    """Return the mean value after words of each of the commonest labels."""
    by_label: dict[str, list[float]] = defaultdict(list)
    for x, each in zip(alone, labels, strict=True):
        for value, label in zip(x[:, 0].tolist(), each, strict=True):
            if label is not None:
                by_label[str(label)].append(value)
    commonest = sorted(by_label, key=lambda label: -len(by_label[label]))[:MOST_LABELS]
    return {label: float(np.mean(by_label[label])) for label in commonest}
