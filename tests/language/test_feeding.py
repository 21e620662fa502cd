"""Every word is a target exactly once, after what it follows, in both ways to feed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.language.feeding import IGNORED, Sentences, Stream
from carousel.text.encoded import EncodedText, Facts
from carousel.training.processes import Share

END = 0
some = settings(deadline=None, max_examples=80)


def corpus(sentences):
    """Encoded sentences of numbers above 0, each with its end."""
    words = np.array([n for s in sentences for n in [*s, END]], np.uint16)
    ends = np.cumsum([len(s) + 1 for s in sentences])
    return EncodedText(words, ends, Facts(len(words), len(sentences), 0, 0, "<u2"))


texts = st.lists(st.lists(st.integers(1, 9), max_size=7), min_size=1, max_size=9).map(corpus)


def counted(batches):
    return [int(w) for b in batches for column in b.y.T for w in column if w != IGNORED]


@given(texts, st.integers(1, 5), st.integers(1, 6), st.integers(1, 2))
@some
def test_a_streams_rows_joined_are_the_text(text, rows, length, processes):
    feeds = [Stream(text, END, rows, length, Share(k, processes)) for k in range(processes)]
    columns = []
    for feed in feeds:
        batches = list(feed.batches())
        columns += np.concatenate([b.y.numpy() for b in batches]).T.tolist()
    joined = [w for column in columns for w in column if w != IGNORED]
    assert joined == text.ids.tolist()


@given(texts, st.integers(1, 5), st.integers(1, 6))
@some
def test_a_streams_input_is_the_word_before(text, rows, length):
    feed = Stream(text, END, rows, length)
    x, y = (np.concatenate([getattr(b, k).numpy() for b in feed.batches()]).T for k in "xy")
    flat = [(int(a), int(b)) for row_x, row_y in zip(x, y, strict=True) for a, b in zip(row_x, row_y, strict=True)]
    pairs = [(a, b) for a, b in flat if b != IGNORED]
    words = text.ids.tolist()
    assert pairs == list(zip([END, *words[:-1]], words, strict=True))


@given(texts, st.integers(1, 5), st.integers(0, 6), st.integers(1, 2))
@some
def test_sentences_count_each_word_once(text, rows, length, processes):
    feeds = [Sentences(text, END, rows, length, Share(k, processes), seed=3) for k in range(processes)]
    found = sorted(w for feed in feeds for w in counted(feed.batches()))
    begins = [0, *text.ends[:-1]]
    kept = [text.ids[b:e][: length or None] for b, e in zip(begins, text.ends, strict=True) if e - b > 1]
    assert found == sorted(int(w) for s in kept for w in s)


@given(texts, st.integers(1, 5), st.integers(1, 2))
@some
def test_words_of_a_batch_are_those_of_all_processes(text, rows, processes):
    for kind in (lambda s: Stream(text, END, rows, 3, s), lambda s: Sentences(text, END, rows, 0, s, seed=1)):
        parts = [list(kind(Share(k, processes)).batches()) for k in range(processes)]
        for batches in zip(*parts, strict=True):
            assert len(counted(batches)) == batches[0].targets == batches[-1].targets


def test_order_of_sentences_follows_seed_and_epoch():
    feed = Sentences(corpus([[k] for k in range(1, 9)]), END, 2, seed=1)
    order = [counted(feed.batches(epoch)) for epoch in (0, 0, 1)]
    assert order[0] == order[1] != order[2]


@pytest.mark.parametrize("kind", [Stream, Sentences])
def test_an_epoch_can_be_taken_up_in_the_middle(kind):
    feed = kind(corpus([[1, 2, 3], [4, 5], [6], [7, 8]]), END, 2, 2)
    assert counted(feed.batches(0, 1)) == counted(list(feed.batches())[1:])


def test_cut_sentences_are_counted():
    assert Sentences(corpus([[1] * 9, [1] * 3, [1] * 7]), END, 2, 5).cut == 2


def test_lengths_that_vary_read_every_token_once():
    text = corpus([[*range(1, 4000)]])
    feed = Stream(text, END, 4, 35, vary=7)
    epochs = [[*feed.batches(epoch)] for epoch in range(2)]
    for batches in epochs:
        assert len(batches) == len(feed) == round(1000 / (0.975 * 35))
        read = torch.cat([b.y for b in batches])
        assert torch.equal(read.T.flatten(), torch.tensor([*range(1, 4000), END]))
        assert sum(b.targets for b in batches) == 4000 and [b.fresh for b in batches] == [True] + [False] * (len(feed) - 1)
    lengths = [[len(b.x) for b in batches] for batches in epochs]
    assert lengths[0] != lengths[1] and len({*lengths[0]}) > 5 and min(lengths[0]) >= 4
    assert [len(b.x) for b in feed.batches(1, 9)] == lengths[1][9:]
    assert [len(b.x) for b in Stream(text, END, 4, 35, vary=8).batches()] != lengths[0]


def test_lengths_vary_as_merity_has_it():
    """A normal deviate of 5 around 70, once in twenty around 35; a short text is one batch."""
    feed = Stream(corpus([[1] * 200_000]), END, 1, 70, vary=1)
    lengths = np.diff(feed.borders(0))
    assert abs(lengths.mean() - 0.975 * 70) < 0.1
    around = lengths > 52
    assert 0.93 < around.mean() < 0.97 and 4.5 < lengths[around].std() < 5.6 and abs(lengths[~around].mean() - 35) < 1.5
    short = Stream(corpus([[1] * 20_000]), END, 1, 10, vary=1)  # whose half would often be less than 5
    assert np.diff(short.borders(0)).min() == 4  # 5, stretched to the text's length
    assert Stream(corpus([[1, 2]]), END, 1, 70, vary=1).borders(0) == [0, 3]
