"""Norms and ranges of weights, gradients, gates and states during training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from carousel.layers.of_cell import CellLayer
from carousel.training.task import Trainable

SHUT, OPEN = 0.1, 0.9  # a gate is shut below the first and open above the second
Numbers = dict[str, float]


class Monitor:
    """A model's measurements during training, like the channels of Pylearn2. They change neither model nor random state.

    Args:
        model: the model to measure; gates and states are those of all its layers over cells.
    """

    def __init__(self, model: Trainable):
        self.model, self.seen = model, dict[str, Numbers]()
        self.asked: dict[str, Any] = {}  # by layer, what its caller has recorded

    @torch.no_grad()
    def look(self, arguments: tuple[Any, ...]) -> None:
        """Call the model and measure gates and states; the next call draws the same dropout and noise."""
        device = self.model.device
        self.seen = {}
        with torch.random.fork_rng([device] if device.type == "cuda" else []), self._watching():
            self.model(*arguments)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        hooks = []
        for name, layer in self.model.named_modules():
            if isinstance(layer, CellLayer):
                hooks.append(layer.register_forward_pre_hook(partial(self._record, name), with_kwargs=True))
                hooks.append(layer.register_forward_hook(partial(self._see, name)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def row(self, unclipped: float = 1.0) -> dict[str, dict[str, Numbers]]:
        """Return all measurements after a step, by kind and name.

        Args:
            unclipped: factor that takes gradients back to their size before clipping.
        """
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        gradients = {name: _size(p.grad * unclipped) for name, p in named if p.grad is not None}
        return {"weights": {name: _size(p) for name, p in named}, "gradients": gradients, "values": self.seen}

    def _record(
        self, name: str, layer: CellLayer, given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Have a layer record gates and states, beside what its caller asks for."""
        self.asked[name] = named.get("record")
        states = (s.name for s in layer.cell.trace.states if s.size is not None)  # no clock
        return given, {**named, "record": list(dict.fromkeys([*layer.cell.gates, *states, *(self.asked[name] or ())]))}

    def _see(self, name: str, layer: CellLayer, given: tuple[Any, ...], result: tuple[Any, ...]) -> Any:
        """Measure the values that a layer has recorded, and return what its caller asked for."""
        *plain, recorded = result
        inside = _inside(given[0], layer)
        for quantity, values in recorded.items():
            if isinstance(values, list):  # of layers that differ in size
                valued = torch.cat([(x if inside is None else x[inside]).flatten() for x in values])
            else:
                valued = values if inside is None else values[:, inside]
            if valued.numel():
                self.seen[f"{name}.{quantity}"] = _range(valued, quantity in layer.cell.gates)
        if self.asked[name] is not None:
            plain.append({quantity: recorded[quantity] for quantity in self.asked[name]})
        return plain[0] if len(plain) == 1 else tuple(plain)


def _inside(input: Any, layer: CellLayer) -> Tensor | None:
    """Return True where a packed input has steps, (T, B), or (B, T) if the layer is ``batch_first``; None for padded input."""
    if not isinstance(input, PackedSequence):
        return None
    ones = PackedSequence(torch.ones_like(input.data[:, 0]), *input[1:])
    return pad_packed_sequence(ones, batch_first=bool(getattr(layer, "batch_first", False)))[0] > 0


def _size(x: Tensor) -> Numbers:
    x = x.detach()
    return {"norm": _short(x.norm()), "min": _short(x.min()), "max": _short(x.max())}


def _range(x: Tensor, gate: bool) -> Numbers:
    found = {"mean": _short(x.mean()), "min": _short(x.min()), "max": _short(x.max())}
    if gate:
        found |= {"shut": _short((x < SHUT).float().mean()), "open": _short((x > OPEN).float().mean())}
    return found


def _short(x: Tensor) -> float:
    return float(f"{x.item():.5g}")
