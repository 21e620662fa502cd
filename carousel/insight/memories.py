"""A model's memories after each word of annotated sentences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.language.model import LanguageModel
from carousel.layers import Recurrent
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator

ROWS = 64  # sentences read at once


@torch.no_grad()
def memories(
    model: LanguageModel | Translator, vocabulary: Vocabulary, given: Sequence[Sentence], name: str, layer: int = -1
) -> list[Tensor]:
    """Return for each sentence, read on its own, ``name``'s value after each of its words: (words, units).

    Where a word is several pieces of the vocabulary, it is the value after the last of them. A language model reads an end
    of line first; of a translator the encoder's values are given.

    Args:
        model: a language model or a translator.
        vocabulary: that it reads.
        given: sentences.
        name: a state or another quantity of the cell.
        layer: its number; the last by default.

    Raises:
        InputError: the cell has nothing of that name, or the translator's encoder is a pyramid.
    """
    if isinstance(model, LanguageModel):
        recurrent, embedding, after_end = model.recurrent, model.embedding, True
    elif isinstance(model.encoder, Recurrent):
        recurrent, embedding, after_end = model.encoder, model.source_embedding, False
    else:
        raise InputError("memories after words are those of encoders whose steps are tokens; train without `subsample`")
    if name not in recurrent.units():
        raise InputError(f"this cell has nothing called {name!r}; it has {', '.join(recurrent.units())}")
    model.eval()
    each = []
    for begin in range(0, len(given), ROWS):
        batch = [read_words(vocabulary, s, after_end=after_end) for s in given[begin : begin + ROWS]]
        x = pad_sequence([torch.tensor(ids, device=model.device) for ids, _ in batch])
        values = recurrent(embedding(x), record=[name])[-1][name][layer]
        each += [values[ends, row].cpu() for row, (_, ends) in enumerate(batch)]
    return each


def read_words(vocabulary: Vocabulary, sentence: Sentence, *, after_end: bool) -> tuple[list[int], list[int]]:
    """Return the token ids of a sentence, without its end, and for each word the step at which its last is read."""
    ids, ends = [vocabulary.end] * after_end, []
    for k, word in enumerate(sentence.words):
        pieces = vocabulary.pieces(f" {word}" if k and vocabulary.kind != "word" else word)[:-1]
        ids += [n for _, n in pieces]
        ends.append(len(ids) - 1)
    return ids, ends
