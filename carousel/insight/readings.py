"""Two readings to patch one with the other: of a language model, which foretells a word, or of a translator, a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from carousel.errors import InputError
from carousel.insight.pairs import Pair, compare, match
from carousel.insight.patching import Readings
from carousel.insight.translating import followed, watch_translation
from carousel.language.model import LanguageModel
from carousel.layers import Clamp, Clamps
from carousel.layers.clamp import listed
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Read, Translator


def of_texts(
    model: LanguageModel,
    vocabulary: Vocabulary,
    a: str,
    b: str,
    *,
    answers: tuple[str, str] | None = None,
    at: int | None = None,
    clamps: Clamps | None = None,
) -> Readings:
    """Return a language model's readings of two texts, with the next words that tell them apart.

    Args:
        model: a language model.
        vocabulary: the model's.
        a: the text whose values are put into the other.
        b: the text that is patched.
        answers: a next word of A and one of B; by default the two words at which the texts differ the second time, and where
            they differ once, those whose probabilities part most.
        at: the number of the word in B after which they are foretold, 0 the end of line before the text; by default where the
            answers tell the texts apart most.
        clamps: valves to hold in both.

    Raises:
        InputError: the texts are alike, an answer is no token of the vocabulary, or ``at`` is no word from the first
            difference on.
    """
    pair, held = compare(model, vocabulary, a, b, clamps=clamps), listed(clamps)
    columns = range(pair.first, len(pair.places))
    ids = None if answers is None else tuple(_token(vocabulary, word) for word in answers)
    column = _column(pair, columns, ids) if at is None else _asked(pair, columns, at)
    first, second = ids or _parting(pair, column)
    i, j = pair.places[column]

    def odds(patches: Sequence[Clamp], rows: int) -> Tensor:
        return _odds(model, pair.b.ids[: j + 1], [*held, *patches], rows, first, second)

    with torch.no_grad():
        whole = tuple(
            float(_odds(model, ids[: k + 1], held, 1, first, second)) for ids, k in ((pair.a.ids, i), (pair.b.ids, j))
        )
    places = tuple(pair.places[c] for c in range(pair.first, column + 1))
    return Readings(
        pair.a.values,
        pair.b.values,
        places,
        tuple((pair.a.words[i], pair.b.words[j]) for i, j in places),
        (vocabulary.token(first), vocabulary.token(second)),
        odds,
        (whole[0], whole[1]),
        tuple(pair.a.chosen()),
    )


def _odds(model: LanguageModel, ids: Sequence[int], clamps: Sequence[Clamp], rows: int, first: int, second: int) -> Tensor:
    """Return for each row by how many bits ``first`` is likelier than ``second`` after token ids."""
    model.eval()
    x = torch.tensor(ids, device=model.device).unsqueeze(1).expand(-1, rows)
    h, _ = model.read(x, clamp=clamps)
    logits = model.output(h[-1], model.shared).float()
    return (logits[:, first] - logits[:, second]) / math.log(2)


def _token(vocabulary: Vocabulary, word: str) -> int:
    pieces = vocabulary.pieces(f" {word.strip()}" if vocabulary.kind == "bpe" else word)[:-1]
    if len(pieces) != 1 or pieces[0][1] == vocabulary.unknown:
        raise InputError(f"{word!r} is no token of the vocabulary, so it cannot be foretold; give a word that is one token")
    return pieces[0][1]


def _column(pair: Pair, columns: range, ids: tuple[int, ...] | None) -> int:
    """Return after which words the predictions are compared."""
    a, b = pair.a.chances, pair.b.chances
    assert a is not None and b is not None  # compare asks for them
    if ids is None:
        for c in columns[:-1]:
            (i, j), after = pair.places[c], pair.places[c + 1]
            if after == (i + 1, j + 1) and pair.a.ids[i + 1] != pair.b.ids[j + 1]:
                return c
        return columns[int(np.argmax([pair.divergence[c] for c in columns]))]
    with np.errstate(divide="ignore"):
        odds = [
            np.log(a[i, ids[0]] * b[j, ids[1]]) - np.log(a[i, ids[1]] * b[j, ids[0]])
            for i, j in map(pair.places.__getitem__, columns)
        ]
    return columns[int(np.nanargmax(np.abs(odds)))]


def _asked(pair: Pair, columns: range, at: int) -> int:
    found = [c for c in columns if pair.places[c][1] == at]
    if not found:
        raise InputError(f"word {at} of the second text stands for none of the first from the difference on; choose another")
    return found[0]


def _parting(pair: Pair, column: int) -> tuple[int, int]:
    """Return the words that the texts go on with where these differ, or else those whose probabilities part most."""
    i, j = pair.places[column]
    if column + 1 < len(pair.places) and pair.places[column + 1] == (i + 1, j + 1) and pair.a.ids[i + 1] != pair.b.ids[j + 1]:
        return pair.a.ids[i + 1], pair.b.ids[j + 1]
    assert pair.a.chances is not None and pair.b.chances is not None
    p, q = pair.a.chances[i].astype(float), pair.b.chances[j].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.log(p) - np.log(q)
    return int(np.nanargmax(p * part)), int(np.nanargmin(q * part))


def of_sentences(model: Translator, source: Vocabulary, target: Vocabulary, a: str, b: str) -> Readings:
    """Return a translator's readings of two sentences; the answers are their translations, word by word.

    Args:
        model: a translator, as ``followed`` takes it.
        source: the vocabulary that it reads.
        target: the vocabulary that it writes.
        a: the sentence whose values are put into the other.
        b: the sentence that is patched.

    Raises:
        InputError: the sentences are the same to the translator, or translated alike; the translator is one that ``followed``
            refuses.
    """
    followed(model)
    one, two = (watch_translation(model, source, target, text) for text in (a, b))
    places, first = match(one.words, two.words)
    if first is None or one.translation == two.translation:
        raise InputError("the two sentences are translated alike, so there is no difference to carry over")
    answers = [[*seen.ids[seen.source + 1 :], target.end] for seen in (one, two)]

    def odds(ids: Sequence[int], patches: Sequence[Clamp], rows: int) -> Tensor:
        model.eval()
        x = torch.tensor(ids, device=model.device).unsqueeze(1).expand(-1, rows)
        read = model.read(x, torch.full((rows,), len(ids)), patches)
        both = [_log_p(model, target.end, answer, read, rows) for answer in answers]
        return (both[0] - both[1]) / math.log(2)

    with torch.no_grad():
        whole = [float(odds(seen.ids[: seen.source], [], 1)) for seen in (one, two)]
    chosen = tuple(p for p in places[first:] if p[0] < one.source and p[1] < two.source)
    ids = two.ids[: two.source]
    return Readings(
        one.values,
        two.values,
        chosen,
        tuple((one.words[i], two.words[j]) for i, j in chosen),
        (one.translation, two.translation),
        lambda patches, rows: odds(ids, patches, rows),
        (whole[0], whole[1]),
        tuple(one.chosen()),
    )


def _log_p(model: Translator, end: int, answer: Sequence[int], read: Read, rows: int) -> Tensor:
    """Return log p of a translation in each row."""
    written = torch.tensor([end, *answer], device=model.device)
    h, _, _ = model.decode(written[:-1].unsqueeze(1).expand(-1, rows), read)
    logs = log_softmax(model.logits(h).float(), -1)
    return logs.gather(2, written[1:].reshape(-1, 1, 1).expand(-1, rows, 1)).sum((0, 2))
