"""Label errors: the plain count against ``rapidfuzz`` and against recursion."""

import random
from functools import cache

import pytest

from carousel.transcription import score
from carousel.transcription.score import errors, plain_counts


def distance(a, b):
    """The edit distance as it is defined."""

    @cache
    def of(i, j):
        if not i or not j:
            return i + j
        return min(of(i - 1, j) + 1, of(i, j - 1) + 1, of(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return of(len(a), len(b))


def pairs():
    choose = random.Random(1)
    return [tuple([choose.randint(1, 3) for _ in range(choose.randint(0, 7))] for _ in range(2)) for _ in range(200)]


def test_the_plain_count_is_the_distance():
    for found, meant in pairs():
        s, i, d = plain_counts(found, meant)
        assert s + i + d == distance(found, meant) and len(found) - len(meant) == i - d


def test_rapidfuzz_counts_as_many(monkeypatch):
    pytest.importorskip("rapidfuzz")
    theirs = score._counter()
    assert theirs is not plain_counts
    for found, meant in pairs():
        assert sum(theirs(found, meant)) == sum(plain_counts(found, meant))


def test_errors_are_summed_and_divided_by_the_labels_meant(monkeypatch):
    given = [([1, 2, 3], [1, 2, 3]), ([1, 3], [1, 2, 3]), ([1, 2, 2, 3], [1, 2, 3]), ([3], [1])]
    for counter in (score._counter(), plain_counts):
        monkeypatch.setattr(score, "_counter", lambda counter=counter: counter)
        found = errors(given)
        assert (found.substitutions, found.insertions, found.deletions) == (1, 1, 1)
        assert (found.labels, found.exact, found.transcriptions, found.rate) == (10, 1, 4, 0.3)
        assert found.as_dict()["label_error_rate"] == 0.3
