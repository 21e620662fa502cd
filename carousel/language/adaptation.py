"""Scores beside the static one: of a model that goes on learning, of a cache, of several models together.

Each is exact: every token of the text is foretold once, from nothing but the text before it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from carousel.errors import InputError
from carousel.language.cache import NeuralCache
from carousel.language.dynamic import Learning, root_mean_squares
from carousel.language.feeding import Sentences, Stream
from carousel.language.model import LanguageModel
from carousel.language.score import LENGTH, Score
from carousel.layers import State
from carousel.text.encoded import EncodedText
from carousel.training.fields import Settings, setting

Told = Callable[[str, int, int], None]  # of an activity, how much is done, of how much
Reader = Callable[[Tensor, Tensor, bool], tuple[Tensor, Tensor]]  # as Learning
STATIC, DYNAMIC, MEASURING = "static", "dynamic", "gradients of the training text"


@dataclass(frozen=True)
class Adaptation(Settings):
    """Settings of dynamic evaluation and the neural cache.

    The defaults of dynamic evaluation are those of Krause's program (for AWD-LSTM on the Penn Treebank, segments of 5 words).
    """

    group = "At evaluation, beside the static score"

    dynamic: bool = setting(False, "Dynamic evaluation: keep training on the text (Krause et al. 2018).")
    dynamic_lr: float = setting(5e-5, "Learning rate η of dynamic evaluation.", above=0, below=1e6)
    dynamic_decay: float = setting(2e-3, "Decay λ of dynamic evaluation towards the trained weights.", least=0, below=1e6)
    dynamic_epsilon: float = setting(
        2e-5, "ε of dynamic evaluation, added to the gradient's root mean square.", above=0, below=1e6
    )
    dynamic_segment: int = setting(5, "Tokens that dynamic evaluation scores before it learns from them.", least=1)
    dynamic_batches: int = setting(
        1000, "Batches of the training text, 100 rows of `dynamic_segment`, that measure the gradient; 0: all.", least=0
    )
    cache: int = setting(0, "Tokens of a neural cache (Grave et al. 2017); 0: none.", least=0, most=1 << 20)
    cache_theta: float = setting(0.3, "θ of the cache: larger values need more similar steps.", least=0, below=1e6)
    cache_weight: float = setting(0.1, "Share λ of the cache in the probability.", above=0, below=1)

    def check(self) -> None:
        """Raise InputError for a value that cannot be, or that counts for nothing."""
        super().check()
        for one in fields(self):
            of = one.name.partition("_")[0]
            if not getattr(self, of) and getattr(self, one.name) != one.default:
                raise InputError(f"`{one.name}` counts for nothing without `{of}`")

    @property
    def asked(self) -> bool:
        """Return whether there is a score beside the static one."""
        return self.dynamic or bool(self.cache)

    def new_cache(self) -> NeuralCache | None:
        """Return an empty cache; None for a cache of no tokens."""
        return NeuralCache(self.cache, self.cache_theta, self.cache_weight) if self.cache else None


def adaptation(given: Mapping[str, Any]) -> Adaptation:
    """Return an adaptation with these fields. Raises InputError as ``check`` does, TypeError for an unknown name."""
    made = Adaptation(**given)
    made.check()
    return made


class Still:
    """A model that reads segment after segment and stays as it is; called as ``Learning``."""

    def __init__(self, model: LanguageModel):
        self.model = model
        self.state: State | None = None

    @torch.no_grad()
    def __call__(self, x: Tensor, y: Tensor, fresh: bool) -> tuple[Tensor, Tensor]:
        """Return log p of each target, (T,), and the inputs of the output layer, (T, size)."""
        h, self.state = self.model.read(x, None if fresh else self.state)
        return self.model.log_probabilities(h[:, 0], y), h[:, 0]


class Segments:
    """A text in pieces: inputs (T, 1), targets (T,), and whether a piece begins with new states."""

    def __init__(self, corpus: EncodedText, end: int, length: int, sentences: bool):
        self.feed = Sentences(corpus, end, rows=1) if sentences else Stream(corpus, end, rows=1, length=length)
        self.length, self.facts = length, corpus.facts

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, bool]]:
        for batch in self.feed.batches():
            pieces = zip(batch.x.split(self.length), batch.y[:, 0].split(self.length), strict=True)
            for k, (x, y) in enumerate(pieces):
                yield x, y, batch.fresh and k == 0


def read_through(
    readers: Sequence[Reader], segments: Segments, name: str, how: Adaptation, told: Told | None = None
) -> list[dict[str, Score]]:
    """Return the text's scores by name for each reader, and last for all readers together, by the mean of their probabilities.

    Args:
        readers: models, still or learning, which read the text side by side.
        segments: the text.
        name: name of the score; with a cache there is a second score, "cache" or "name, cache".
        how: settings of the cache.
        told: called with the progress.
    """
    caches, cached = [how.new_cache() for _ in readers], "cache" if name == STATIC else f"{name}, cache"
    costs: dict[str, Tensor] = {}
    done = 0
    for x, y, fresh in segments:
        found: dict[str, list[Tensor]] = {}
        for reader, cache in zip(readers, caches, strict=True):
            logs, h = reader(x, y, fresh)
            logs = logs.double()
            found.setdefault(name, []).append(logs)
            if cache is not None:
                found.setdefault(cached, []).append(cache(logs, h, y))
        for way, each in found.items():
            members = torch.stack(each)
            together = members.logsumexp(0) - math.log(len(each))
            cost = -torch.cat([members.sum(1), together.sum().unsqueeze(0)])
            costs[way] = costs[way] + cost if way in costs else cost
        done += len(y)
        if told:
            told(name, done, segments.facts.tokens)
    rows = range(len(readers) + 1)
    return [{way: Score.of_nats(float(cost[k]), done, segments.facts) for way, cost in costs.items()} for k in rows]


def adapted(
    models: Sequence[LanguageModel],
    corpus: EncodedText,
    end: int,
    how: Adaptation,
    *,
    sentences: bool = False,
    learned: Sequence[EncodedText] = (),
    told: Told | None = None,
) -> list[dict[str, Score]]:
    """Return the scores beside the static ones, by name, for each model, and last for all models together.

    Several models are an ensemble, whose probability is the mean of theirs; each model adapts by itself. The ensemble's
    scores contain its "static" one, since ``score`` takes one model.

    Args:
        models: models on one vocabulary, in evaluation; they stay as they are.
        corpus: the text.
        end: the token id of ``<eos>``.
        how: settings of dynamic evaluation and cache.
        sentences: begin each sentence with new states.
        learned: for dynamic evaluation, the training text of each model.
        told: called with the progress.

    Raises:
        InputError: dynamic evaluation leaves the finite numbers.
    """
    found: list[dict[str, Score]] = [{} for _ in range(len(models) + 1)]
    if how.cache or len(models) > 1:
        segments = Segments(corpus, end, LENGTH, sentences)
        found = read_through([Still(model) for model in models], segments, STATIC, how, told)
        for each in found[:-1] if len(models) > 1 else found:
            del each[STATIC]  # ``score`` tells it
    if how.dynamic:
        readers = []
        for model, text in zip(models, learned, strict=True):
            tick = partial(told, MEASURING) if told else None
            rms = root_mean_squares(model, text, end, how.dynamic_segment, how.dynamic_batches, tick)
            readers.append(Learning(model, rms, how.dynamic_lr, how.dynamic_decay, how.dynamic_epsilon))
        segments = Segments(corpus, end, how.dynamic_segment, sentences)
        more = read_through(readers, segments, DYNAMIC, how, told)
        if not all(math.isfinite(score.bits) for each in more for score in each.values()):
            raise InputError("dynamic evaluation left the finite numbers; try a smaller `dynamic_lr`")
        found = [one | other for one, other in zip(found, more, strict=True)]
    return found


def mean_model(models: Sequence[LanguageModel]) -> LanguageModel:
    """Return a model with the mean of the models' weights. Raises InputError for models of different shapes."""
    mean = copy.deepcopy(models[0])
    states = [model.state_dict() for model in models]
    if any({k: v.shape for k, v in s.items()} != {k: v.shape for k, v in states[0].items()} for s in states):
        raise InputError("only models of one shape have a mean")
    with torch.no_grad():
        for name, value in mean.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.stack([s[name] for s in states]).mean(0))
    return mean
