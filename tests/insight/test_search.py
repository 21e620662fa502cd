"""A text searched by states: the answers of searches written as loops over words and units."""

import json
import math

import numpy as np
import pytest
import torch

from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.insight.search import reading, states
from carousel.insight.search.indexing import encoded, indexed
from carousel.insight.search.peaks import extremes, nearest
from carousel.insight.search.states import Facts, States, in_halves, open_states, write_states
from carousel.insight.search.switches import Switch, half, places, runs, switches
from carousel.insight.search.tracks import Track, described
from carousel.insight.watch import watch

LINES = ["the boy lost his hat .", "", "the girl lost her hat .", "the old men saw the boy who lost the hat .", "the hat ."] * 9


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(states, "BLOCK", 32)
    monkeypatch.setattr(reading, "AT_ONCE", 16)
    monkeypatch.setattr(reading, "ROW", 7)
    monkeypatch.setattr(reading, "ROWS", 3)


@pytest.fixture
def stored(monkeypatch):
    """Random values (150, 6) with many that are equal, as float64, and as states in blocks of 32."""
    monkeypatch.setattr(states, "BLOCK", 32)
    values = np.round(np.random.default_rng(3).standard_normal((150, 6)).cumsum(0) * 0.4, 1)
    values[7], values[40:43] = 0.0, values[20:23]
    halves = in_halves(values)
    flat = np.concatenate([halves[b : b + 32].T.ravel() for b in range(0, 150, 32)])
    return halves.astype(np.float64), States(flat.view("<i2"), Facts("h", 0, 6, 150, "", ""))


def runs_by_loop(column, threshold, sign, borders):
    found, begin = [], None
    for t, x in enumerate([*column, math.nan]):
        if begin is not None and (not sign * x >= threshold or t in borders):
            found.append((begin, t))
            begin = None
        if begin is None and sign * x >= threshold:
            begin = t
    return found


@pytest.mark.parametrize("borders", [[], [0, 9, 10, 40, 41, 99]])
@pytest.mark.parametrize("threshold", [0.1, 0.3, 1.05])
def test_runs_are_those_of_a_loop(stored, threshold, borders):
    values, found = stored
    for unit in range(6):
        for sign in (1, -1):
            begins, ends = runs(found, Switch(unit, sign), threshold, np.array(borders, int))
            # 0.1 and 0.3 are no float16: the stored value counts, which is a little less or more.
            assert [*zip(begins, ends, strict=True)] == runs_by_loop(values[:, unit], threshold, sign, borders)


def places_by_loop(each, length, off, count):
    groups = {}
    for k, of_switch in enumerate(each):
        for begin, end in of_switch:
            key = {"both": (begin, end), "before": begin, "after": end}[off]
            groups.setdefault(key, []).append((begin, end, k))
    ranked = []
    for group in groups.values():
        begin, end = max(g[0] for g in group), min(g[1] for g in group)
        short = abs(end - begin - length) if off == "both" else max(0, length - (end - begin))
        ranked.append((-len(group), short, begin, end, tuple(sorted(g[2] for g in group))))
    counts = {n: sum(-r[0] == n for r in ranked) for n in {-r[0] for r in ranked}}
    return [r[2:] for r in sorted(ranked)[:count]], counts


@pytest.mark.parametrize("off", ["both", "before", "after"])
@pytest.mark.parametrize("some", [[0], [0, 1, 2, 3, 4, 5]])
def test_places_are_those_of_a_loop(stored, off, some):
    _, found = stored
    each = [runs(found, Switch(u, sign), 0.3, np.zeros(0, int)) for u in some for sign in (1, -1)]
    expected, counts = places_by_loop([[*zip(*r, strict=True)] for r in each], 4, off, 20)
    got = places(each, 4, off, 20)
    assert [(p.begin, p.end, p.by) for p in got.best] == expected
    assert got.counts == counts and [*got.counts] == sorted(counts, reverse=True)
    none = np.zeros(0, int)
    assert places([(none, none)], 4, off, 20).counts == {}


def by_line(values, starts, left_out, key):
    """The best token of each line, the best line first: of equal ones the first."""
    best = []
    for begin, end in zip(starts, [*starts[1:], len(values)], strict=True):
        inside = [(key(values[t]), t) for t in range(begin, end) if t not in left_out]
        best += [min(inside)] if inside else []
    return [t for _, t in sorted(best)]


def test_extremes_and_nearest_are_those_of_a_loop(stored):
    values, found = stored
    starts, left_out = np.array([0, 5, 6, 50, 51, 90, 149]), np.array([5, 50, 60, 149])
    for unit in range(6):
        for sign in (1, -1):
            expected = by_line(values, starts, left_out, lambda x, u=unit, s=sign: -s * x[u])
            assert extremes(found, unit, sign, starts, left_out, 9).tolist() == expected
            assert extremes(found, unit, sign, starts, left_out, 3).tolist() == expected[:3]
    for to in (values[21], values[8], values[33] + 0.25):
        expected = by_line(values, starts, left_out, lambda x, y=to: sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))
        tokens, distances = nearest(found, to, starts, left_out, 4)
        assert tokens.tolist() == expected[:4]
        assert distances == pytest.approx([math.dist(values[t], to) for t in expected[:4]])
    assert nearest(found, values[0], np.array([0]), np.arange(150), 4)[0].tolist() == []


def test_switches_are_on_over_the_span_and_off_beside_it():
    x = np.array([[0.0, 0.5, 0.5], [0.4, 0.5, -0.4], [0.3, 0.5, -0.4], [0.1, 0.0, -0.4]])
    assert switches(x, 1, 3, 0.3) == [Switch(0)]
    assert switches(x, 1, 3, 0.3, "before") == [Switch(0), Switch(2, -1)]
    assert switches(x, 1, 3, 0.3, "after") == [Switch(0), Switch(1)]
    assert switches(x, 1, 4, 0.3) == [Switch(2, -1)]  # where the text ends nothing need be off
    for threshold in (1.0, 0.1, 0.3):
        assert half(threshold) == min(k for k in range(0x7C00) if float(np.int16(k).view(np.float16)) >= threshold)
    for begin, end in ((-1, 2), (2, 2), (3, 5)):
        with pytest.raises(InputError, match="no span of the text"):
            switches(x, begin, end, 0.3)
    for threshold in (0, -1, math.nan, math.inf, 1e6):
        with pytest.raises(InputError, match="`threshold` must be above 0"):
            switches(x, 1, 2, threshold)


@pytest.mark.parametrize("name", ["h", "m", "f"])
@pytest.mark.parametrize("separate", [True, False])
def test_states_are_those_that_the_model_has(model, vocabulary, tmp_path, small_blocks, separate, name):
    model.fresh_at = vocabulary.end if separate else None
    text, place = encoded(LINES, vocabulary, tmp_path)
    found = indexed(model, vocabulary, text, place, name=name, layer=0)
    got = found.states.values(np.arange(len(text)))
    texts = LINES if separate else ["\n".join(LINES)]
    expected, at = [], 0
    for line in texts:
        seen = watch(model, vocabulary, line) if line else None
        values = seen.values[name][0, 1:] if seen is not None else np.zeros((0, 7))
        expected.append((at, values))
        at += len(values) + 1
    for at, values in expected:
        assert np.allclose(got[at : at + len(values)], values, atol=2e-3)
    assert np.array_equal(found.states.unit(3).view("<f2"), got[:, 3])
    with pytest.raises(InputError, match="nothing called 'x'"):
        indexed(model, vocabulary, text, place, name="x")


@pytest.mark.parametrize("separate", [True, False])
def test_an_interrupted_index_goes_on_and_ends_the_same(model, vocabulary, tmp_path, small_blocks, separate, monkeypatch):
    model.fresh_at = vocabulary.end if separate else None
    text, place = encoded(LINES, vocabulary, tmp_path / "one")
    whole = indexed(model, vocabulary, text, place).states
    _, other = encoded(LINES, vocabulary, tmp_path / "two")

    def stop(done, _):
        if done >= 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        indexed(model, vocabulary, text, other, tick=stop)
    assert open_states(other, whole.facts) is None and not (other / "h-1.f16").exists()
    read = []
    parts = indexed(model, vocabulary, text, other, tick=lambda done, of: read.append((done, of))).states
    assert read[0][0] == 96 and read[-1] == (len(text), len(text))
    assert np.array_equal(parts.halves, whole.halves)
    assert sorted(p.name for p in other.iterdir()) == ["h-1.f16", "h-1.json", "text.ends", "text.json", "text.words"]
    # It is read once; again for other weights, and where a file has been cut.
    calls = []
    for change, times in ((lambda: None, 0), (lambda: (other / "h-1.f16").write_bytes(b"12"), 1), (reweigh(model), 1)):
        change()
        calls.clear()
        indexed(model, vocabulary, text, other, tick=lambda done, of: calls.append(done))
        assert bool(calls) == bool(times)


def reweigh(model):
    return lambda: torch.nn.init.normal_(model.recurrent.W["hm_l0"], std=0.5)


def test_values_that_are_not_finite_are_refused_and_large_ones_kept(tmp_path):
    facts = Facts("h", 0, 2, 2, "", "")
    with pytest.raises(InputError, match="not finite"):
        write_states(tmp_path, facts, lambda *_: iter([(np.array([[1.0, 2], [np.inf, 1]], np.float32), ())]))
    found = write_states(tmp_path, facts, lambda *_: iter([(np.array([[1.0, 2], [1e9, -1e9]], np.float32), ())]))
    assert found.values(np.array([1])).tolist() == [[65504, -65504]]


def test_what_is_found_stands_in_its_context_beside_its_labels(model, vocabulary, tmp_path, small_blocks):
    model.fresh_at = vocabulary.end
    sentences = [
        Sentence(tuple(x.split()), {"boy": tuple("boy" in x.split()[: k + 1] for k in range(len(x.split())))})
        for x in LINES
        if x
    ]
    text, place = encoded(LINES, vocabulary, tmp_path)
    found = indexed(model, vocabulary, text, place, annotations=sentences)
    alike = found.like("the boy lost his hat .", (2, 5), threshold=0.05, off="before", count=3)
    assert alike.words[2:5] == ("boy", "lost", "his")
    first = alike.best[0]
    assert first.line == 1 and first.words[first.first] == "boy" and len(first.units) == len(alike.units)
    assert first.tracks["boy"][first.first : first.stop] == ("True",) * (first.stop - first.first)
    assert " ".join(first.words) == LINES[0]  # the line alone, which is read on its own
    assert " ".join(alike.best[1].words) == f"<eos> {LINES[5]}" and alike.best[1].line == 6
    track = found.tracks["boy"]
    labels = np.array([None if k < 0 else track.labels[k] for k in track.codes])
    for u in alike.units:
        on = found.states.values(np.arange(len(text)))[:, u.switch.unit] * u.switch.sign >= 0.05
        assert u.tokens == (on & (np.asarray(text.ids) != vocabulary.end)).sum()
        (d,) = u.described
        known = labels != None  # noqa: E711 (each of them)
        has = labels == d.label
        assert d.precision == pytest.approx((on & has).sum() / (on & known).sum())
        assert (d.recall, d.share) == pytest.approx(((on & has).sum() / has.sum(), has.sum() / known.sum()))
        assert d.correlation == pytest.approx(np.corrcoef(on[known], has[known])[0, 1])
    (same, *_) = found.nearest("the girl lost her hat .", 2, count=2)
    assert same.line == 3 and same.value == pytest.approx(0, abs=2e-3) and same.words[same.first] == "girl"
    high, low = found.unit(4, count=2)
    assert high[0].value > low[0].value
    json.dumps([alike.as_dict(), same.as_dict()], allow_nan=False)
    refused = {
        "no unit of h is on": lambda: found.like("the boy", (1, 2), threshold=60000),
        "no word 3": lambda: found.nearest("the boy", 3),
        "units are 0 to 6": lambda: found.unit(7),
    }
    for says, wrong in refused.items():
        with pytest.raises(InputError, match=says):
            wrong()
    others = {"36 lines, and 35": sentences[1:], "line 1 of the text is not": [*sentences[1:], sentences[0]]}
    for says, annotations in others.items():
        with pytest.raises(InputError, match=says):
            indexed(model, vocabulary, text, place, annotations=annotations)


def test_a_label_is_described_only_where_there_are_two():
    on = np.array([True, True, False, False, False])
    codes = np.array([0, 0, 1, 0, -1], np.int16)
    (d,) = described({"a": Track(("x", "y"), codes), "b": Track(("x",), codes * 0)}, on)
    assert (d.label, d.precision, d.recall, d.share) == ("x", 1, pytest.approx(2 / 3), 0.75)
