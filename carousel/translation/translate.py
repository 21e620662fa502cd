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

LONGEST = 1000  # source tokens of a line that are read
ONE_LINE = str.maketrans("\r\n", "  ")  # byte pairs can write line ends, and a translation is a line


@dataclass(frozen=True)
class Translation:
    """A translation: its ``text`` and ``pieces``, the last of which is ``<eos>`` where it ended; log p in nats; ``score``, by
    which translations are ranked. ``attention``: for each piece, how much of it went to each of the source's pieces; where
    several are a step of the encoder, to the last of them.
    """

    text: str
    pieces: tuple[str, ...]
    log_probability: float
    score: float
    finished: bool
    source: tuple[str, ...]
    attention: tuple[tuple[float, ...], ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        row = {"text": self.text, "score": round(self.score, 5), "log_probability": round(self.log_probability, 5)}
        row |= {"finished": self.finished, "pieces": list(self.pieces), "source": list(self.source)}
        if self.attention is not None:
            row["attention"] = [[round(a, 4) for a in row] for row in self.attention]
        return row


class Interpreter:
    """A translator with its vocabularies, ready to translate.

    Args:
        model: a translator.
        source, target: its vocabularies.
        beam: hypotheses side by side; 1 is greedy.
        best: translations of each line.
        alpha: of the length normalisation, log p / lengthᵅ.
        attention: whether translations tell where attention looked.
        longest: source tokens that are read of a line; more are left out, and told.
        told: called with a line's number (from 1) and its number of tokens where it is longer.
        others: translators between the same vocabularies that translate with the first, as an ensemble.
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
        others: Sequence[Translator] = (),
    ):
        self.model, self.source, self.target, self.others = model, source, target, tuple(others)
        self.beam, self.best, self.alpha, self.attention = beam, best, alpha, attention
        self.longest, self.told = longest, told or (lambda number, tokens: None)

    def lines(self, lines: Iterable[str], rows: int = 1) -> Iterator[list[Translation]]:
        """Yield for each line its translations, best first, as they come; ``rows`` lines are translated together. An empty or
        blank line has an empty translation."""
        source, number = iter(lines), 1
        while group := list(islice(source, rows)):
            yield from self.together(group, range(number, number + len(group)))
            number += len(group)

    def together(
        self, lines: Sequence[str], places: Sequence[int] | None = None, clamp: Clamps | None = None
    ) -> list[list[Translation]]:
        """Return the translations of lines at once, best first.

        Args:
            lines: sentences.
            places: the lines' numbers, as ``told`` has them, from 1 by default.
            clamp: as Recurrent's, of the encoder.
        """
        read = [self.source.encode(line if line.strip() else "") for line in lines]
        for k, ids in enumerate(read):
            if len(ids) > self.longest:
                self.told(places[k] if places else k + 1, len(ids))
                read[k] = [*ids[: self.longest - 1], self.source.end]
        some = [k for k, ids in enumerate(read) if len(ids) > 1]
        translations: list[list[Translation]] = [[_nothing()] for _ in lines]
        if some:
            each = [torch.tensor(read[k]) for k in some]
            lengths = torch.tensor([len(x) for x in each])
            beams = search(
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
                others=self.others,
            )
            for k, hypotheses in zip(some, beams, strict=True):
                translations[k] = [self._translation(h, read[k]) for h in hypotheses]
        return translations

    def _translation(self, h: Hypothesis, read: list[int]) -> Translation:
        ids = [*h.ids, self.target.end] if h.finished else list(h.ids)
        attention = None
        if h.attention is not None:
            attention = tuple(map(tuple, self.model.at_tokens(h.attention, len(read)).tolist()))
        return Translation(
            self.target.decode(list(h.ids)).translate(ONE_LINE),
            tuple(self.target.token(n) for n in ids),
            h.log_probability,
            h.score,
            h.finished,
            tuple(self.source.token(n) for n in read),
            attention,
        )


def longest_translation(tokens: int) -> int:
    """Return how many tokens a translation of a source of so many may have."""
    return 2 * tokens + 10


def _nothing() -> Translation:
    return Translation("", (), 0.0, 0.0, True, ())
