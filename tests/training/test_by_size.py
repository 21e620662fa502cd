"""Batches by size: every row once, those of about one size together, the same cuts in every epoch, processes share them."""

import numpy as np
import pytest

from carousel.errors import InputError
from carousel.training.by_size import FeedBySize
from carousel.training.processes import Share


class Rows(FeedBySize):
    """A feed whose batches are the rows' numbers."""

    def batch(self, chosen, mine):
        return chosen.tolist(), mine.tolist()


def feed(sizes, rows=4, share=None, seed=1, **options):
    return Rows(np.array(sizes), rows, share or Share(), seed, "rows", **options)


SIZES = [5, 1, 9, 9, 3, 2, 8, 7, 4, 6, 6]


@pytest.mark.parametrize("options", [{}, {"blur": 0.2}, {"most": 20}, {"seed": None}], ids=str)
def test_every_epoch_has_each_row_once(options):
    rows = feed(SIZES, **options)
    for epoch in (0, 5):
        batches = list(rows.batches(epoch))
        assert sorted(k for chosen, _ in batches for k in chosen) == list(range(len(SIZES)))
        assert len(batches) == len(rows) and sorted(len(c) for c, _ in batches) == sorted(b - a for a, b in rows.cuts)
        assert list(rows.batches(epoch, 1)) == batches[1:]  # where a stopped run goes on


def test_in_order_of_size_where_nothing_is_drawn():
    assert [[SIZES[k] for k in chosen] for chosen, _ in feed(SIZES, seed=None).batches()] == [
        [1, 2, 3, 4],
        [5, 6, 6, 7],
        [8, 9, 9],
    ]


def test_rows_times_the_largest_size_have_room():
    batches = [[SIZES[k] for k in chosen] for chosen, _ in feed(SIZES, most=20, seed=None).batches()]
    assert batches == [[1, 2, 3, 4], [5, 6, 6], [7, 8], [9, 9]]
    assert all(len(b) * max(b) <= 20 for b in batches)


def test_epochs_differ_and_seeds_decide():
    assert list(feed(SIZES).batches(0)) == list(feed(SIZES).batches(0)) != list(feed(SIZES).batches(1))
    assert list(feed(SIZES, seed=2).batches(0)) != list(feed(SIZES).batches(0))
    equal = feed([3] * 40)
    assert {frozenset(c) for c, _ in equal.batches(0)} != {frozenset(c) for c, _ in equal.batches(1)}  # others meet


@pytest.mark.parametrize("seed", [None, 1])
def test_processes_share_every_batch(seed):
    parts = [list(feed(SIZES, share=Share(k, 3), seed=seed).batches(2)) for k in range(3)]
    assert {len(p) for p in parts} == {len(parts[0])}
    for batches in zip(*parts, strict=True):
        assert len({tuple(chosen) for chosen, _ in batches}) == 1
        assert [k for _, mine in batches for k in mine] == batches[0][0] and all(mine for _, mine in batches)


def test_fewer_rows_than_processes():
    with pytest.raises(InputError, match="2 rows are too few for 3 processes; give more, or one process"):
        feed([1, 2], share=Share(0, 3))
    assert list(feed([1, 2], share=Share(0, 3), seed=None).batches()) == []  # of held-out rows this process has none
