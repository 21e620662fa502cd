"""The second lecture's walkthrough on a real translator: *boy* becomes *girl*, and the sentence changes.

Row 13 of the mission: which valves opened and shut at each word, the memory's input, which units differ from then on
and until which word is written, the labels that probes read from the memory at each word, and the effect of a held valve.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from carousel.corpora.annotated import Sentence
from carousel.errors import InputError
from carousel.insight.memories import memories
from carousel.insight.pairs import Pair, match
from carousel.insight.patching import Patching, patching
from carousel.insight.probes import control
from carousel.insight.readings import of_sentences
from carousel.insight.translating import Translated as Followed
from carousel.insight.translating import followed, watch_translation
from carousel.layers import Clamp
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator

HELD_OUT = 0.3  # of the sentences, for the probes' scores
TICKS = 4  # of a probe

Array = np.ndarray
Tick = Callable[[], object]


@dataclass(frozen=True)
class Reading:
    """A property read from the memory after each word. ``linear``: share right on sentences not seen; beside it the commonest
    label's, the control task's (see ``probes``) and the same probe's on a translator at first weights. ``labels``: the label
    that the probe reads at each step of the two sentences, with the probability that it gives.
    """

    of: str
    linear: float
    majority: float
    control: float
    untrained: float
    tested: int
    labels: tuple[tuple[tuple[str, float], ...], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        shares = {n: round(getattr(self, n), 4) for n in ("linear", "majority", "control", "untrained")}
        read = [[[label, round(p, 3)] for label, p in each] for each in self.labels]
        return {"property": self.of, **shares, "words": self.tested, "read": read}


@dataclass(frozen=True)
class Held:
    """A sentence translated with something held; ``what`` names it and the place."""

    what: str
    translation: str


@dataclass(frozen=True)
class Walkthrough:
    """The walkthrough of the sentences ``pair.a`` and ``pair.b``. ``memory`` names the state that is followed; ``written``: the
    value that came into the memory at each step, root mean square over its units, for both. ``held``: the second sentence with
    valves held; ``patched``: the first, with units of its memory set to the second's, those that ``found`` tells; None where
    both are translated alike.
    """

    pair: Pair
    a: Followed
    b: Followed
    memory: str
    layer: int
    written: tuple[Array, Array]
    readings: tuple[Reading, ...]
    held: tuple[Held, ...]
    patched: tuple[Held, ...] = ()
    found: Patching | None = None

    def valves(self, which: int) -> dict[str, Array]:
        """Return the mean opening of each valve at each step of the first (0) or second (1) sentence."""
        seen = (self.a, self.b)[which]
        return {n: seen.values[n][self.layer].mean(1) for n in seen.valves}

    def carriers(self, count: int = 8) -> list[dict[str, Any]]:
        """Return the units with the greatest difference after the replaced word.

        Each row tells where the difference is greatest, for how many steps it stays above half of that, and the last word that
        was read or written while it did.
        """
        rows: list[dict[str, Any]] = []
        for c in self.pair.carriers(self.memory, 10**6):
            if c.layer != self.layer or len(rows) == count:
                continue
            at, last = self.pair.places[c.at], self.pair.places[min(c.at + c.words - 1, len(self.pair.places) - 1)]
            writing = last[0] >= self.a.source
            words = " / ".join(dict.fromkeys(w.strip() for w in (self.a.words[last[0]], self.b.words[last[1]])))
            row = {"unit": c.unit, "greatest": c.greatest, "after": self.b.words[at[1]].strip(), "steps": c.words}
            rows.append(row | {"until": words, "side": "written" if writing else "read"})
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        sides = []
        for k, seen in enumerate((self.a, self.b)):
            valves = {n: np.round(v.astype(float), 4).tolist() for n, v in self.valves(k).items()}
            side = {"words": list(seen.words), "source": seen.source, "translation": seen.translation, "valves": valves}
            sides.append(side | {"written": np.round(self.written[k].astype(float), 4).tolist()})
        difference = np.round(self.pair.size(self.memory)[self.layer].astype(float), 4).tolist()
        return {
            "sentences": sides,
            "memory": self.memory,
            "layer": self.layer,
            "first": self.pair.first,
            "difference": difference,
            "carriers": self.carriers(),
            "probes": [r.as_dict() for r in self.readings],
            "held": [vars(h) for h in self.held],
            "patched": [vars(h) for h in self.patched],
            "patching": None if self.found is None else self.found.as_dict(),
        }


def walk(
    model: Translator,
    source: Vocabulary,
    target: Vocabulary,
    text: str,
    other: str,
    given: Sequence[Sentence] = (),
    *,
    layer: int = -1,
    tick: Tick | None = None,
) -> Walkthrough:
    """Translate two sentences that differ in a word, and write down the steps in between.

    Args:
        model: a translator without attention, whose encoder and decoder are alike.
        source: the vocabulary that it reads.
        target: the vocabulary that it writes.
        text: the first sentence.
        other: the second sentence.
        given: annotated sentences, from which probes learn; none: no probes.
        layer: its number; the last by default.
        tick: called ``TICKS`` times for each property.

    Raises:
        InputError: the two are the same, the translator has no memory that can be followed (see ``followed``), or
            too few annotated sentences tell of a property.
    """
    followed(model)
    a, b = (watch_translation(model, source, target, t) for t in (text, other))
    places, first = match(a.words, b.words)
    if a.ids[: a.source] == b.ids[: b.source] and a.words[: a.source] != b.words[: b.source]:
        raise InputError("the two sentences are the same to the translator: it does not know the words in which they differ")
    if first is None:
        raise InputError("the two sentences are the same to the translator; change a word in one of them")
    layer = range(model.encoder.num_layers)[layer]
    memory = a.states[-1]
    i, j = (list(side) for side in zip(*places, strict=True))
    differences = {name: x[:, i] - b.values[name][:, j] for name, x in a.values.items()}
    pair = Pair(a, b, tuple(places), first, differences, (), ())
    written = tuple(_written(seen, memory, layer) for seen in (a, b))
    readings = _read_all(model, source, given, memory, layer, (a, b), tick or (lambda: None))
    held = _hold(model, source, target, b, other, places[first][1])
    found, patched = _patch(model, source, target, text, other, memory, layer)
    return Walkthrough(pair, a, b, memory, layer, (written[0], written[1]), readings, held, patched, found)


def _written(seen: Followed, memory: str, layer: int) -> Array:
    """Return the size of the values that came into the memory at each step: all that the forget valve did not let through."""
    h = seen.values[memory][layer]
    before = np.concatenate([np.zeros_like(h[:1]), h[:-1]])
    kept = seen.values["f"][layer] if "f" in seen.valves else 1.0
    return np.sqrt(((h - kept * before) ** 2).mean(1))


def _hold(model: Translator, source: Vocabulary, target: Vocabulary, b: Followed, other: str, at: int) -> tuple[Held, ...]:
    """Do as the lecturer says, "close the valve": the input valve at the word, and the forget valve at each word after it."""
    held = []

    def translate(what: str, *clamps: Clamp) -> None:
        held.append(Held(what, watch_translation(model, source, target, other, clamps=list(clamps)).translation))

    words = _words(source, b)
    here = max(k for k, (_, begin, _) in enumerate(words) if begin <= at)
    word, begin, end = words[here]
    if "i" in b.valves:
        translate(f"i = 0 at {word}", Clamp("i", 0.0, begin=begin, end=end))
    if "f" in b.valves:
        for later, first, _ in words[here + 1 :]:
            translate(f"f = 0 at {later}", Clamp("f", 0.0, begin=first, end=first + 1))
        translate(f"f = 1 from {word} on", Clamp("f", 1.0, begin=begin, end=b.source))
    return tuple(held)


def _patch(
    model: Translator, source: Vocabulary, target: Vocabulary, text: str, other: str, memory: str, layer: int
) -> tuple[Patching | None, tuple[Held, ...]]:
    """Search for the units of the memory that turn the first sentence into the second; translate it with more and more of them
    held at the second's values."""
    try:
        given = of_sentences(model, source, target, other, text)
        found, held = patching(given, memory, layer), []
    except InputError:  # both are translated alike
        return None, ()
    for count in counts(len(found.units)):
        clamps = [given.clamp(memory, layer, found.word, found.units[:count])]
        translation = watch_translation(model, source, target, text, clamps=clamps).translation
        held.append(Held(f"{count} unit{'s' if count > 1 else ''}", translation))
    return found, tuple(held)


def counts(most: int) -> list[int]:
    """Return 1, 2, 4, from there each fourth number, and ``most``: of units that are patched."""
    return [*(k for k in (1, 2, *range(4, most, 4)) if k < most), most]


def _words(source: Vocabulary, seen: Followed) -> list[tuple[str, int, int]]:
    """Return the words that were read, each with the steps [begin, end) of its pieces."""
    words: list[tuple[str, int, int]] = []
    for k, piece in enumerate(seen.words[: seen.source]):
        new = source.kind == "word" or not words or piece.startswith(" ") or k == seen.source - 1
        word, begin, _ = ("", k, k) if new else words.pop()
        words.append((word + piece.strip(), begin, k + 1))
    return words


# Probes of the memory ---------------------------------------------------------------------------------------


def _read_all(
    model: Translator,
    source: Vocabulary,
    given: Sequence[Sentence],
    memory: str,
    layer: int,
    seen: tuple[Followed, Followed],
    tick: Tick,
) -> tuple[Reading, ...]:
    if not given:
        return ()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        fresh = Translator(source.size, model.vocabulary_size, model.config)
    values, plain = ([x.numpy() for x in memories(m, source, given, memory, layer)] for m in (model, fresh))
    steps = [s.values[memory][layer] for s in seen]
    return tuple(_reading(values, plain, given, name, steps, tick) for name in given[0].labels)


def _reading(
    values: Sequence[Array], plain: Sequence[Array], given: Sequence[Sentence], of: str, steps: Sequence[Array], tick: Tick
) -> Reading:
    labels = [s.labels.get(of, (None,) * len(s.words)) for s in given]
    held = round(len(given) * HELD_OUT)
    known = [{str(v) for each in labels[k] for v in each if v is not None} for k in (slice(held, None), slice(held))]
    if len(known[0]) < 2 or not known[1]:
        raise InputError(
            f"too few of the {len(given)} annotated sentences tell of {of!r}: a probe needs two labels to tell apart, and some "
            "words to be tried on"
        )
    fitted, right, majority = _probe(values, labels, held)
    tick()
    _, controlled, _ = _probe(values, control(given, labels, f"1 {of}"), held)
    tick()
    _, untrained, _ = _probe(plain, labels, held)
    tick()
    read = []
    for x in steps:
        chances = fitted.predict_proba(x)
        read.append(tuple((str(fitted.classes_[k]), float(p[k])) for p in chances for k in [int(p.argmax())]))
    tick()
    tested = sum(v is not None for values_ in labels[:held] for v in values_)
    return Reading(of, right, majority, controlled, untrained, tested, tuple(read))


def _probe(values: Sequence[Array], labels: Sequence[Sequence[Any]], held: int) -> tuple[Any, float, float]:
    """Fit a linear probe to the words that have a label; return it, and its and the commonest label's share right held out."""
    from sklearn.dummy import DummyClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    parts = []
    for k in (slice(held, None), slice(held)):
        known = [[v is not None for v in each] for each in labels[k]]
        x = np.concatenate([v[np.array(mask)] for v, mask in zip(values[k], known, strict=True)])
        y = np.array([str(v) for each in labels[k] for v in each if v is not None])
        parts.append((x, y))
    (x, y), (x_held, truth) = parts
    names, counts = np.unique(y, return_counts=True)
    # A control may deal few words one label; then there is nothing to fit.
    reads = LogisticRegression(max_iter=300) if len(names) > 1 else DummyClassifier()
    made = make_pipeline(StandardScaler(), reads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a control task has no good answer to converge to
        made.fit(x, y)
    return made, float(np.mean(made.predict(x_held) == truth)), float(np.mean(truth == names[counts.argmax()]))
