"""Byte pairs split into their parts at random, so that a model in training sees words in many spellings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carousel.errors import InputError
from carousel.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Splitting:
    """A chance for each byte pair to be split into the two tokens that it joins; they may be split in turn.

    BPE-dropout (Provilkov, Emelianenko and Voita 2020) leaves out joins while a word is put together. Splitting (StochasTok,
    Sims et al. 2025) has a like effect on text that is encoded already.

    Attributes:
        parts: the two token ids that each token joins, (vocabulary size, 2); −1 where it joins none.
        share: the chance of each token.
    """

    parts: np.ndarray
    share: float

    @classmethod
    def of(cls, vocabulary: Vocabulary, share: float) -> Splitting:
        """Return the splitting of a vocabulary's tokens. Raises InputError where it is not one of byte pairs."""
        if vocabulary.kind != "bpe":
            raise InputError(f"`split_tokens` splits byte pairs, and the vocabulary is of kind {vocabulary.kind!r}; leave it 0")
        number = vocabulary.tokenizer.token_to_id
        parts = np.full((vocabulary.size, 2), -1)
        for a, b in json.loads(vocabulary.tokenizer.to_str())["model"]["merges"]:
            parts[number(a + b)] = number(a), number(b)
        return cls(parts, share)

    def split(self, lines: Sequence[np.ndarray], choose: np.random.Generator) -> list[np.ndarray]:
        """Return the lines' token ids, some of them split.

        Args:
            lines: token ids (tokens,) each.
            choose: draws the tokens to split.
        """
        ids, line = np.concatenate(lines), np.repeat(np.arange(len(lines)), [len(each) for each in lines])
        fresh = np.ones(len(ids), bool)
        while fresh.any():
            cut = fresh & (self.parts[ids, 0] >= 0) & (choose.random(len(ids)) < self.share)
            times = 1 + cut
            second = np.cumsum(times)[cut] - 1
            whole = ids[cut]
            ids, line, fresh = np.repeat(ids, times), np.repeat(line, times), np.repeat(cut, times)
            ids[second - 1], ids[second] = self.parts[whole].T
        return np.split(ids, np.searchsorted(line, np.arange(1, len(lines))))
