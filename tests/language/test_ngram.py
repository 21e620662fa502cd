"""Counting models are distributions, and count as the papers say."""

import numpy as np
import pytest

from carousel.language.ngram import Trigram, Unigram
from carousel.text.encoded import EncodedText, Facts

WORDS = 7


def corpus(words):
    return EncodedText(np.array(words, np.uint16), np.array([len(words)]), Facts(len(words), 1, 0, 0, "<u2"))


TEXT = corpus(np.random.default_rng(1).integers(0, 5, 200))


@pytest.mark.parametrize("context", [(0, 1), (4, 4), (6, 1), (6, 6)], ids=["seen", "seen", "half", "unseen"])
def test_probabilities_of_a_context_sum_to_one(context):
    grams = (context[0] * WORDS + context[1]) * WORDS + np.arange(WORDS)
    p = Trigram(TEXT, 0, WORDS).probabilities(grams)
    assert p.min() > 0
    assert p.sum() == pytest.approx(1)


def test_a_tiny_text_by_hand():
    """Text 1 2 1 2 1 after two ends (0): 3-grams 001, 012, 121 (twice), 212."""
    model = Trigram(corpus([1, 2, 1, 2, 1]), 0, 3)
    d3, d2, d1 = 3 / (3 + 2), 2 / (2 + 2), 1 / (1 + 2)
    # Kinds of words before: 1 after 0, after 2; 2 after 1. Kinds of 3-grams: 01 once, 12 twice, 21 once.
    one = (2 - d1) / 3 + d1 * 2 / 3 / 3
    bigram = (1 - d2) / 1 + d2 * 1 / 1 * one  # p(1 | 2): 21 was seen after one kind of word
    expected = (2 - d3) / 2 + d3 * 1 / 2 * bigram  # p(1 | 1, 2)
    assert model.probabilities(np.array([(1 * 3 + 2) * 3 + 1]))[0] == pytest.approx(expected)


def test_score_is_the_bits_of_each_word_after_two():
    model = Trigram(TEXT, 0, WORDS)
    ids = [0, 0, *TEXT.ids.tolist()]
    each = [
        model.probabilities(np.array([(u * WORDS + v) * WORDS + w]))[0]
        for u, v, w in zip(ids[:-2], ids[1:-1], ids[2:], strict=True)
    ]
    assert model.score(TEXT) == pytest.approx(-np.log2(each).sum())


def test_unigram_adds_one():
    model = Unigram(corpus([1, 1, 2]), 3)
    assert 2**-model.bits == pytest.approx(np.array([1, 3, 2]) / 6)
