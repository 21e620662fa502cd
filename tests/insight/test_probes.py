"""Probes find what is there, and the controls tell whether it means anything. Memories are planted, so the truth is known."""

import random

import pytest
import torch

from carousel.corpora import english
from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.insight.memories import memories
from carousel.insight.probes import TICKS, control, probe, probe_values
from carousel.language.model import LanguageModel, ModelConfig
from carousel.text.vocabulary import Vocabulary

UNITS = 8
GIVEN = [s for s in english.sentences(400, seed=5) if s.labels["gender"][-1]]
NOUNS = sorted({s.words[s.subject] for s in GIVEN})


def noise(seed):
    """Values that know nothing."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(len(s.words), UNITS, generator=generator) for s in GIVEN]


def test_a_gender_kept_by_one_unit_is_found_there():
    values = noise(1)
    for s, v in zip(GIVEN, values, strict=True):
        v[:, 3] += torch.tensor([0 if g is None else 8.0 if g == "f" else -8.0 for g in s.labels["gender"]])
    ticks = []
    found = probe_values(values, noise(2), GIVEN, "gender", tick=lambda: ticks.append(1))
    assert found.linear == 1 and found.units[0].unit == 3 and found.units[0].score == 1
    assert all(u.score < 0.6 for u in found.units[1:])
    assert found.control < 0.8 and found.untrained < 0.6 and found.majority < 0.6
    assert found.labels == ("f", "m") and len(ticks) == TICKS
    assert found.selectivity == found.linear - found.control
    assert set(found.by_distance) == {"0", "1-3", "4-6", "7-9", "10+"} and all(s == 1 for s, _ in found.by_distance.values())
    assert sum(n for _, n in found.by_distance.values()) == found.counts[1]


def test_noise_tells_nothing():
    found = probe_values(noise(1), noise(2), GIVEN, "gender")
    assert abs(found.linear - 0.5) < 0.08 and abs(found.selectivity) < 0.1


def test_a_memory_that_only_knows_the_noun_is_unmasked_by_the_control():
    values = [torch.zeros(len(s.words), len(NOUNS)) for s in GIVEN]
    for s, v in zip(GIVEN, values, strict=True):
        v[s.subject :, NOUNS.index(s.words[s.subject])] = 1
    found = probe_values(values, noise(2), GIVEN, "gender")
    assert found.linear > 0.9 and found.control > 0.9 and abs(found.selectivity) < 0.05


def test_what_is_forgotten_is_seen_by_distance():
    values = noise(1)
    for s, v in zip(GIVEN, values, strict=True):
        v[s.subject : s.subject + 4, 0] += 9.0 if s.labels["gender"][-1] == "f" else -9.0
    found = probe_values(values, noise(2), GIVEN, "gender").by_distance
    assert found["0"][0] == found["1-3"][0] == 1 and found["10+"][0] < 0.65


def test_the_score_is_of_sentences_not_seen():
    """A memory that names its sentence tells the training sentences' gender, and nothing of others."""
    given = GIVEN[:90]
    values = [torch.zeros(len(s.words), len(given)) for s in given]
    for k, v in enumerate(values):
        v[:, k] = 1
    assert probe_values(values, values, given, "gender").linear < 0.65


def test_the_control_task_deals_the_same_labels_to_other_words():
    labels = [s.labels["number"] for s in GIVEN + list(english.sentences(300, seed=9))]
    given = GIVEN + list(english.sentences(300, seed=9))
    task = control(given, labels, "1")
    of_word = {}
    for s, true, dealt in zip(given, labels, task, strict=True):
        assert [v is None for v in true] == [v is None for v in dealt]
        known = {v for v in dealt if v is not None}
        assert len(known) == 1  # it holds for as long as the true one
        assert of_word.setdefault(s.words[s.subject], known) == known
    true = {s.words[s.subject]: s.labels["number"][-1] for s in given}
    assert sorted(true.values()) == sorted(v for k in of_word.values() for v in k)
    assert 0.2 < sum(of_word[w] == {n} for w, n in true.items()) / len(true) < 0.8
    assert task == control(given, labels, "1") != control(given, labels, "2")


def test_of_a_model_it_is_the_probe_of_its_memories_beside_one_at_first_weights():
    vocabulary = Vocabulary.train("word", [s.text for s in GIVEN])
    config = ModelConfig("lstm-v2", 6, 6, 2)
    torch.manual_seed(4)
    model = LanguageModel(vocabulary.size, config)
    torch.manual_seed(7)
    fresh = LanguageModel(vocabulary.size, config)
    state = torch.random.get_rng_state()
    found = probe(model, vocabulary, GIVEN, "gender", name="o", layer=0, seed=7)
    assert torch.equal(state, torch.random.get_rng_state())
    values = [memories(m, vocabulary, GIVEN, "o", 0) for m in (model, fresh)]
    assert found == probe_values(*values, GIVEN, "gender", name="o", layer=0, seed=7)
    memory = probe(model, vocabulary, GIVEN[:60], "gender")
    assert (memory.name, memory.layer) == ("h", 1)


def test_what_cannot_be_probed_is_said():
    with pytest.raises(InputError, match="they tell of depth, gender, number, quoted"):
        probe_values(noise(1), noise(2), GIVEN, "colour")
    with pytest.raises(InputError, match="'no' everywhere"):
        probe_values(noise(1), noise(2), [Sentence(s.words, {"x": ("no",) * len(s.words)}) for s in GIVEN], "x")
    with pytest.raises(InputError, match="too few of the 1 sentences"):
        probe_values(noise(1)[:1], noise(2)[:1], GIVEN[:1], "gender")


def test_labels_may_be_numbers_and_truths():
    choose = random.Random(1)
    given = [Sentence(("a", "b"), {"n": (0, 1), "yes": (True, choose.random() < 0.5)}) for _ in range(40)]
    values = [torch.tensor([[0.0, 1.0], [1.0, float(s.labels["yes"][1])]]) for s in given]
    assert probe_values(values, values, given, "n").linear == 1
    assert probe_values(values, values, given, "yes").labels == ("False", "True")


def test_a_control_task_with_one_label_is_answered_with_it():
    given = [Sentence(("a", "b", "a"), {"x": ("p", "p", "q" if k % 3 else "p")}) for k in range(40)]
    values = [torch.randn(3, 4, generator=torch.Generator().manual_seed(k)) for k in range(40)]
    found = probe_values(values, values, given, "x")  # "a" sets p more often than q, so the control knows p alone
    assert found.control == 1


def test_a_step_number_is_no_memory():
    vocabulary = Vocabulary.train("word", [s.text for s in GIVEN])
    model = LanguageModel(vocabulary.size, ModelConfig("clockwork", 8, 8))
    assert probe(model, vocabulary, GIVEN[:60], "gender").name == "h"


def test_values_that_are_no_numbers():
    values = noise(1)
    values[3][0, 0] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        probe_values(values, noise(2), GIVEN, "gender")
