"""The error flowing back: how much of it arrives at each earlier step, and by which step each parameter learns.

Pascanu et al. 2013, equations (3) to (5), as the first lecture has them; x_k is all that a network carries from step k to
the next, of all layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from carousel.language.feeding import IGNORED
from carousel.language.model import LanguageModel
from carousel.layers import Clamp, Clamps, Recurrent
from carousel.layers.clamp import listed

Loss = Callable[[Tensor, int], Tensor]  # message of the last layer (B, size) and its step → one number a row
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Flow:
    """Sizes of gradients, for each end step t (in ``ends``) at each step k up to it; NaN after it.

    ``sizes``: by state |∂E_t/∂x_k|, (ends, T, layers, B), Euclidean over units. ``parts``: by parameter the norm of the
    gradient that passes through step k, the sum over the batch of ∂⁺x_k/∂θ · ∂E_t/∂x_k, (ends, T). ``totals``: by parameter
    the sum of these parts over k, which is ∂E_t/∂θ: a list, one tensor an end.
    """

    ends: tuple[int, ...]
    sizes: Mapping[str, np.ndarray]
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    totals: Mapping[str, list[Tensor]] = field(default_factory=dict)

    def by_lag(self, state: str | None = None, layer: int | None = None) -> np.ndarray:
        """Return |∂E_t/∂x_k| by t − k, (lags, ends · B): of one state or of all together, of one layer or of all."""
        names = [state] if state is not None else list(self.sizes)
        squares: Any = sum(self.sizes[n] ** 2 for n in names)
        squares = squares.sum(2) if layer is None else squares[:, :, layer]
        rows = [np.sqrt(squares[j, t::-1]) for j, t in enumerate(self.ends)]
        longest = max(len(r) for r in rows)
        return np.concatenate([np.pad(r, ((0, longest - len(r)), (0, 0)), constant_values=np.nan) for r in rows], axis=1)

    def mean(self, state: str | None = None, layer: int | None = None) -> np.ndarray:
        """Return ``by_lag`` averaged over ends and rows, (lags,)."""
        return np.nanmean(self.by_lag(state, layer), axis=1)

    def quantiles(self, levels: Sequence[float], state: str | None = None) -> np.ndarray:
        """Return quantiles of ``by_lag`` over ends and rows, (levels, lags)."""
        return np.nanquantile(self.by_lag(state), levels, axis=1)


@dataclass(frozen=True)
class Decay:
    """The fall of a curve over lags. ``slope``: of the natural logarithm, a step; ``half_life`` in steps, infinite where
    it does not fall."""

    slope: float
    half_life: float

    @classmethod
    def of(cls, curve: np.ndarray) -> Decay:
        """Fit a straight line to the logarithms from lag 1 on, as far as single precision can tell values from nothing."""
        lags = np.arange(len(curve))
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(curve)
        good = (lags >= 1) & np.isfinite(logs) & (curve > 1e-30)
        if good.sum() < 2:
            return cls(float("nan"), float("nan"))
        slope = float(np.polyfit(lags[good], logs[good], 1)[0])
        return cls(slope, float(np.log(2) / -slope) if slope < 0 else float("inf"))


def gradient_flow(
    model: LanguageModel | Recurrent,
    batch: Any,
    *,
    ends: Sequence[int] | None = None,
    loss: Loss | None = None,
    parameters: bool = True,
    clamps: Clamps | None = None,
    tick: Tick | None = None,
) -> Flow:
    """Follow the error of chosen steps back through the steps before them.

    Args:
        model: a language model, or recurrent layers in one direction.
        batch: for a language model words and the words after them, (T, B) each (a pair, or a batch of
            ``carousel.language.feeding``); for layers their input, (T, B, input_size).
        ends: the steps t whose error E_t is followed, counted from 0; the last by default.
        loss: E_t of each row from the message. By default the language model's −log p; for layers the message along a
            direction that is drawn at random (seed 0), the same for all steps.
        parameters: take apart the gradients of the layers' parameters as well.
        clamps: valves to hold; no error flows back through what is held.
        tick: called with the steps done, and all of them.

    Returns:
        The sizes of the gradients by step.

    Raises:
        ValueError: for a layer that reads backwards as well, a ``Grid`` or ``Tree``, or an end that is no step.
    """
    training = model.training
    model.eval()  # dropout is left out
    try:
        return _follow(*_chain(model, batch), ends, loss, parameters, listed(clamps), tick)
    finally:
        model.train(training)


def _follow(
    layer: Recurrent,
    data: Tensor,
    given: Loss,
    ends: Sequence[int] | None,
    loss: Loss | None,
    parameters: bool,
    clamps: list[Clamp],
    tick: Tick | None,
) -> Flow:
    steps = len(data)
    wanted = tuple(ends) if ends is not None else (steps - 1,)
    for t in wanted:
        if not 0 <= t < steps:
            raise ValueError(f"there is no step {t} for an error to come from; there are {steps}")
    loss = loss or given
    names = layer.cell.states
    vectors = [k for k, s in enumerate(layer.cell.trace.states) if s.size is not None]
    weights = dict(layer.named_parameters()) if parameters else {}
    weights = {n: p for n, p in weights.items() if p.requires_grad and not n.startswith("initial")}
    states = _states(layer, data, clamps)
    sizes = {names[k]: np.full((len(wanted), steps, layer.num_layers, data.shape[1]), np.nan) for k in vectors}
    parts = {n: np.full((len(wanted), steps), np.nan) for n in weights}
    totals: dict[str, list[Tensor]] = {n: [] for n in weights}
    for j, t in enumerate(wanted):
        sums = {n: torch.zeros_like(p) for n, p in weights.items()}
        back = _backwards(layer, data, states, t, loss, list(weights.values()), clamps)
        for done, (k, delta, through) in enumerate(back):
            for index, d in zip(vectors, delta, strict=True):
                sizes[names[index]][j, k] = [part.norm(dim=1).tolist() for part in layer.layout.parts(index, d)]
            for n, g in zip(weights, through, strict=True):
                parts[n][j, k] = float(g.norm())
                sums[n] += g
            if tick:
                tick(j * steps + done + 1, len(wanted) * steps)
        for n, total in sums.items():
            totals[n].append(total)
    return Flow(wanted, sizes, parts, totals)


def _chain(model: LanguageModel | Recurrent, batch: Any) -> tuple[Recurrent, Tensor, Loss]:
    """Return the recurrent layers, their input (T, B, input_size), and the default error of a step."""
    if isinstance(model, LanguageModel):
        x, y = batch if isinstance(batch, tuple | list) else (batch.x, batch.y)
        x, y = x.to(model.device), y.to(model.device)
        shared = model.embedding.weight if model.config.tied else None

        def cost(h: Tensor, t: int) -> Tensor:
            logits = model.output(h, None if shared is None else shared.detach())
            return cross_entropy(logits, y[t], ignore_index=IGNORED, reduction="none")

        return _forward_only(model.recurrent), model.embedding(x).detach(), cost
    layer = _forward_only(model)
    data = batch.detach().transpose(0, 1) if layer.batch_first else batch.detach()
    direction = torch.randn(layer.output_size, generator=torch.Generator().manual_seed(0)).to(data)
    direction /= direction.norm()
    return layer, data, lambda h, t: h @ direction


def _forward_only(layer: Recurrent) -> Recurrent:
    if layer.cell.before:
        raise ValueError(f"a step of cell {layer.cell.name} follows several, and the error is followed through a Recurrent")
    if layer.bidirectional:
        raise ValueError("the error flows both ways through a bidirectional layer; follow it through one direction")
    return layer


def step(layer: Recurrent, x: Tensor, before: Sequence[Tensor], clamps: Sequence[Clamp] = ()) -> list[Tensor]:
    """Run one step of all layers: input (B, input_size), states, laid out as the layer's, before and after."""
    single = len(before) == 1
    _, after = layer(x.unsqueeze(1 if layer.batch_first else 0), before[0] if single else tuple(before), clamp=list(clamps))
    return [after] if single else list(after)


@torch.no_grad()
def _states(layer: Recurrent, data: Tensor, clamps: Sequence[Clamp] = ()) -> list[list[Tensor]]:
    """Return the states before the first step and after each, as ``step`` has them."""
    start = layer.initial_state(data.shape[1])
    states = [[start] if isinstance(start, Tensor) else list(start)]
    for k, x in enumerate(data):
        states.append(step(layer, x, states[-1], [c.later(k) for c in clamps]))
    return states


def _backwards(
    layer: Recurrent,
    data: Tensor,
    states: list[list[Tensor]],
    end: int,
    loss: Loss,
    weights: list[Tensor],
    clamps: Sequence[Clamp],
) -> Iterator[tuple[int, list[Tensor], list[Tensor]]]:
    """Go from the end step to the first; yield its number k, ∂E_t/∂x_k of each state, laid out as it, and the gradient that
    passes through the step to each weight.

    Each step is run again, so that memory does not grow with their number.
    """
    vectors = [k for k, s in enumerate(layer.cell.trace.states) if s.size is not None]
    messages = layer.layout.parts(0, states[end + 1][0])
    message = torch.stack([*messages]).sum(0) if layer.skip == "residual" else messages[-1]
    message = message.detach().requires_grad_()
    (direct,) = torch.autograd.grad(loss(message, end).sum(), message)
    delta = [torch.zeros_like(states[end + 1][k]) for k in vectors]
    for part in layer.layout.parts(0, delta[0])[0 if layer.skip == "residual" else -1 :]:
        part.copy_(direct)
    for k in range(end, -1, -1):
        before = [s.detach().requires_grad_(j in vectors) for j, s in enumerate(states[k])]
        with torch.enable_grad():
            after = step(layer, data[k], before, [c.later(k) for c in clamps])
        leaves = [*(before[j] for j in vectors), *weights]
        pairs = [(after[j], d) for j, d in zip(vectors, delta, strict=True)]
        pairs = [(x, d) for x, d in pairs if x.requires_grad]
        gradients = torch.autograd.grad([x for x, _ in pairs], leaves, [d for _, d in pairs], allow_unused=True)
        whole = [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, gradients, strict=True)]
        yield k, delta, whole[len(vectors) :]
        delta = whole[: len(vectors)]
