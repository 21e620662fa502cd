"""Labelling as a task of the trainer: sequences of a run folder in batches; the metric is nats per label."""

from __future__ import annotations

from pathlib import Path

import torch

from carousel.labelling.config import LabellingConfig
from carousel.labelling.folder import sequences_path
from carousel.labelling.names import Names
from carousel.labelling.sequences import SequenceFeed, Sequences
from carousel.labelling.tree_model import labeller
from carousel.training.processes import Share
from carousel.training.task import Metric

NATS = Metric("nats_per_label", "labels", lambda nats, labels: nats / labels)
ROWS = 64  # of a batch of held-out sequences


class LabellingTask:
    """A labeller that reads the sequences of its run folder."""

    metric = NATS
    some_unused = False

    def __init__(self, folder: Path, config: LabellingConfig, share: Share):
        self.folder, self.training, self.share, self.of_trees = folder, config.training, share, bool(config.model.before)
        self.names = Names.load(folder)
        self.model = labeller(len(self.names.labels), self.names.inputs, config.model)
        if self.names.columns:
            self.model.learn_scale(torch.from_numpy(self._sequences("train").x))

    def has(self, name: str) -> bool:
        """Return whether the run folder has sequences of that part."""
        return sequences_path(self.folder, name).exists()

    def feed(self, name: str, seed: int | None = None) -> SequenceFeed:
        """Return batches: with a seed as the configuration says, for training; else ``ROWS`` whole sequences each."""
        rows, length = (self.training.batch_size, self.training.length) if seed is not None else (ROWS, 0)
        return SequenceFeed(self._sequences(name), rows, length, self.share, seed)

    def carry(self, state: None) -> None:
        """Do nothing: no state is carried from batch to batch."""

    def _sequences(self, name: str) -> Sequences:
        return Sequences.open(sequences_path(self.folder, name), self.names, self.of_trees)
