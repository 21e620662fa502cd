"""The figure of several trainings shows each run, the best of all by each second, and others' points."""

import pytest
from matplotlib.colors import to_hex

from carousel.language.task import PERPLEXITY
from carousel.training import comparison
from carousel.training.comparison import Point, draw_comparison


def run(*rows, batches=10):
    return [
        {"event": "valid", "step": batches * epoch, "epoch": epoch, "seconds": seconds, "perplexity": value}
        for epoch, (seconds, value) in enumerate(rows, 1)
    ]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """``drawn(runs, others)`` draws, and returns the left and the right axes."""

    def draw(runs, others=()):
        kept = []
        monkeypatch.setattr(comparison, "write", lambda figure, path: kept.append(figure))
        draw_comparison(runs, tmp_path / "x.png", "title", PERPLEXITY, {"unigram": 900.0}, 2_000_000, others)
        return kept[0].axes

    return draw


def lines(axes):
    """Return the points of each line that is no horizontal one, by colour."""
    found = {}
    for line in axes.lines:
        if len(line.get_xdata()) > 1 and line.get_linestyle() != "--":
            found.setdefault(to_hex(line.get_color()), []).append([*zip(*line.get_data(), strict=True)])
    return found


RUNS = {"a": [run((1, 300), (2, 200)), run((1.5, 280), (4, 250))], "b": [run((1.2, 290), (3, 190))]}


def test_each_run_is_a_line_and_each_model_a_colour(drawn):
    left, right, *_ = drawn(RUNS)
    seen = lines(right)
    assert [len(each) for each in seen.values()] == [1, 2, 1]  # the best, and the runs of a and of b
    assert [(1, 300), (2, 200)] in seen[to_hex("C0")] and seen[to_hex("C1")] == [[(1.2, 290), (3, 190)]]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["best by then", "a", "b"]
    assert lines(left)[to_hex("C1")] == [[(10, 290), (20, 190)]]


def test_the_best_by_each_second_is_that_of_all_runs(drawn):
    best = lines(drawn(RUNS)[1])["#dddddd"]
    assert best == [[(1, 300), (1.2, 290), (1.5, 280), (2, 200), (3, 190), (4, 190)]]


def test_one_run_alone_has_no_best_beside_it(drawn):
    assert "#dddddd" not in lines(drawn({"a": [run((1, 300), (2, 200))]})[1])


def test_where_batches_differ_the_first_axis_counts_words(drawn):
    left, *_ = drawn({"a": [run((1, 300), (2, 200))], "b": [run((1, 300), (2, 210), batches=20)]})
    assert left.get_xlabel() == "million words read"
    assert lines(left)[to_hex("C1")] == [[(2, 300), (4, 210)]]
    assert drawn(RUNS)[0].get_xlabel() == "step"


def test_others_are_points_with_their_names(drawn):
    _, right, *_ = drawn(RUNS, [Point("Smith", 762.0, 120.0)])
    assert (762.0, 120.0) in [(*line.get_xdata(), *line.get_ydata()) for line in right.lines if len(line.get_xdata()) == 1]
    assert "Smith" in [text.get_text() for text in right.texts]
    assert right.get_xscale() == "log" and drawn(RUNS)[1].get_xscale() == "linear"
    low, high = right.get_ylim()
    assert low < 120.0 < high
