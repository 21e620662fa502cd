"""The claims' rule, their data, and that trials go on where they stopped."""

import dataclasses
import itertools
import json
from collections import Counter

import pytest
import torch

from carousel.errors import InputError
from carousel.insight.claims import CLAIMS, forget, peepholes, projection
from carousel.insight.claims.claim import Claim, Question, Trial, TrialConfig
from carousel.language.model import ModelConfig
from carousel.tasks.reber import SYMBOLS


def runs(**by_way):
    return {(way, seed): {"x": v} for way, values in by_way.items() for seed, v in enumerate(values, 1)}


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ([1, 2, 3], [2, 3.1, 3.9], "holds"),  # lower with every seed, by much
        ([2, 3.1, 3.9], [1, 2, 3], "does not hold"),
        ([1, 2, 3], [2, 3, 2.9], "undecided"),  # once not
        ([1, 1, 1], [1.01, 1.01, 9], "undecided"),  # every time, but its mean is one seed's
        ([1], [2], "undecided"),  # one seed says nothing
    ],
)
def test_the_rule(a, b, verdict):
    assert Question("", "x", "a", "b").verdict(runs(a=a, b=b)) == verdict
    assert Question("", "x", "b", "a", higher=True).verdict(runs(a=a, b=b)) == verdict


def test_a_margin_asks_whether_nothing_is_lost():
    worse = runs(a=[101, 101.2, 100.9], b=[100, 100, 100])
    assert Question("", "x", "a", "b").verdict(worse) == "does not hold"
    assert Question("", "x", "a", "b", margin=0.02).verdict(worse) == "holds"
    assert Question("", "x", "a", "b", margin=0.005).verdict(worse) == "does not hold"


def test_seeds_are_compared_in_pairs_and_only_whole_pairs():
    found = runs(a=[1, 5], b=[2, 6, 0])
    assert Question("", "x", "a", "b").gains(found) == [1, 1]


def counted(done):
    def measure(way, seed, setting, tick):
        done.append((way, seed))
        tick(1, 1)
        return {"x": float(seed)}

    return Claim("c", "says", "source", {"a": "A", "b": "B"}, {"x": "X"}, (Question("q", "x", "a", "b"),), measure)


def test_a_trial_goes_on_where_it_stopped(tmp_path):
    done, ticks = [], []
    setting = TrialConfig(folder=tmp_path / "t")
    Trial(counted(done), setting).run([1, 2], lambda *t: ticks.append(t))
    assert done == [("a", 1), ("b", 1), ("a", 2), ("b", 2)] and ticks[-1] == (4000, 4000)
    trial = Trial(counted(done), setting)
    trial.run([1, 2, 3])
    assert done[4:] == [("a", 3), ("b", 3)] and trial.values("a", "x") == [1, 2, 3]
    assert trial.as_dict()["seeds"] == [1, 2, 3] and trial.as_dict()["verdicts"][0]["verdict"] == "undecided"
    with pytest.raises(InputError, match="other settings"):
        Trial(counted(done), dataclasses.replace(setting, steps=7))
    (tmp_path / "t" / "c.json").write_text(json.dumps([1]))
    with pytest.raises(InputError, match="no trial"):
        Trial(counted(done), setting)


def test_every_question_is_about_what_is_measured():
    for claim in CLAIMS.values():
        for q in claim.questions:
            assert {q.way, q.other} <= set(claim.ways) and q.figure in claim.figures


def test_a_stream_goes_on_over_its_pieces_and_marks_what_is_far():
    whole = forget.Stream(5, 3).read(400)
    stream = forget.Stream(5, 3)
    pieces = [stream.read(n) for n in (50, 1, 349)]
    for k, part in enumerate(whole):
        assert torch.equal(part, torch.cat([p[k] for p in pieces]))
    x, y, begins, bits, far = whole
    assert torch.equal(x[1:], y[:-1])
    for row in range(3):
        text = "".join(SYMBOLS[s] for s in x[:, row])
        starts = begins[:, row].nonzero().flatten().tolist()
        for begin, end in itertools.pairwise(starts):
            string = text[begin:end]
            assert string[0] == "B" and string[-1] == "E" and string[1] == string[-2]  # an embedded Reber string
            asked = [begin + 1 + k for k in far[begin : end - 1, row].nonzero().flatten().tolist()]
            assert asked == [end - 2]
            # One bit for the second symbol, one for each choice within; none for the far one.
            assert bits[begin, row] == 1 and bits[end - 3, row] == 0 and set(bits[begin : end - 1, row].tolist()) <= {0.0, 1.0}


def test_spikes_are_as_far_apart_as_they_say():
    x, y, asked = peepholes.spikes(torch.Generator().manual_seed(1), 40)
    delays = Counter()
    for row in range(40):
        times = x[:, row, 0].nonzero().flatten().tolist()
        assert len(times) == peepholes.SPIKES and asked[:, row].nonzero().flatten().tolist() == times[1:]
        for a, b in itertools.pairwise(times):
            assert y[b, row] == b - a
            delays[b - a] += 1
    assert min(delays) >= peepholes.SHORTEST and max(delays) <= peepholes.LONGEST and len(delays) > 25


@pytest.mark.parametrize(("name", "steps"), [("forget", 3), ("peepholes", 3), ("projection", 1)])
def test_a_claim_is_tried(name, steps, tmp_path, monkeypatch):
    monkeypatch.setattr(forget, "TEST_LENGTH", 300)
    monkeypatch.setattr(projection, "MODEL", ModelConfig(embedding=8))
    monkeypatch.setattr(
        projection, "WAYS", {"v3": ("lstm-v3", 9, None), "v4": ("lstm-v4", 9, 4), "v4 larger": ("lstm-v4", 12, 4)}
    )
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog sat on the cat\n" * 420)
    claim = CLAIMS[name]
    setting = TrialConfig(steps, (text,) if name == "projection" else (), tmp_path / "out")
    trial = Trial(claim, setting)
    trial.run([1])
    assert set(trial.runs) == {(way, 1) for way in claim.ways}
    for figures in trial.runs.values():
        assert set(figures) == set(claim.figures) and all(v == v for v in figures.values())
    again = claim.measure(next(iter(claim.ways)), 1, setting, lambda *_: None)
    if name != "projection":  # whose speed differs
        assert again == trial.runs[next(iter(claim.ways)), 1]


@pytest.mark.parametrize("change", [{"seed": "x"}, {"way": "v9"}, {"figures": {"error": None}}], ids=str)
def test_a_file_that_no_trial_has_written_is_refused(tmp_path, change):
    trial = Trial(CLAIMS["peepholes"], TrialConfig(1, folder=tmp_path))
    run = {"way": "v2", "seed": 1, "figures": dict.fromkeys(trial.claim.figures, 1.0)} | change
    (tmp_path / "peepholes.json").write_text(json.dumps({"asked": trial.asked, "runs": [run]}))
    with pytest.raises(InputError, match="is no trial of a claim"):
        Trial(CLAIMS["peepholes"], TrialConfig(1, folder=tmp_path))
