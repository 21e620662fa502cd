"""How well a model knows a text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn.functional import log_softmax

from carousel.language.feeding import Sentences, Stream
from carousel.language.model import LanguageModel
from carousel.text.encoded import EncodedText, Facts
from carousel.text.vocabulary import Vocabulary
from carousel.training.evaluate import Tick, evaluate


@dataclass(frozen=True)
class Score:
    """A text's cost in bits, and what follows from it; ``words`` are entries of the vocabulary, ``<eos>`` among them."""

    bits: float
    words: int
    characters: int
    unknown: int

    @property
    def perplexity(self) -> float:
        """Per word: 2 to the power of bits per word."""
        return 2 ** min(self.bits / self.words, 1000.0)

    @property
    def bits_per_character(self) -> float:
        """Newlines count as characters. Where words are unknown, their letters come free: mind ``unknown_rate``."""
        return self.bits / self.characters

    @property
    def unknown_rate(self) -> float:
        """Share of words that the vocabulary lacks."""
        return self.unknown / self.words

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {
            "perplexity": self.perplexity,
            "bits_per_character": self.bits_per_character,
            "bits": self.bits,
            "words": self.words,
            "characters": self.characters,
            "unknown_words": self.unknown,
            "unknown_rate": self.unknown_rate,
        }

    @classmethod
    def of(cls, bits: float, facts: Facts) -> Score:
        """Of a whole text whose facts are known."""
        return cls(bits, facts.words, facts.characters, facts.unknown)


def score(
    model: LanguageModel,
    corpus: EncodedText,
    end: int,
    *,
    sentences: bool = False,
    tick: Tick | None = None,
) -> Score:
    """The exact score of a text: read from its first word to its last in one piece, or each sentence on its own."""
    feed = Sentences(corpus, end, rows=32) if sentences else Stream(corpus, end, rows=1, length=256)
    nats, words = evaluate(model, feed, tick)
    facts = corpus.facts
    empty = facts.words - words  # sentences leave out empty lines, which are one <eos> each
    return Score(nats / math.log(2), words, facts.characters - empty, facts.unknown)


@torch.no_grad()
def surprisals(model: LanguageModel, vocabulary: Vocabulary, lines: Iterator[str]) -> Iterator[list[tuple[str, float, bool]]]:
    """For each line its words, their surprisal in bits given all before, and whether the vocabulary has them.

    A line of one entry (an empty one) is its ``<eos>``.
    """
    model.eval()
    hx, before = None, vocabulary.end
    for line in lines:
        pieces = vocabulary.pieces(line)
        numbers = [number for _, number in pieces]
        x = torch.tensor([before, *numbers[:-1]]).unsqueeze(1)
        logits, hx = model(x, hx)
        bits = -log_softmax(logits[:, 0], -1)[torch.arange(len(numbers)), torch.tensor(numbers)] / math.log(2)
        yield [(text, b, n != vocabulary.unknown) for (text, n), b in zip(pieces, bits.tolist(), strict=True)]
        before = numbers[-1]
