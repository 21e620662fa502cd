"""How well labels were found: accuracy, F1, who was taken for whom; of spans, whole ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BEGIN = "B-"  # of a span's first label, as in IOB2; and I- of the others, O outside


@dataclass(frozen=True)
class Quality:
    """Of a label: precision, recall, F1, and how many steps or sequences have it."""

    precision: float
    recall: float
    f1: float
    count: int


@dataclass(frozen=True)
class LabelScore:
    """Right labels, of all; F1 of each label, their mean, and their mean weighted by how often each occurs.

    ``confusion``: (labels, labels) counts, rows the right label, columns the one that was found. ``spans``: precision, recall
    and F1 of whole spans by ``seqeval``, where labels are of the form B-PER, I-PER, O and seqeval is installed.
    """

    labels: tuple[str, ...]
    confusion: np.ndarray
    accuracy: float
    macro_f1: float
    weighted_f1: float
    each: dict[str, Quality]
    spans: Quality | None = None

    @property
    def count(self) -> int:
        """How many labels there were to find."""
        return int(self.confusion.sum())

    def mistakes(self, most: int = 10) -> list[tuple[str, str, int]]:
        """Return the most frequent mistakes: the right label, the one that was found, and how often."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = [np.unravel_index(k, wrong.shape) for k in order]
        return [(self.labels[i], self.labels[j], int(wrong[i, j])) for i, j in pairs if wrong[i, j]]

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        row: dict[str, Any] = {"count": self.count, "accuracy": round(self.accuracy, 6)}
        row |= {"macro_f1": round(self.macro_f1, 6), "weighted_f1": round(self.weighted_f1, 6)}
        row["labels"] = {label: _rounded(quality) for label, quality in self.each.items()}
        row["confusion"] = {"labels": list(self.labels), "counts": self.confusion.tolist()}
        return row | ({"spans": _rounded(self.spans)} if self.spans else {})


def _rounded(quality: Quality) -> dict[str, Any]:
    values = {"precision": quality.precision, "recall": quality.recall, "f1": quality.f1}
    return {name: round(value, 6) for name, value in values.items()} | {"count": quality.count}


def have_spans(labels: Sequence[str]) -> bool:
    """Return whether labels mark spans: B-PER, I-PER, O."""
    return any(label.startswith(BEGIN) for label in labels)


def score(right: Sequence[Sequence[str]], found: Sequence[Sequence[str]], labels: Sequence[str]) -> LabelScore:
    """Hold labels that were found against the right ones.

    Args:
        right: of each sequence, the labels of its steps, or the one of the whole.
        found: as many.
        labels: all that there are; those that neither occur nor were found have no F1, and count in no mean.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    a, b = [x for row in right for x in row], [x for row in found for x in row]
    confusion = confusion_matrix(a, b, labels=list(labels))
    seen = [k for k in range(len(labels)) if confusion[k].any() or confusion[:, k].any()]
    names = [labels[k] for k in seen]
    columns = precision_recall_fscore_support(a, b, labels=names, zero_division=0.0)
    rows = zip(names, *columns, strict=True)
    each = {name: Quality(float(p), float(r), float(f), int(n)) for name, p, r, f, n in rows}
    weights = np.array([q.count for q in each.values()])
    f1 = np.array([q.f1 for q in each.values()])
    accuracy = float(np.trace(confusion) / max(1, confusion.sum()))
    spans = _spans(right, found) if have_spans(labels) else None
    return LabelScore(tuple(labels), confusion, accuracy, float(f1.mean()), float(np.average(f1, weights=weights)), each, spans)


def _spans(right: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> Quality | None:
    try:
        from seqeval.metrics.sequence_labeling import precision_recall_fscore_support
    except ImportError:
        return None
    given = [list(row) for row in right], [list(row) for row in found]
    precision, recall, f1, count = precision_recall_fscore_support(*given, average="micro", zero_division=0)
    return Quality(float(precision), float(recall), float(f1), int(count))
