"""Text from a language model, a token at a time, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypedDict

import torch
from torch import Tensor

from carousel.errors import InputError
from carousel.language.model import LanguageModel
from carousel.layers import Clamps
from carousel.layers.clamp import listed
from carousel.text.vocabulary import Vocabulary

COLDEST = 1e-6  # below it, single precision draws nothing but the likeliest


def choose(logits: Tensor, generator: torch.Generator, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> int:
    """Draw a token id from logits.

    Args:
        logits: (vocabulary size,).
        generator: of the draw.
        temperature: 0 takes the likeliest.
        top_k: keep that many (0: all).
        top_p: keep the fewest likeliest that have this probability together (Holtzman et al. 2020).

    Raises:
        InputError: the logits are not numbers.
    """
    if not bool(logits.isfinite().any()) or bool(logits.isnan().any()):
        raise InputError("the model's scores are not numbers; was it trained to the end, or is a clamp too large?")
    if temperature < COLDEST:
        return int(logits.argmax())
    logits = logits / temperature
    if 0 < top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -torch.inf)
    p = logits.softmax(-1)
    if top_p < 1:
        ordered, index = p.sort(descending=True)
        p[index[ordered.cumsum(0) - ordered >= top_p]] = 0  # the first that passes the threshold is kept
    return int(torch.multinomial(p, 1, generator=generator))


class Choosing(TypedDict, total=False):
    """The options of ``generate`` that choose the next token; ``generate`` describes each of them."""

    temperature: float
    top_k: int
    top_p: float
    seed: int | None
    stop_at_end: bool
    clamp: Clamps | None


@torch.no_grad()
def generate(
    model: LanguageModel,
    vocabulary: Vocabulary,
    prompt: str = "",
    *,
    count: int = 100,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int | None = None,
    stop_at_end: bool = False,
    clamp: Clamps | None = None,
) -> Iterator[str]:
    """Return an iterator over ``count`` tokens of text that go on from ``prompt``, each as the piece of text to print.

    The prompt is read, and bad arguments are refused, before the first piece is asked for.

    Args:
        model: of ``load_run``.
        vocabulary: the model's.
        prompt: text to go on from, one line.
        count: of tokens.
        temperature: as of :func:`choose`.
        top_k: as of :func:`choose`.
        top_p: as of :func:`choose`.
        seed: of the draws; by default another one each time.
        stop_at_end: whether the end of a line ends the text.
        clamp: as Recurrent's; step 0 reads the end of line before the prompt, step 1 the prompt's first token.

    Raises:
        InputError: a temperature below 0, a ``top_k`` below 0, or a ``top_p`` outside (0, 1].
    """
    for good, what in (
        (0 <= temperature < math.inf, f"temperature must be at least 0, and finite, not {temperature}"),
        (top_k >= 0, f"top_k must be at least 0, not {top_k}"),
        (0 < top_p <= 1, f"top_p must be above 0 and at most 1, not {top_p}"),
    ):
        if not good:
            raise InputError(what)
    generator = torch.Generator()
    generator.manual_seed(torch.seed() % 2**63 if seed is None else seed)
    model.eval()
    prompt_ids = [n for line in prompt.split("\n") for n in vocabulary.encode(line)][:-1]
    read = torch.tensor([[vocabulary.end], *([n] for n in prompt_ids)])
    try:
        logits, hx = model(read, clamp=clamp)
    except ValueError as error:
        raise InputError(str(error)) from None
    stream = model.stream(hx, [c.later(len(read)) for c in listed(clamp)])
    draw = partial(choose, generator=generator, temperature=temperature, top_k=top_k, top_p=top_p)
    last = prompt_ids[-1] if prompt_ids else vocabulary.end
    return _pieces(logits[-1, 0], stream, draw, vocabulary, last, count, stop_at_end)


@torch.no_grad()
def _pieces(
    scores: Tensor,
    stream: Callable[[int], Tensor],
    draw: Callable[[Tensor], int],
    vocabulary: Vocabulary,
    last: int,
    count: int,
    stop_at_end: bool,
) -> Iterator[str]:
    """Yield the text of ``count`` tokens: of each, its ``scores`` (tokens,) are drawn from, and the ``stream`` reads it."""
    pending: list[int] = []  # of byte pairs, which may break a character apart
    for _ in range(count):
        scores = scores.float()
        if vocabulary.unknown is not None:
            scores[vocabulary.unknown] = -torch.inf  # <unk> is no word to say
        token = draw(scores)
        pending.append(token)
        text = vocabulary.decode(pending)
        if not text.endswith("\ufffd") or len(pending) > 4:
            space = vocabulary.kind == "word" and last != vocabulary.end and token != vocabulary.end
            yield (" " if space else "") + text
            pending = []
        last = token
        if stop_at_end and token == vocabulary.end:
            return
        scores = stream(token)
