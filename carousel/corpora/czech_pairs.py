"""Annotated pairs of sentences: the labels of each English word, and the Czech words that agree."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from carousel.corpora.annotated import read_lines


@dataclass(frozen=True)
class Agreeing:
    """A Czech word that agrees: its position, the right form, a wrong form, all ``forms`` that its word may take; its
    ``kind``; how many Czech words after the subject it comes (before it: below 0); whether it agrees with the "subject"
    or with "another" noun.
    """

    position: int
    right: str
    wrong: str
    forms: tuple[str, ...]
    kind: str
    distance: int
    with_: str


@dataclass(frozen=True)
class Translated:
    """A pair of sentences. ``labels``: by property, the label that holds once each English word is read; ``subject``: the
    position of the English noun that decides; ``pairs``: its nouns with their predicates, as the splits keep them apart.
    """

    words: tuple[str, ...]
    labels: dict[str, tuple[Any, ...]]
    subject: int
    predicate: str
    czech: tuple[str, ...]
    targets: tuple[Agreeing, ...]
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The English sentence."""
        return " ".join(self.words)

    @property
    def translation(self) -> str:
        """The Czech sentence."""
        return " ".join(self.czech)

    def as_line(self) -> str:
        """Return the pair as one line of JSON, of which the annotated English sentence can be read by itself."""
        row = {k: getattr(self, k) for k in ("words", "labels", "subject", "predicate")}
        targets = [{**asdict(t), "with": t.with_} for t in self.targets]
        for t in targets:
            del t["with_"]
        return json.dumps({**row, "translation": {"words": self.czech, "targets": targets}}, ensure_ascii=False)

    @classmethod
    def from_line(cls, line: str) -> Translated:
        """Read a line of ``as_line``. Raises KeyError, TypeError or ValueError for anything else."""
        row = json.loads(line)
        labels = {name: tuple(values) for name, values in row["labels"].items()}
        targets = [
            Agreeing(**{k: v for k, v in t.items() if k not in ("with", "forms")}, forms=tuple(t["forms"]), with_=t["with"])
            for t in row["translation"]["targets"]
        ]
        czech = tuple(row["translation"]["words"])
        words = tuple(row["words"])
        if any(not 0 <= t.position < len(czech) for t in targets) or row["subject"] not in range(len(words)):
            raise ValueError("a position in it is beyond its words")
        if any(len(values) != len(words) for values in labels.values()):
            raise ValueError("it has not as many labels as words")
        return cls(words, labels, row["subject"], row["predicate"], czech, tuple(targets))


def read_pairs(path: Path) -> list[Translated]:
    """Return the annotated pairs of a file.

    Raises:
        InputError: the file is none of such pairs, with the number of the line.
    """
    return read_lines(path, Translated.from_line, "a line is a pair as carousel translate corpus writes them")
