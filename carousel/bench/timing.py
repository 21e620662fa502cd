"""Time several ways of doing the same, taking turns, so that a noisy machine disturbs all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from carousel.cells import get
from carousel.layers import Recurrent

Work = Callable[[], Any]
PYTORCHS: dict[str, Any] = {"lstm": nn.LSTM, "lstm-v2": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}  # of the same equations
NOISE = 0.1  # the rate of all that a cell draws


def forward(run: Callable[[Any], Any], data: Any) -> Work:
    """Return a run over data, without derivatives."""

    def work() -> None:
        with torch.no_grad():
            run(data)

    return work


def layer_of(cell: str, units: int, **options: Any) -> Recurrent:
    """Return a layer of a cell, of as many units as its inputs have; a cell that draws noise does."""
    known = get(cell)
    sizes, rates = dict.fromkeys(known.sized, units), dict.fromkeys(known.rates, NOISE)
    return Recurrent(known, units, units, input_sizes=sizes, rates=rates, **options)


def further(layer: Recurrent, steps: int, rows: int) -> dict[str, Tensor]:
    """Return random values of a layer's further inputs, between 0 and 1, (steps, rows, units) by name."""
    cell, like = layer.cell, next(layer.parameters())
    return {
        x.name: torch.rand(steps, rows, cell.length(x.size, *layer.sizes()), device=like.device, dtype=like.dtype)
        for x in cell.trace.inputs
    }


def side_by_side(
    works: Mapping[str, Work], seconds: float = 1.0, rounds: int = 5, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return median seconds of each; each is measured for about ``seconds``, in ``rounds`` turns of several runs."""
    once = {}
    for name, work in works.items():
        work()
        begun = clock()
        work()
        once[name] = clock() - begun
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            for _ in range(max(1, int(seconds / rounds / max(once[name], 1e-6)))):
                begun = clock()
                work()
                times[name].append(clock() - begun)
    return {name: median(measured) for name, measured in times.items()}


def peak(seconds: float = 1.0) -> float:
    """Return the floating-point operations a second of PyTorch's best large matrix product, in single precision, now."""
    best = 0.0
    for n in (768, 1536, 2304):
        a, b = torch.randn(n, n), torch.randn(n, n)
        works = {"product": lambda a=a, b=b: torch.mm(a, b)}
        best = max(best, 2 * n**3 / side_by_side(works, seconds, 1)["product"])
    return best
