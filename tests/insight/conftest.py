"""A small language model that has read a little, a translator at first weights, and their vocabularies."""

import pytest
import torch

from carousel.corpora import czech
from carousel.language.model import LanguageModel, ModelConfig
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator, TranslatorConfig

LINES = ["the boy lost his hat .", "the girl lost her hat .", "the old men saw the boy who lost the hat ."]
LECTURE = ["I am a boy who likes to learn", "I am a girl who likes to learn"]


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


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory):
    """A folder with forty annotated pairs for testing, the lecture's first."""
    folder = tmp_path_factory.mktemp("pairs")
    czech.write(folder, 300, 2, 40)
    return folder


@pytest.fixture(scope="session")
def translator(pairs_folder):
    """A translator at first weights, large ones, and its vocabularies."""
    lines = [line for side in ("en", "cs") for line in (pairs_folder / f"train.{side}").read_text().splitlines()]
    vocabulary = Vocabulary.train("bpe", lines + LECTURE * 50, 700)  # a few words in one piece, most in several
    return drawn(vocabulary, 2)


@pytest.fixture(scope="session")
def telling(translator):
    """Another one, which tells a boy from a seamstress."""
    return drawn(translator[1], 6)


def drawn(vocabulary, seed):
    torch.manual_seed(seed)
    model = Translator(vocabulary.size, vocabulary.size, TranslatorConfig(embedding=8, hidden=9)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(4)
    return model, vocabulary, vocabulary
