"""What it costs to record the memory of every step and to clamp a gate, beside the plain run and beside the eager loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from carousel import kernels
from carousel.bench.kernels import Case
from carousel.bench.timing import Work, further, side_by_side
from carousel.layers import Clamp, Recurrent

SIZES = [(1, 256, 100), (20, 200, 35)]


def measure(case: Case, *, seconds: float) -> Iterator[dict[str, Any]]:
    """Measure recording and clamping, forward (without derivatives) and in training (gradients of recorded values included)."""
    torch.manual_seed(0)
    layer, data = case.layer(), torch.randn(case.steps, case.batch, case.hidden)
    inputs = further(layer, case.steps, case.batch)
    memory = [s.name for s in layer.cell.trace.states if s.size is not None][-1]
    gate = (layer.cell.gates or layer.cell.states)[0]
    asked: dict[str, dict[str, Any]] = {
        "plain": {},
        "record": {"record": [memory]},
        "clamp": {"clamp": [Clamp(gate, 0.5, tuple(range(0, layer.units()[gate], 2)))]},
    }
    for what, make in (("forward", _forward), ("training", _train)):
        works = {name: make(layer, data, given | inputs, "cpu") for name, given in asked.items()}
        works |= {f"eager {name}": make(layer, data, given | inputs, "reference") for name, given in asked.items()}
        yield {
            "cell": case.cell,
            "batch": case.batch,
            "hidden": case.hidden,
            "steps": case.steps,
            "what": what,
            "recorded": memory,
            "clamped": gate,
            "seconds": side_by_side(works, seconds),
        }


def _by(back_end: str, work: Callable[[], Any]) -> Work:
    def under() -> None:
        with kernels.use(back_end):
            work()

    return under


def _forward(layer: Recurrent, data: Tensor, asked: dict[str, Any], back_end: str) -> Work:
    def work() -> None:
        with torch.no_grad():
            layer(data, **asked)

    return _by(back_end, work)


def _train(layer: Recurrent, data: Tensor, asked: dict[str, Any], back_end: str) -> Work:
    leaf = data.clone().requires_grad_()
    given: list[Tensor] = []

    def work() -> None:
        output, _, *recorded = layer(leaf, **asked)
        results = [output, *(x for seen in recorded for x in seen.values())]
        given.extend(torch.randn_like(x) for x in results[len(given) :])
        torch.autograd.backward(results, given)

    return _by(back_end, work)
