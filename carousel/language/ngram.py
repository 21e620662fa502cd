"""Counting models to be beaten: the unigram, and the interpolated 3-gram (Kneser and Ney 1995)."""

from __future__ import annotations

import numpy as np

from carousel.text.encoded import EncodedText


class Unigram:
    """The frequency of each token, with one added to every count."""

    def __init__(self, corpus: EncodedText, vocabulary_size: int):
        counts = np.bincount(corpus.ids, minlength=vocabulary_size) + 1.0
        self.bits = -np.log2(counts / counts.sum())

    def score(self, corpus: EncodedText) -> float:
        """Return the bits that the whole text costs."""
        return float(self.bits[corpus.ids].sum())


class Trigram:
    """Interpolated Kneser-Ney 3-gram: every order mixed with the one below, one discount an order.

    Chen and Goodman 1999, section 4.1, with the discount D = n₁ / (n₁ + 2 n₂) and the uniform distribution at the end,
    so that every token has a probability. Lower orders count the contexts in which a token was seen, not occurrences.
    """

    def __init__(self, corpus: EncodedText, end: int, vocabulary_size: int):
        self.vocabulary_size, self.end = vocabulary_size, end
        grams, counts = np.unique(self._grams(corpus), return_counts=True)
        trigram = _Order(grams, counts, vocabulary_size)
        grams, counts = np.unique(grams % vocabulary_size**2, return_counts=True)
        bigram = _Order(grams, counts, vocabulary_size)
        grams, counts = np.unique(grams % vocabulary_size, return_counts=True)
        self.orders = [_Order(grams, counts, vocabulary_size), bigram, trigram]

    def _grams(self, corpus: EncodedText) -> np.ndarray:
        """Return each token with the two before it as one number; the text begins after two ``<eos>``."""
        ids = np.concatenate([[self.end, self.end], corpus.ids.astype(np.int64)])
        return (ids[:-2] * self.vocabulary_size + ids[1:-1]) * self.vocabulary_size + ids[2:]

    def probabilities(self, grams: np.ndarray) -> np.ndarray:
        """Return p(w | u, v) for tokens numbered (u · V + v) · V + w, V the vocabulary's size."""
        p = np.full(len(grams), 1.0 / self.vocabulary_size)
        for k, order in enumerate(self.orders):
            p = order.mix(grams % self.vocabulary_size ** (k + 1), p)
        return p

    def score(self, corpus: EncodedText) -> float:
        """Return the bits that the whole text costs."""
        return float(-np.log2(self.probabilities(self._grams(corpus))).sum())


class _Order:
    def __init__(self, grams: np.ndarray, counts: np.ndarray, vocabulary_size: int):
        self.vocabulary_size, self.grams, self.counts = vocabulary_size, grams, counts
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        self.discount = once / (once + 2 * twice) if once else 0.5
        self.contexts, first = np.unique(grams // vocabulary_size, return_index=True)
        self.totals = np.add.reduceat(counts, first)
        self.kinds = np.diff(np.append(first, len(grams)))

    def mix(self, grams: np.ndarray, below: np.ndarray) -> np.ndarray:
        """Return max(c − D, 0) / total + D · kinds / total · below; ``below`` alone where the context was never seen."""
        count = _look_up(self.grams, self.counts, grams)
        total = _look_up(self.contexts, self.totals, grams // self.vocabulary_size)
        kinds = _look_up(self.contexts, self.kinds, grams // self.vocabulary_size)
        seen = np.maximum(total, 1)
        mixed = (np.maximum(count - self.discount, 0) + self.discount * kinds * below) / seen
        return np.where(total > 0, mixed, below)


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
