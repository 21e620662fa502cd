"""Searches against the sum over all paths: every transcription of a few steps, by brute force."""

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
import torch

from carousel.errors import InputError
from carousel.transcription.decoding import aligned, beam_search, greedy, log_probabilities, together


def probabilities(seed, steps=4, labels=2):
    choose = np.random.default_rng(seed)
    return np.log(choose.dirichlet(np.full(labels + 1, 0.7), size=steps))


def collapsed(path):
    return tuple(k for k, _ in itertools.groupby(path) if k)


def by_brute_force(logs):
    """The probability of each transcription: the sum over all paths that become it."""
    found = defaultdict(float)
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        found[collapsed(path)] += math.exp(sum(logs[t, k] for t, k in enumerate(path)))
    return found


class Toy:
    """A language model that likes a label more, the more it differs from the one before."""

    def __init__(self, labels, seed=3):
        self.table = np.log(np.random.default_rng(seed).dirichlet(np.ones(labels + 1), size=labels + 1))

    def ahead(self, prefixes):
        return [self.table[p[-1] if p else 0] for p in prefixes]

    def of(self, ids):
        return sum(self.table[a, b] for a, b in itertools.pairwise((0, *ids, 0)))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("steps", "labels"), [(1, 2), (4, 2), (5, 3)])
def test_a_wide_beam_has_every_transcription_with_its_probability(seed, steps, labels):
    logs = probabilities(seed, steps, labels)
    expected = by_brute_force(logs)
    found = beam_search(logs, 10_000, least=0)
    assert {f.ids for f in found} == set(expected)
    for f in found:
        assert math.exp(f.log_probability) == pytest.approx(expected[f.ids])
        assert f.score == f.log_probability
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)
    assert sum(math.exp(f.log_probability) for f in found) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(8))
def test_with_a_language_model_the_best_is_the_best_by_brute_force(seed):
    logs, language, alpha, beta = probabilities(seed, 4, 3), Toy(3), 0.7, 0.4
    expected = {
        ids: math.log(p) + alpha * language.of(ids) + beta * len(ids) for ids, p in by_brute_force(logs).items() if p > 0
    }
    found = beam_search(logs, 10_000, foreteller=language, alpha=alpha, beta=beta, least=0)
    assert {f.ids: f.score for f in found} == pytest.approx(expected)
    assert found[0].ids == max(expected, key=expected.get)


@pytest.mark.parametrize("seed", range(8))
def test_probabilities_are_those_of_pytorchs_loss(seed):
    logs = probabilities(seed, 6, 3)
    for f in beam_search(logs, 10_000, least=0)[:20]:
        loss = torch.nn.functional.ctc_loss(
            torch.from_numpy(logs).unsqueeze(1), torch.tensor([f.ids]), [6], [len(f.ids)], reduction="sum"
        )
        assert f.log_probability == pytest.approx(-float(loss))


@pytest.mark.parametrize("seed", range(4))
def test_log_probabilities_are_over_all_paths(seed):
    logs = probabilities(seed, 4, 2)
    expected = by_brute_force(logs)
    assert np.exp(log_probabilities(logs, list(expected))) == pytest.approx(list(expected.values()))
    assert np.exp(log_probabilities(logs, [(), (1, 1, 1)])) == pytest.approx([expected[()], 0])


@pytest.mark.parametrize("seed", range(6))
def test_several_models_find_what_has_the_highest_mean_of_log_probabilities(seed):
    models, language, how = [probabilities(seed, 4, 3), probabilities(seed + 50, 5, 3)], Toy(3), {"alpha": 0.7, "beta": 0.4}
    chances = [by_brute_force(logs) for logs in models]  # a transcription that four steps are too few for is not found
    expected = {ids: sum(math.log(c[ids]) for c in chances) / 2 + 0.7 * language.of(ids) + 0.4 * len(ids) for ids in chances[0]}
    searches = [beam_search(logs, 10_000, foreteller=language, least=0, **how) for logs in models]
    found = [f for f in together(models, searches) if f.log_probability > -math.inf]
    assert {f.ids: f.score for f in found} == pytest.approx(expected)
    assert found[0].ids == max(expected, key=expected.get)


def test_a_beam_finds_what_the_best_path_does_not():
    logs = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))  # two blanks are likeliest, and label 1 together likelier
    assert greedy(logs) == ()
    assert beam_search(logs, 3)[0].ids == (1,)


def test_greedy_is_the_likeliest_path_collapsed():
    for seed in range(20):
        logs = probabilities(seed, 6, 3)
        assert greedy(logs) == collapsed(logs.argmax(1))
    doubled = np.log(np.array([[0.1, 0.9], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7]]))
    assert greedy(doubled) == (1, 1)


def test_a_narrow_beam_never_finds_more_than_there_is():
    for seed in range(10):
        logs = probabilities(seed, 5, 3)
        expected = by_brute_force(logs)
        found = beam_search(logs, 2, least=0)
        assert len(found) == 2  # and so many alone were followed
        for f in found:
            assert math.exp(f.log_probability) <= expected[f.ids] + 1e-12


def test_labels_that_are_never_likely_cost_nothing_and_change_little():
    logs = probabilities(1, 30, 8)
    full, short = beam_search(logs, 20, least=0), beam_search(logs, 20, least=1e-6)
    assert full[0].ids == short[0].ids and full[0].log_probability == pytest.approx(short[0].log_probability, abs=1e-3)


@pytest.mark.parametrize("seed", range(10))
def test_an_alignment_is_the_likeliest_path_by_brute_force(seed):
    logs = probabilities(seed, 5, 2)
    for ids in [(), (1,), (1, 2), (1, 1), (2, 1, 2)]:
        paths = [p for p in itertools.product(range(3), repeat=5) if collapsed(p) == ids]
        best = max(paths, key=lambda p: sum(logs[t, k] for t, k in enumerate(p)))
        runs, spans, t = [(k, len(list(g))) for k, g in itertools.groupby(best)], [], 0
        for k, n in runs:
            if k:
                spans.append((t, t + n))
            t += n
        assert aligned(logs, ids) == spans


def test_refusals():
    with pytest.raises(InputError, match="at least 1 wide, not 0"):
        beam_search(probabilities(1), 0)
    with pytest.raises(InputError, match="3 labels have no path through 4 steps"):
        aligned(probabilities(1), (1, 1, 1))
