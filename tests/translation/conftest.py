"""A small run to look at: pairs whose target is the source backwards, and configurations that train in a second."""

import random

import pytest
import small_runs
import torch

from carousel.language.config import Config
from carousel.translation.config import PairsConfig, PairTraining, TranslationConfig
from carousel.translation.model import Translator, TranslatorConfig
from carousel.translation.prepare import prepare

SMALL = {"embedding": 6, "hidden": 7, "dropout": 0.0}


@pytest.fixture
def make():
    """``make(source_words, target_words, **options)`` gives a small translator whose outputs differ widely."""

    def made(source_words=9, target_words=8, *, seed=1, **options):
        torch.manual_seed(seed)
        model = Translator(source_words, target_words, TranslatorConfig(**(SMALL | options)))
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(4)
        return model.eval()

    return made


@pytest.fixture
def files(tmp_path):
    """Two files of 60 lines: letters, and the same letters backwards."""
    choose = random.Random(1)
    lines = ["".join(choose.choice("abcd") for _ in range(choose.randint(1, 4))) for _ in range(60)]
    source, target = tmp_path / "a.txt", tmp_path / "b.txt"
    source.write_text("".join(f"{x}\n" for x in lines))
    target.write_text("".join(f"{x[::-1]}\n" for x in lines))
    return source, target


@pytest.fixture
def make_run(tmp_path, files):
    """``make_run(name, model options, training options)`` gives a prepared run folder and its configuration."""

    def made(name="run", text=None, model=None, **training):
        options = {"batch_size": 8, "epochs": 3, "log_every": 3, "warmup": 2} | training
        config = TranslationConfig(
            PairsConfig([str(f) for f in files], **({"vocabulary": "char"} | (text or {}))),
            TranslatorConfig(**(SMALL | {"dropout": 0.2} | (model or {}))),
            PairTraining(**options),
        )
        return small_runs.made(tmp_path / name, config, prepare)

    return made


@pytest.fixture
def language_run(tmp_path):
    """A folder whose configuration is a language model's."""
    folder = tmp_path / "language"
    folder.mkdir()
    Config().save(folder)
    return folder
