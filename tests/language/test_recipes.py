"""Recipes that come along can be used; a file of one's own is checked; a recipe is what a run is asked for, unless options say
otherwise."""

import pytest
import torch

import carousel
from carousel.errors import InputError
from carousel.language.config import Config
from carousel.language.model import LanguageModel
from carousel.language.recipes import RECIPES
from carousel.runs.training import configured

OWN = """
about = "Mine."
[text]
vocabulary = "char"
[model]
cell = "gru"
hidden = 7
tied = true
dropout = 0.0
[training]
epochs = 1
batch_size = 4
length = 12
threads = 1
vary_length = true
"""


@pytest.fixture
def own(tmp_path):
    """A recipe in a file of one's own, and a text."""
    (tmp_path / "own.toml").write_text(OWN)
    (tmp_path / "text.txt").write_text("the cat sat on the mat\na dog and a cat\n" * 20)
    return tmp_path / "own.toml"


@pytest.mark.parametrize("name", RECIPES.names())
def test_a_recipe_that_comes_along(name):
    found = RECIPES.recipe(name)
    settings = dict(found.settings)
    config = configured({}, settings.pop("cell"), settings)
    LanguageModel(100, config.model)
    assert found.about.endswith(".") and found.papers
    assert found.told == "not yet measured" or found.result["command"].startswith("carousel train")


def test_awd_is_merity_et_als_command():
    """python main.py --batch_size 20 --data data/penn --dropouti 0.4 --dropouth 0.25 --seed 141 --epoch 500"""
    found = RECIPES.recipe("awd").settings
    said = {"batch_size": 20, "dropout_input": 0.4, "dropout": 0.25, "epochs": 500}
    default = {"lr": 30.0, "clip": 0.25, "length": 70, "dropout_output": 0.4, "dropout_words": 0.1, "weight_dropout": 0.5}
    default |= {
        "ar": 2.0,
        "tar": 1.0,
        "weight_decay": 1.2e-6,
        "embedding": 400,
        "hidden": [1150, 1150, 400],
        "tied": True,
        "average_after": 5,
    }
    assert found == {**found, **said, **default}
    settings = dict(found)
    config = configured({}, settings.pop("cell"), settings).model
    second_biases = 4 * (1150 + 1150 + 400)  # of PyTorch's LSTM
    with torch.device("meta"):
        assert LanguageModel(10_000, config).count() == 24_221_600 - second_biases  # as their program prints


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[model", "is not TOML"),
        ("[modle]", "unknown key 'modle'; did you mean 'model'"),
        ("[model]\nhiden = 3", "unknown key 'hiden' in model; did you mean 'hidden'"),
        ("[model]\nhidden = 2.5", r"model.hidden must be int \| list\[int\], not 2.5"),
        ("[model]\nhidden = 0", "model.hidden must be at least 1, not 0"),
        ("[text]\ntrain = ['a']", "unknown key 'train' in text"),
        ("[training]\nschedule = 'x'", "training.schedule must be cosine or"),
        ("model = 3", "model must be a table"),
        ("papers = 'x'", "papers are a list"),
        ("[result]\nperplexity = 3.0", "a result has text, perplexity, measured, command"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_a_line(tmp_path, content, said):
    (tmp_path / "bad.toml").write_text(content)
    with pytest.raises(InputError, match=said) as raised:
        RECIPES.recipe(tmp_path / "bad.toml")
    assert "\n" not in str(raised.value)


def test_a_name_that_is_not_there_has_a_hint():
    with pytest.raises(InputError, match="no recipe of carousel train is called 'adw'; did you mean 'awd'"):
        RECIPES.recipe("adw")


def test_training_by_a_recipe_is_training_by_its_settings(own, tmp_path):
    run = carousel.train(tmp_path / "text.txt", tmp_path / "run", recipe=own, hidden=9, embedding=9)
    config = Config.load(tmp_path / "run")
    assert run.config == config and config.text.vocabulary == "char" and config.training.vary_length
    assert (config.model.cell, config.model.hidden, config.model.tied) == ("gru", 9, True)
    assert not carousel.train(tmp_path / "text.txt", tmp_path / "untied", recipe=own, tied=False).config.model.tied
    assert carousel.train(tmp_path / "text.txt", tmp_path / "other", recipe=own, cell="rnn").config.model.cell == "rnn"


def test_a_result_is_told(own):
    measured = 'text = "a text"\nperplexity = 99.5\nmeasured = "2 minutes"\ncommand = "carousel train x"\n'
    own.write_text(OWN + "[result]\n" + measured)
    assert RECIPES.recipe(own).told == "99.50 on a text, 2 minutes"
