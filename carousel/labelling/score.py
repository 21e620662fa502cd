"""Scores of predicted labels: accuracy, F1, confusion, and F1 of whole spans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BEGIN = "B-"  # of a span's first label, as in IOB2; the others begin with I-, and O is outside of spans
OF_SPANS = re.compile(r"O|[BIES]-.+")  # E-, S-: of the last label, and of a span's only one


@dataclass(frozen=True)
class Quality:
    """Precision, recall and F1 of a label, each from 0 to 1; ``count``: the number of steps or sequences that have it."""

    precision: float
    recall: float
    f1: float
    count: int


@dataclass(frozen=True)
class LabelScore:
    """The scores of predicted labels; all rates are from 0 to 1.

    Attributes:
        labels: all labels of the run, in order.
        confusion: counts (labels, labels); a row for each right label, a column for each predicted one.
        accuracy: right predictions divided by all.
        macro_f1: mean of the labels' F1.
        weighted_f1: mean of the labels' F1, weighted by their counts.
        each: precision, recall, F1 and count, by label.
        spans: precision, recall and F1 of whole spans by ``seqeval``; None where labels are not of the form B-PER, I-PER, O, or
            seqeval is not installed.
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
        """The number of labels to predict."""
        return int(self.confusion.sum())

    def mistakes(self, most: int = 10) -> list[tuple[str, str, int]]:
        """Return the ``most`` most frequent mistakes, each as right label, predicted label and count."""
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
    return any(label.startswith(BEGIN) for label in labels) and all(OF_SPANS.fullmatch(label) for label in labels)


def score(right: Sequence[Sequence[str]], found: Sequence[Sequence[str]], labels: Sequence[str]) -> LabelScore:
    """Compare predicted labels with the right ones.

    Args:
        right: for each sequence the labels of its steps, or one label for the whole.
        found: the predictions, as many for each sequence.
        labels: all labels of the run; a label that neither occurs nor is predicted has no F1 and counts in no mean.
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
