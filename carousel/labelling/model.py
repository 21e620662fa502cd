"""Labellers: recurrent layers of any cell give each step of a sequence, or the whole, a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carousel.cells import fed_alone
from carousel.equations import Cell
from carousel.equations.before import Before
from carousel.errors import InputError
from carousel.labelling.chain import LinearChain
from carousel.layers import dropout
from carousel.training.config import NetworkConfig
from carousel.training.fields import LARGEST_SIZE, setting
from carousel.training.precise import precise
from carousel.training.task import Trainable

IGNORED = -100  # torch.nn.functional.cross_entropy's own
POOLINGS = ("mean", "max", "last")
OF_SEQUENCES = ("bidirectional", "crf", "rates", "weight_noise", "weight_dropout", "variational_dropout")  # trees lack them
LEAF = "leaf"  # a further input of a cell over trees that is fed here: 1 for a node without children


@dataclass(frozen=True)
class LabellerConfig(NetworkConfig):
    """The settings of a labeller's model. Dropout is on inputs, between layers and on outputs.

    ``dropout_words`` replaces a share of a text's words by the unknown word while training, so that its embedding is trained.
    """

    hidden: int = setting(100, "Units of a layer.", least=1, most=LARGEST_SIZE)
    tied: bool = setting(False)
    bidirectional: bool = setting(False, "Read sequences in both directions.")
    whole: bool = setting(False, "One label for a whole sequence, not one for each step.")
    pooling: str = setting(
        "mean",
        "With `whole`, classify the mean or the maximum of the outputs over the steps, or the last ones.",
        choices=POOLINGS,
    )
    crf: bool = setting(False, "Learn which label follows which (CRF), and find the labels of a sequence together.")
    dropout_words: float = setting(0.0, "Share of words that training replaces by the unknown word.", least=0, below=1)

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        if self.crf and self.whole:
            raise InputError("`crf` joins the labels of steps; leave it out, or `whole`")
        for name in OF_SEQUENCES if self.before else ():
            if getattr(self, name):
                raise InputError(f"`{name}` is for sequences, and cell {self.cell} reads trees")
        if self.before and self.pooling != POOLINGS[0]:
            raise InputError(f"`pooling` is over steps, and cell {self.cell} reads trees, of which the root is classified")

    @cached_property
    def before(self) -> Before:
        """The names of what a step of the cell follows, or the name of a set; empty where it follows one step."""
        try:
            return self.known_cell().before
        except ValueError as error:
            raise InputError(str(error)) from None

    def own_cell(self) -> Cell:
        """Return the cell for the layers. Raises ValueError for one with further inputs, except ``leaf`` of one over trees."""
        cell = self.known_cell()
        return cell if cell.before and set(cell.inputs) <= {LEAF} else fed_alone(cell)


class Labeller(Trainable):
    """A labeller: an embedding, or scaled numbers; recurrent layers; an output layer; with ``crf`` a linear chain.

    Args:
        labels: number of labels.
        inputs: for series, how many numbers a step has; for text, the sizes of the embedding tables, the words' first.
        config: the model's settings.

    Raises:
        InputError: the configuration cannot be.
    """

    kind = "labeller"
    mean: Tensor
    deviation: Tensor

    def __init__(self, labels: int, inputs: int | Sequence[int], config: LabellerConfig):
        super().__init__()
        self.config, self.labels = config, labels
        config.check()
        self.embeddings = nn.ModuleList()
        size = inputs if isinstance(inputs, int) else config.input_size
        if isinstance(inputs, int):
            self.register_buffer("mean", torch.zeros(inputs))
            self.register_buffer("deviation", torch.ones(inputs))
        try:
            self.recurrent = self._layers(size)
        except ValueError as error:
            raise InputError(str(error)) from None
        for table in () if isinstance(inputs, int) else inputs:
            embedding = nn.Embedding(table, size)
            nn.init.uniform_(embedding.weight, -0.1, 0.1)
            self.embeddings.append(embedding)
        self.output = nn.Linear(self.recurrent.output_size * self.recurrent.directions, labels)
        self.chain = LinearChain(labels) if config.crf else None

    def _layers(self, size: int) -> Any:
        """Return the layers for inputs of a size. Raises ValueError for what they cannot be."""
        return self.config.recurrent_layers(size, bidirectional=self.config.bidirectional)

    @torch.no_grad()
    def learn_scale(self, x: Tensor) -> None:
        """Set the mean and standard deviation that scale inputs to those of ``x``, (N, numbers)."""
        deviation, mean = torch.std_mean(x.double(), 0, correction=0)
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.where(deviation > 1e-6, 1.0))

    def forward(self, x: Tensor, lengths: Any, y: Tensor) -> tuple[Tensor, None]:
        """Return the loss of the right labels.

        Args:
            x: numbers (T, B, n), or ids (T, B, tables).
            lengths: steps of each sequence, (B,), on the CPU.
            y: the right labels, (T, B), IGNORED beyond a sequence's end; with ``whole`` (B,).

        Returns:
            −Σ log p(y) in nats, summed over steps or sequences; and None, since no state is carried to the next batch.
        """
        scores = self.scores(x, lengths)
        if self.chain is not None:
            scores = scores.to(self.chain.after.dtype)  # sums of exponentials are not for half precision
            return self.chain(scores, lengths.to(y.device), y).sum(), None
        return cross_entropy(scores.flatten(0, -2), y.flatten(), ignore_index=IGNORED, reduction="sum"), None

    def scores(self, x: Tensor, lengths: Any) -> Tensor:
        """Return the labels' scores, (T, B, labels), or with ``whole`` (B, labels); the arguments are those of ``forward``."""
        e = self._drop(self._embedded(x))
        output, _ = self.recurrent(pack_padded_sequence(e, lengths.cpu(), enforce_sorted=False))
        h = pad_packed_sequence(output)[0]
        if self.config.whole:
            h = self._pooled(h, lengths.to(h.device))
        scores = self.output(self._drop(h))
        return scores[0] if self.config.whole else scores

    @torch.no_grad()
    def found(self, x: Tensor, lengths: Any) -> tuple[Tensor, Tensor]:
        """Return the best labels, (T, B) or with ``whole`` (B,), and the probability of each label, (…, labels)."""
        scores = precise(self.scores(x, lengths))
        if self.chain is None:
            return scores.argmax(-1), scores.softmax(-1)
        lengths = lengths.to(scores.device)
        return self.chain.best(scores, lengths), self.chain.chances(scores, lengths)

    @torch.no_grad()
    def recorded(self, x: Tensor, names: Sequence[str], layer: int = -1) -> dict[str, Tensor]:
        """Return quantities of a layer while it reads sequences of one length, (directions, T, B, units) by name.

        Args:
            x: numbers (T, B, n), or ids (T, B, tables).
            names: of gates, states and other quantities of the cell.
            layer: which one, by default the last.

        Raises:
            ValueError: the cell has no quantity of that name.
            IndexError: there is no such layer.
        """
        number, ways = range(self.recurrent.num_layers)[layer], self.recurrent.directions
        found = self.recurrent(self._embedded(x), record=names)[2]
        return {name: torch.stack([*values[number * ways : (number + 1) * ways]]) for name, values in found.items()}

    def _embedded(self, x: Tensor) -> Tensor:
        """Return the inputs of the layers, (T, B, size)."""
        if not self.embeddings:
            return (x - self.mean) / self.deviation
        words = x[..., 0]
        if self.training and self.config.dropout_words:
            words = words * (torch.rand(words.shape, device=x.device) >= self.config.dropout_words)  # 0: unknown
        e = self.embeddings[0](words)
        for k, table in enumerate(self.embeddings[1:], 1):
            e = e + table(x[..., k])
        return e

    def _pooled(self, h: Tensor, lengths: Tensor) -> Tensor:
        """Return one vector for each sequence from its outputs (T, B, size): (1, B, size)."""
        if self.config.pooling == "last":  # read backwards, the last output stands first
            ways = h.unflatten(2, (self.recurrent.directions, -1))
            last = ways[lengths - 1, torch.arange(h.shape[1], device=h.device), 0]
            return torch.cat([last, *ways[0, :, 1:].unbind(1)], 1).unsqueeze(0)
        inside = (torch.arange(len(h), device=h.device).unsqueeze(1) < lengths).unsqueeze(2)
        if self.config.pooling == "max":
            return h.masked_fill(~inside, -torch.inf).amax(0, keepdim=True)
        return (h * inside).sum(0, keepdim=True) / lengths.unsqueeze(1)

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.config.dropout, self.training, self.config.variational_dropout)
