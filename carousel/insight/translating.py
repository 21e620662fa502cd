"""A translator's gates and memory while it reads a sentence and writes it in the other language."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from carousel.errors import InputError
from carousel.insight.watch import Watched, watched_names
from carousel.layers import Clamp, Clamps
from carousel.layers.clamp import check, listed
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator, ends

MORE = 20  # words that a translation may have beyond twice the source's


@dataclass(frozen=True)
class Translated(Watched):
    """A sentence of S tokens (its end included) as a translator has read it, and the T words that it has then written.

    ``words``, ``values`` and the rest run over both, the decoder's first step, which reads the target's end of line, at
    S: the decoder begins with the states that the encoder kept, so a memory can be followed all the way. ``surprisal`` is of
    the written words. ``source`` is S, ``translation`` the written words as text. Of each step of the decoder, ``written`` is
    the word that it has chosen, and ``attention``, (T, S), tells how much of it went to each of the source's tokens.

    ``values`` have a row for each layer; where the encoder reads in two directions a layer has two, forwards first. What
    either of the two networks lacks (the decoder has no backward rows) is masked. A step of a pyramid's layer that reads
    several tokens stands at the last of them, in ``values`` and ``attention``; at the others ``values`` are masked.
    """

    source: int = 0
    translation: str = ""
    written: tuple[str, ...] = ()
    attention: np.ndarray | None = None

    def as_dict(self, digits: int = 4) -> dict[str, Any]:
        """Return the values that JSON shows, rounded; a unit that is not there is None."""
        looked = None if self.attention is None else np.round(self.attention.astype(float), digits).tolist()
        told = {"source": self.source, "translation": self.translation, "written": list(self.written), "attention": looked}
        return super().as_dict(digits) | told


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
        model: a translator.
        source: the vocabulary that it reads.
        target: the vocabulary that it writes.
        text: one sentence.
        clamps: valves to hold; steps are counted through: 0 to S − 1 read the sentence's tokens and its end, S reads the
            target's end of line, S + 1 the first word that was written. ``layer`` is of the encoder and of the decoder.
        predictions: how many of the likeliest next words to give for each step of the decoder.

    Raises:
        InputError: for an empty text or one of several lines, or a clamp that the cell does not have.
    """
    if len(text.strip().splitlines()) != 1:
        raise InputError("give one sentence, on one line")
    model.eval()
    pieces = source.pieces(text.strip())
    read = torch.tensor([n for _, n in pieces], device=model.device).unsqueeze(1)
    encoder, steps, held = model.encoder, len(pieces), listed(clamps)
    names, cell = watched_names(model.encoder_layers()[0][0]), encoder.cell
    try:
        check(held, cell, [encoder.units()] * model.depth)
    except ValueError as error:
        raise InputError(str(error)) from None
    depths = [encoder.num_layers, model.decoder.num_layers, 0 if model.upper is None else model.upper.num_layers]
    reading = _of_layers(held, 0, depths[0])
    _, _, before = encoder(model.packed(read, torch.tensor([steps])), record=names, clamp=reading)
    start = model.read(read, torch.tensor([steps]), reading)
    states, ids, logs, seen, looked = start.states, [target.end], [], [], []
    while len(ids) == 1 or (ids[-1] != target.end and len(ids) < 2 * steps + MORE):
        at, x = steps + len(ids) - 1, torch.tensor([ids[-1:]], device=model.device)
        now = [c.later(at) for c in held]
        writing = [_of_layers(now, 0, depths[1]), _of_layers(now, *depths[1:])]
        h, states, weights, recorded = model.decode_watched(x, start, states, names, writing)
        seen.append({n: torch.cat([each[n] for each in recorded])[:, 0, 0] for n in names})
        if weights is not None:
            looked.append(model.at_tokens(weights[0, 0], steps))
        logs.append(log_softmax(model.logits(h[0]).float(), -1)[0])
        chances = logs[-1].clone()
        if target.unknown is not None:
            chances[target.unknown] = -torch.inf
        ids.append(int(chances.argmax()))
    decoded, chosen = ids[:-1], ids[1:]
    tops = [each.topk(min(predictions, len(each))) for each in logs]
    likely = [
        tuple((target.token(n), math.exp(p)) for p, n in zip(top.values.tolist(), top.indices.tolist(), strict=True))
        for top in tops
    ]
    bits = [-float(each[n]) / math.log(2) for each, n in zip(logs, chosen, strict=True)]
    return Translated(
        tuple([w for w, _ in pieces] + [target.token(n) for n in decoded]),
        tuple([n for _, n in pieces] + decoded),
        tuple([n != source.unknown for _, n in pieces] + [n != target.unknown for n in decoded]),
        (*[None] * (steps + 1), *bits[:-1]),
        _values(model, steps, before, seen),
        tuple(g for g in cell.gates if g in names),
        tuple(s for s in cell.states if s in names),
        tuple([()] * steps + likely),
        source=steps,
        translation=target.decode(chosen[:-1] if chosen[-1] == target.end else chosen).strip(),
        written=tuple(target.token(n) for n in chosen),
        attention=torch.stack(looked).cpu().numpy() if looked else None,
    )


def followed(model: Translator) -> None:
    """Raise InputError where encoder and decoder are not alike, or where the decoder sees more than the encoder's memory."""
    encoder, decoder = model.encoder, model.decoder
    if model.factors[-1] > 1:
        raise InputError("a memory can be followed from token to token only where each is a step; train without `subsample`")
    if encoder.directions > 1 or model.attention is not None or encoder.num_layers != decoder.num_layers:
        raise InputError(
            "a memory can be followed from one language into the other only where encoder and decoder have as many layers, "
            "in one direction, without attention between them; train with `attention` none"
        )


def _values(
    model: Translator, steps: int, read: Mapping[str, Sequence[Tensor]], written: Sequence[Mapping[str, Tensor]]
) -> dict[str, np.ndarray]:
    """Return all quantities by name, (rows, S + T, units), from those of the encoder's rows and of each step of the decoder."""
    directions, found = model.encoder.directions, {}
    for name, rows in read.items():
        after = torch.stack([each[name] for each in written], 1).cpu().numpy()
        shape = model.depth * directions, steps + after.shape[1], after.shape[2]
        values = np.ma.masked_array(np.zeros(shape, after.dtype), mask=True)
        for row, x in enumerate(rows):
            values[row, ends(len(x), model.factors[row // directions], steps)] = x[:, 0].cpu().numpy()
        values[: len(after) * directions : directions, steps:] = after
        found[name] = values if values.mask.any() else values.data
    return found


def _of_layers(clamps: Sequence[Clamp], first: int, count: int) -> list[Clamp]:
    """Return the clamps that hold in ``count`` layers from the first on, counted from there."""
    chosen = [c for c in clamps if c.layer is None or first <= c.layer < first + count]
    return [c if c.layer is None else replace(c, layer=c.layer - first) for c in chosen]
