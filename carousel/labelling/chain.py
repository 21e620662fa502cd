"""A linear chain over the labels of a sequence: a conditional random field (Lafferty, McCallum and Pereira 2001)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearChain(nn.Module):
    """A conditional random field: it adds learned scores of pairs of labels to the scores that a network gives each step.

    Lafferty, McCallum and Pereira 2001.

    Args:
        labels: number of labels.

    Attributes:
        after: score of each label (column) after another (row), (labels, labels).
        first: score of each label at the beginning, (labels,).
        last: score of each label at the end, (labels,).
    """

    def __init__(self, labels: int):
        super().__init__()
        self.after = nn.Parameter(torch.empty(labels, labels).uniform_(-0.1, 0.1))
        self.first = nn.Parameter(torch.empty(labels).uniform_(-0.1, 0.1))
        self.last = nn.Parameter(torch.empty(labels).uniform_(-0.1, 0.1))

    def forward(self, scores: Tensor, lengths: Tensor, y: Tensor) -> Tensor:
        """Return −log p of sequences of labels, in nats, (B,).

        Args:
            scores: scores of the labels at each step, (T, B, labels).
            lengths: steps of each sequence, (B,).
            y: the labels, (T, B), with any number beyond a sequence's end.
        """
        return self.log_total(scores, lengths) - self.score(scores, lengths, y)

    def score(self, scores: Tensor, lengths: Tensor, y: Tensor) -> Tensor:
        """Return the score of sequences of labels, (B,); the arguments are those of ``forward``."""
        inside = torch.arange(len(y), device=y.device).unsqueeze(1) < lengths
        y = y.where(inside, 0)
        own = scores.gather(2, y.unsqueeze(2)).squeeze(2)
        steps = self.after[y[:-1], y[1:]] * inside[1:]
        end = y.gather(0, (lengths - 1).unsqueeze(0)).squeeze(0)
        return (own * inside).sum(0) + steps.sum(0) + self.first[y[0]] + self.last[end]

    def log_total(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Return the logarithm of the sum over all sequences of labels of exp(score), (B,)."""
        total = self.first + scores[0]
        for t in range(1, len(scores)):
            further = torch.logsumexp(total.unsqueeze(2) + self.after, 1) + scores[t]
            total = torch.where((t < lengths).unsqueeze(1), further, total)
        return torch.logsumexp(total + self.last, 1)

    @torch.no_grad()
    def best(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Return the sequences of labels with the highest score, (T, B), by Viterbi's algorithm; 0 beyond a sequence's end."""
        total, back = self.first + scores[0], []
        for t in range(1, len(scores)):
            most, where = (total.unsqueeze(2) + self.after).max(1)
            here = (t < lengths).unsqueeze(1)
            back.append(torch.where(here, where, torch.arange(where.shape[1], device=where.device)))
            total = torch.where(here, most + scores[t], total)
        label = (total + self.last).argmax(1)
        path = [label]
        for where in reversed(back):
            label = where.gather(1, label.unsqueeze(1)).squeeze(1)
            path.append(label)
        inside = torch.arange(len(scores), device=scores.device).unsqueeze(1) < lengths
        return torch.stack(path[::-1]).where(inside, 0)

    def chances(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Return the probability of each label at each step, summed over all sequences of labels, (T, B, labels)."""
        with torch.enable_grad():
            given = scores.detach().requires_grad_()
            (chances,) = torch.autograd.grad(self.log_total(given, lengths).sum(), given)
        return chances
