"""Tensors of one call have one type, unless autocast is on, and are on one device; each row has one number of its step."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from carousel.equations import Cell


def autocast(device: torch.device) -> bool:
    """Return whether autocast is on for a device."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def check_numbers(cell: Cell, before: Mapping[str, Tensor], initial: Mapping[str, Tensor] | None) -> None:
    """Refuse the steps' numbers of a cell that has them unless each row has one: (rows, 1). Raises ValueError."""
    if cell.trace.states[-1].size is not None:
        return
    name = cell.states[-1]
    for what, x in (("state", before[name]), ("initial state", initial[name] if initial else None)):
        if x is not None and tuple(x.shape) != (before[cell.states[0]].shape[0], 1):
            raise ValueError(
                f"{what} {name} of cell {cell.name} has shape {tuple(x.shape)}, expected (rows, 1): a number a row"
            )


def alike(
    cell: Cell,
    data: Tensor,
    before: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor] = MappingProxyType({}),
) -> None:
    """Refuse tensors of several types or devices, as torch.nn.LSTM does. Raises ValueError."""
    states = {s.name: before[s.name] for s in cell.trace.states if s.size is not None}
    clocks = {s.name: before[s.name] for s in cell.trace.states if s.size is None}  # the step number has its own type
    types = {(x.dtype, x.device) for x in (data, *inputs.values(), *states.values(), *parameters.values())}
    if len(types) == 1 and all(x.device == data.device for x in clocks.values()):
        return
    named = {f"parameter {k}": x for k, x in parameters.items()}
    named |= {f"state {k}": x for k, x in (states | clocks).items()}
    wanted = next(iter({**parameters, **states}.values()))
    named |= {f"input {k}": x for k, x in inputs.items()}
    for name, x in {"input": data, **named}.items():
        if x.device != wanted.device:
            raise ValueError(
                f"{name} is on {x.device}, but the layer's parameters are on {wanted.device}: "
                f"move it with .to({str(wanted.device)!r}), or the layer with layer.to({str(x.device)!r})"
            )
        if x.dtype != wanted.dtype and name.removeprefix("state ") not in clocks and not autocast(wanted.device):
            raise ValueError(
                f"{name} is {x.dtype}, but the layer's parameters are {wanted.dtype}: convert it with .to({wanted.dtype})"
                + f", or the layer with layer.to({x.dtype})" * x.is_floating_point()
            )


def moved(x: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor on a device. The copy to a card is one of its own tasks, so that nobody waits for it."""
    device = torch.device(device)
    waits = type(x) is not Tensor or device.type != "cuda" or x.device.type != "cpu"  # tracing knows no locked memory
    return x.to(device) if waits else x.pin_memory().to(device, non_blocking=True)
