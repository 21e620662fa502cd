"""Transcription as a task of the trainer: examples of a run folder in batches; the metric is nats per label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.errors import InputError
from carousel.layers import State
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
        return x.to(device), sizes, torch.from_numpy(self.ids).long().to(device), lengths


class ExampleFeed:
    """Examples in batches; those of about one width stand together.

    Each epoch draws anew, from ``seed``, which of them (None: the order of width), and the order of the batches.

    Args:
        examples: of a part.
        rows: of a batch.
        share: this process's rows of each batch.
        seed: of the order.

    Raises:
        InputError: there are fewer examples to train on than processes.
    """

    cut = 0

    def __init__(self, examples: Examples, rows: int, share: Share, seed: int | None):
        self.examples, self.share, self.seed = examples, share, seed
        self.rows = max(rows, share.of)
        self.widths = examples.inputs.sizes.reshape(len(examples), -1)[:, -1]
        if seed is not None and share.of > len(examples):
            raise InputError(f"{len(examples)} examples are too few for {share.of} processes; give more, or one process")

    @cached_property
    def cuts(self) -> list[tuple[int, int]]:
        """The places where the batches begin and stop among the examples in order."""
        count = len(self.examples)
        begins = list(range(0, count, self.rows))
        if len(begins) > 1 and count - begins[-1] < self.share.of:  # too few for a batch of their own
            begins.pop()
        return list(zip(begins, [*begins[1:], count], strict=True))

    def __len__(self) -> int:
        return len(self.cuts)

    def batches(self, epoch: int = 0, first: int = 0) -> Iterator[ExampleBatch]:
        """Yield the batches of an epoch from the ``first``-th on."""
        order, turns = np.argsort(self.widths, kind="stable"), np.arange(len(self))
        if self.seed is not None:
            choose = np.random.default_rng([self.seed, epoch])
            # Widths are blurred, so that other examples meet in every epoch.
            blurred = self.widths * choose.uniform(0.85, 1.15, len(self.widths))
            order, turns = np.argsort(blurred, kind="stable"), choose.permutation(len(self))
        for k in turns[first:]:
            chosen = order[slice(*self.cuts[k])]
            mine = chosen[self.share.rows(len(chosen))]
            if not len(mine):
                continue  # held-out examples are fewer than processes: this one has none
            targets = int(self.examples.lengths[chosen].sum())
            longest = int(self.examples.lengths[mine].max())
            yield ExampleBatch(self.examples.inputs.rows(mine), self.examples.targets[mine, :longest], targets)


class TranscriptionTask:
    """A transcriber that reads the examples of its run folder."""

    metric = NATS
    some_unused = False

    def __init__(self, folder: Path, config: TranscriptionConfig, share: Share):
        self.folder, self.config, self.share = folder, config, share
        alphabet = Alphabet.load(folder)
        self.model = Transcriber(len(alphabet.labels), alphabet.size, config.model)
        learn_scale(self.model, Examples.load(examples_path(folder, "train")).inputs)
        self.model.to(config.training.device)

    def has(self, name: str) -> bool:
        """Return whether the run folder has examples of that part."""
        return examples_path(self.folder, name).exists()

    def feed(self, name: str, seed: int | None = None) -> ExampleFeed:
        """Return batches as the configuration says for training, of moderate size for held-out examples."""
        rows = self.config.training.batch_size if seed is not None else ROWS
        return ExampleFeed(Examples.load(examples_path(self.folder, name)), rows, self.share, seed)

    def carry(self, state: None) -> None:
        """Carry nothing on: each example begins anew."""
