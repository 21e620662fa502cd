"""The names behind a labeller's ids: labels, the words and spellings of text, the columns of tables."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from carousel import files
from carousel.errors import InputError

FILE = "labels.json"
UNKNOWN = "?"  # in place of a word of which nothing but the id is left, and that is no known one's
TABLES = ("words", "beginnings", "endings", "shapes")
ENDS = 3  # letters at either end of a word
SHAPES = ((re.compile(r"[^\W\d_]"), lambda m: "A" if m[0].isupper() else "a"), (re.compile(r"\d"), lambda m: "0"))
REPEATED = re.compile(r"(.)\1+")


def spelling(word: str) -> tuple[str, str, str, str]:
    """Return a word, its first and last three letters, and its shape: ``Aa`` of *Prague*, ``a_0`` of *part_12*."""
    shape = word
    for pattern, stands in SHAPES:
        shape = pattern.sub(stands, shape)
    return word, word[:ENDS], word[-ENDS:], REPEATED.sub(r"\1", shape)[:12]


@dataclass(frozen=True)
class Names:
    """The names of a run, ``labels.json`` in its folder.

    Attributes:
        labels: in the order of their ids.
        tables: for text, the words, and their first letters, last letters and shapes; ids begin with 1, and 0 is unknown.
        columns: for tables, the columns to read.
    """

    labels: tuple[str, ...]
    tables: tuple[tuple[str, ...], ...] = ()
    columns: tuple[str, ...] = ()

    @classmethod
    def of_text(cls, labels: Iterable[str], words: Iterable[str], least: int, spelt: bool) -> Names:
        """Learn the names of a text.

        Args:
            labels: the labels of all its tokens.
            words: all its tokens.
            least: how often a word must occur to be known.
            spelt: whether there are tables of words' first letters, last letters and shapes, too.
        """
        counts: list[Counter[str]] = [Counter() for _ in TABLES[: None if spelt else 1]]
        for word, n in Counter(filter(None, words)).items():  # some nodes of trees have no token
            for counter, part in zip(counts, spelling(word), strict=False):
                counter[part] += n
        ranked = [sorted((p for p, n in c.items() if n >= least), key=lambda p, c=c: (-c[p], p)) for c in counts]  # type: ignore[misc]
        return cls(tuple(sorted({*labels})), tuple(map(tuple, ranked)))

    @property
    def inputs(self) -> int | list[int]:
        """The number of columns of a step; of text, the sizes of its tables, each with an id for unknown."""
        return [len(table) + 1 for table in self.tables] if self.tables else len(self.columns)

    @cached_property
    def _ids(self) -> list[dict[str, int]]:
        return [{name: k for k, name in enumerate(table, 1)} for table in self.tables]

    @cached_property
    def _labels(self) -> dict[str, int]:
        return {label: k for k, label in enumerate(self.labels)}

    def steps(self, tokens: Sequence[str]) -> np.ndarray:
        """Return the ids of tokens, (T, tables)."""
        ids = self._ids
        return np.array([[t.get(p, 0) for t, p in zip(ids, spelling(word), strict=False)] for word in tokens], np.int32)

    def words(self, ids: np.ndarray) -> list[str]:
        """Return the words of ids, (T, tables): UNKNOWN for unknown ones, and nothing for a node without a token."""
        return ["" if k < 0 else self.tables[0][k - 1] if k else UNKNOWN for k in ids[:, 0].tolist()]

    def unknown(self, labels: Iterable[str]) -> str | None:
        """Return the first label that is not among the names; None where all are."""
        return next((label for label in labels if label not in self._labels), None)

    def numbers(self, labels: Sequence[str]) -> list[int]:
        """Return the ids of labels, all of which must be among the names."""
        return [self._labels[label] for label in labels]

    def save(self, folder: Path) -> None:
        """Write ``labels.json``."""
        content: dict[str, object] = {"labels": self.labels}
        content |= dict(zip(TABLES, self.tables, strict=False)) if self.tables else {"columns": self.columns}
        files.write(folder / FILE, json.dumps(content, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Names:
        """Read ``labels.json``. Raises InputError where it is missing or damaged."""
        path = folder / FILE
        try:
            found = files.read_object(path)
        except FileNotFoundError:
            raise InputError(f"{path} is missing; the run folder is not complete") from None
        lists = {name: found[name] for name in ("labels", "columns", *TABLES) if name in found}
        sound = all(isinstance(v, list) and all(isinstance(x, str) for x in v) and len({*v}) == len(v) for v in lists.values())
        if not sound or not lists.get("labels") or ("columns" in lists) == ("words" in lists):
            raise InputError(f"{path} does not hold the names of a labeller")
        tables = tuple(tuple(lists[name]) for name in TABLES if name in lists)
        return cls(tuple(lists["labels"]), tables, tuple(lists.get("columns", ())))
