"""Decoders from probabilities to transcriptions: the best path, and prefix beam search with a language model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn.functional import ctc_loss

from carousel.errors import InputError
from carousel.transcription.model import BLANK

Prefix = tuple[int, ...]
NEVER = -math.inf
LEAST = 1e-6  # labels less likely at a step do not extend a prefix there


class Foretelling(Protocol):
    """A model of the next label, such as ``language.Foreteller``."""

    def ahead(self, prefixes: Sequence[Prefix]) -> list[np.ndarray]:
        """Return for each prefix the log-probabilities of the end, which stands first, and of the labels, (labels + 1,)."""
        ...


@dataclass(frozen=True)
class Found:
    """A transcription that beam search found.

    Attributes:
        ids: the labels, from 1.
        log_probability: log p of the transcription in nats, over the paths that the beam followed.
        score: by which it is ranked: log p + α log p of the language model + β times the number of labels.
    """

    ids: Prefix
    log_probability: float
    score: float


def greedy(logs: np.ndarray) -> Prefix:
    """Return the labels of the likeliest path, with repeated outputs merged and blanks removed.

    Args:
        logs: log-probabilities (T, labels + 1), the blank's first.
    """
    best = logs.argmax(1)
    begins = np.flatnonzero(np.diff(best, prepend=-1))
    return tuple(int(k) for k in best[begins] if k != BLANK)


def beam_search(
    logs: np.ndarray,
    width: int = 10,
    *,
    foreteller: Foretelling | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
    least: float = LEAST,
) -> list[Found]:
    """Return the likeliest transcriptions, best first, by prefix beam search (Hannun, Maas, Jurafsky and Ng 2014).

    Each prefix has two probabilities: of the paths that end in a blank and of the paths that end in a label. Only after a blank
    is an equal label a new one. With a language model, prefixes are ranked by log p + α log p(prefix) + β |prefix|; in the end
    the probability of the end counts as well.

    Args:
        logs: log-probabilities (T, labels + 1), the blank's first.
        width: number of prefixes to keep at each step.
        foreteller: a language model of the labels.
        alpha: weight α of its log-probability.
        beta: bonus β of each label, in nats.
        least: probability below which a label does not extend a prefix; 0: all labels do.

    Raises:
        InputError: ``width`` is below 1.
    """
    if width < 1:
        raise InputError(f"a beam is at least 1 wide, not {width}")
    beam: dict[Prefix, tuple[float, float]] = {(): (0.0, NEVER)}  # log p of paths that end in a blank, and in a label
    fluency: dict[Prefix, float] = {(): 0.0}
    ahead: dict[Prefix, np.ndarray] = {}
    bound = math.log(least) if least > 0 else NEVER

    def expect(prefixes: Sequence[Prefix]) -> None:
        missing = [p for p in prefixes if p not in ahead]
        if foreteller is not None and missing:
            ahead.update(zip(missing, foreteller.ahead(missing), strict=True))

    def score(prefix: Prefix, chance: float) -> float:
        return chance + alpha * fluency[prefix] + beta * len(prefix)

    for row in logs.tolist():
        tried = [k for k, chance in enumerate(row) if k != BLANK and chance >= bound and chance > NEVER]
        if tried:
            expect(list(beam))
        grown: dict[Prefix, tuple[float, float]] = {}
        for prefix, (blank, label) in beam.items():
            both = _added(blank, label)
            last = prefix[-1] if prefix else None
            _grow(grown, prefix, both + row[BLANK], NEVER)
            if last is not None:
                _grow(grown, prefix, NEVER, label + row[last])
            for k in tried:
                longer = (*prefix, k)
                _grow(grown, longer, NEVER, (blank if k == last else both) + row[k])
                if longer not in fluency:
                    fluency[longer] = fluency[prefix] + float(ahead[prefix][k]) if foreteller is not None else 0.0
        ranked = sorted(grown, key=lambda p: -score(p, _added(*grown[p])))
        beam = {prefix: grown[prefix] for prefix in ranked[:width]}
    expect(list(beam))
    found = []
    for prefix, chances in beam.items():
        end = alpha * float(ahead[prefix][0]) if foreteller is not None else 0.0
        chance = _added(*chances)
        if chance > NEVER:
            found.append(Found(prefix, chance, score(prefix, chance) + end))
    return sorted(found, key=lambda f: -f.score)


def _grow(grown: dict[Prefix, tuple[float, float]], prefix: Prefix, blank: float, label: float) -> None:
    before = grown.get(prefix, (NEVER, NEVER))
    grown[prefix] = _added(before[0], blank), _added(before[1], label)


def _added(a: float, b: float) -> float:
    """Return log(eᵃ + eᵇ)."""
    if a < b:
        a, b = b, a
    return a if b == NEVER else a + math.log1p(math.exp(b - a))


def log_probabilities(logs: np.ndarray, transcriptions: Sequence[Prefix]) -> np.ndarray:
    """Return log p of each transcription in nats, over all its paths, (N,); -inf where it has none.

    Args:
        logs: log-probabilities (T, labels + 1), the blank's first.
        transcriptions: labels, from 1.
    """
    count = len(transcriptions)
    lengths = torch.tensor([len(t) for t in transcriptions])
    rows = torch.from_numpy(logs).double().unsqueeze(1).expand(-1, count, -1)
    labels = torch.tensor([k for t in transcriptions for k in t], dtype=torch.long)
    steps = torch.full((count,), len(logs))
    return -ctc_loss(rows, labels, steps, lengths, blank=BLANK, reduction="none").numpy()


def together(logs: Sequence[np.ndarray], found: Sequence[Sequence[Found]]) -> list[Found]:
    """Return what searches of several models found, best first by the mean of the models' log p of a transcription.

    What the searches added to log p, for a language model and a length, counts as before.

    Args:
        logs: of each model the log-probabilities (T, labels + 1); T may differ.
        found: of each model the transcriptions that it found.
    """
    added = {f.ids: f.score - f.log_probability for own in found for f in own}
    chances = np.mean([log_probabilities(own, list(added)) for own in logs], axis=0)
    ranked = [Found(ids, float(p), float(p) + more) for p, (ids, more) in zip(chances, added.items(), strict=True)]
    return sorted(ranked, key=lambda f: -f.score)


def aligned(logs: np.ndarray, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first step of each label, and the step after its last, on a transcription's likeliest path (Viterbi).

    Args:
        logs: log-probabilities (T, labels + 1), the blank's first.
        ids: the labels, from 1.

    Raises:
        InputError: no path becomes the transcription.
    """
    stations = [BLANK]
    for k in ids:
        stations += [k, BLANK]
    wanted = np.array(stations)
    # A label may follow the one before at once, where the two differ.
    jumps = np.array([s >= 3 and s % 2 == 1 and wanted[s] != wanted[s - 2] for s in range(len(wanted))])
    best = np.full(len(wanted), NEVER)
    best[:2] = logs[0, wanted[:2]]
    came = np.zeros((len(logs), len(wanted)), np.int64)
    for t in range(1, len(logs)):
        ways = np.stack([best, np.concatenate([[NEVER], best])[: len(best)], np.concatenate([[NEVER] * 2, best])[: len(best)]])
        ways[2, ~jumps] = NEVER
        came[t] = ways.argmax(0)
        best = ways.max(0) + logs[t, wanted]
    at = len(wanted) - 1 - int(len(wanted) > 1 and best[-2] > best[-1])
    if best[at] == NEVER:
        raise InputError(f"{len(ids)} labels have no path through {len(logs)} steps")
    path = [at]
    for t in range(len(logs) - 1, 0, -1):
        path.append(path[-1] - int(came[t, path[-1]]))
    places = np.array(path[::-1])
    spans = [np.flatnonzero(places == 2 * k + 1) for k in range(len(ids))]
    return [(int(s[0]), int(s[-1]) + 1) for s in spans]
