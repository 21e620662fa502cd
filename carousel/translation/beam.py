"""The likeliest translations: greedily, or with a beam of several hypotheses side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from carousel.errors import InputError
from carousel.layers import Clamps
from carousel.translation.model import Read, Translator, rows_of


@dataclass(frozen=True)
class Hypothesis:
    """The target's token ``ids`` without ``<eos>``; log p in nats, ``<eos>`` included; ``score``: log p over
    lengthᵅ, the length with ``<eos>``. Where ``finished`` is false, no hypothesis had ended at the longest length.
    ``attention``: where the decoder looked at each step, (length, S) by the encoder's steps, where asked.
    """

    ids: tuple[int, ...]
    log_probability: float
    score: float
    finished: bool
    attention: Tensor | None = None


@torch.no_grad()
def search(
    model: Translator,
    source: Tensor,
    lengths: Tensor,
    end: int,
    *,
    longest: Sequence[int],
    width: int = 1,
    best: int = 1,
    alpha: float = 1.0,
    forbidden: int | None = None,
    attention: bool = False,
    clamp: Clamps | None = None,
    others: Sequence[Translator] = (),
) -> list[list[Hypothesis]]:
    """Return for each sentence its ``best`` translations, best first.

    Sutskever et al. 2014: at each step the likeliest ``width`` ways to go on are kept; one that ends leaves the beam, which
    is narrower from then on, so that ``width`` 1 is greedy search. The best of them by log p / lengthᵅ come first.

    Args:
        model: a translator.
        source: token ids (S, B), as the translator reads them.
        lengths: of each sentence (B,).
        end: the token id of ``<eos>`` in the target's vocabulary.
        longest: of each sentence, the most target tokens, ``<eos>`` included.
        width: of the beam.
        best: translations of each sentence, at most ``width``.
        alpha: of the length normalisation.
        forbidden: a token that is never written (``<unk>``).
        attention: give where attention looked, if the translator has it.
        clamp: as Recurrent's, of each encoder.
        others: translators between the same vocabularies, which search with the first as an ensemble: p of a token is the mean
            of the translators' probabilities. Attention is the first translator's.

    Raises:
        InputError: for a width or a count below 1, or a count above the width.
    """
    if width < 1 or not 1 <= best <= width:
        raise InputError(f"a beam of {width} cannot give the best {best}; both are at least 1, the first not below the second")
    device, count = model.device, source.shape[1]
    each = torch.arange(count, device=device).repeat_interleave(width)
    writers = [_Writer(one.eval(), one.read(source.to(device), lengths, clamp).rows(each)) for one in (model, *others)]
    last = torch.full((count * width,), end, device=device)
    live = torch.full((count, width), -torch.inf, device=device)
    live[:, 0] = 0
    active, slots = list(range(count)), [width] * count
    written = [_Written()] * (count * width)
    ended: list[list[Hypothesis]] = [[] for _ in range(count)]
    step = 0
    while active:
        step += 1
        (logs, weights), *beside = [writer.next(last) for writer in writers]
        if beside:
            logs = torch.stack([logs, *(found for found, _ in beside)]).logsumexp(0) - math.log(len(writers))
        if forbidden is not None:
            logs[:, forbidden] = -torch.inf
        size = logs.shape[1]
        top, at = (live.unsqueeze(-1) + logs.view(len(active), width, size)).flatten(1).topk(width)
        looked = list(weights[:, 0]) if attention and weights is not None else None
        rows: list[int] = []  # that go on, as many of each sentence, and their tokens
        chosen: list[int] = []
        chances: list[list[float]] = []
        going, texts = [], []
        for b, (sentence, values, places) in enumerate(zip(active, top.tolist(), at.tolist(), strict=True)):
            kept = []
            for value, place in list(zip(values, places, strict=True))[: slots[sentence]]:
                if value == -math.inf:
                    break
                row, token = b * width + place // size, place % size
                text = written[row].then(token, value, looked[row] if looked else None)
                if token == end:
                    ended[sentence].append(text.ended(alpha))
                    slots[sentence] -= 1
                else:
                    kept.append((row, token, value, text))
            if kept and step == longest[sentence]:
                if not ended[sentence]:
                    ended[sentence] = [text.ended(alpha, finished=False) for *_, text in kept]
                kept = []
            if kept:
                going.append(b)
                chances.append([value for _, _, value, _ in kept] + [-math.inf] * (width - len(kept)))
                kept += kept[:1] * (width - len(kept))
                rows += [row for row, *_ in kept]
                chosen += [token for _, token, *_ in kept]
                texts += [text for *_, text in kept]
        if len(going) < len(active) and going:
            left = torch.tensor([b * width + k for b in going for k in range(width)], device=device)
            for writer in writers:
                writer.read = writer.read.rows(left)
        active, written = [active[b] for b in going], texts
        index = torch.tensor(rows, dtype=torch.long, device=device)
        for writer in writers:
            writer.states = tuple(rows_of(s, index) for s in writer.states)
        last, live = torch.tensor(chosen, device=device), torch.tensor(chances, device=device)
    return [sorted(each, key=lambda hypothesis: -hypothesis.score)[:best] for each in ended]


class _Writer:
    """A translator that writes, with the sentences that it ``read`` and its ``states``, a row for each hypothesis."""

    def __init__(self, model: Translator, read: Read):
        self.model, self.read, self.states = model, read, read.states

    def next(self, last: Tensor) -> tuple[Tensor, Tensor | None]:
        """Write on after the ``last`` tokens (rows,); return log p of each next token, (rows, tokens), and attention."""
        h, self.states, weights = self.model.decode(last.unsqueeze(0), self.read, self.states)
        return log_softmax(self.model.logits(h[0]).float(), -1), weights


@dataclass(frozen=True)
class _Written:
    """A hypothesis as it grows."""

    ids: tuple[int, ...] = ()
    log_probability: float = 0.0
    looked: tuple[Tensor, ...] = ()

    def then(self, token: int, log_probability: float, looked: Tensor | None) -> _Written:
        return _Written((*self.ids, token), log_probability, self.looked if looked is None else (*self.looked, looked))

    def ended(self, alpha: float, finished: bool = True) -> Hypothesis:
        ids = self.ids[:-1] if finished else self.ids
        attention = torch.stack(self.looked).cpu() if self.looked else None
        return Hypothesis(ids, self.log_probability, self.log_probability / len(self.ids) ** alpha, finished, attention)
