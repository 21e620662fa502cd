"""Valves held over many sentences, and what is foretold from the memory that is handed over."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from carousel.corpora.czech_pairs import read_pairs
from carousel.errors import InputError
from carousel.insight.interventions import INTERVENTIONS, Forecast, Intervention, handed_over, outputs_under
from carousel.layers import Clamp
from carousel.translation.model import Translator, TranslatorConfig
from carousel.translation.score import agreement
from carousel.translation.translate import Interpreter

NOTHING, AT_NOUN = INTERVENTIONS[:2]


@pytest.fixture(scope="module")
def lively(translator):
    """A translator whose states and words depend on the sentence."""
    _, source, target = translator
    torch.manual_seed(3)
    model = Translator(source.size, target.size, TranslatorConfig(embedding=24, hidden=48)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model, source, target


@pytest.fixture(scope="module")
def pairs(pairs_folder):
    return read_pairs(pairs_folder / "test.jsonl")


def clamp_at_noun(source, pair):
    """The input valve shut while the noun's pieces are read, its steps found by another way."""
    before, upto = (len(source.encode(" ".join(pair.words[:k]))) - 1 for k in (pair.subject, pair.subject + 1))
    return [Clamp("i", 0.0, begin=before, end=upto)]


def test_sentences_side_by_side_are_held_as_each_alone(lively, pairs):
    model, source, target = lively
    interpreter = Interpreter(model, source, target, beam=1)
    free = [interpreter.together([p.text])[0][0].text for p in pairs[:12]]
    alone = [interpreter.together([p.text], clamp=clamp_at_noun(source, p))[0][0].text for p in pairs[:12]]
    assert outputs_under(interpreter, pairs[:12], NOTHING) == free
    assert outputs_under(interpreter, pairs[:12], AT_NOUN) == alone != free


@torch.no_grad()
def test_what_is_handed_over_is_what_the_decoder_starts_from(lively, pairs):
    model, source, _ = lively
    for intervention in (NOTHING, AT_NOUN):
        found = handed_over(model, source, pairs[:12], intervention)
        for state, pair in zip(found, pairs[:12], strict=True):
            numbers = torch.tensor(source.encode(pair.text)).unsqueeze(1)
            clamp = clamp_at_noun(source, pair) if intervention.name else None
            (starts,) = model.read(numbers, torch.tensor([len(numbers)]), clamp).states
            np.testing.assert_allclose(state, torch.cat([s.flatten() for s in starts]).numpy(), atol=1e-6)


def test_where_a_sentence_has_no_such_word_nothing_is_held(lively, pairs):
    model, source, _ = lively
    far = Intervention("far", "i", offset=99)
    np.testing.assert_array_equal(*(handed_over(model, source, pairs[:6], intervention) for intervention in (NOTHING, far)))


class Planted(Forecast):
    """A forecast whose probe reads what it is told to."""

    labels = ()

    def read(self, pairs, intervention):
        return list(self.labels)


def test_a_forecast_is_scored_word_by_word(lively, pairs):
    model, source, _ = lively
    planted = Planted(model, source, pairs)
    references = [pair.translation for pair in pairs]
    planted.labels = [f"{pair.labels['gender'][-1]} {pair.labels['number'][-1]}" for pair in pairs]
    told = planted.tell(pairs, references, NOTHING)
    assert told.of == agreement(pairs, references)["subject"].right
    assert told.right == 1
    assert told.foretold == told.as_foretold > 0.97  # a few plurals have two forms

    planted.labels = [label.translate(str.maketrans("mf", "fm")) for label in planted.labels]
    swapped = planted.tell(pairs, references, NOTHING)
    assert swapped.foretold == swapped.as_foretold < 0.6  # a man's form foretold, a woman's written

    wrong = [" ".join(_with_wrong_forms(pair)) for pair in pairs]
    assert planted.tell(pairs, wrong, NOTHING).right == agreement(pairs, wrong)["subject"].share_there < 0.1


def _with_wrong_forms(pair):
    words = list(pair.czech)
    for t in pair.targets:
        words[t.position] = words[t.position].replace(t.right, t.wrong)
    return words


def test_the_probe_is_fitted_on_what_is_handed_over(lively, pairs):
    model, source, _ = lively
    forecast = Forecast(model, source, pairs)
    truth = [f"{p.labels['gender'][-1]} {p.labels['number'][-1]}" for p in pairs]
    found = forecast.read(pairs, NOTHING)
    assert np.mean([a == b for a, b in zip(found, truth, strict=True)]) > 0.6  # on the sentences that it was fitted on
    assert forecast.read(pairs, AT_NOUN) != found


def test_subjects_all_alike_foretell_nothing(lively, pairs):
    model, source, _ = lively
    with pytest.raises(InputError, match="one gender and number"):
        Forecast(model, source, pairs[:1] * 5)
    with pytest.raises(InputError, match="one gender and number"):
        Forecast(model, source, [replace(pair, labels={}) for pair in pairs])
