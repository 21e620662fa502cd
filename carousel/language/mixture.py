"""A mixture of softmaxes as the output layer of a language model."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, log_softmax
from torch.utils.checkpoint import checkpoint

from carousel.language.feeding import IGNORED
from carousel.training.precise import precise

LOGITS_AT_ONCE = 2560  # rows of V logits that are held at a time, of all softmaxes together


class MixtureOfSoftmaxes(nn.Module):
    """p(y) = Σ_k π_k softmax(W.yh tanh(L_k h + c_k) + b.y), where π = softmax(P h) (Yang, Dai, Salakhutdinov and Cohen 2018).

    Logarithms of a single softmax form a matrix, contexts × tokens, of rank size + 1 at most; those of a mixture do not.

    Args:
        vocabulary_size: V, the number of tokens.
        size: of the last layer's message.
        shared: whether the weight W.yh is given with each call.
        mixtures: K, the number of softmaxes.

    ``h``, ``y`` and the loss as ``FullSoftmax``.
    """

    def __init__(self, vocabulary_size: int, size: int, shared: bool, mixtures: int):
        super().__init__()
        self.vocabulary_size, self.mixtures = vocabulary_size, mixtures
        self.weight = None if shared else nn.Parameter(torch.empty(vocabulary_size, size).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.prior, self.latent = nn.Linear(size, mixtures, bias=False), nn.Linear(size, mixtures * size)

    def forward(self, h: Tensor, shared: Tensor | None = None) -> Tensor:
        """Return the logarithms of the probabilities, (N, V), which are logits as well."""
        weight = shared if self.weight is None else self.weight
        assert weight is not None  # a shared layer is given its weight
        shares = log_softmax(precise(self.prior(h)), -1)
        latent = torch.tanh(self.latent(h)).unflatten(-1, (self.mixtures, -1))
        each = log_softmax(precise(linear(latent, weight, self.bias)), -1)
        return torch.logsumexp(shares.unsqueeze(-1) + each, -2)

    def loss(self, h: Tensor, y: Tensor, shared: Tensor | None = None) -> Tensor:
        """Return the loss; logits are made of some rows at a time, never of all."""

        def loss(rows: Tensor, targets: Tensor) -> Tensor:
            counts = targets != IGNORED
            right = targets.masked_fill(~counts, 0).unsqueeze(1)
            return -(self(rows, shared).gather(1, right).squeeze(1) * counts).sum()

        at_once = math.ceil(LOGITS_AT_ONCE / self.mixtures)
        pairs = zip(h.split(at_once), y.split(at_once), strict=True)
        learns = torch.is_grad_enabled()
        losses = [checkpoint(loss, *pair, use_reentrant=False) if learns else loss(*pair) for pair in pairs]
        return torch.stack(losses).sum()

    def learn_frequencies(self, counts: Tensor) -> None:
        """Learn before training how often each token occurs, (V,)."""
