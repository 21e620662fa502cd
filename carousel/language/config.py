"""What the run of a language model is asked to be."""

from __future__ import annotations

from dataclasses import dataclass, field

from carousel.language.model import LanguageModel, ModelConfig
from carousel.training.config import RunConfig, TrainConfig


@dataclass(frozen=True)
class TextConfig:
    """Where the text comes from and how it becomes numbers; ``valid`` empty: the last tenth of the training lines."""

    train: list[str] = field(default_factory=list)
    valid: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    vocabulary: str = "word"
    vocabulary_size: int | None = None


@dataclass(frozen=True)
class Config(RunConfig):
    """Of a language model's run."""

    kind = LanguageModel.kind
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
