"""Labellers over any cell: layers read a sequence, in one direction or both; each step, or the whole, gets a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carousel.errors import InputError
from carousel.labelling.chain import LinearChain
from carousel.layers import Recurrent, dropout
from carousel.training.config import NetworkConfig
from carousel.training.fields import setting
from carousel.training.precise import precise
from carousel.training.task import Trainable

IGNORED = -100  # torch.nn.functional.cross_entropy's own
POOLINGS = ("mean", "max", "last")


@dataclass(frozen=True)
class LabellerConfig(NetworkConfig):
    """The parts of a labeller. Dropout is on what is read, between layers and on the outputs.

    ``dropout_words`` reads a share of a text's words as unknown while training, so that the unknown word is learnt.
    """

    hidden: int = 100
    tied: bool = setting(False)
    bidirectional: bool = setting(False, "Sequences are read in both directions.")
    whole: bool = setting(False, "One label for a whole sequence, not one for each step.")
    pooling: str = setting(
        "mean",
        "What is labelled with `whole`: the outputs' mean or maximum over the steps, or the last ones.",
        choices=POOLINGS,
    )
    crf: bool = setting(False, "Labels are a linear chain (CRF): which follows which is learnt, and all are found together.")
    dropout_words: float = setting(0.0, "Share of words that are read as unknown while training.", least=0, below=1)

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        if self.crf and self.whole:
            raise InputError("`crf` joins the labels of steps; leave it out, or `whole`")


class Labeller(Trainable):
    """Embedding or scaled numbers, recurrent layers, an output layer, and where it is asked for a linear chain.

    Args:
        labels: how many there are.
        inputs: the number of numbers of each step; or of text the sizes of the tables of a step's ids, the words' first.
        config: of the model.

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
            self.recurrent = Recurrent(
                config.own_cell(),
                size,
                config.hidden,
                config.layers,
                bidirectional=config.bidirectional,
                proj_size=config.projection,
                dropout=config.dropout if config.layers > 1 else 0.0,
                variational_dropout=config.variational_dropout,
                recurrent_init=config.recurrent_init,
                forget_bias=config.forget_bias,
                rates=config.noise_rates(),
                weight_noise=config.weight_noise,
                weight_dropout=config.weight_dropout,
            )
        except ValueError as error:
            raise InputError(str(error)) from None
        for table in () if isinstance(inputs, int) else inputs:
            embedding = nn.Embedding(table, size)
            nn.init.uniform_(embedding.weight, -0.1, 0.1)
            self.embeddings.append(embedding)
        self.output = nn.Linear(self.recurrent.output_size * self.recurrent.directions, labels)
        self.chain = LinearChain(labels) if config.crf else None

    @torch.no_grad()
    def learn_scale(self, x: Tensor) -> None:
        """Scale numbers from now on by the mean and deviation of these, (N, numbers)."""
        deviation, mean = torch.std_mean(x.double(), 0, correction=0)
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.where(deviation > 1e-6, 1.0))

    def forward(self, x: Tensor, lengths: Tensor, y: Tensor) -> tuple[Tensor, None]:
        """Read sequences and hold their labels against the right ones.

        Args:
            x: numbers (T, B, n), or ids (T, B, tables).
            lengths: steps of each row, (B,), on the CPU.
            y: labels (T, B), IGNORED beyond a row's end; with ``whole`` (B,).

        Returns:
            −Σ log p(y) in nats, over steps or rows; and None, as nothing is carried on.
        """
        scores = self.scores(x, lengths)
        if self.chain is not None:
            scores = scores.to(self.chain.after.dtype)  # sums of exponentials are not for half precision
            return self.chain(scores, lengths.to(y.device), y).sum(), None
        return cross_entropy(scores.flatten(0, -2), y.flatten(), ignore_index=IGNORED, reduction="sum"), None

    def scores(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the labels' scores, (T, B, labels), or with ``whole`` (B, labels); arguments as those of a call."""
        e = self._drop(self._embedded(x))
        output, _ = self.recurrent(pack_padded_sequence(e, lengths.cpu(), enforce_sorted=False))
        h = pad_packed_sequence(output)[0]
        if self.config.whole:
            h = self._pooled(h, lengths.to(h.device))
        scores = self.output(self._drop(h))
        return scores[0] if self.config.whole else scores

    @torch.no_grad()
    def found(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the best labels, (T, B) or with ``whole`` (B,), and the probability of each label, (…, labels)."""
        scores = precise(self.scores(x, lengths))
        if self.chain is None:
            return scores.argmax(-1), scores.softmax(-1)
        lengths = lengths.to(scores.device)
        return self.chain.best(scores, lengths), self.chain.chances(scores, lengths)

    def _embedded(self, x: Tensor) -> Tensor:
        """Return what the layers read, (T, B, size)."""
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
        """Return of outputs (T, B, size) one of each row, (1, B, size)."""
        if self.config.pooling == "last":  # of the way back the last is the first
            ways = h.unflatten(2, (self.recurrent.directions, -1))
            last = ways[lengths - 1, torch.arange(h.shape[1], device=h.device), 0]
            return torch.cat([last, *ways[0, :, 1:].unbind(1)], 1).unsqueeze(0)
        inside = (torch.arange(len(h), device=h.device).unsqueeze(1) < lengths).unsqueeze(2)
        if self.config.pooling == "max":
            return h.masked_fill(~inside, -torch.inf).amax(0, keepdim=True)
        return (h * inside).sum(0, keepdim=True) / lengths.unsqueeze(1)

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.config.dropout, self.training, self.config.variational_dropout)
