"""How fast an error fades on its way back: one layer's or model's measurements, and the theory beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel import cells
from carousel.equations import Cell
from carousel.errors import InputError
from carousel.insight import theory
from carousel.insight.gradients import Decay, Flow, gradient_flow
from carousel.insight.jacobian import singular_values
from carousel.insight.watch import read
from carousel.language.feeding import Stream
from carousel.language.model import LanguageModel
from carousel.layers import Clamps, Recurrent
from carousel.layers.clamp import listed
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary

Tick = Callable[[int, int], None]
LAGS = (1, 10, 100)
ROWS = 8  # of a batch that are followed while training


@dataclass(frozen=True)
class GradientDecay:
    """|∂E_t/∂x_k| by t − k, t the last step, all states together: the mean over sequences (lags,), the tenth and the
    ninetieth percentile, each state alone; ``theory``: the bound to the power t − k where there is one, else the rest that the
    memory's own path would leave; ``singular_values`` of ∂x_t/∂x_k where they were asked for.
    """

    label: str
    layer: Recurrent
    data: Tensor  # that was read, (T, B, input_size)
    measured: np.ndarray
    low: np.ndarray
    high: np.ndarray
    states: dict[str, np.ndarray]
    bound: float | None
    theory: np.ndarray | None
    singular_values: dict[int, float] | None

    @property
    def decay(self) -> Decay:
        """Slope and half-life."""
        return Decay.of(self.measured)

    def at(self, lag: int) -> float | None:
        """Return the size so many steps back, relative to one step back; None where the sequence is shorter."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return _finite(float(self.measured[lag] / self.measured[1])) if lag < len(self.measured) else None

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        decay = self.decay
        row: dict[str, Any] = {
            "label": self.label,
            "half_life_steps": _finite(decay.half_life),
            "slope_per_step": _finite(decay.slope),
        }
        row |= {"bound_per_step": self.bound, **{f"lag_{k}": self.at(k) for k in LAGS}}
        row["size"] = _short(self.measured)
        row["size_by_state"] = {s: _short(curve) for s, curve in self.states.items()}
        row["theory"] = None if self.theory is None else _short(self.theory)
        if self.singular_values is not None:
            row["largest_singular_value"] = {str(k): _finite(float(f"{v:.5g}")) for k, v in self.singular_values.items()}
        return row


def _short(values: np.ndarray) -> list[float | None]:
    return [_finite(float(f"{v:.5g}")) for v in values]


def _finite(x: float) -> float | None:
    return x if np.isfinite(x) else None


def of_layer(label: str, layer: Recurrent, data: Tensor, flow: Flow, *, jacobian: bool = False) -> GradientDecay:
    """Return a layer's measurements: of a flow, and of the gates while ``data`` (T, B, input_size) is read."""
    measured = flow.mean()
    low, high = flow.quantiles((0.1, 0.9))
    with torch.no_grad():
        recorded = {n: [x.numpy() for x in v] for n, v in layer(data, record=list(layer.cell.gates))[2].items()}
    limit = theory.bound(layer) if layer.num_layers == 1 else None
    lags = np.arange(len(measured), dtype=float)
    with np.errstate(over="ignore"):  # an explosion may pass the largest number
        expected = theory.carousel(layer, recorded, len(measured)) if limit is None else limit**lags
    values = singular_values(layer, data[:, 0], lags=[k for k in LAGS if k < len(data)]) if jacobian else None
    return GradientDecay(
        label, layer, data, measured, low, high, {s: flow.mean(s) for s in flow.sizes}, limit, expected, values
    )


def at_first_weights(
    name: str | Cell,
    *,
    hidden: int = 32,
    steps: int = 200,
    rows: int = 16,
    scale: float | None = None,
    forget_bias: float | None = None,
    seed: int = 1,
    jacobian: bool = False,
    tick: Tick | None = None,
) -> GradientDecay:
    """Measure a cell as it starts, fed with noise.

    Args:
        name: of the cell, or the cell.
        hidden: units, and numbers of the input.
        steps: of each sequence.
        rows: sequences.
        scale: the largest singular value of its recurrent weights; by default as drawn.
        forget_bias: of cells with a forget gate; by default as the layer has it.
        seed: of weights and noise.
        jacobian: whether to measure singular values of ∂x_t/∂x_k.
        tick: called with the steps done, and all of them.

    Raises:
        InputError: there is no such cell.
    """
    torch.manual_seed(seed)
    try:
        cell = cells.fed_alone(name)
        own = forget_bias if any(p.name == "b.f" for p in cell.trace.parameters) else None
        layer = Recurrent(cell, hidden, hidden, forget_bias=own)
    except ValueError as error:
        raise InputError(str(error)) from None
    if scale is not None:
        theory.rescale(layer, scale)
    data = torch.randn(steps, rows, hidden)
    return of_layer(cell.name, layer, data, gradient_flow(layer, data, parameters=False, tick=tick), jacobian=jacobian)


def of_corpus(
    model: LanguageModel,
    vocabulary: Vocabulary,
    corpus: EncodedText,
    *,
    steps: int = 200,
    rows: int = 16,
    jacobian: bool = False,
    tick: Tick | None = None,
) -> GradientDecay:
    """Measure a trained model while it reads a text.

    Args:
        model: a language model.
        vocabulary: the model's.
        corpus: the text.
        steps: of each sequence.
        rows: sequences.
        jacobian: whether to measure singular values of ∂x_t/∂x_k.
        tick: called with the steps done, and all of them.

    Raises:
        InputError: the text is too short.
    """
    steps = min(steps, (len(corpus) - 1) // rows)
    if steps < 3:
        raise InputError(f"the text has {len(corpus)} words, too few for {rows} sequences; lower `batch_size`")
    batch = next(iter(Stream(corpus, vocabulary.end, rows, steps).batches()))
    flow = gradient_flow(model, batch, parameters=False, tick=tick)
    with torch.no_grad():
        data = model.embedding(batch.x)
    return of_layer(f"{model.config.cell}, trained", model.recurrent, data, flow, jacobian=jacobian)


def while_training(model: LanguageModel, batch: Any) -> dict[str, Any]:
    """Return a batch's line of a run's metrics: half-life in steps of the error of its last step, and its slope.

    Eight rows are followed; the half-life is None where the error does not fall. Model and random state are left as they are.
    """
    # Sentences are padded: the longest ones, up to where all of them still have a word to predict.
    lengths = (batch.y >= 0).sum(0)
    rows = lengths.argsort(descending=True, stable=True)[:ROWS]
    steps = int(lengths[rows].min())
    if steps < 3:
        return {"half_life": None, "slope": None}
    flow = gradient_flow(model, (batch.x[:steps, rows], batch.y[:steps, rows]), parameters=False)
    decay = Decay.of(flow.mean())
    return {"half_life": _finite(round(decay.half_life, 4)), "slope": _finite(round(decay.slope, 6))}


def of_text(
    model: LanguageModel, vocabulary: Vocabulary, text: str, *, word: int | None = None, clamps: Clamps | None = None
) -> dict[str, Any]:
    """Return, for the page, how the error of one of a text's words flows back over the words before it.

    ``size``: by state |∂E_t/∂x_k| of each layer at each word, (layers, words); ``parts``: by parameter the gradient that passes
    through each word, as a share of the sum over words of these sizes.

    Args:
        model: a language model.
        vocabulary: the model's.
        text: to read.
        word: the number of the word whose error it is, 1 the text's first; by default the last.
        clamps: valves to hold.

    Raises:
        InputError: the text is empty, there is no such word, or a clamp is not the cell's.
    """
    words, ids = read(vocabulary, text)
    if word is not None and not 0 < word < len(words):
        raise InputError(f"there is no word {word} whose error could be followed; words are 1 to {len(words) - 1}")
    end = len(words) if word is None else word + 1
    words, ids = words[:end], ids[:end]
    fresh = [k for k, n in enumerate(ids[:-1]) if n == model.fresh_at]
    begin = fresh[-1] if fresh else 0  # where states begin anew, no error flows further back
    x = torch.tensor(ids[begin:], device=model.device).unsqueeze(1)
    try:
        flow = gradient_flow(model, (x[:-1], x[1:]), clamps=[c.later(begin) for c in listed(clamps)])
    except ValueError as error:
        raise InputError(str(error)) from None
    none = [0.0] * begin
    curve = flow.mean()
    decay = Decay.of(curve)
    return {
        "words": words[:-1],
        "predicted": words[-1],
        "half_life": _finite(decay.half_life),
        "slope": _finite(decay.slope),
        "size": {s: [none + _short(layer) for layer in v[0, :, :, 0].T] for s, v in flow.sizes.items()},
        "parts": {n: none + _short(v[0] / max(v[0].sum(), 1e-38)) for n, v in flow.parts.items()},
    }
