"""What a run trains: a model, and the batches that it learns from. The trainer knows no more of either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from carousel.language.config import Config
from carousel.language.feeding import Feed, Share, feed
from carousel.language.model import LanguageModel, Trainable
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary


class Lesson(Protocol):
    """A model and its batches."""

    @property
    def model(self) -> Trainable:
        """At first weights, drawn from PyTorch's generator."""
        ...

    @property
    def some_unused(self) -> bool:
        """Whether not every step has a gradient for every parameter."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is a text "train", "valid" or "test"."""
        ...

    def feed(self, name: str, seed: int | None = None) -> Feed:
        """Its batches; in an order drawn from ``seed``, and cut as for training, where one is given."""
        ...


LessonMaker = Callable[[Path, Any, Share], Lesson]  # of a prepared folder, its configuration, and a process's share


class Reading:
    """A language model that reads the texts of its run folder."""

    def __init__(self, folder: Path, config: Config, share: Share):
        self.data, self.training, self.share = folder / "data", config.training, share
        self.vocabulary = Vocabulary.load(folder / "vocab.json", config.text.vocabulary)
        self.model = LanguageModel(self.vocabulary.size, config.model).to(config.training.device)
        counts = EncodedText.open(self.data, "train", self.vocabulary.size).counts(self.vocabulary.size)
        self.model.output.learn_frequencies(torch.from_numpy(counts).to(config.training.device))
        # Learned initial states take part only where a batch begins with a new state.
        self.some_unused = config.model.learned_initial

    def has(self, name: str) -> bool:
        """Whether the run folder has that text."""
        return EncodedText.exists(self.data, name)

    def feed(self, name: str, seed: int | None = None) -> Feed:
        """Training cuts long sentences; held-out text is read whole."""
        training = self.training
        length = training.length if seed is not None or training.feed == "stream" else 0
        corpus = EncodedText.open(self.data, name, self.vocabulary.size)
        return feed(training.feed, corpus, self.vocabulary.end, training.batch_size, length, self.share, seed)
