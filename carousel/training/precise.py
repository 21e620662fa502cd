"""Precision of what is summed, exponentiated or taken logarithms of: single at least, also where products are in half."""

from __future__ import annotations

import torch
from torch import Tensor


def precise(x: Tensor) -> Tensor:
    """Return a tensor in single precision where it is in half; double precision stays, so that gradients can be checked."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
