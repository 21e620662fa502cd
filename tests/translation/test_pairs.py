"""Every pair is in exactly one batch of an epoch, with rows of about one length."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from carousel.errors import InputError
from carousel.language.feeding import IGNORED
from carousel.training.processes import Share
from carousel.translation.pairs import Pairs

END = (0, 1)
lengths = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=40)
sizes = st.one_of(st.tuples(st.integers(1, 7), st.just(0)), st.tuples(st.just(1), st.integers(4, 40)))


def corpus(counts, end):
    """Lines of so many words; the k-th has the number k + 2 everywhere."""
    lines = [[k + 2] * n + [end] for k, n in enumerate(counts)]
    return SimpleNamespace(ids=np.array([w for line in lines for w in line]), ends=np.cumsum([len(line) for line in lines]))


def made(counts, rows, tokens, **options):
    source, target = (corpus([c[side] for c in counts], END[side]) for side in (0, 1))
    return Pairs(source, target, END, rows, tokens, **options)


def pairs_of(batch):
    """(line, source length, target length) of a batch's rows, having checked what stands where."""
    found = []
    for row, n in enumerate(batch.lengths.tolist()):
        t = int((batch.y[:, row] != IGNORED).sum())
        line = int(batch.source[0, row])
        assert batch.source[:n, row].tolist() == [line] * (n - 1) + [END[0]]
        assert batch.y[:t, row].tolist() == [line] * (t - 1) + [END[1]]
        assert batch.x[:t, row].tolist() == [END[1]] + [line] * (t - 1)
        assert (batch.y[t:, row] == IGNORED).all()
        found.append((line - 2, n - 1, t - 1))
    return found


@settings(deadline=None, max_examples=60)
@given(lengths, sizes, st.sampled_from([None, 5]), st.integers(0, 8))
def test_each_pair_with_words_on_both_sides_comes_once(counts, size, seed, longest):
    pairs = made(counts, *size, seed=seed, longest=longest)
    expected = [(k, a, b) for k, (a, b) in enumerate(counts) if a and b and (not longest or max(a, b) < longest)]
    assert pairs.empty == sum(not (a and b) for a, b in counts)
    assert len(counts) == len(expected) + pairs.empty + pairs.long
    for epoch in (0, 3):
        batches = list(pairs.batches(epoch))
        assert len(batches) == len(pairs)
        assert sorted(p for b in batches for p in pairs_of(b)) == expected
        assert [b.targets for b in batches] == [int((b.y != IGNORED).sum()) for b in batches]
        for b in batches:
            rows, longer = b.source.shape[1], max(len(b.source), len(b.y))
            assert rows <= size[0] if not size[1] else rows * longer <= size[1] or rows == 1


@settings(deadline=None, max_examples=40)
@given(lengths, sizes, st.integers(2, 3))
def test_processes_share_the_rows_of_every_batch(counts, size, of):
    assume(sum(bool(a and b) for a, b in counts) >= of)
    shares = [made(counts, *size, seed=2, share=Share(k, of)) for k in range(of)]
    for parts in zip(*(s.batches(1) for s in shares), strict=True):
        assert len({p.targets for p in parts}) == 1
        rows = [p for part in parts for p in pairs_of(part)]
        assert all(part.source.shape[1] for part in parts)
        assert sum(t + 1 for _, _, t in rows) == parts[0].targets
    together = [p for s in shares for b in s.batches(1) for p in pairs_of(b)]
    assert len(set(together)) == len(together) == len(shares[0].kept)


def test_fewer_held_out_pairs_than_processes_are_read_once_and_are_too_few_to_train_on():
    shares = [made([(2, 3), (1, 1)], 4, 0, share=Share(k, 3)) for k in range(3)]
    read = [p for s in shares for b in s.batches() for p in pairs_of(b)]
    assert sorted(read) == [(0, 2, 3), (1, 1, 1)]
    with pytest.raises(InputError, match="2 pairs are too few for 3 processes"):
        made([(2, 3), (1, 1)], 4, 0, share=Share(1, 3), seed=1)


def test_an_epoch_can_be_entered_anywhere_and_epochs_differ():
    counts = [(1 + k % 5, 1 + k % 7) for k in range(40)]
    pairs = made(counts, 4, 0, seed=1)
    whole = [pairs_of(b) for b in pairs.batches(2)]
    assert [pairs_of(b) for b in pairs.batches(2, 3)] == whole[3:]
    assert [pairs_of(b) for b in pairs.batches(1)] != whole
    assert torch.equal(next(pairs.batches(2)).source, next(pairs.batches(2)).source)
