"""Transcription as a task of the trainer: examples of a run folder in batches; the metric is nats per label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.kernels.alike import moved
from carousel.layers import State
from carousel.training.by_size import FeedBySize
from carousel.training.processes import Share
from carousel.training.task import Metric
from carousel.transcription.config import TranscriptionConfig
from carousel.transcription.examples import Examples, Inputs
from carousel.transcription.folder import Alphabet, examples_path
from carousel.transcription.model import Transcriber
from carousel.transcription.prepare import learn_scale

NATS = Metric("nats_per_label", "labels", lambda nats, labels: nats / labels)
ROWS = 64  # of a batch of held-out examples


def laid_out(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Return inputs as a transcriber takes them, (T, B, size) or (height, width, B, size), and their sizes."""
    most = np.atleast_1d(inputs.sizes.max(0))
    data = inputs.data[(slice(None), *(slice(n) for n in most))]
    return torch.from_numpy(np.moveaxis(data, 0, -2).astype(np.float32)), torch.from_numpy(inputs.sizes.copy())


@dataclass(frozen=True)
class ExampleBatch:
    """Examples side by side, as ``Transcriber.forward`` takes them. ``targets`` counts the labels of *all* processes."""

    inputs: Inputs
    ids: np.ndarray
    targets: int

    @property
    def own_targets(self) -> int:
        """The number of labels in these rows."""
        return int((self.ids > 0).sum())

    def arguments(self, state: State | None, device: torch.device | str) -> tuple[Any, ...]:
        """Return the transcriber's arguments; nothing is carried from batch to batch."""
        x, sizes = laid_out(self.inputs)
        lengths = torch.from_numpy((self.ids > 0).sum(1))
        return moved(x, device), sizes, moved(torch.from_numpy(self.ids).long(), device), lengths


class ExampleFeed(FeedBySize[ExampleBatch]):
    """Examples in batches, those of about one width together; arguments and errors as ``FeedBySize``'s."""

    def __init__(self, examples: Examples, rows: int, share: Share, seed: int | None):
        self.examples = examples
        widths = examples.inputs.sizes.reshape(len(examples), -1)[:, -1]
        super().__init__(widths, rows, share, seed, "examples", blur=0.15)

    def batch(self, chosen: np.ndarray, mine: np.ndarray) -> ExampleBatch:
        """Return the batch of the examples ``mine``, among those ``chosen`` for all processes."""
        targets, longest = int(self.examples.lengths[chosen].sum()), int(self.examples.lengths[mine].max())
        return ExampleBatch(self.examples.inputs.rows(mine), self.examples.targets[mine, :longest], targets)


class TranscriptionTask:
    """A transcriber that reads the examples of its run folder."""

    metric = NATS
    some_unused = False

    def __init__(self, folder: Path, config: TranscriptionConfig, share: Share):
        self.folder, self.config, self.share = folder, config, share
        self.alphabet = Alphabet.load(folder)
        self.model = Transcriber(len(self.alphabet.labels), self.alphabet.size, config.model)
        learn_scale(self.model, self._examples("train").inputs)

    def has(self, name: str) -> bool:
        """Return whether the run folder has examples of that part."""
        return examples_path(self.folder, name).exists()

    def feed(self, name: str, seed: int | None = None) -> ExampleFeed:
        """Return batches as the configuration says for training, of moderate size for held-out examples."""
        rows = self.config.training.batch_size if seed is not None else ROWS
        return ExampleFeed(self._examples(name), rows, self.share, seed)

    def carry(self, state: None) -> None:
        """Carry nothing on: each example begins anew."""

    def _examples(self, name: str) -> Examples:
        return Examples.load(examples_path(self.folder, name), len(self.alphabet.labels), self.alphabet.size)
