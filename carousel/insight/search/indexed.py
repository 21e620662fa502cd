"""A text whose states are indexed, and the questions that it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from carousel.errors import InputError
from carousel.insight.search.peaks import extremes, nearest
from carousel.insight.search.states import States, in_halves
from carousel.insight.search.switches import Off, Switch, places, runs, switches
from carousel.insight.search.tracks import Described, Track, described
from carousel.insight.watch import watch
from carousel.language.model import LanguageModel
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary

CONTEXT = {"word": 8, "bpe": 16, "char": 40}  # tokens before and after a place


@dataclass(frozen=True)
class Excerpt:
    """A place of the text, tokens [``begin``, ``end``), in its context.

    ``line``: of its first token, counted from 1. ``words``: the tokens of the context as text, of which [``first``, ``stop``)
    are the place; ``tracks``: their labels by property. ``units``: the switches that do there as on the span. ``value``: of
    the unit, or the distance of the state.
    """

    begin: int
    end: int
    line: int
    words: tuple[str, ...]
    first: int
    stop: int
    tracks: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    units: tuple[Switch, ...] = ()
    value: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        value = {} if self.value is None else {"value": round(self.value, 5)}
        units = {"units": [[s.unit, s.sign] for s in self.units]} if self.units else {}
        place = {"begin": self.begin, "end": self.end, "line": self.line, "first": self.first, "stop": self.stop}
        return {**place, **units, **value, "words": [*self.words], "tracks": {k: [*v] for k, v in self.tracks.items()}}


@dataclass(frozen=True)
class Alone:
    """A switch by itself: over how many places and tokens of the text it is on, and by property the label that goes with it."""

    switch: Switch
    places: int
    tokens: int
    described: tuple[Described, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        counts = {"places": self.places, "words": self.tokens}
        return {"unit": self.switch.unit, "sign": self.switch.sign, **counts, "labels": [d.as_dict() for d in self.described]}


@dataclass(frozen=True)
class Alike:
    """Places where units do as on a span of words.

    ``words``: of the text that was read; [``begin``, ``end``) is the span. ``units``: on over the span and off around it, each
    by itself in the text that is searched. ``counts``: by the number of these units that share a place, how many places.
    ``best``: the best of them.
    """

    words: tuple[str, ...]
    begin: int
    end: int
    threshold: float
    off: str
    units: tuple[Alone, ...]
    counts: dict[int, int]
    best: tuple[Excerpt, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        return {
            "words": [*self.words],
            "span": [self.begin, self.end],
            "threshold": self.threshold,
            "off": self.off,
            "units": [u.as_dict() for u in self.units],
            "places": {str(k): n for k, n in self.counts.items()},
            "best": [e.as_dict() for e in self.best],
        }


class Indexed:
    """A text and a model's states after each of its tokens, on the disk.

    Args:
        model: a language model.
        vocabulary: the model's.
        text: the text, encoded.
        states: of the text.
        tracks: annotation of the text, by property.
    """

    def __init__(
        self,
        model: LanguageModel,
        vocabulary: Vocabulary,
        text: EncodedText,
        states: States,
        tracks: Mapping[str, Track] | None = None,
    ):
        self.model, self.vocabulary, self.text, self.states = model, vocabulary, text, states
        self.tracks = dict(tracks or {})
        ends = np.asarray(text.ends)
        # A line that is read on its own begins with the end of line before it, after which nothing is read yet.
        self.separate = model.fresh_at is not None
        self.starts = np.unique([0, *(ends - 1)]) if self.separate else np.concatenate([[0], ends[:-1]])
        self.left_out = ends - 1 if self.separate else np.zeros(0, np.int64)
        self.borders = self.starts if self.separate else self.left_out

    def __len__(self) -> int:
        return len(self.text)

    @property
    def name(self) -> str:
        """The quantity whose values are indexed."""
        return self.states.facts.name

    @property
    def layer(self) -> int:
        """The number of its layer."""
        return self.states.facts.layer

    def like(
        self,
        text: str,
        span: tuple[int, int] | None = None,
        *,
        threshold: float = 0.3,
        off: Off = "both",
        count: int = 10,
        context: int | None = None,
    ) -> Alike:
        """Return the places where the units that are on over a span of words do the same (LSTMVis, Strobelt et al. 2018).

        Args:
            text: to read.
            span: its first word and the word after its last; word 0 is the end of line before the text. By default all words.
            threshold: a unit is on where its value, or the value's opposite, is at least that.
            off: the sides of the span on which the units must be off: both, before, after.
            count: of places.
            context: tokens before and after each.

        Raises:
            InputError: the text is empty, it has no such span, or no unit is on over the span and off beside it.
        """
        words, values = self._read(text)
        begin, end = span or (1, len(words))
        found = switches(values, begin, end, threshold, off)
        if not found:
            sides = {"both": "before and after", "before": "before", "after": "after"}[off]
            raise InputError(
                f"no unit of {self.name} is on over {' '.join(words[begin:end])!r} and off {sides} it at `threshold` "
                f"{threshold:g}; try another threshold or span, or ask for one side with `off`"
            )
        each = [runs(self.states, s, threshold, self.borders) for s in found]
        ranked = places(each, end - begin, off, count)
        best = [self.excerpt(p.begin, p.end, context, units=tuple(found[k] for k in p.by)) for p in ranked.best]
        alone = tuple(self._alone(s, a, b) for s, (a, b) in zip(found, each, strict=True))
        return Alike(words, begin, end, threshold, off, alone, ranked.counts, tuple(best))

    def nearest(self, text: str, at: int = -1, *, count: int = 10, context: int | None = None) -> list[Excerpt]:
        """Return the places whose values are nearest to those after a word of another text, by Euclidean distance.

        Args:
            text: to read.
            at: the word, 0 the end of line before the text; by default the last.
            count: of places, at most one a line.
            context: tokens before and after each.

        Raises:
            InputError: the text is empty, or has no such word.
        """
        words, values = self._read(text)
        if not -len(words) <= at < len(words):
            raise InputError(f"there is no word {at} of the text, whose words are 0 to {len(words) - 1}")
        to = in_halves(values[at]).astype(np.float64)
        tokens, distances = nearest(self.states, to, self.starts, self.left_out, count)
        return self._at(tokens, distances, context)

    def unit(self, unit: int, *, count: int = 10, context: int | None = None) -> tuple[list[Excerpt], list[Excerpt]]:
        """Return the places after which a unit is highest and lowest, at most one a line.

        Args:
            unit: its number.
            count: of places at either end.
            context: tokens before and after each.

        Raises:
            InputError: there is no such unit.
        """
        units = self.states.facts.units
        if not 0 <= unit < units:
            raise InputError(f"there is no unit {unit} of {self.name}; units are 0 to {units - 1}")
        ends = []
        for sign in (1, -1):
            tokens = extremes(self.states, unit, sign, self.starts, self.left_out, count)
            ends.append(self._at(tokens, self.states.values(tokens)[:, unit], context))
        return ends[0], ends[1]

    def excerpt(self, begin: int, end: int, context: int | None = None, **more: Any) -> Excerpt:
        """Return a place in its context, which ends where the model begins anew; ``more`` are fields of ``Excerpt``."""
        beside = CONTEXT[self.vocabulary.kind] if context is None else context
        first, stop = max(0, begin - beside), min(len(self), end + beside)
        if self.separate:
            line, last = (int(np.searchsorted(self.starts, t, "right")) - 1 for t in (begin, end - 1))
            first = max(first, int(self.starts[line]))
            stop = min(stop, int(np.append(self.starts, len(self))[last + 1]))
        ids = self.text.ids[first:stop].tolist()
        tracks = {name: tuple(track.at(t) for t in range(first, stop)) for name, track in self.tracks.items()}
        ahead = self.separate and ids[begin - first] == self.vocabulary.end  # which begins the next line
        number = min(int(np.searchsorted(self.text.ends, begin + ahead, "right")), len(self.text.ends) - 1)
        words = tuple(self.vocabulary.token(n) for n in ids)
        return Excerpt(begin, end, number + 1, words, begin - first, end - first, tracks, **more)

    def _at(self, tokens: np.ndarray, values: np.ndarray, context: int | None) -> list[Excerpt]:
        return [self.excerpt(t, t + 1, context, value=v) for t, v in zip(tokens.tolist(), values.tolist(), strict=True)]

    def _read(self, text: str) -> tuple[tuple[str, ...], np.ndarray]:
        """Return the words of a text, the end of line first, and the values after each, (words, units)."""
        watched = watch(self.model, self.vocabulary, text, predictions=1)
        return watched.words, watched.values[self.name][self.layer]

    def _alone(self, switch: Switch, begins: np.ndarray, ends: np.ndarray) -> Alone:
        change = np.zeros(len(self) + 1, np.int8)
        change[begins] += 1
        change[ends] -= 1
        on = np.cumsum(change[:-1], dtype=np.int8).view(np.bool_)
        on[self.left_out] = False
        return Alone(switch, len(begins), int(on.sum()), tuple(described(self.tracks, on)))
