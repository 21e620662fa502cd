"""Each clause of each definition, as the paper has it."""

import operator
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.tasks.arithmetic import Marked
from carousel.tasks.counting import Copy, Counting
from carousel.tasks.lags import LongLag, VeryLongLag
from carousel.tasks.order import TemporalOrder
from carousel.tasks.pathological import Memorisation, Operation, Ordered, Permutation
from carousel.tasks.reber import SYMBOLS, ContinualReber, EmbeddedReber
from carousel.tasks.rows import ROWS
from carousel.tasks.signals import TwoSequences

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


def draw(problem, seed, count=40):
    return problem.draw(np.random.default_rng(seed), count)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.key)
def test_every_task(row):
    a, b, c = draw(row.problem, 3, 20), draw(row.problem, 3, 20), draw(row.problem, 4, 20)
    assert np.array_equal(a.inputs, b.inputs) and np.array_equal(a.targets, b.targets)  # the seed is all
    assert a.inputs.shape != c.inputs.shape or not np.array_equal(a.targets, c.targets)
    assert a.inputs.shape[0] == a.lengths.max()
    for k, n in enumerate(a.lengths):
        assert not a.inputs[n:, k].any()  # nothing after the end
    if row.problem.symbols:
        assert a.inputs.min() >= 0 and a.inputs.max() < row.problem.inputs
    right = a.targets if a.clean is None else a.clean
    if row.problem.each:
        right = np.eye(row.problem.outputs)[np.where(a.targets < 0, 0, a.targets)]
        if a.allowed is not None:
            assert a.allowed[a.targets >= 0, a.targets[a.targets >= 0]].all()  # what comes is possible
            right = a.allowed.astype(float)
    assert not row.problem.wrong(right, a).any()
    assert row.problem.wrong(1 - right if row.problem.each else right + 0.6, a).all()
    part = a.rows(3, 7)
    assert part.inputs.shape[0] == a.lengths[3:7].max() and np.array_equal(part.inputs[:, 1], a.inputs[: len(part.inputs), 4])


# ------------------------------------------------------------------------------------------------------- experiment 1

# The Reber grammar as a regular expression, read off its diagram by hand: nodes after B are named as in the paper's figure.
REBER = re.compile(
    r"B(?:"
    r"TS*X(?:XT*V(?:PXT*V)*(?:PS|V)|S)"  # upper way: T, S…, X; then S to the end, or X into the lower loop
    r"|"
    r"PT*V(?:PXT*V)*(?:PS|V)"  # lower way: P, T…, V; then V to the end, P S to the end, or P X round again
    r")E"
)


@given(seeds)
@few
def test_strings_are_embedded_reber_strings(seed):
    batch = draw(EmbeddedReber(), seed)
    for k, n in enumerate(batch.lengths):
        text = "".join(SYMBOLS[s] for s in [*batch.inputs[:n, k], batch.targets[n - 1, k]])
        assert text[0] == "B" and text[1] in "TP" and text[-2] == text[1] and text[-1] == "E"
        assert REBER.fullmatch(text[2:-2]), text
        assert np.array_equal(batch.inputs[1:n, k], batch.targets[: n - 1, k])


def test_what_may_follow_is_what_follows():
    """After a prefix exactly the allowed symbols are seen, about equally often."""
    seen, may = {}, {}
    for seed in range(40):
        batch = draw(EmbeddedReber(), seed, 100)
        for k, n in enumerate(batch.lengths):
            for t in range(min(n, 8)):
                prefix = tuple(batch.inputs[: t + 1, k])
                seen.setdefault(prefix, []).append(int(batch.targets[t, k]))
                may[prefix] = frozenset(np.flatnonzero(batch.allowed[t, k]))
    often = {p: s for p, s in seen.items() if len(s) > 60}
    assert len(often) > 20
    for prefix, symbols in often.items():
        assert set(symbols) == may[prefix]
        assert len(may[prefix]) in (1, 2)
        assert min(symbols.count(s) for s in may[prefix]) > 0.3 * len(symbols) / len(may[prefix])


def test_training_and_test_strings_are_different():
    sets = EmbeddedReber().sets(np.random.default_rng(5))
    texts = [{tuple(b.inputs[:n, k]) for k, n in enumerate(b.lengths)} for b in sets]
    assert [len(t) for t in texts] == [256, 256] and not texts[0] & texts[1]
    assert abs(sets[0].lengths.mean() - sets[1].lengths.mean()) < 3


def test_right_means_that_the_possible_symbols_are_the_most_active():
    problem, batch = EmbeddedReber(), draw(EmbeddedReber(), 1, 5)
    outputs = np.where(batch.allowed, 0.2, 0.1)
    assert not problem.wrong(outputs, batch).any()
    t = batch.lengths[2] - 1
    outputs[t, 2, 0] = 0.3  # B never comes last
    assert list(problem.wrong(outputs, batch)) == [False, False, True, False, False]


@given(seeds)
@few
def test_the_continual_stream_goes_on_with_a_new_string(seed):
    batch = draw(ContinualReber(120), seed, 3)
    assert (batch.lengths == 120).all()
    for k in range(3):
        text = "".join(SYMBOLS[s] for s in batch.inputs[:, k])
        whole = re.split(r"(?<=[TP]E)(?=B[TP]B)", text)[:-1]
        assert whole and all(w[1] == w[-2] and REBER.fullmatch(w[2:-2]) for w in whole), text


# ------------------------------------------------------------------------------------------------------- experiment 2


@given(seeds, st.integers(2, 120))
@few
def test_two_sequences_without_noise(seed, p):
    batch = draw(LongLag(p), seed)
    whole = np.concatenate([batch.inputs, batch.targets[-1:]])
    assert whole.shape == (p + 1, 40)
    assert set(whole[0]) <= {p - 1, p} and np.array_equal(whole[0], whole[-1])
    assert np.array_equal(whole[1:-1], np.repeat(np.arange(p - 1)[:, None], 40, axis=1))
    assert np.array_equal(batch.inputs[1:], batch.targets[:-1])


@given(seeds, st.integers(3, 120))
@few
def test_two_classes_without_regularities(seed, p):
    problem = LongLag(p, random=True)
    batch = draw(problem, seed)
    whole = np.concatenate([batch.inputs, batch.targets[-1:]])
    assert set(whole[0]) <= {p - 1, p} and np.array_equal(whole[0], whole[-1])
    assert whole[1:-1].min() >= 0 and whole[1:-1].max() <= p - 2
    outputs = np.zeros((p, 40, p + 1))  # nothing is right but the end
    outputs[-1] = np.eye(p + 1)[whole[-1]]
    assert not problem.wrong(outputs, batch).any()
    outputs[-1, 7] *= 0.74
    assert list(np.flatnonzero(problem.wrong(outputs, batch))) == [7]


def test_both_classes_come_equally_often_and_distractors_too():
    batch = draw(LongLag(100, random=True), 0, 4000)
    assert abs((batch.inputs[0] == 100).mean() - 0.5) < 0.03
    counts = np.bincount(batch.inputs[1:].ravel(), minlength=99)
    assert counts.min() > 0.9 * counts.mean() and counts.max() < 1.1 * counts.mean()


@given(seeds, st.integers(1, 60), st.integers(1, 60))
@few
def test_very_long_lags(seed, q, p):
    batch = draw(VeryLongLag(q, p), seed)
    e, b, x, y = p, p + 1, p + 2, p + 3
    for k, n in enumerate(batch.lengths):
        sequence = batch.inputs[:n, k]
        assert sequence[0] == b and sequence[1] in (x, y) and sequence[-1] == e
        assert n >= q + 3 and (sequence[2:-1] < p).all()
        assert list(batch.targets[k]) == [sequence[1] == x, sequence[1] == y]


def test_after_q_distractors_the_end_comes_with_one_chance_in_ten():
    more = draw(VeryLongLag(20, 5), 0, 20_000).lengths - 23
    assert more.min() == 0 and abs((more == 0).mean() - 0.1) < 0.01 and abs(more.mean() - 9) < 0.3
    assert abs((more[more > 0] == 1).mean() - 0.1) < 0.01  # each time anew


# ------------------------------------------------------------------------------------------------------- experiment 3


@given(seeds, st.sampled_from([10, 100, 1000]), st.sampled_from([1, 3]))
@few
def test_signal_first_then_noise(seed, steps, n):
    batch = draw(TwoSequences(steps, n), seed)
    assert batch.lengths.min() >= steps and batch.lengths.max() <= steps + steps // 10
    first = batch.inputs[0, :, 0]
    assert set(first) <= {1.0, -1.0} and (batch.inputs[:n, :, 0] == first).all()
    assert np.array_equal(batch.targets[:, 0], first == 1)
    assert not np.isin(batch.inputs[n], (1.0, -1.0)).any()


@pytest.mark.parametrize("noisy", [False, True])
def test_noise_has_variance_a_fifth(noisy):
    batch = draw(TwoSequences(100, 3, noisy), 0, 4000)
    rest = batch.inputs[3:100, :, 0]
    assert abs(rest.mean()) < 0.01 and abs(rest.var() - 0.2) < 0.005
    first = batch.inputs[:3, :, 0] - (2 * batch.targets[:, 0] - 1)
    assert abs(first.var() - (0.2 if noisy else 0)) < 0.01
    assert abs(batch.targets.mean() - 0.5) < 0.03
    lengths = np.bincount(batch.lengths, minlength=111)[100:]
    assert len(lengths) == 11 and lengths.min() > 0.7 * 4000 / 11


def test_noisy_targets():
    problem = TwoSequences(100, 1, noisy_targets=True)
    batch = draw(problem, 0, 8000)
    assert set(np.unique(batch.clean)) == {np.float32(0.2), np.float32(0.8)}
    assert np.array_equal(batch.clean[:, 0] < 0.5, batch.inputs[0, :, 0] == 1)  # class 1 is 0.2
    noise = batch.targets - batch.clean
    assert abs(noise.mean()) < 0.01 and abs(noise.var() - 0.1) < 0.005
    assert not problem.wrong(batch.clean + 0.099, batch).any() and problem.wrong(batch.clean - 0.101, batch).all()
    assert not TwoSequences(100, 1).wrong(draw(TwoSequences(100, 1), 0).targets + 0.199, draw(TwoSequences(100, 1), 0)).any()


# --------------------------------------------------------------------------------------------------- experiments 4, 5


@given(seeds, st.sampled_from([24, 100, 500]), st.booleans())
@few
def test_marks_and_targets(seed, steps, multiply):
    batch = draw(Marked(steps, multiply), seed)
    assert batch.lengths.min() >= steps and batch.lengths.max() <= steps + steps // 10
    for k, n in enumerate(batch.lengths):
        values, markers = batch.inputs[:n, k, 0], batch.inputs[:n, k, 1]
        assert values.min() >= (0 if multiply else -1) and values.max() <= 1
        assert markers[0] == markers[-1] == -1 and set(markers[1:-1]) <= {0.0, 1.0}
        places = np.flatnonzero(markers == 1)
        assert len(places) in (1, 2)  # a mark on the first pair does not show
        # The second is one of T/2 − 1 others, so it lies in the first half.
        assert places.max() < steps // 2 and (places.min() < 10 or len(places) == 1)
        marked = [float(values[i]) for i in places] + [1.0 if multiply else 0.0] * (2 - len(places))
        target = marked[0] * marked[1] if multiply else 0.5 + (marked[0] + marked[1]) / 4
        assert batch.targets[k, 0] == pytest.approx(target, abs=1e-6)


def test_where_the_marks_fall():
    steps = 100
    batch = draw(Marked(steps), 1, 40_000)
    markers = batch.inputs[..., 1] == 1
    hidden = markers.sum(0) == 1
    assert abs(hidden.mean() - (0.1 + 0.9 / 49)) < 0.005  # the first mark, or the second, on the first pair
    counts = markers.sum(1)[: steps // 2]
    assert (counts[1:] > 0).all() and markers[steps // 2 :].sum() == 0
    late = counts[10:]
    assert late.min() > 0.8 * late.mean() and late.max() < 1.2 * late.mean()  # evenly
    early = counts[1:10]
    assert early.min() > 0.9 * early.mean() and abs(early.mean() - (4000 + 36_000 / 49)) < 150


@pytest.mark.parametrize("off, wrong", [(0.039, False), (0.041, True)])
def test_right_within_four_hundredths(off, wrong):
    batch = draw(Marked(100), 0)
    assert (Marked(100).wrong(batch.targets + off, batch) == wrong).all()


# ------------------------------------------------------------------------------------------------------- experiment 6


@given(seeds, st.sampled_from([2, 3]))
@few
def test_temporal_order(seed, places):
    batch = draw(TemporalOrder(places), seed)
    assert batch.lengths.min() >= 100 and batch.lengths.max() <= 110
    ranges = {2: [(10, 20), (50, 60)], 3: [(10, 20), (33, 43), (66, 76)]}[places]
    for k, n in enumerate(batch.lengths):
        text = "".join("EabcdXYB"[s] for s in batch.inputs[:n, k])
        assert text[0] == "E" and text[-1] == "B"
        at = [m.start() + 1 for m in re.finditer("[XY]", text)]
        assert len(at) == places and all(low <= a <= high for a, (low, high) in zip(at, ranges, strict=True))
        assert re.fullmatch("[abcd]*", re.sub("[XY]", "", text[1:-1]))
        order = "".join(c for c in text if c in "XY")
        classes = [format(c, f"0{places}b").replace("0", "X").replace("1", "Y") for c in range(2**places)]
        assert batch.targets[k].sum() == 1 and batch.targets[k, classes.index(order)] == 1


def test_all_places_and_classes_come():
    batch = draw(TemporalOrder(3), 0, 8000)
    assert batch.targets.mean(0).min() > 0.1
    marks = (batch.inputs >= 5) & (batch.inputs <= 6)
    there = set(np.flatnonzero(marks.any(1)) + 1)
    assert there == {*range(10, 21), *range(33, 44), *range(66, 77)}
    assert set(batch.lengths) == set(range(100, 111))
    assert not TemporalOrder(3).wrong(np.abs(batch.targets - 0.29), batch).any()
    assert TemporalOrder(3).wrong(np.abs(batch.targets - 0.31), batch).all()


# ------------------------------------------------------------------------------------------------------------- later


@given(seeds, st.integers(1, 40))
@few
def test_copy_memory(seed, steps):
    batch = draw(Copy(steps), seed)
    assert batch.inputs.shape == (steps + 20, 40)
    assert (batch.inputs[:10] < 8).all() and (batch.inputs[10 : steps + 9] == 8).all()
    assert (batch.inputs[steps + 9] == 9).all() and (batch.inputs[steps + 10 :] == 8).all()
    assert np.array_equal(batch.targets[-10:], batch.inputs[:10]) and (batch.targets[:-10] == -1).all()


@given(seeds, st.integers(1, 8), st.integers(0, 8))
@few
def test_counting(seed, low, more):
    batch = draw(Counting(low, low + more), seed)
    for k, n in enumerate(batch.lengths):
        text = "".join("$abc"[s] for s in [*batch.inputs[:n, k], batch.targets[n - 1, k]])
        count = text.count("a")
        assert low <= count <= low + more and text == "$" + "a" * count + "b" * count + "c" * count + "$"
        for t, (now, then) in enumerate(pairwise(text)):
            assert set(np.flatnonzero(batch.allowed[t, k])) == ({1, 2} if now == "a" else {"$abc".index(then)})


# ------------------------------------------------------------------------------------ the pathological problems of 2011


@pytest.mark.parametrize("name, of", [("add", operator.add), ("multiply", operator.mul), ("xor", operator.ne)])
@pytest.mark.parametrize("steps", [50, 200])
def test_operations_on_two_marked_values(name, of, steps):
    batch = draw(Operation(steps, name), 1)
    assert batch.lengths.min() >= steps and batch.lengths.max() <= 1.1 * steps
    for k, n in enumerate(batch.lengths):
        values, markers = batch.inputs[:n, k].T
        one, two = np.flatnonzero(markers == 1)
        assert 0 < one < steps / 10 <= two < steps / 2 and markers[0] == markers[n - 1] == -1 and np.abs(markers).sum() == 4
        assert batch.targets[k, 0] == pytest.approx(float(of(values[one], values[two])))


@pytest.mark.parametrize("places, within", [(2, (0.1, 0.5)), (3, (0.1, 0.4, 0.6))])
def test_long_orders(places, within):
    batch = draw(Ordered(100, places), 1)
    for k in range(len(batch)):
        at = np.flatnonzero(np.isin(batch.inputs[:, k], (5, 6)))  # X, Y
        assert len(at) == places and all(a <= 100 * w for a, w in zip(at, within, strict=True))
        assert batch.targets[k].argmax() == int("".join(str(s - 5) for s in batch.inputs[at, k]), 2)


def test_permutation_and_memorisation():
    batch = draw(Permutation(50), 1)
    assert np.array_equal(batch.inputs[1:], batch.targets[:-1]) and np.array_equal(batch.inputs[0], batch.targets[-1])
    assert set(batch.inputs[0]) == {0, 1} and batch.inputs[1:].min() >= 2
    batch = draw(Memorisation(20), 1, 64)  # each of the 32 twice
    assert len({tuple(x) for x in batch.inputs[:5].T}) == 32 and np.array_equal(batch.inputs[:5], batch.targets[-5:])
    assert (batch.inputs[5:-6] == 2).all() and (batch.inputs[-6] == 3).all() and (batch.targets[:-5] == 2).all()
    assert draw(Memorisation(50, 10, 5), 1).inputs[:10].max() == 4
