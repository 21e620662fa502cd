"""A model's memories after each word of annotated sentences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.language.model import LanguageModel
from carousel.text.vocabulary import Vocabulary

ROWS = 64  # sentences read at once


@torch.no_grad()
def memories(
    model: LanguageModel, vocabulary: Vocabulary, given: Sequence[Sentence], name: str, layer: int = -1
) -> list[Tensor]:
    """Return for each sentence, read on its own after an end of line, ``name``'s value after each of its words: (words, units).

    Where a word is several pieces of the vocabulary, it is the value after the last of them.

    Args:
        model: a language model.
        vocabulary: the model's.
        given: sentences.
        name: a state or another quantity of the cell.
        layer: its number; the last by default.

    Raises:
        InputError: the cell has nothing of that name.
    """
    recurrent = model.recurrent
    if name not in recurrent.units():
        raise InputError(f"this cell has nothing called {name!r}; it has {', '.join(recurrent.units())}")
    model.eval()
    each = []
    for begin in range(0, len(given), ROWS):
        batch = [_read(vocabulary, s) for s in given[begin : begin + ROWS]]
        x = pad_sequence([torch.tensor(numbers, device=model.device) for numbers, _ in batch])
        values = recurrent(model.embedding(x), record=[name])[-1][name][layer]
        each += [values[ends, row].cpu() for row, (_, ends) in enumerate(batch)]
    return each


def _read(vocabulary: Vocabulary, sentence: Sentence) -> tuple[list[int], list[int]]:
    """Return the token ids that the model reads, and the steps at which the words have been read."""
    numbers, ends = [vocabulary.end], []
    for k, word in enumerate(sentence.words):
        pieces = vocabulary.pieces(f" {word}" if k and vocabulary.kind != "word" else word)[:-1]
        numbers += [n for _, n in pieces]
        ends.append(len(numbers) - 1)
    return numbers, ends
