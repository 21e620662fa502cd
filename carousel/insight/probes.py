"""Properties read from a model's memory: unit by unit and linearly, on sentences not seen, beside controls.

A probe that scores well proves little by itself: it may have learned the words and not the content of the memory (Hewitt and
Liang 2019, Designing and Interpreting Probes with Control Tasks). Beside each score stand the commonest label's, the control
task's, and the same probe's on the model at first weights.
"""

from __future__ import annotations

import random
import warnings
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.corpora.annotated import Sentence, Value
from carousel.errors import InputError
from carousel.insight.memories import memories
from carousel.language.model import LanguageModel
from carousel.text.vocabulary import Vocabulary

CONTROLS = 3  # draws of the control task
MOST_WORDS = 20_000  # that a probe learns from
MOST_STEPS = 200  # of the solver
TICKS = CONTROLS + 3
SPANS, SPAN_ENDS = ("0", "1-3", "4-6", "7-9", "10+"), (1, 4, 7, 10)
Array = np.ndarray
Labels = Sequence[Value]
Tick = Callable[[], object]


@dataclass(frozen=True)
class UnitScore:
    """A unit read alone: its share right on sentences not seen."""

    unit: int
    score: float


@dataclass(frozen=True)
class Probe:
    """The scores of a property that is read from ``name`` (a memory, a message, a gate) of a layer.

    They are shares right, from 0 to 1, of the words in sentences that the probe has not seen.

    ``linear``: logistic regression on all units. ``majority``: always the label that is commonest in training. ``control``:
    the same probe when each word that sets the property is given a random label of its own, mean of three draws.
    ``untrained``: on the model at first weights. ``units``: each unit alone, best first **by its score in training**, so that
    the score shown is not the luckiest. ``by_distance``: the linear score by how many words ago the label was set.
    """

    of: str
    name: str
    layer: int
    labels: tuple[str, ...]
    counts: tuple[int, int]  # of words: to learn from, and held out
    linear: float
    majority: float
    control: float
    untrained: float
    units: tuple[UnitScore, ...]
    by_distance: dict[str, tuple[float, int]]

    @property
    def selectivity(self) -> float:
        """Hewitt and Liang's: the linear score less the control's."""
        return self.linear - self.control

    def as_dict(self, units: int | None = None) -> dict[str, Any]:
        """Return the values that JSON shows; of the units the best ones."""
        shares = ("linear", "majority", "control", "untrained", "selectivity")
        return {
            "property": self.of,
            "name": self.name,
            "layer": self.layer,
            "labels": list(self.labels),
            "words": {"training": self.counts[0], "held out": self.counts[1]},
            **{n: round(getattr(self, n), 4) for n in shares},
            "units": [{"unit": u.unit, "score": round(u.score, 4)} for u in self.units[:units]],
            "by_distance": {k: {"score": round(s, 4), "words": n} for k, (s, n) in self.by_distance.items()},
        }


def probe(
    model: LanguageModel,
    vocabulary: Vocabulary,
    given: Sequence[Sentence],
    property: str,
    *,
    name: str | None = None,
    layer: int = -1,
    **how: Any,
) -> Probe:
    """Read a property from a model's memory.

    Args:
        model: a language model.
        vocabulary: the model's.
        given: annotated sentences.
        property: one of their labels.
        name: a state or another quantity of the cell; its last state by default.
        layer: its number; the last by default.
        **how: ``held_out``, ``seed`` and ``tick`` of :func:`probe_values`.

    Raises:
        InputError: as :func:`probe_values`; or the cell has nothing of that name.
    """
    units = model.recurrent.units()
    name = name or [s for s in model.recurrent.cell.states if s in units][-1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.get("seed", 1))
        fresh = LanguageModel(model.vocabulary_size, model.config).to(model.device)
    trained, untrained = (memories(m, vocabulary, given, name, layer) for m in (model, fresh))
    return probe_values(trained, untrained, given, property, name=name, layer=range(model.config.layers)[layer], **how)


def probe_values(
    trained: Sequence[Tensor],
    untrained: Sequence[Tensor],
    given: Sequence[Sentence],
    property: str,
    *,
    name: str = "",
    layer: int = 0,
    held_out: float = 0.3,
    seed: int = 1,
    tick: Tick | None = None,
) -> Probe:
    """Read a property from values after each word, (words, units) a sentence.

    Args:
        trained: the model's values.
        untrained: the values of one at first weights.
        given: annotated sentences.
        property: one of their labels; words without one (None) are left out.
        name: of the values, for the result.
        layer: of the values, for the result.
        held_out: the share of sentences that is kept for the score.
        seed: of their choice.
        tick: called ``TICKS`` times.

    Raises:
        InputError: where the sentences do not have the property, or the same label at all words.
    """
    tick = tick or (lambda: None)
    data, plain = (Halves.drawn(x, given, held_out, seed) for x in (trained, untrained))
    labels = [s.labels.get(property, (None,) * len(s.words)) for s in given]
    y, truth = data.split(labels)
    if not len(y) or not len(truth):
        told = ", ".join(sorted({n for s in given for n in s.labels})) or "nothing"
        raise InputError(f"too few of the {len(given)} sentences tell of {property!r}; they tell of {told}")
    if not all(np.isfinite(x).all() for x in (data.x, data.held)):
        raise InputError("the model's values are not finite; was it trained to the end?")
    if len(set(y)) < 2:
        raise InputError(f"{property!r} is {str(y[0])!r} everywhere; a probe needs two labels to tell apart")
    answers = data.fit(labels)
    tick()
    controls = []
    for draw in range(CONTROLS):
        task = control(given, labels, f"{seed} {draw}")
        controls.append(np.mean(data.fit(task) == data.split(task)[1]))
        tick()
    at_first = np.mean(plain.fit(labels) == truth)
    tick()
    units = data.units(labels)
    tick()
    common = Counter(y.tolist()).most_common(1)[0][0]
    return Probe(
        property,
        name,
        layer,
        tuple(sorted(set(y.tolist()))),
        (min(len(y), MOST_WORDS), len(truth)),
        float(np.mean(answers == truth)),
        float(np.mean(truth == common)),
        float(np.mean(controls)),
        float(at_first),
        units,
        _by_distance([labels[i] for i in data.test], answers == truth),
    )


def control(given: Sequence[Sentence], labels: Sequence[Labels], seed: str) -> list[Labels]:
    """Return the labels of the control task: the words that set the property set a random label, the same word always the same.

    Labels are dealt among these words as the true ones are, and hold as long as the true ones hold: nothing but the bond
    between word and label is broken. A probe owes its score here to words that are remembered.
    """
    setting: dict[str, Counter[Value]] = defaultdict(Counter)
    for s, values in zip(given, labels, strict=True):
        for k in _changes(values):
            setting[s.words[k]][values[k]] += 1
    words = sorted(setting)
    dealt = [setting[w].most_common(1)[0][0] for w in words]
    random.Random(seed).shuffle(dealt)
    label_of = dict(zip(words, dealt, strict=True))
    dealt_labels: list[Labels] = []
    for s, values in zip(given, labels, strict=True):
        changes, value, task = set(_changes(values)), None, []
        for k, true in enumerate(values):
            value = label_of[s.words[k]] if k in changes else value
            task.append(None if true is None else value)
        dealt_labels.append(task)
    return dealt_labels


def _changes(values: Labels) -> list[int]:
    """Return where a label is set that was not there before."""
    return [k for k, v in enumerate(values) if v is not None and (k == 0 or values[k - 1] != v)]


class Halves:
    """Values after the words of sentences, some to learn from and some held out, and probes of them."""

    @classmethod
    def drawn(cls, x: Sequence[Tensor], given: Sequence[Sentence], held_out: float, seed: int) -> Halves:
        """Return the halves of values, (words, units) a sentence.

        Args:
            x: the values.
            given: the sentences.
            held_out: the share of sentences that is kept for the score.
            seed: of their choice.
        """
        order = list(range(len(given)))
        random.Random(f"{seed} held out").shuffle(order)
        count = round(held_out * len(order))
        return cls(x, order[count:], order[:count], seed)

    def __init__(self, x: Sequence[Tensor], train: list[int], test: list[int], seed: int):
        self.train, self.test, self.seed = train, test, seed
        self.x, self.held = (
            np.concatenate([x[i].float().numpy() for i in part] or [np.zeros((0, 1))]) for part in (train, test)
        )

    def split(self, labels: Sequence[Labels]) -> tuple[Array, Array]:
        """Return the labels as text, of the words that have one: to learn from, and held out."""
        (_, y), (_, truth) = self._known(labels, self.train), self._known(labels, self.test)
        return y, truth

    @staticmethod
    def _known(labels: Sequence[Labels], part: list[int]) -> tuple[Array, Array]:
        each = [v for i in part for v in labels[i]]
        at = np.array([k for k, v in enumerate(each) if v is not None], dtype=int)
        return at, np.array([str(each[k]) for k in at])

    def _chosen(self, labels: Sequence[Labels]) -> tuple[Array, Array, Array]:
        """Return the values to learn from, their labels, and the values held out."""
        at, y = self._known(labels, self.train)
        if len(at) > MOST_WORDS:
            some = np.random.default_rng(self.seed).choice(len(at), MOST_WORDS, replace=False)
            at, y = at[some], y[some]
        return self.x[at], y, self.held[self._known(labels, self.test)[0]]

    def fit(self, labels: Sequence[Labels]) -> Array:
        """Return a linear probe's answers for the words held out."""
        x, y, held = self._chosen(labels)
        if len(set(y)) < 2:  # a control task may have dealt but one label
            return np.full(len(held), y[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a control task has no good answer to converge to
            return np.asarray(_classifier().fit(x, y).predict(held))

    def units(self, labels: Sequence[Labels]) -> tuple[UnitScore, ...]:
        """Return the score of each unit alone, best first by its score in training."""
        x, y, held = self._chosen(labels)
        truth = self.split(labels)[1]
        scores = []
        for unit in range(x.shape[1]):
            made = _classifier().fit(x[:, [unit]], y)
            score = np.mean(made.predict(held[:, [unit]]) == truth)
            scores.append((made.score(x[:, [unit]], y), UnitScore(unit, float(score))))
        return tuple(u for _, u in sorted(scores, key=lambda f: -f[0]))


def _classifier() -> Any:
    # Only probes need scikit-learn, and every command would wait most of a second for it.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=MOST_STEPS))


def _by_distance(test: Sequence[Labels], right: Array) -> dict[str, tuple[float, int]]:
    rights: dict[str, list[bool]] = {}
    answers = iter(right.tolist())
    for values in test:
        set_at = 0
        for k, v in enumerate(values):
            if v is not None:
                set_at = k if k == 0 or values[k - 1] != v else set_at
                rights.setdefault(span(k - set_at), []).append(next(answers))
    return {k: (float(np.mean(rights[k])), len(rights[k])) for k in SPANS if k in rights}


def span(distance: int) -> str:
    """Return the span of words in which a distance lies."""
    return SPANS[bisect(SPAN_ENDS, distance)]
