"""The memories after the words of annotated sentences."""

import pytest
import torch

from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.insight.memories import memories
from carousel.language.model import LanguageModel, ModelConfig
from carousel.text.vocabulary import Vocabulary

TEXTS = ["the boy lost his hat .", "the girl lost", "the old men saw the boy who lost the hat ."]
GIVEN = [Sentence(tuple(t.split()), {}) for t in TEXTS]


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_memories_are_those_after_each_word(kind):
    vocabulary = Vocabulary.train(kind, TEXTS, 290 if kind == "bpe" else None)
    torch.manual_seed(1)
    model = LanguageModel(vocabulary.size, ModelConfig("lstm-v2", 5, 5, 2, dropout=0.5))
    found = memories(model, vocabulary, GIVEN, "h", layer=0)
    for s, values in zip(GIVEN, found, strict=True):
        assert values.shape == (len(s.words), 5)
        for k in range(len(s.words)):
            numbers = [vocabulary.end, *vocabulary.encode(" ".join(s.words[: k + 1]))[:-1]]
            _, states = model.recurrent(model.embedding(torch.tensor(numbers).unsqueeze(1)))
            assert torch.allclose(states[1][0, 0], values[k], atol=1e-6)


def test_what_the_cell_does_not_have(model, vocabulary):
    with pytest.raises(InputError, match="nothing called 'q'"):
        memories(model, vocabulary, GIVEN, "q")
