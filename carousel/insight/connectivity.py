"""Which words before a word its probability depends on: the gradient of each word's log-odds with respect to each word before.

A map of word × word, as "Visualizing memorization in RNNs" (Madsen 2019) draws it, of any quantity of a cell. The error −log p
has hardly a gradient where a word is nearly certain, whatever made it so; log-odds L = log p / (1 − p) have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.errors import InputError
from carousel.insight.watch import read, watched_names
from carousel.language.model import LanguageModel
from carousel.layers import Clamp, Clamps
from carousel.layers.clamp import listed
from carousel.text.vocabulary import Vocabulary

INPUT = "input"  # no quantity of a cell is called so
AT_ONCE = 2_000_000  # numbers of one quantity, all layers, that are held at a time

Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Connectivity:
    """The strength with which the log-odds of words depend on the words before.

    Attributes:
        words: of the text, the end of line where every model begins first.
        ends: the numbers of the words whose log-odds L = log p / (1 − p) are followed back, from 1 on.
        sizes: by quantity |∂L/∂q_k|, Euclidean over units, (layers, ends, words): how much L changes with a small change of
            the quantity at word k, consequences included. NaN from the word itself on.
    """

    words: tuple[str, ...]
    ends: tuple[int, ...]
    sizes: dict[str, np.ndarray]

    def chosen(self, name: str | None = None) -> str:
        """Return that quantity, without a name the first. Raises InputError where there is none of that name."""
        name = name or next(iter(self.sizes))
        if name not in self.sizes:
            raise InputError(f"the gradient was not asked for {name!r}; it was for {', '.join(self.sizes)}")
        return name

    def of(self, name: str, layer: int = -1) -> np.ndarray:
        """Return the sizes of a quantity in a layer, (ends, words); the input has one layer."""
        found = self.sizes[self.chosen(name)]
        return found[0 if name == INPUT else layer]

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        sizes = {
            n: [[[None if not np.isfinite(v) else float(f"{v:.5g}") for v in row] for row in layer] for layer in x]
            for n, x in self.sizes.items()
        }
        return {"words": list(self.words), "ends": list(self.ends), "size": sizes}


def connectivity(
    model: LanguageModel,
    vocabulary: Vocabulary,
    text: str,
    *,
    names: Sequence[str] | None = None,
    ends: Sequence[int] | None = None,
    clamps: Clamps | None = None,
    tick: Tick | None = None,
) -> Connectivity:
    """Follow the log-odds of words back to every word before them.

    Args:
        model: a language model.
        vocabulary: the model's.
        text: to read.
        names: states, valves and other quantities, and "input", the vectors that are read; by default input and states.
        ends: the numbers of the words whose log-odds are followed, 1 the text's first; by default all.
        clamps: valves to hold.
        tick: told how many words are done, of all.

    Raises:
        InputError: the text is empty, the cell has no such quantity, or there is no such word.
    """
    words, ids = read(vocabulary, text)
    known, held = [INPUT, *watched_names(model.recurrent)], listed(clamps)
    chosen = list(names) if names is not None else [INPUT, *(s for s in model.recurrent.cell.states[::-1] if s in known)]
    for name in chosen:
        if name not in known:
            raise InputError(f"this cell has nothing called {name!r}; it has {', '.join(known)}")
    every = range(1, len(ids))
    wanted = list(every) if ends is None else list(ends)
    for end in wanted:
        if end not in every:
            raise InputError(f"there is no word {end} to follow back; words are 1 to {len(ids) - 1}")
    layers = model.recurrent.num_layers
    sizes = {n: np.full((1 if n == INPUT else layers, len(wanted), len(ids)), np.nan) for n in chosen}
    at_once = max(1, AT_ONCE // (len(ids) * max(model.recurrent.hidden_sizes) * layers))
    training = model.training
    model.eval()
    try:
        for begin in range(0, len(wanted), at_once):
            part = wanted[begin : begin + at_once]
            for name, found in _backwards(model, ids, part, chosen, held).items():
                for row, end in enumerate(part):
                    sizes[name][:, begin + row, :end] = found[:, :end, row]
            if tick is not None:
                tick(begin + len(part), len(wanted))
    except ValueError as error:
        raise InputError(str(error)) from None
    finally:
        model.train(training)
    return Connectivity(tuple(words), tuple(wanted), sizes)


def _backwards(
    model: LanguageModel, ids: Sequence[int], ends: Sequence[int], names: Sequence[str], held: list[Clamp]
) -> dict[str, np.ndarray]:
    """Return by name the sizes of gradients of the log-odds of words ``ends``, one a row of a batch, (layers, steps, rows)."""
    layer, steps, rows = model.recurrent, max(ends), len(ends)
    x = torch.tensor(ids[:steps], device=model.device).unsqueeze(1).expand(-1, rows)
    e = model.embedding(x).detach().requires_grad_()
    nudges = {
        (n, k): e.new_zeros(steps, rows, layer.units(k)[n], requires_grad=True)
        for n in names
        for k in range(layer.num_layers)
        if n != INPUT
    }
    # Nothing is added to each value: the gradient with respect to it is the value's own.
    added = [
        Clamp(n, partial(torch.add, nudge[t]), None, t, t + 1, k) for (n, k), nudge in nudges.items() for t in range(steps)
    ]
    with torch.enable_grad():
        h, _ = layer(e, resets=model.resets(x), clamp=[*held, *added])
        last = h[[end - 1 for end in ends], range(rows)]
        logits, at = (
            model.output(last, model.shared),
            torch.tensor([ids[end] for end in ends], device=model.device).unsqueeze(1),
        )
        odds = logits.gather(1, at).squeeze(1) - logits.scatter(1, at, -torch.inf).logsumexp(1)
    places = {INPUT: [e]} | {n: [nudges[n, k] for k in range(layer.num_layers)] for n in names if n != INPUT}
    leaves = [x for n in names for x in places[n]]
    gradients = iter(torch.autograd.grad(odds.sum(), leaves, allow_unused=True, materialize_grads=True))
    return {n: np.stack([_size(next(gradients)) for _ in places[n]]) for n in names}


def _size(x: Tensor) -> np.ndarray:
    return x.norm(dim=2).cpu().numpy()
