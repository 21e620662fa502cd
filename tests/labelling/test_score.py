"""Scores against counting by hand, and against seqeval."""

import numpy as np
import pytest

from carousel.labelling.figure import MOST_LABELS, _shown, draw
from carousel.labelling.score import have_spans, score

RIGHT, FOUND = [["A", "A", "B"], ["C", "A"]], [["A", "B", "B"], ["A", "A"]]


def test_counts_shares_and_means():
    found = score(RIGHT, FOUND, "ABCD")
    assert found.confusion.tolist() == [[2, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert found.accuracy == pytest.approx(3 / 5) and found.count == 5
    a, b, c = (found.each[x] for x in "ABC")
    assert (a.precision, a.recall, a.count) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 3)
    assert (b.precision, b.recall, c.f1) == (pytest.approx(1 / 2), 1, 0)
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)  # D neither occurs nor was found
    assert found.weighted_f1 == pytest.approx((3 * 2 / 3 + 2 / 3) / 5)
    assert {*found.mistakes()} == {("A", "B", 1), ("C", "A", 1)} and found.spans is None
    assert found.as_dict()["labels"]["B"] == {"precision": 0.5, "recall": 1.0, "f1": 0.666667, "count": 1}


SPANS = [["B-P", "I-P", "O"]], [["B-P", "O", "O"]]


def test_whole_spans_are_scored_by_seqeval():
    pytest.importorskip("seqeval", reason="the extra `labels` is not installed")
    found = score(*SPANS, ["B-P", "I-P", "O"])
    assert found.accuracy == pytest.approx(2 / 3) and found.spans.f1 == 0 and found.spans.count == 1
    assert score(SPANS[0], SPANS[0], ["B-P", "I-P", "O"]).spans.f1 == 1


def test_labels_among_which_some_mark_no_span_have_no_score_of_spans(recwarn):
    right = [["B-P", "VERB"]]
    assert score(right, right, ["B-P", "VERB"]).spans is None and not recwarn.list
    assert have_spans(["B-P", "I-P", "E-P", "S-P", "O"]) and not have_spans(["O"])


def test_without_seqeval_there_is_no_score_of_spans(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "seqeval.metrics.sequence_labeling", None)
    assert score(*SPANS, ["B-P", "I-P", "O"]).spans is None


def test_many_labels_are_drawn_as_the_most_frequent_and_the_rest():
    labels = [f"l{k}" for k in range(MOST_LABELS + 10)]
    right = [[label] * (k + 1) for k, label in enumerate(labels)]
    names, counts = _shown(score(right, right, labels))
    assert names[-1] == "11 others" and len(names) == MOST_LABELS
    assert np.trace(counts) == counts.sum() == sum(map(len, right)) and counts[-1, -1] == sum(range(1, 12))


def test_a_score_has_a_figure(tmp_path):
    draw(score(RIGHT, FOUND, "ABC"), "run").savefig(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 5000
