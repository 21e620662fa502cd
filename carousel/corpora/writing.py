"""The common part of the generated corpora: a sentence that is annotated as it grows, splits, files."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from carousel import files

SPLITS = ("train", "valid", "test")
T = TypeVar("T")


def split_of(*said: object) -> str:
    """Return the split of a subject with its predicate: a tenth is for testing, a tenth for validation, and none is in two."""
    return {0: "test", 1: "valid"}.get(zlib.crc32(" ".join(map(str, said)).encode()) % 10, "train")


def source_of_chance(seed: int, split: str) -> random.Random:
    """Return the generator that writes a split. Raises ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"a split is {', '.join(SPLITS)}, not {split!r}")
    return random.Random(f"{seed} {split}")


@dataclass
class Writer:
    """A sentence as it grows; each of its words is annotated with all that is ``known`` by then."""

    choose: random.Random
    known: dict[str, Any]
    words: list[str] = field(default_factory=list)
    labels: dict[str, list[Any]] = field(init=False)
    subject: int = -1

    def __post_init__(self) -> None:
        self.labels = {name: [] for name in self.known}

    def say(self, text: str) -> None:
        """Add words."""
        for word in text.split():
            self.words.append(word)
            for name, value in self.known.items():
                self.labels[name].append(value)


def write_splits(
    folder: Path,
    counts: Iterable[int],
    sentences: Callable[[int, str], Iterable[T]],
    lines: Mapping[str, Callable[[T], str]],
) -> None:
    """Write each split's sentences, one a line.

    Args:
        folder: where; made where it is missing.
        counts: sentences of each of ``SPLITS``.
        sentences: gives so many sentences of a split.
        lines: by the suffix of a file, a sentence's line in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in zip(SPLITS, counts, strict=True):
        written = list(sentences(count, split))
        for suffix, line in lines.items():
            files.write(folder / f"{split}.{suffix}", "".join(line(s) + "\n" for s in written))
