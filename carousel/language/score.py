"""The cost of a text under a model, in bits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch.nn.functional import log_softmax

from carousel.language.feeding import Sentences, Stream
from carousel.language.model import LanguageModel
from carousel.text.encoded import EncodedText, Facts
from carousel.text.vocabulary import Vocabulary
from carousel.training.evaluate import Tick, evaluate

LENGTH = 256  # tokens that are read at a time, which does not change what they cost


@dataclass(frozen=True)
class Score:
    """A text's cost in bits under the model as it is, and measures that follow from it. ``tokens`` count ``<eos>`` too.

    ``adapted``: the text's scores under a model that adapts to it, by name ("dynamic", "cache", "dynamic, cache"), as far as
    they were asked for; an ensemble has the scores of all its models together.
    """

    bits: float
    tokens: int
    characters: int
    unknown: int
    adapted: Mapping[str, Score] = field(default_factory=dict, hash=False)

    @property
    def perplexity(self) -> float:
        """2 to the power of bits per token."""
        return 2 ** min(self.bits / self.tokens, 1000.0)

    @property
    def bits_per_character(self) -> float:
        """Bits by characters, newlines among them. Where words are unknown, their letters come free: mind ``unknown_rate``."""
        return self.bits / self.characters

    @property
    def unknown_rate(self) -> float:
        """The share of words that the vocabulary lacks."""
        return self.unknown / self.tokens

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows, with ``adapted`` where there are adapted scores."""
        adapted = {"adapted": {name: found.as_dict() for name, found in self.adapted.items()}} if self.adapted else {}
        return {
            "perplexity": self.perplexity,
            "bits_per_character": self.bits_per_character,
            "bits": self.bits,
            "words": self.tokens,
            "characters": self.characters,
            "unknown_words": self.unknown,
            "unknown_rate": self.unknown_rate,
            **adapted,
        }

    @classmethod
    def of(cls, bits: float, facts: Facts) -> Score:
        """Make the score of a whole text whose facts are known."""
        return cls(bits, facts.tokens, facts.characters, facts.unknown)

    @classmethod
    def of_nats(cls, nats: float, tokens: int, facts: Facts) -> Score:
        """Make a score from the nats of all tokens read; sentences leave out empty lines, which are one ``<eos>`` each."""
        return cls(nats / math.log(2), tokens, facts.characters - (facts.tokens - tokens), facts.unknown)


def score(
    model: LanguageModel,
    corpus: EncodedText,
    end: int,
    *,
    sentences: bool = False,
    tick: Tick | None = None,
) -> Score:
    """Return the exact score of a text: read from its first token to its last in one piece, or each sentence on its own.

    Args:
        model: whose score it is.
        corpus: the text.
        end: the token id of ``<eos>``.
        sentences: whether each begins with new states.
        tick: told how many batches are done, of how many.
    """
    feed = Sentences(corpus, end, rows=32) if sentences else Stream(corpus, end, rows=1, length=LENGTH)
    return Score.of_nats(*evaluate(model, feed, tick), corpus.facts)


class Surprisal(NamedTuple):
    """A token of a text, how surprising it is in bits given all before it, and whether the vocabulary has it."""

    text: str
    bits: float
    known: bool


@torch.no_grad()
def surprisals(model: LanguageModel, vocabulary: Vocabulary, lines: Iterator[str]) -> Iterator[list[Surprisal]]:
    """Yield for each line the surprisals of its tokens.

    An empty line is its ``<eos>``.
    """
    model.eval()
    hx, before = None, vocabulary.end
    for line in lines:
        pieces = vocabulary.pieces(line)
        ids = [token for _, token in pieces]
        x = torch.tensor([before, *ids[:-1]]).unsqueeze(1)
        logits, hx = model(x, hx)
        bits = -log_softmax(logits[:, 0], -1)[torch.arange(len(ids)), torch.tensor(ids)] / math.log(2)
        yield [Surprisal(text, b, n != vocabulary.unknown) for (text, n), b in zip(pieces, bits.tolist(), strict=True)]
        before = ids[-1]
