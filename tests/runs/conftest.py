"""A small run of each kind, trained from Python."""

import pytest
import torch
from commands import runner

import carousel
from carousel.corpora import english
from carousel.language.config import Config
from carousel.text.vocabulary import Vocabulary
from carousel.training.run_folder import save_model
from carousel.translation.config import PairsConfig, TranslationConfig
from carousel.translation.model import Translator, TranslatorConfig

SMALL = {"hidden": 12, "batch_size": 16, "threads": 1, "epochs": 1}


@pytest.fixture
def carousel_command(monkeypatch, capfd, tmp_path):
    """``carousel_command("train", "text.txt", …)`` gives (exit status, standard output, standard error)."""
    return runner(tmp_path, monkeypatch, capfd)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A folder with English sentences in which the subject decides words at a distance."""
    folder = tmp_path_factory.mktemp("corpus")
    english.write(folder, 1500, 30, 40, 1)
    return folder


@pytest.fixture(scope="session")
def folder(corpus, tmp_path_factory):
    """The folder of a language model that has read these sentences once."""
    out = tmp_path_factory.mktemp("runs") / "english"
    text = {"valid": corpus / "valid.txt", "test": corpus / "test.txt"}
    carousel.train(corpus / "train.txt", out, cell="lstm-v3", feed="sentences", length=0, **text, **SMALL)
    assert isinstance(Config.load(out), Config)
    return out


@pytest.fixture
def run(folder):
    return carousel.LanguageRun(folder)


@pytest.fixture(scope="session")
def translator_folder(tmp_path_factory):
    """The folder of a translator at first weights, memory only."""
    out = tmp_path_factory.mktemp("runs") / "english-czech"
    out.mkdir()
    torch.manual_seed(1)
    lines = ["I am a boy who likes to learn", "I am a girl who likes to learn", "Jsem kluk, který se rád učí"]
    vocabulary = Vocabulary.train("word", lines)
    network = TranslatorConfig("lstm-v2", embedding=8, hidden=9, attention="none")
    config = TranslationConfig(PairsConfig(["a", "b"], vocabulary="word"), network)
    model = Translator(vocabulary.size, vocabulary.size, config.model)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(4)  # so that words and valves make a difference
    config.save(out)
    vocabulary.save(out / "vocab.json")
    save_model(model, out)
    return out
