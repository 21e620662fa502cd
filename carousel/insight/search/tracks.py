"""Tracks of annotation beside a text: for each token the label of a property that holds once it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.insight.memories import read_words
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Track:
    """A property of the text: its labels, and for each token the number of its label, (tokens,); −1 where it has none."""

    labels: tuple[str, ...]
    codes: np.ndarray

    def at(self, token: int) -> str | None:
        """Return the label of a token."""
        code = int(self.codes[token])
        return None if code < 0 else self.labels[code]


@dataclass(frozen=True)
class Described:
    """The label of a property that goes best with being on, among the tokens that have a label of it, as for a probe.

    ``precision``: of the tokens that are on, the share that have the label; ``recall``: of those that have the label, the
    share that are on; ``share``: of all, those that have the label. ``correlation``: Matthews', 0 by chance, 1 for the same.
    """

    property: str
    label: str
    precision: float
    recall: float
    share: float
    correlation: float

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        return {k: v if isinstance(v, str) else round(v, 4) for k, v in vars(self).items()}


def tracks(given: Sequence[Sentence], text: EncodedText, vocabulary: Vocabulary) -> dict[str, Track]:
    """Return the tracks of annotated sentences that are the lines of a text; empty lines count for nothing.

    A label holds from the last token of its word until the next word is read; at the end of a line none holds.

    Raises:
        InputError: the sentences are not the text's lines.
    """
    ends = np.asarray(text.ends)
    begins = np.concatenate([[0], ends[:-1]])
    filled = np.flatnonzero(ends - begins > 1)
    if len(filled) != len(given):
        raise InputError(f"the text has {len(filled):,} lines, and {len(given):,} are annotated")
    names = sorted({name for s in given for name in s.labels})
    found: dict[str, dict[str, int]] = {name: {} for name in names}
    codes = {name: np.full(len(text), -1, np.int16) for name in names}
    for line, s in zip(filled.tolist(), given, strict=True):
        begin, end = int(begins[line]), int(ends[line]) - 1
        ids, last = read_words(vocabulary, s, after_end=False)
        if ids != text.ids[begin:end].tolist():
            raise InputError(f"line {line + 1} of the text is not the annotated sentence {s.text[:60]!r}")
        for name, values in s.labels.items():
            for value, a, b in zip(values, last, [*last[1:], end - begin], strict=True):
                if value is not None:
                    known = found[name]
                    codes[name][begin + a : begin + b] = known.setdefault(str(value), len(known))
    return {name: Track(tuple(found[name]), codes[name]) for name in names}


def described(given: Mapping[str, Track], on: np.ndarray) -> list[Described]:
    """Return for each property the label that goes best with being on, (tokens,) of bool; the best first."""
    each = []
    for name, track in given.items():
        count = len(track.labels)
        both, whole = (
            np.bincount(codes + 1, minlength=count + 1)[1:].astype(float) for codes in (track.codes[on], track.codes)
        )
        if count < 2 or not both.sum():
            continue
        inside, total = both.sum(), whole.sum()
        spread = np.sqrt(whole * (total - whole) * inside * (total - inside))
        correlation = (both * total - whole * inside) / np.maximum(spread, 1e-12)
        k = int(correlation.argmax())
        shares = [float(x) for x in (both[k] / inside, both[k] / whole[k], whole[k] / total, correlation[k])]
        each.append(Described(name, track.labels[k], *shares))
    return sorted(each, key=lambda d: -d.correlation)
