"""Annotated sentences: labels of each word say which facts hold once it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from carousel.errors import InputError
from carousel.text.lines import lines

Value = str | int | bool | None
T = TypeVar("T")


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
    """Words, and by property the label that holds once each of them is read (None: nothing is known).

    ``targets`` and ``subject`` (the position of the noun that decides them) where the sentence was made to test agreement.
    """

    words: tuple[str, ...]
    labels: dict[str, tuple[Value, ...]]
    targets: tuple[Target, ...] = ()
    subject: int | None = None
    predicate: str = ""

    @property
    def text(self) -> str:
        """The sentence as a line of the corpus."""
        return " ".join(self.words)


def as_line(sentence: Sentence) -> str:
    """Return a sentence as one line of JSON."""
    return json.dumps(asdict(sentence), ensure_ascii=False)


def read_sentences(path: Path) -> list[Sentence]:
    """Read a file with a JSON object a line: ``words``, ``labels`` by property, and for agreement ``targets`` and ``subject``.

    Args:
        path: of the file, UTF-8.

    Raises:
        InputError: the file cannot be read so, with the number of the line.
    """
    form = 'a line is {"words": ["a", "b"], "labels": {"property": ["x", null]}}'
    sentences = read_lines(path, lambda line: _sentence(json.loads(line)), form)
    if not sentences:
        raise InputError(f"{path} holds no sentence")
    return sentences


def read_lines(path: Path, read: Callable[[str], T], form: str) -> list[T]:
    """Read a file line by line; empty lines count for nothing.

    Args:
        path: of the file, UTF-8.
        read: makes an object of a line.
        form: of a line, for the error.

    Raises:
        InputError: ``read`` has refused a line, with its number.
    """
    objects = []
    for number, line in enumerate(lines(path), 1):
        try:
            objects += [read(line)] if line.strip() else []
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{path}, line {number}: {reason}; {form}") from None
    return objects


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
    """Return whether it is one word of text that can be written as UTF-8."""
    return isinstance(w, str) and len(w.split()) == 1 and w == w.strip() and bool(w.encode())


def _is_target(t: Target) -> bool:
    numbers = (t.position, t.distance, t.attractors)
    return (
        all(type(n) is int and n >= 0 for n in numbers) and isinstance(t.kind, str) and _is_word(t.right) and _is_word(t.wrong)
    )
