"""A translator's run folder, where it differs from a language model's."""

from __future__ import annotations

from pathlib import Path

from carousel.text.vocabulary import Vocabulary
from carousel.training.kept import load_model
from carousel.translation.config import PairsConfig, TranslationConfig
from carousel.translation.model import Translator

SIDES = ("source", "target")


def vocabulary_paths(folder: Path, shared: bool) -> tuple[Path, Path]:
    """Return where the vocabularies of source and target lie; twice the same where they are one."""
    if shared:
        return folder / "vocab.json", folder / "vocab.json"
    return folder / "vocab.source.json", folder / "vocab.target.json"


def load_vocabularies(folder: Path, text: PairsConfig) -> tuple[Vocabulary, Vocabulary]:
    """Read the source's and the target's vocabulary. Raises InputError where one is missing."""
    source, target = vocabulary_paths(folder, text.shared)
    first = Vocabulary.load(source, text.vocabulary)
    return first, first if text.shared else Vocabulary.load(target, text.vocabulary)


def load_translator(folder: Path, which: str | None = None) -> tuple[Translator, Vocabulary, Vocabulary, TranslationConfig]:
    """Return the model of a run, its vocabularies and configuration.

    Args:
        folder: of the run.
        which: weights, as ``carousel.training.kept.path_of`` has them; by default the best.

    Raises:
        InputError: the folder is not whole.
    """
    config = TranslationConfig.load(folder)
    source, target = load_vocabularies(folder, config.text)
    model = Translator(source.size, target.size, config.model)
    load_model(model, folder, which)
    return model, source, target, config
