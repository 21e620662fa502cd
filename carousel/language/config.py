"""The configuration of a language model's run."""

from __future__ import annotations

from dataclasses import dataclass, field

from carousel.language.model import LanguageModel, ModelConfig
from carousel.text.vocabulary import KINDS
from carousel.training.config import RunConfig, TrainConfig
from carousel.training.fields import LARGEST, Settings, setting


@dataclass(frozen=True)
class TextConfig(Settings):
    """The files of the text, and its vocabulary; ``valid`` empty: the last tenth of the training lines."""

    group = "Text"

    train: list[str] = field(default_factory=list)
    valid: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    vocabulary: str = setting("word", "Vocabulary: word, char or bpe.", choices=KINDS, option="--vocab")
    vocabulary_size: int | None = setting(
        None,
        "Most tokens of the vocabulary (all words or characters; 8000 byte pairs).",
        least=4,
        most=LARGEST,
        option="--vocab-size",
    )


@dataclass(frozen=True)
class Config(RunConfig):
    """The configuration of a language model's run."""

    kind = LanguageModel.kind
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
