"""Numbers of weights as files hold them: in 16 or 8 bits, rounded as a stream rounds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from carousel.errors import InputError
from carousel.layers.precision import whole


def numbers(x: Any) -> np.ndarray:
    """Return a tensor's numbers in double precision."""
    found: np.ndarray = x.detach().double().cpu().numpy()
    return found


def single(name: str, values: np.ndarray) -> np.ndarray:
    """Return numbers in single precision. Raises InputError for numbers that are not finite."""
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds numbers that are not finite; was the model trained to the end?")
    return values.astype(np.float32)


def in_halves(values: np.ndarray) -> np.ndarray:
    """Return each number rounded to bfloat16, as a whole number of 16 bits."""
    return torch.from_numpy(values.astype(np.float32)).bfloat16().view(torch.int16).numpy().view(np.uint16)


def in_bytes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whole numbers from −127 to 127 for a weight, (rows, columns), and the scale of each row."""
    found, scale = whole(torch.from_numpy(np.ascontiguousarray(values)))
    return found.to(torch.int8).numpy(), scale.squeeze(-1).numpy()
