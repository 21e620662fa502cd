"""A model's values after each token of an encoded text, read as the model was trained."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from carousel.insight.search.states import BLOCK, Carry, Read
from carousel.language.model import LanguageModel
from carousel.text.encoded import EncodedText

AT_ONCE = 1 << 10  # tokens of a stream; blocks end where some of them end
ROWS, ROW = 64, 256  # of sentences read side by side: rows, and tokens that a row has at least
assert BLOCK % AT_ONCE == 0


def reader(model: LanguageModel, text: EncodedText, end: int, name: str, layer: int) -> Read:
    """Return a function that reads the text from a token on: in one piece, or each line on its own, as the model learnt.

    Args:
        model: a language model.
        text: to read.
        end: the token id of ``<eos>``.
        name: the quantity whose values it gives.
        layer: its number.
    """
    return partial(_stream if model.fresh_at is None else _lines, model, text, end, name, layer)


@torch.no_grad()
def _stream(
    model: LanguageModel, text: EncodedText, end: int, name: str, layer: int, first: int, carry: Carry | None
) -> Iterator[tuple[np.ndarray, Carry]]:
    model.eval()
    recurrent, embedding, ids = model.recurrent, model.embedding, text.ids
    if carry is None:
        hx = recurrent(embedding(torch.tensor([[end]], device=model.device)))[1]
    else:
        given = [x.to(model.device) for x in carry]
        hx = given[0] if len(given) == 1 else tuple(given)
    for begin in range(first, len(ids), AT_ONCE):
        x = torch.tensor(ids[begin : begin + AT_ONCE].astype(np.int64), device=model.device).unsqueeze(1)
        _, hx, recorded = recurrent(embedding(x), hx, record=[name])
        yield recorded[name][layer][:, 0].float().cpu().numpy(), hx if isinstance(hx, tuple) else (hx,)


@torch.no_grad()
def _lines(
    model: LanguageModel, text: EncodedText, end: int, name: str, layer: int, first: int, _: Carry | None
) -> Iterator[tuple[np.ndarray, Carry]]:
    """Read rows of whole lines side by side: each line begins anew, so nothing is carried."""
    model.eval()
    ends = np.asarray(text.ends)
    line = int(np.searchsorted(ends, first, "right"))
    begin = int(ends[line - 1]) if line else 0
    skipped = first - begin
    while begin < len(text):
        wanted = begin + ROW * np.arange(1, ROWS + 1)
        cuts = np.unique(ends[np.minimum(np.searchsorted(ends, wanted), len(ends) - 1)])
        rows = [text.ids[a:b].astype(np.int64) for a, b in zip([begin, *cuts], cuts, strict=False)]
        x = pad_sequence([torch.tensor([end, *row]) for row in rows], padding_value=end).to(model.device)
        values = model.recurrent(model.embedding(x), resets=model.resets(x), record=[name])[-1][name][layer]
        each = [values[1 : len(row) + 1, k] for k, row in enumerate(rows)]
        yield torch.cat(each).float().cpu().numpy()[skipped:], ()
        begin, skipped = int(cuts[-1]), 0
