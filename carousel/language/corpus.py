"""A text as numbers in a memory-mapped file, so that it may be larger than memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from carousel import files
from carousel.errors import InputError
from carousel.language.vocabulary import Vocabulary

LINES_AT_ONCE = 4096
WORDS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Facts:
    """What was counted while a text was encoded; ``words`` are entries of the vocabulary, ``<eos>`` among them."""

    words: int
    lines: int
    characters: int  # newlines included
    unknown: int
    dtype: str


class Corpus:
    """An encoded text: ``words`` (all numbers in a row), ``ends`` (where each line ends), ``facts``."""

    def __init__(self, words: np.ndarray, ends: np.ndarray, facts: Facts):
        self.words, self.ends, self.facts = words, ends, facts

    def __len__(self) -> int:
        return len(self.words)

    def counts(self, words: int) -> np.ndarray:
        """How often each entry of a vocabulary of that size occurs, (words,); memory stays constant."""
        total = np.zeros(words, dtype=np.int64)
        for first in range(0, len(self.words), WORDS_AT_ONCE):
            total += np.bincount(self.words[first : first + WORDS_AT_ONCE], minlength=words)
        return total

    @classmethod
    def encode(
        cls,
        lines: Iterable[str],
        vocabulary: Vocabulary,
        folder: Path,
        name: str,
        tick: Callable[[int], None] | None = None,
    ) -> Corpus:
        """Encode lines of text into ``folder/name.*`` and open them. ``tick`` is told how many characters were read.

        Memory stays constant. Nothing counts as encoded until ``name.json`` stands, which is written last.
        """
        folder.mkdir(parents=True, exist_ok=True)
        dtype = np.dtype("<u2" if vocabulary.size <= 1 << 16 else "<u4")
        words = number = characters = unknown = 0
        source = iter(lines)
        with files.replacing(folder / f"{name}.words") as out, files.replacing(folder / f"{name}.ends") as ends_out:
            while batch := list(islice(source, LINES_AT_ONCE)):
                encoded = vocabulary.encode_many(batch)
                flat = np.fromiter((n for line in encoded for n in line), dtype)
                ends = words + np.cumsum([len(line) for line in encoded], dtype="<i8")
                out.write(flat.tobytes())
                ends_out.write(ends.tobytes())
                words, number = words + len(flat), number + len(batch)
                read = sum(len(line) + 1 for line in batch)
                characters += read
                unknown += int((flat == vocabulary.unknown).sum()) if vocabulary.unknown is not None else 0
                if tick:
                    tick(read)
        facts = Facts(words, number, characters, unknown, dtype.str)
        files.write(folder / f"{name}.json", json.dumps(asdict(facts), indent=1))
        return cls.open(folder, name)

    @classmethod
    def open(cls, folder: Path, name: str) -> Corpus:
        """Open what ``encode`` wrote. Raises InputError where it is missing or cut short."""
        try:
            facts = Facts(**json.loads((folder / f"{name}.json").read_text()))
            words = np.memmap(folder / f"{name}.words", facts.dtype, "r", shape=(facts.words,))
            ends = np.memmap(folder / f"{name}.ends", "<i8", "r", shape=(facts.lines,))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{folder / name}.* is not an encoded text: {error}") from None
        return cls(words, ends, facts)

    @staticmethod
    def exists(folder: Path, name: str) -> bool:
        """Whether ``encode`` has finished there."""
        return (folder / f"{name}.json").exists()
