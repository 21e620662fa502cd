"""A language model of ``carousel train`` beside a transcriber: its numbers, and that it helps."""

import numpy as np
import pytest
import torch

from carousel.errors import InputError
from carousel.language.model import LanguageModel, ModelConfig
from carousel.text.vocabulary import Vocabulary
from carousel.transcription.decoding import beam_search
from carousel.transcription.language import Foreteller


@pytest.fixture
def vocabulary():
    return Vocabulary.train("char", ["abcd", "cab"])


@pytest.mark.parametrize("cell", ["lstm-v2", "gru", "clockwork"])
def test_it_foretells_as_the_model_does_over_whole_lines(vocabulary, cell):
    torch.manual_seed(1)
    model = LanguageModel(vocabulary.size, ModelConfig(cell=cell, hidden=8, embedding=6, layers=2)).eval()
    told = Foreteller(model, vocabulary, ["a", "b", "c"])
    prefixes = [(1,), (2,), (1, 3), (2, 2), (1, 3, 1)]
    found = dict(zip(prefixes, [told.ahead([()]) and told.ahead([p])[0] for p in prefixes], strict=True))
    for prefix, logs in found.items():
        x = torch.tensor([[vocabulary.end], *([vocabulary.encode("abc"[k - 1])[0]] for k in prefix)])
        expected = model(x)[0][-1, 0].log_softmax(-1)
        wanted = expected[[vocabulary.end, *(vocabulary.encode(c)[0] for c in "abc")]]
        np.testing.assert_allclose(logs, wanted.detach().numpy(), rtol=1e-4)


def test_a_beam_searches_with_it(vocabulary):
    torch.manual_seed(1)
    model = LanguageModel(vocabulary.size, ModelConfig(hidden=8, embedding=6)).eval()
    told = Foreteller(model, vocabulary, ["a", "b"])
    logs = np.log(np.random.default_rng(1).dirichlet(np.ones(3), size=7))
    found = beam_search(logs, 6, foreteller=told, alpha=0.5)
    for f in found:
        fluency = sum(float(told.known[f.ids[:k]][0][n]) for k, n in enumerate((*f.ids, 0)))
        assert f.score == pytest.approx(f.log_probability + 0.5 * fluency, rel=1e-5)


def test_it_foretells_without_dropout(vocabulary):
    model = LanguageModel(vocabulary.size, ModelConfig(hidden=8, embedding=6, dropout=0.5)).train()
    told = Foreteller(model, vocabulary, ["a", "b"])
    first = told.ahead([()])[0]
    told.forget()
    np.testing.assert_array_equal(told.ahead([()])[0], first)


def test_a_label_that_it_does_not_know_is_refused(vocabulary):
    model = LanguageModel(vocabulary.size, ModelConfig(hidden=4, embedding=4))
    with pytest.raises(InputError, match="no token 'x'"):
        Foreteller(model, vocabulary, ["a", "x"])
    with pytest.raises(InputError, match="no token 'ab'"):
        Foreteller(model, vocabulary, ["ab"])
