"""Sentences of which it is written down, word by word, what holds once the word is read; and what a model remembers of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from carousel.errors import InputError
from carousel.language.model import LanguageModel
from carousel.language.text import lines
from carousel.language.vocabulary import Vocabulary

Value = str | int | bool | None
ROWS = 64  # sentences read at once


@dataclass(frozen=True)
class Target:
    """A word that agrees with the subject: its position, the right form and a wrong one, "pronoun" or "verb"; how many
    words after the subject it comes, and how many nouns of another number or gender stand between."""

    position: int
    right: str
    wrong: str
    kind: str
    distance: int
    attractors: int


@dataclass(frozen=True)
class Sentence:
    """Words, and by property what holds once each of them is read (None: nothing is known).

    ``targets`` and ``subject`` (the position of the noun that decides them) where the sentence was made to test agreement.
    """

    words: tuple[str, ...]
    labels: dict[str, tuple[Value, ...]]
    targets: tuple[Target, ...] = ()
    subject: int | None = None
    predicate: str = ""

    @property
    def text(self) -> str:
        """As a line of the corpus."""
        return " ".join(self.words)


def as_line(sentence: Sentence) -> str:
    """As one line of JSON."""
    return json.dumps(asdict(sentence), ensure_ascii=False)


def read_sentences(path: Path) -> list[Sentence]:
    """A file with a JSON object a line: ``words``, ``labels`` by property, and for agreement ``targets`` and ``subject``.

    Raises InputError for what is no such file, with the number of the line.
    """
    found = []
    for number, line in enumerate(lines(path), 1):
        if not line.strip():
            continue
        try:
            found.append(_sentence(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(
                f'{path}, line {number}: {reason}; a line is {{"words": ["a", "b"], "labels": {{"property": ["x", null]}}}}'
            ) from None
    if not found:
        raise InputError(f"{path} holds no sentence")
    return found


def _sentence(row: Any) -> Sentence:
    words, labels = tuple(row["words"]), {n: tuple(v) for n, v in row["labels"].items()}
    if not words or not all(_is_word(w) for w in words):
        raise ValueError("its words are not all words")
    for name, values in labels.items():
        if len(values) != len(words):
            raise ValueError(f"it has {len(words)} words but {len(values)} labels of {name!r}")
        if not all(v is None or isinstance(v, str | int) for v in values):
            raise ValueError(f"a label of {name!r} is neither text, a whole number, true or false, nor null")
    targets = tuple(Target(**t) for t in row.get("targets", ()))
    subject = row.get("subject")
    if not all(_is_target(t) for t in targets) or type(subject) not in (int, type(None)):
        raise ValueError("its targets or its subject are not of the right kinds")
    inside = range(len(words))
    if any(t.position not in inside for t in targets) or (subject is not None and subject not in inside):
        raise ValueError("a position in it is beyond its words")
    return Sentence(words, labels, targets, subject, row.get("predicate", ""))


def _is_word(w: Any) -> bool:
    """One word of text that can be written as UTF-8."""
    return isinstance(w, str) and len(w.split()) == 1 and w == w.strip() and bool(w.encode())


def _is_target(t: Target) -> bool:
    numbers = (t.position, t.distance, t.attractors)
    return (
        all(type(n) is int and n >= 0 for n in numbers) and isinstance(t.kind, str) and _is_word(t.right) and _is_word(t.wrong)
    )


@torch.no_grad()
def memories(
    model: LanguageModel, vocabulary: Vocabulary, given: Sequence[Sentence], name: str, layer: int = -1
) -> list[Tensor]:
    """For each sentence, read on its own after an end of line, ``name``'s value after each of its words: (words, units).

    Where a word is several pieces of the vocabulary, after the last of them. Raises InputError where the cell has nothing of
    that name.
    """
    recurrent = model.recurrent
    if name not in recurrent.units():
        raise InputError(f"this cell has nothing called {name!r}; it has {', '.join(recurrent.units())}")
    model.eval()
    found = []
    for begin in range(0, len(given), ROWS):
        batch = [_read(vocabulary, s) for s in given[begin : begin + ROWS]]
        x = pad_sequence([torch.tensor(numbers, device=model.device) for numbers, _ in batch])
        values = recurrent(model.embedding(x), record=[name])[-1][name][layer]
        found += [values[ends, row].cpu() for row, (_, ends) in enumerate(batch)]
    return found


def _read(vocabulary: Vocabulary, sentence: Sentence) -> tuple[list[int], list[int]]:
    """What the model reads, and the steps at which the words have been read."""
    numbers, ends = [vocabulary.end], []
    for k, word in enumerate(sentence.words):
        pieces = vocabulary.pieces(f" {word}" if k and vocabulary.kind != "word" else word)[:-1]
        numbers += [n for _, n in pieces]
        ends.append(len(numbers) - 1)
    return numbers, ends
