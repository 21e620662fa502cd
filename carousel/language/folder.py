"""A language model's run folder."""

from __future__ import annotations

from pathlib import Path

from carousel.language.config import Config
from carousel.language.model import LanguageModel
from carousel.text.vocabulary import Vocabulary
from carousel.training.kept import load_model


def load_run(folder: Path, which: str | None = None) -> tuple[LanguageModel, Vocabulary, Config]:
    """Return the model of a run, its vocabulary and configuration.

    Args:
        folder: of the run.
        which: weights, as ``carousel.training.kept.path_of`` has them; by default the best.

    Raises:
        InputError: the folder is not whole.
    """
    config = Config.load(folder)
    vocabulary = Vocabulary.load(folder / "vocab.json", config.text.vocabulary)
    model = LanguageModel(vocabulary.size, config.model)
    load_model(model, folder, which)
    if config.training.feed == "sentences":
        model.fresh_at = vocabulary.end
    return model, vocabulary, config
