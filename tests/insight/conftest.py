"""A small language model that has read a little, and its vocabulary."""

import pytest
import torch

from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.vocabulary import Vocabulary

LINES = ["the boy lost his hat .", "the girl lost her hat .", "the old men saw the boy who lost the hat ."]


@pytest.fixture(scope="session")
def vocabulary():
    return Vocabulary.train("word", LINES)


@pytest.fixture
def model(vocabulary):
    torch.manual_seed(2)
    made = LanguageModel(vocabulary.size, ModelConfig("lstm-v3", 7, 7, 2, dropout=0.3, tied=True))
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.6)
    return made.eval()
