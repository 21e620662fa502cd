"""Label errors: the edit distance from right to found transcriptions, by ``rapidfuzz`` where it is installed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Labels = Sequence[int]


@dataclass(frozen=True)
class LabelErrors:
    """Counts of label errors over transcriptions.

    Attributes:
        substitutions: labels in place of other ones.
        insertions: labels too many.
        deletions: labels left out.
        labels: number of labels of the right transcriptions.
        exact: number of transcriptions without an error.
        transcriptions: number of all transcriptions.
    """

    substitutions: int
    insertions: int
    deletions: int
    labels: int
    exact: int
    transcriptions: int

    @property
    def rate(self) -> float:
        """The label error rate: all errors divided by ``labels``."""
        return (self.substitutions + self.insertions + self.deletions) / self.labels

    def as_dict(self) -> dict[str, Any]:
        """Return the rate and all counts, for JSON."""
        return {"label_error_rate": self.rate, **asdict(self)}


def errors(pairs: Iterable[tuple[Labels, Labels]]) -> LabelErrors:
    """Return the label errors of pairs of a found and the right transcription."""
    counts, labels, exact, number = np.zeros(3, np.int64), 0, 0, 0
    count = _counter()
    for found, meant in pairs:
        own = count(found, meant)
        counts += own
        labels += len(meant)
        exact += not any(own)
        number += 1
    substitutions, insertions, deletions = counts.tolist()
    return LabelErrors(substitutions, insertions, deletions, labels, exact, number)


def _counter() -> Any:
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError:
        return plain_counts

    def counts(found: Labels, meant: Labels) -> tuple[int, int, int]:
        steps = [op.tag for op in Levenshtein.editops(list(meant), list(found))]
        return steps.count("replace"), steps.count("insert"), steps.count("delete")

    return counts


def plain_counts(found: Labels, meant: Labels) -> tuple[int, int, int]:
    """Return substitutions, insertions and deletions of a shortest edit from the right transcription to the found one."""
    row = [(k, 0, k, 0) for k in range(len(found) + 1)]  # of each prefix found: all, substitutions, insertions, deletions
    for a in meant:
        before, row = row, [(row[0][0] + 1, 0, 0, row[0][3] + 1)]
        for k, b in enumerate(found):
            n, s, i, d = before[k]
            kept = (n + (a != b), s + (a != b), i, d)
            n, s, i, d = row[k]
            inserted = (n + 1, s, i + 1, d)
            n, s, i, d = before[k + 1]
            row.append(min(kept, inserted, (n + 1, s, i, d + 1), key=lambda way: way[0]))
    return row[-1][1:]
