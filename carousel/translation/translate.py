"""Sentences from one language to the other, as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from carousel.layers import Clamps
from carousel.text.vocabulary import Vocabulary
from carousel.translation.beam import Hypothesis, search
from carousel.translation.model import Translator

LONGEST = 1000  # source entries of a line that are read
ONE_LINE = str.maketrans("\r\n", "  ")  # byte pairs can write line ends, and a translation is a line


@dataclass(frozen=True)
class Translation:
    """A translation: its ``text`` and ``pieces``, the last of which is ``<eos>`` where it ended; log p in nats; ``score``: what
    translations are ranked by. ``attention``: for each piece, how much of it went to each of the source's pieces."""

    text: str
    pieces: tuple[str, ...]
    log_probability: float
    score: float
    finished: bool
    source: tuple[str, ...]
    attention: tuple[tuple[float, ...], ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        row = {"text": self.text, "score": round(self.score, 5), "log_probability": round(self.log_probability, 5)}
        row |= {"finished": self.finished, "pieces": list(self.pieces), "source": list(self.source)}
        if self.attention is not None:
            row["attention"] = [[round(a, 4) for a in row] for row in self.attention]
        return row


class Interpreter:
    """A translator with its vocabularies, ready to translate.

    Args:
        beam: hypotheses side by side; 1 is greedy.
        best: translations of each line.
        alpha: of the length normalisation, log p / lengthᵅ.
        longest: source entries that are read of a line; what is beyond is left out, and told.
        told: called with a line's number (from 1) and its entries where it is longer.
    """

    def __init__(
        self,
        model: Translator,
        source: Vocabulary,
        target: Vocabulary,
        *,
        beam: int = 5,
        best: int = 1,
        alpha: float = 1.0,
        attention: bool = False,
        longest: int = LONGEST,
        told: Callable[[int, int], None] | None = None,
    ):
        self.model, self.source, self.target = model, source, target
        self.beam, self.best, self.alpha, self.attention = beam, best, alpha, attention
        self.longest, self.told = longest, told or (lambda number, entries: None)

    def lines(self, lines: Iterable[str], rows: int = 1) -> Iterator[list[Translation]]:
        """For each line its translations, best first, as they come; ``rows`` lines are translated together. An empty or blank
        line has an empty translation."""
        source, number = iter(lines), 1
        while group := list(islice(source, rows)):
            yield from self.together(group, range(number, number + len(group)))
            number += len(group)

    def together(
        self, lines: Sequence[str], places: Sequence[int] | None = None, clamp: Clamps | None = None
    ) -> list[list[Translation]]:
        """Lines at once. ``places``: their numbers, as ``told`` has them, from 1 by default; ``clamp`` as Recurrent's, of the
        encoder."""
        read = [self.source.encode(line if line.strip() else "") for line in lines]
        for k, numbers in enumerate(read):
            if len(numbers) > self.longest:
                self.told(places[k] if places else k + 1, len(numbers))
                read[k] = [*numbers[: self.longest - 1], self.source.end]
        some = [k for k, numbers in enumerate(read) if len(numbers) > 1]
        found: list[list[Translation]] = [[_nothing()] for _ in lines]
        if some:
            each = [torch.tensor(read[k]) for k in some]
            lengths = torch.tensor([len(x) for x in each])
            made = search(
                self.model,
                pad_sequence(each, padding_value=self.source.end),
                lengths,
                self.target.end,
                longest=[longest_translation(n) for n in lengths.tolist()],
                width=self.beam,
                best=self.best,
                alpha=self.alpha,
                forbidden=self.target.unknown,
                attention=self.attention,
                clamp=clamp,
            )
            for k, hypotheses in zip(some, made, strict=True):
                found[k] = [self._told(h, read[k]) for h in hypotheses]
        return found

    def _told(self, h: Hypothesis, read: list[int]) -> Translation:
        numbers = [*h.numbers, self.target.end] if h.finished else list(h.numbers)
        attention = None
        if h.attention is not None:
            attention = tuple(tuple(row[: len(read)]) for row in h.attention.tolist())
        return Translation(
            self.target.decode(list(h.numbers)).translate(ONE_LINE),
            tuple(self.target.token(n) for n in numbers),
            h.log_probability,
            h.score,
            h.finished,
            tuple(self.source.token(n) for n in read),
            attention,
        )


def longest_translation(entries: int) -> int:
    """Entries that a translation of a source of so many may have."""
    return 2 * entries + 10


def _nothing() -> Translation:
    return Translation("", (), 0.0, 0.0, True, ())
