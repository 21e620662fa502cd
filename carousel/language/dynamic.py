"""Dynamic evaluation (Krause et al. 2018): a copy of the model goes on learning from the text that it is scored on.

A segment is scored first and learned from afterwards, so every token is foretold by weights that have not seen it:

    θᵢ = θᵢ₋₁ − η ∇L(sᵢ) / (√MS_g + ε) + λ (θ_g − θᵢ₋₁) ⊙ RMS_norm

``θ_g`` are the trained weights, ``MS_g`` the mean square of the gradient over batches of the training text, ``RMS_norm`` is
√MS_g by its mean, cut where λ RMS_norm would pass 1. The mean is that of the tensors' means, as in the authors' program.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from carousel.language.feeding import Stream
from carousel.language.model import LanguageModel, detach
from carousel.layers import State
from carousel.text.encoded import EncodedText
from carousel.training.evaluate import Tick

ROWS = 100  # of the batches whose gradients are measured, as the authors'


def root_mean_squares(
    model: LanguageModel, corpus: EncodedText, end: int, length: int, batches: int = 0, tick: Tick | None = None
) -> list[Tensor]:
    """Return √MS_g of each parameter; the model is left as it is.

    Args:
        model: a trained model, in evaluation.
        corpus: its training text.
        end: the token id of ``<eos>``.
        length: steps of a batch.
        batches: number of batches at most, whose rows begin at places all over the text; 0: the whole text.
        tick: called with the batches done, and all of them.
    """
    feed, parameters = Stream(corpus, end, ROWS, length), list(model.parameters())
    wanted = min(len(feed), batches or len(feed))
    squares, state = [torch.zeros_like(p) for p in parameters], None
    for done, batch in zip(range(1, wanted + 1), feed.batches(), strict=False):
        loss, state = model(*batch.arguments(state, model.device))
        state = detach(state)
        for square, gradient in zip(squares, gradients(loss / batch.own_targets, parameters), strict=True):
            square.addcmul_(gradient, gradient)
        if tick:
            tick(done, wanted)
    return [(square / wanted).sqrt_() for square in squares]


def gradients(loss: Tensor, parameters: list[nn.Parameter]) -> tuple[Tensor, ...]:
    """Return the gradient of a loss for each parameter, zero for a parameter that takes no part in it."""
    return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)


class Learning:
    """A copy of a model that reads segment after segment: it foretells a segment's tokens, then learns from them.

    Args:
        model: a trained model, in evaluation; it stays as it is.
        rms: √MS_g of each parameter, from ``root_mean_squares``.
        lr: η.
        decay: λ.
        epsilon: ε.
    """

    def __init__(self, model: LanguageModel, rms: list[Tensor], lr: float, decay: float, epsilon: float):
        self.model = copy.deepcopy(model)
        self.parameters = list(self.model.parameters())
        self.trained = [p.detach().clone() for p in self.parameters]
        mean = torch.stack([r.mean() for r in rms if r.numel()]).mean().clamp_min(torch.finfo(rms[0].dtype).tiny)
        self.rates = [lr / (r + epsilon) for r in rms]
        self.pulls = [(decay / mean * r).clamp_(max=1) for r in rms]
        self.state: State | None = None

    def __call__(self, x: Tensor, y: Tensor, fresh: bool) -> tuple[Tensor, Tensor]:
        """Foretell the targets, then learn from them; return log p of each, (T,), and the output layer's inputs, (T, size).

        Args:
            x: token ids (T, 1).
            y: the token ids that follow, (T,).
            fresh: begin the segment with new states.
        """
        h, state = self.model.read(x, None if fresh else self.state)
        logs = self.model.log_probabilities(h[:, 0], y)
        self.state = detach(state)
        found = gradients(-logs.mean(), self.parameters)
        with torch.no_grad():
            for p, gradient, trained, rate, pull in zip(
                self.parameters, found, self.trained, self.rates, self.pulls, strict=True
            ):
                p.lerp_(trained, pull).addcmul_(gradient, rate, value=-1)
        return logs.detach(), h[:, 0].detach()
