"""A translator's gates and memory while it reads a sentence and writes it in the other language."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from carousel.errors import InputError
from carousel.insight.watch import Watched, watched_names
from carousel.layers import Clamps
from carousel.layers.clamp import listed
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator

MORE = 20  # words that a translation may have beyond twice the source's


@dataclass(frozen=True)
class Translated(Watched):
    """A sentence of S tokens (its end included) as a translator has read it, and the T words that it has then written.

    ``words``, ``values`` and the rest run over both, the decoder's first step, which reads the target's end of line, at
    S: the decoder begins with the states that the encoder kept, so a memory can be followed all the way. ``surprisal`` is of
    the written words. ``source`` is S, ``translation`` the written words as text.
    """

    source: int = 0
    translation: str = ""

    def as_dict(self, digits: int = 4) -> dict[str, Any]:
        """Return the values that JSON shows, rounded."""
        return super().as_dict(digits) | {"source": self.source, "translation": self.translation}


@torch.no_grad()
def watch_translation(
    model: Translator,
    source: Vocabulary,
    target: Vocabulary,
    text: str,
    *,
    clamps: Clamps | None = None,
    predictions: int = 8,
) -> Translated:
    """Translate a sentence, taking the likeliest word each time (never ``<unk>``), and write down all that happens on the way.

    Args:
        model: a translator without attention, whose encoder and decoder are alike.
        source: the vocabulary that it reads.
        target: the vocabulary that it writes.
        text: one sentence.
        clamps: valves to hold; steps are counted through: 0 to S − 1 read the sentence's tokens and its end, S reads the
            target's end of line, S + 1 the first word that was written.
        predictions: how many of the likeliest next words to give for each step of the decoder.

    Raises:
        InputError: for an empty text or one of several lines, a clamp that the cell does not have, or a translator whose
            encoder and decoder are not alike (two directions, other numbers of layers) or have attention between them, so that
            more than the memory is handed over.
    """
    followed(model)
    if len(text.strip().splitlines()) != 1:
        raise InputError("give one sentence, on one line")
    model.eval()
    pieces = source.pieces(text.strip())
    read = torch.tensor([n for _, n in pieces], device=model.device).unsqueeze(1)
    steps, names, held = len(pieces), watched_names(model.encoder), listed(clamps)
    try:
        _, _, before = model.encoder(model.source_embedding(read), record=names, clamp=held)
        start = model.read(read, torch.tensor([steps]), held)
        after = [c.later(steps) for c in held]
        written = [target.end]
        while len(written) == 1 or (written[-1] != target.end and len(written) < 2 * steps + MORE):
            logs = _logs(model, written, start, after)
            chances = logs[-1].clone()
            if target.unknown is not None:
                chances[target.unknown] = -torch.inf
            written.append(int(chances.argmax()))
    except ValueError as error:
        raise InputError(str(error)) from None
    decoded = written[:-1]
    x = torch.tensor(decoded, device=model.device).unsqueeze(1)
    _, _, during = model.decoder(model.embedding(x), start.states[0], record=names, clamp=after)
    top = logs.topk(min(predictions, logs.shape[1]))
    likely = [
        tuple((target.token(n), math.exp(p)) for p, n in zip(ps, ns, strict=True))
        for ps, ns in zip(top.values.tolist(), top.indices.tolist(), strict=True)
    ]
    bits = (-logs[range(len(decoded)), written[1:]] / math.log(2)).tolist()
    cell = model.encoder.cell
    words = written[1:-1] if written[-1] == target.end else written[1:]
    return Translated(
        tuple([w for w, _ in pieces] + [target.token(n) for n in decoded]),
        tuple([n for _, n in pieces] + decoded),
        tuple([n != source.unknown for _, n in pieces] + [n != target.unknown for n in decoded]),
        tuple([None] * (steps + 1) + bits[:-1]),
        {n: torch.cat([before[n], during[n]], 1)[:, :, 0].cpu().numpy() for n in names},
        tuple(g for g in cell.gates if g in names),
        tuple(s for s in cell.states if s in names),
        tuple([()] * steps + likely),
        source=steps,
        translation=target.decode(words).strip(),
    )


def followed(model: Translator) -> None:
    """Raise InputError where encoder and decoder are not alike, or where the decoder sees more than the encoder's memory."""
    encoder, decoder = model.encoder, model.decoder
    if encoder.directions > 1 or model.attention is not None or encoder.num_layers != decoder.num_layers:
        raise InputError(
            "a memory can be followed from one language into the other only where encoder and decoder have as many layers, "
            "in one direction, without attention between them; train with `attention` none"
        )


def _logs(model: Translator, written: Sequence[int], start: Any, clamps: Clamps) -> Tensor:
    """Return log p of the word after each written one, (T, words)."""
    x = torch.tensor(written, device=model.device).unsqueeze(1)
    return log_softmax(model.logits(model.decode(x, start, clamp=clamps)[0][:, 0]).float(), -1)
