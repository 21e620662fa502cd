"""Language modelling as a task: the texts of a run folder, learnt to be foretold, judged by perplexity."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from carousel.errors import InputError
from carousel.language.config import Config
from carousel.language.feeding import feed
from carousel.language.model import LanguageModel, ModelConfig, detach
from carousel.layers import State
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary
from carousel.training.processes import Share
from carousel.training.task import Feed, Metric

PERPLEXITY = Metric("perplexity", "words", lambda nats, targets: math.exp(min(nats / targets, 700.0)))


def _unrecordable(model: ModelConfig) -> str | None:
    """Return what in a step asks the processor, and so would be the same at every replay, or stop the recording."""
    if any(model.noise_rates().values()):
        return "with `rates`: the seeds of noise are drawn on the processor"
    if model.learned_initial:
        return "with `learned_initial`: where states begin anew is read from the card"
    if model.softmax in ("adaptive", "sampled"):
        return f"with `softmax` {model.softmax}: what counts is read from the card"
    return None


class LanguageTask:
    """A language model that reads the texts of its run folder."""

    metric = PERPLEXITY

    def __init__(self, folder: Path, config: Config, share: Share):
        self.data, self.training, self.share = folder / "data", config.training, share
        self.vocabulary = Vocabulary.load(folder / "vocab.json", config.text.vocabulary)
        if config.training.cuda_graph and (why := _unrecordable(config.model)):
            raise InputError(f"`cuda_graph` records no step {why}")
        self.model = LanguageModel(self.vocabulary.size, config.model)
        counts = EncodedText.open(self.data, "train", self.vocabulary.size).counts(self.vocabulary.size)
        self.model.output.learn_frequencies(torch.from_numpy(counts))
        # Learned initial states take part only where a batch begins with a new state.
        self.some_unused = config.model.learned_initial

    def has(self, name: str) -> bool:
        """Return whether the run folder has that text."""
        return EncodedText.exists(self.data, name)

    def feed(self, name: str, seed: int | None = None) -> Feed:
        """Return the batches of a text. Training cuts long sentences; held-out text is read whole."""
        training = self.training
        length = training.length if seed is not None or training.feed == "stream" else 0
        corpus = EncodedText.open(self.data, name, self.vocabulary.size)
        rows, vary = training.batch_size, training.vary_length
        return feed(training.feed, corpus, self.vocabulary.end, rows, length, self.share, seed, vary)

    def carry(self, state: Any) -> State | None:
        """Return a stream's states, without their history; sentences carry nothing on."""
        return detach(state) if self.training.feed == "stream" else None
