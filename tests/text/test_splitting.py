"""Tokens that are split at random: the text stays as it is, and how often is as asked."""

import numpy as np
import pytest

from carousel.errors import InputError
from carousel.text.splitting import Splitting
from carousel.text.vocabulary import Vocabulary

LINES = ["the cat sat on the mat", "the dog ate the cat's dinner", "žluťoučký kůň", ""] * 20


@pytest.fixture(scope="module")
def vocabulary():
    """Byte pairs, of which most words are one."""
    return Vocabulary.train("bpe", LINES, 400)


def encoded(vocabulary):
    return [np.array(vocabulary.encode(line)) for line in LINES]


def test_the_text_stays_as_it_is(vocabulary):
    for share in (0.1, 0.5, 0.99):
        split = Splitting.of(vocabulary, share).split(encoded(vocabulary), np.random.default_rng(1))
        assert [vocabulary.decode(ids.tolist()) for ids in split] == [f"{line}\n" for line in LINES]


def test_a_share_near_one_leaves_bytes_and_none_leaves_all(vocabulary):
    whole = encoded(vocabulary)
    (bytes_of, *_), (same, *_) = (
        Splitting.of(vocabulary, share).split(whole, np.random.default_rng(1)) for share in (1 - 1e-12, 0.0)
    )
    assert len(bytes_of) == len(LINES[0].encode()) + 1
    np.testing.assert_array_equal(same, whole[0])


def test_as_many_tokens_are_split_as_asked():
    parts = np.array([[1, 2], [3, 3], [-1, -1], [-1, -1]])
    (ids,) = Splitting(parts, 0.2).split([np.zeros(100_000, int)], np.random.default_rng(3))
    share = np.bincount(ids) / 100_000
    assert share == pytest.approx([0.8, 0.16, 0.2, 0.08], abs=0.005)


def test_other_vocabularies_are_refused():
    with pytest.raises(InputError, match="splits byte pairs"):
        Splitting.of(Vocabulary.train("char", LINES), 0.1)
