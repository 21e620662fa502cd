"""Whether a model lets the right words agree, also when a valve is held at the moment that matters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.insight.probes import span
from carousel.language.model import LanguageModel
from carousel.layers import Clamp, Clamps
from carousel.layers.clamp import listed
from carousel.text.vocabulary import Vocabulary

ROWS = 64  # sentences read at once
PLACES, WORDS = ("before", "at", "after"), (1, 2, 3)
Tick = Callable[[int, int], object]


@dataclass(frozen=True)
class Agreement:
    """Counts of right forms that were likelier than the wrong one, and of all: by kind, distance and attractors."""

    right: dict[str, tuple[int, int]]

    def share(self, key: str = "all") -> float:
        """Return the share of right ones, from 0 to 1; NaN where there is none."""
        good, of = self.right.get(key, (0, 0))
        return good / of if of else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        return {key: {"right": good, "of": of, "share": round(good / of, 4)} for key, (good, of) in self.right.items()}


@torch.no_grad()
def agreement(
    model: LanguageModel,
    vocabulary: Vocabulary,
    given: Iterable[Sentence],
    *,
    clamps: Clamps | Callable[[Sentence], Clamps] | None = None,
) -> Agreement:
    """Measure how often a model finds the right form likelier than a wrong one.

    Each sentence is read on its own after an end of line.

    Args:
        model: a language model over words.
        vocabulary: the model's.
        given: sentences with their agreeing words.
        clamps: as a layer's (step 0 reads the end of line, step k + 1 the word at position k); or a function from a sentence
            to them.

    Returns:
        How often, in all and by kind, distance and attractors.

    Raises:
        InputError: the vocabulary cannot tell the forms apart, or is not one of words; or a clamp is not the cell's.
    """
    if vocabulary.kind != "word":
        raise InputError(f"agreement is measured on words, not {vocabulary.kind} tokens; train with `vocabulary` word")
    model.eval()
    counts: dict[str, list[int]] = {}
    groups: dict[tuple[Clamp, ...], list[Sentence]] = {}
    for s in given:
        groups.setdefault(tuple(listed(clamps(s) if callable(clamps) else clamps)), []).append(s)
    for held, each in groups.items():
        for begin in range(0, len(each), ROWS):
            _count(model, vocabulary, each[begin : begin + ROWS], held, counts)
    if not counts:
        raise InputError("none of the sentences has a word that should agree (targets)")
    return Agreement({key: (a, b) for key, (a, b) in sorted(counts.items())})


def _count(
    model: LanguageModel, vocabulary: Vocabulary, batch: list[Sentence], clamps: Clamps, counts: dict[str, list[int]]
) -> None:
    ids = [torch.tensor([vocabulary.end, *vocabulary.encode(s.text)], device=model.device) for s in batch]
    try:
        logits, _ = model(pad_sequence(ids, padding_value=vocabulary.end), clamp=clamps)
    except ValueError as error:
        raise InputError(str(error)) from None
    for row, s in enumerate(batch):
        for t in s.targets:
            right, wrong = (vocabulary.encode(w)[0] for w in (t.right, t.wrong))
            if vocabulary.unknown in (right, wrong):
                raise InputError(f"the run does not know {t.right!r} or {t.wrong!r}; was it trained on this corpus?")
            good = bool(logits[t.position, row, right] > logits[t.position, row, wrong])
            for key in ("all", t.kind, f"distance {span(t.distance)}", f"attractors {min(t.attractors, 2)}"):
                count = counts.setdefault(key, [0, 0])
                count[0] += good
                count[1] += 1


def near_subject(clamps: Sequence[Clamp], offset: int = 0, count: int = 1) -> Callable[[Sentence], list[Clamp]]:
    """Return the clamps for ``count`` words, from ``offset`` words after the subject's noun on (0: with the noun itself)."""

    def placed(sentence: Sentence) -> list[Clamp]:
        if sentence.subject is None:
            return []
        begin = sentence.subject + 1 + offset
        return [replace(c, begin=max(begin, 0), end=max(begin + count, 0)) for c in clamps]

    return placed


@dataclass(frozen=True)
class Shut:
    """Agreement with a valve shut for ``count`` words: the last ones "before" the subject's noun (fewer where there are no
    more, the end of line before the sentence included), "at" it and after, or the ones "after" it.
    """

    valve: str
    place: str
    count: int
    agreement: Agreement


def shut_valves(
    model: LanguageModel,
    vocabulary: Vocabulary,
    given: Sequence[Sentence],
    tick: Tick | None = None,
) -> list[Shut]:
    """Measure agreement with every valve shut in turn, in all places, for 1 to 3 words.

    Args:
        model: a language model over words.
        vocabulary: the model's.
        given: sentences with their agreeing words.
        tick: called with the measurements done, and their number.

    Raises:
        InputError: as :func:`agreement`; or the cell has no valve.
    """
    if not model.recurrent.cell.gates:
        raise InputError(f"the cell {model.recurrent.cell.name} has no valve to shut")
    plan = [(g, place, n) for g in model.recurrent.cell.gates for place in PLACES for n in WORDS]
    measured = []
    for valve, place, n in plan:
        offset = {"before": -n, "at": 0, "after": 1}[place]
        clamps = near_subject([Clamp(valve, 0.0)], offset, n)
        measured.append(Shut(valve, place, n, agreement(model, vocabulary, given, clamps=clamps)))
        if tick:
            tick(len(measured), len(plan))
    return measured
