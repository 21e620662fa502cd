"""The device on which a run is trained, and its generator of random numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from carousel.errors import InputError

RANDOM, OF_DEVICE = "random", "random_device"  # generators: the processor's, and the device's own


def found(name: str, local_rank: int = 0) -> torch.device:
    """Return the device of a name. Of several processes on a machine each has the card of its own number.

    Args:
        name: "cpu", or an accelerator with or without the number of a card, such as "cuda" or "cuda:1".
        local_rank: the number of this process among those of this machine.

    Raises:
        InputError: there is no such device.
    """
    there = "cpu"
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    count = torch.accelerator.device_count() if accelerator is not None else 0
    if accelerator is not None:
        there += f" and {accelerator.type}" + (f", {count} of them" if count > 1 else "")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"`device` {name!r} is no device; there is {there}") from None
    if device.type == "cpu":
        return torch.device("cpu")
    number = local_rank if device.index is None else device.index
    if accelerator is None or device.type != accelerator.type or number >= count:
        raise InputError(f"`device` {name} is not on this machine, or not known to this PyTorch; there is {there}")
    return torch.device(device.type, number)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of all generators that a training on a device draws from, by name."""
    states = {RANDOM: torch.get_rng_state()}
    if device.type != "cpu":
        states[OF_DEVICE] = torch.get_device_module(device).get_rng_state(device).cpu()
    return states


def set_random_states(device: torch.device, state: Callable[[str], Tensor]) -> None:
    """Set all generators that a training on a device draws from to the states that ``state`` gives by their names."""
    torch.set_rng_state(state(RANDOM))
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state(OF_DEVICE), device)
