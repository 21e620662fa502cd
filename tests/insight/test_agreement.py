"""Agreement: what is counted, and where valves are held."""

import pytest
import torch

from carousel.corpora import english
from carousel.errors import InputError
from carousel.insight.agreement import agreement, near_subject, shut_valves
from carousel.language.model import LanguageModel, ModelConfig
from carousel.layers import Clamp
from carousel.text.vocabulary import Vocabulary

GIVEN = list(english.sentences(70, seed=5))


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.train("word", [s.text for s in english.sentences(2000)])


@pytest.fixture(scope="module")
def model(vocabulary):
    torch.manual_seed(1)
    made = LanguageModel(vocabulary.size, ModelConfig("lstm-v2", 6, 6, 1, dropout=0.4)).eval()
    for p in made.parameters():
        torch.nn.init.normal_(p)  # so that valves make a difference
    return made


def one_by_one(model, vocabulary, clamps=lambda s: None):
    """Each agreeing word on its own: the right form's score in a text that ends before it."""
    right = []
    for s in GIVEN:
        for t in s.targets:
            numbers = [vocabulary.end] + [vocabulary.encode(w)[0] for w in s.words[: t.position]]
            logits, _ = model(torch.tensor(numbers).unsqueeze(1), clamp=clamps(s))
            a, b = (logits[-1, 0, vocabulary.encode(w)[0]] for w in (t.right, t.wrong))
            right.append((t.kind, bool(a > b)))
    return right


def test_counts_are_those_of_reading_one_by_one(model, vocabulary):
    found = agreement(model, vocabulary, GIVEN)
    expected = one_by_one(model, vocabulary)
    assert found.right["all"] == (sum(r for _, r in expected), len(expected))
    for kind in ("pronoun", "verb"):
        each = [r for k, r in expected if k == kind]
        assert found.right[kind] == (sum(each), len(each))
    for of in ("distance", "attractors"):
        assert sum(n for key, (_, n) in found.right.items() if key.startswith(of)) == len(expected)


@pytest.mark.parametrize(("offset", "words"), [(0, 1), (1, 2), (-3, 3)])
def test_valves_are_held_at_the_words_near_the_subject(model, vocabulary, offset, words):
    near = near_subject([Clamp("f", 0.0), Clamp("i", 1.0, (2,))], offset, words)

    def by_hand(s):
        steps = [k + 1 for k in range(len(s.words)) if s.subject + offset <= k < s.subject + offset + words]
        if s.subject + offset < 0:
            steps = [0, *steps]
        return [c for k in steps for c in (Clamp("f", 0.0, None, k, k + 1), Clamp("i", 1.0, (2,), k, k + 1))]

    expected = one_by_one(model, vocabulary, by_hand)
    found = agreement(model, vocabulary, GIVEN, clamps=near)
    assert found.right["all"] == (sum(r for _, r in expected), len(expected))
    assert expected != one_by_one(model, vocabulary)


def test_every_valve_is_shut_in_every_place(model, vocabulary):
    told = []
    found = shut_valves(model, vocabulary, GIVEN[:5], tick=lambda *x: told.append(x))
    assert {s.valve for s in found} == {"i", "f", "o"}
    assert len(found) == len({(s.valve, s.place, s.count) for s in found}) == 27 and told[-1] == (27, 27)
    at = next(s for s in found if (s.valve, s.place, s.count) == ("f", "after", 2))
    assert at.agreement == agreement(model, vocabulary, GIVEN[:5], clamps=near_subject([Clamp("f", 0.0)], 1, 2))


def test_what_cannot_be_measured_is_said(model, vocabulary):
    with pytest.raises(InputError, match="q"):
        agreement(model, vocabulary, GIVEN, clamps={"q": 0.0})
    strange = Vocabulary.train("word", ["some other words"])
    with pytest.raises(InputError, match="does not know"):
        agreement(LanguageModel(strange.size, ModelConfig("rnn", 3, 3)), strange, GIVEN)
    letters = Vocabulary.train("char", ["the boy"])
    with pytest.raises(InputError, match="train with `vocabulary` word"):
        agreement(LanguageModel(letters.size, ModelConfig("rnn", 3, 3)), letters, GIVEN)
