"""Output layers: from the last layer's message to the probability of each token. All give exact probabilities and differ in
the costs of training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from torch.utils.checkpoint import checkpoint

from carousel.errors import InputError
from carousel.kernels.alike import autocast
from carousel.language.feeding import IGNORED
from carousel.language.mixture import MixtureOfSoftmaxes
from carousel.training.precise import precise

ROWS_AT_ONCE = 256  # whose logits are held at a time on a processor
LOGITS_AT_ONCE = 1 << 26  # on a card, where many small kernels would wait for their launches
SAMPLES = 2000
KINDS = ("full", "adaptive", "sampled", "mixture")
linear_cross_entropy = getattr(nn.functional, "linear_cross_entropy", None)  # PyTorch before 2.13 has none


class FullSoftmax(nn.Module):
    """softmax(W.yh h + b.y). ``shared``, where given, is a weight of another layer (the embedding) and stands for W.yh.

    Args:
        vocabulary_size: V, the number of tokens.
        size: of the last layer's message.
        shared: whether the weight is given with each call.

    ``h`` is (N, size) everywhere, ``y`` (N,) token ids, IGNORED where there is none; logits are (N, V), a loss is the sum
    −Σ log p(y) in nats.
    """

    def __init__(self, vocabulary_size: int, size: int, shared: bool):
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.weight = None if shared else nn.Parameter(torch.empty(vocabulary_size, size).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))

    def forward(self, h: Tensor, shared: Tensor | None = None) -> Tensor:
        """Return the logits."""
        return linear(h, self._weight(shared), self.bias)

    def loss(self, h: Tensor, y: Tensor, shared: Tensor | None = None) -> Tensor:
        """Return the loss; logits are made of some rows at a time, never of all."""
        weight = self._weight(shared)
        learns = torch.is_grad_enabled() and h.requires_grad
        if learns and autocast(h.device):
            return _Rounded.apply(h, weight, self.bias, y, torch.get_autocast_dtype(h.device.type))
        if learns and linear_cross_entropy is not None:
            options: Any = nn.LinearCrossEntropyOptions(
                batch_chunk_size=rows_at_once(h.device, self.vocabulary_size), chunking_method=None, acc_policy="accurate"
            )
            return linear_cross_entropy(
                h, weight, y, linear_bias=self.bias, reduction="sum", ignore_index=IGNORED, options=options
            )

        def loss(rows: Tensor, targets: Tensor) -> Tensor:
            return cross_entropy(linear(rows, weight, self.bias), targets, ignore_index=IGNORED, reduction="sum")

        rows = rows_at_once(h.device, self.vocabulary_size)
        pairs = zip(h.split(rows), y.split(rows), strict=True)
        losses = [checkpoint(loss, *pair, use_reentrant=False) if learns else loss(*pair) for pair in pairs]
        return torch.stack(losses).sum()

    def smoothed(self, h: Tensor, y: Tensor, shared: Tensor | None = None) -> Tensor:
        """Return the loss that turns −log p(y) into the mean over all tokens, −Σ log p / V, once ε of it is added: the logit
        of y less the mean logit. Logits are linear, so that neither needs all tokens' logits.
        """
        counts, weight = y != IGNORED, self._weight(shared)
        right = y.masked_fill(~counts, 0)
        each = (h * (weight[right] - weight.mean(0))).sum(1) + self.bias[right] - self.bias.mean()
        return (each * counts).sum()

    def learn_frequencies(self, counts: Tensor) -> None:
        """Learn before training how often each token occurs, (V,)."""

    def _weight(self, shared: Tensor | None) -> Tensor:
        weight = shared if self.weight is None else self.weight
        assert weight is not None  # a shared layer is given its weight
        return weight


def rows_at_once(device: torch.device, vocabulary_size: int) -> int:
    """Return the rows whose logits are held at a time."""
    return ROWS_AT_ONCE if device.type == "cpu" else max(ROWS_AT_ONCE, LOGITS_AT_ONCE // vocabulary_size)


class _Rounded(torch.autograd.Function):
    """The loss and its gradients with products in a shorter type, some rows at a time; the sum stays in single precision,
    which ``linear_cross_entropy`` would round as well."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, y: Tensor, dtype: torch.dtype) -> Tensor:
        w, b, x = weight.to(dtype), bias.to(dtype), h.to(dtype)
        to_h, to_weight, to_bias = torch.empty_like(h), torch.zeros_like(weight), torch.zeros_like(bias)
        loss = bias.new_zeros(())
        pieces = -(-len(y) // (2 * rows_at_once(h.device, len(weight))))  # logits of half the size
        for rows, targets, to_rows in zip(x.chunk(pieces), y.chunk(pieces), to_h.chunk(pieces), strict=True):
            p = torch.addmm(b, rows, w.t()).softmax(1)
            counts = (targets != IGNORED).unsqueeze(1)
            right = targets.unsqueeze(1).masked_fill(~counts, 0)
            # No token is so unlikely that its logarithm is infinite.
            loss -= (p.gather(1, right).float().clamp_min(torch.finfo(torch.float32).tiny).log() * counts).sum()
            p.scatter_add_(1, right, p.new_full((), -1).expand_as(right))
            if p.device.type != "cpu" or not bool(counts.all()):  # a card is not waited for
                p *= counts
            to_rows.copy_(p @ w)
            to_weight += p.t() @ rows
            to_bias += p.sum(0, dtype=torch.float32)
        ctx.save_for_backward(to_h, to_weight, to_bias)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        to_h, to_weight, to_bias = ctx.saved_tensors
        return factor * to_h, factor * to_weight, factor * to_bias, None, None


class SampledSoftmax(FullSoftmax):
    """The full softmax, trained against some tokens that are drawn for each batch.

    The sum over all other tokens is estimated from the drawn ones, each divided by its probability to be drawn (importance
    sampling; Bengio and Senécal 2008; Jean et al. 2015, equation 8). No token is drawn twice, and frequent tokens are drawn
    for every batch: the sample is systematic (Madow 1949). Evaluation is exact.

    Args:
        vocabulary_size, size, shared: as FullSoftmax.
        samples: number of tokens to draw; with as many as V, training is exact as well.
    """

    def __init__(self, vocabulary_size: int, size: int, shared: bool, samples: int = SAMPLES):
        super().__init__(vocabulary_size, size, shared)
        self.samples = samples
        self.cumulative: Tensor
        self.register_buffer("cumulative", torch.arange(1, vocabulary_size + 1, dtype=torch.float64) / vocabulary_size)

    def learn_frequencies(self, counts: Tensor) -> None:
        """Draw tokens in proportion to their frequency, flattened (Mikolov et al. 2013: to the power ¾)."""
        weights = (counts.double() + 1) ** 0.75
        self.cumulative.copy_(weights.cumsum(0) / weights.sum())

    def loss(self, h: Tensor, y: Tensor, shared: Tensor | None = None) -> Tensor:
        """Return the estimate while training; else the loss itself."""
        if not self.training or self.samples >= self.vocabulary_size:
            return super().loss(h, y, shared)
        weight = self._weight(shared)
        counts = y != IGNORED
        h, y = h[counts], y[counts]
        drawn, chances = self.draw()
        picked = torch.cat([y, drawn])
        rows, biases = weight[picked], self.bias[picked]
        right = (h * rows[: len(y)]).sum(1) + biases[: len(y)]
        at = torch.searchsorted(drawn, y).clamp_(max=len(drawn) - 1).unsqueeze(1)
        among = drawn[at] == y.unsqueeze(1)
        dtype = torch.get_autocast_dtype(h.device.type) if autocast(h.device) else h.dtype
        return _Sampled.apply(h, rows[len(y) :], biases[len(y) :] - chances.log().to(biases), right, at, among, dtype)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return the tokens that are drawn for a batch, and the probability of each to be drawn."""
        weights = torch.diff(self.cumulative, prepend=self.cumulative.new_zeros(1))
        chances = inclusion(weights, self.samples)
        at = torch.rand((), dtype=chances.dtype, device=chances.device)
        at = at + torch.arange(self.samples, dtype=chances.dtype, device=chances.device)
        drawn = torch.searchsorted(chances.cumsum(0), at, right=True).clamp_(max=self.vocabulary_size - 1)
        return drawn, chances[drawn]


def inclusion(weights: Tensor, count: int) -> Tensor:
    """Return probabilities that are proportional to weights where these allow it, none above 1, and whose sum is ``count``."""
    ordered = weights.sort(descending=True).values
    rest = ordered.flip(0).cumsum(0).flip(0)
    scales = (count - torch.arange(len(ordered), device=weights.device)) / rest  # by the number of those that are 1
    certain = (ordered * scales >= 1).sum().clamp_(max=len(ordered) - 1)
    return (weights * scales.take(certain)).clamp_(max=1)  # an index would wait for a card


class _Sampled(torch.autograd.Function):
    """The loss of the right tokens' logits beside those of drawn tokens, and its gradients, some rows at a time.

    ``at``: the place of each right token in the sample, (N, 1), where it is ``among`` the drawn ones and so no wrong one.
    """

    @staticmethod
    def forward(
        ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, right: Tensor, at: Tensor, among: Tensor, dtype: torch.dtype
    ) -> Tensor:
        w, b, x = weight.to(dtype), bias.to(dtype), h.to(dtype)
        to_h, to_right = torch.empty_like(h), torch.empty_like(right)
        to_weight, to_bias, loss = torch.zeros_like(weight), torch.zeros_like(bias), right.new_zeros(())
        pieces = max(1, -(-len(h) // rows_at_once(h.device, len(weight))))
        chunks = (each.chunk(pieces) for each in (x, right.to(dtype).unsqueeze(1), at, among, to_h, to_right))
        for rows, own, place, there, to_rows, to_own in zip(*chunks, strict=True):
            logits = torch.addmm(b, rows, w.t())
            logits.scatter_(1, place, logits.gather(1, place).masked_fill(there, -torch.inf))
            logits = torch.cat([own, logits], 1)
            p = logits.softmax(1)
            most, which = logits.max(1, keepdim=True)
            # By the likeliest token: the p of a right one that is most unlikely may be 0, and its logarithm infinite.
            loss += ((most - own).to(loss) - p.gather(1, which).to(loss).log()).sum()
            to_own.copy_(p[:, 0])
            wrong = p[:, 1:]
            to_rows.copy_(wrong @ w)
            to_weight += wrong.t() @ rows
            to_bias += wrong.sum(0, dtype=bias.dtype)
        ctx.save_for_backward(to_h, to_weight, to_bias, to_right - 1)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        return *(factor * x for x in ctx.saved_tensors), None, None, None


class AdaptiveSoftmax(nn.Module):
    """Frequent tokens at once, rare ones through clusters with smaller weights (Grave et al. 2017, PyTorch's module)."""

    def __init__(self, vocabulary_size: int, size: int, shared: bool):
        super().__init__()
        if shared:
            raise InputError(
                "the adaptive softmax has weights of several sizes, which cannot be the embedding; leave `tied` out"
            )
        if vocabulary_size < 16:
            raise InputError(
                f"the adaptive softmax needs some tokens to be rare, and there are only {vocabulary_size}; take `softmax` full"
            )
        cutoffs = [vocabulary_size // 8, vocabulary_size // 2]
        narrower = min(4.0, size**0.5)  # each cluster's weights than those before; the last keeps a unit
        self.inner = nn.AdaptiveLogSoftmaxWithLoss(size, vocabulary_size, cutoffs, div_value=narrower, head_bias=True)
        self.rank: Tensor
        self.register_buffer("rank", torch.arange(vocabulary_size))  # of each token, by frequency

    def learn_frequencies(self, counts: Tensor) -> None:
        """Put the most frequent tokens first."""
        order = counts.argsort(descending=True, stable=True)
        self.rank[order] = torch.arange(len(order), device=order.device)

    def forward(self, h: Tensor, shared: Tensor | None = None) -> Tensor:
        """Return the logarithms of the probabilities, which are logits as well."""
        return self.inner.log_prob(h)[:, self.rank]

    def loss(self, h: Tensor, y: Tensor, shared: Tensor | None = None) -> Tensor:
        """Return the loss."""
        counts = y != IGNORED
        if not bool(counts.any()):
            return h.sum() * 0
        with torch.autocast(h.device.type, enabled=False):  # PyTorch's module refuses to run under it
            return -self.inner(precise(h[counts]), self.rank[y[counts]]).output.sum()


Softmax = FullSoftmax | AdaptiveSoftmax | MixtureOfSoftmaxes


def softmax(kind: str, vocabulary_size: int, size: int, shared: bool, mixtures: int = 10, samples: int = SAMPLES) -> Softmax:
    """Make an output layer by its name.

    Args:
        kind: of KINDS.
        vocabulary_size: V, the number of tokens.
        size: of the last layer's message.
        shared: whether the weight is given with each call.
        mixtures: the number of softmaxes in a mixture.
        samples: the number of tokens that a sampled softmax draws for a batch.

    Raises:
        InputError: an unknown one, or one that cannot be.
    """
    if kind not in KINDS:
        raise InputError(f"softmax must be {' or '.join(KINDS)}, not {kind!r}")
    if kind == "adaptive":
        return AdaptiveSoftmax(vocabulary_size, size, shared)
    if kind == "mixture":
        return MixtureOfSoftmaxes(vocabulary_size, size, shared, mixtures)
    if kind == "sampled":
        return SampledSoftmax(vocabulary_size, size, shared, samples)
    return FullSoftmax(vocabulary_size, size, shared)
