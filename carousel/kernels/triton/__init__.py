"""Cells on a GPU: a loop's assignments as Triton kernels, its products inside them or by cuBLAS.

Nothing of Triton is imported before a loop runs here; it comes with PyTorch's CUDA builds.
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from typing import Any

import torch
from torch import Tensor


class Missing(Exception):
    """Triton is not installed."""


@cache
def available() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def run(*arguments: Any, **options: Any) -> Any:
    """``reference.run``'s work by Triton kernels; what they do not do, the reference does. Raises Missing without Triton."""
    if not available():
        raise Missing("there are no kernels for the GPU, since Triton is not installed (pip install triton)")
    from carousel.kernels.triton import operator

    return operator.run(*arguments, **options)


def explain(*arguments: Any) -> str:
    """How a layer's loop would run. Raises Missing without Triton."""
    if not available():
        raise Missing("Triton is not installed")
    from carousel.kernels.triton import operator

    return operator.explain(*arguments)


def interpreted() -> bool:
    """Whether kernels run on the CPU, in Triton's interpreter: for tests."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def unusual(tensors: list[Tensor]) -> bool:
    """Whether PyTorch is tracing, differentiates forwards or maps over batches: then kernels would not be seen."""
    if torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling():
        return True
    if any(type(x) not in (Tensor, torch.nn.Parameter) for x in tensors):
        return True
    forward = torch.autograd.forward_ad
    return forward._current_level >= 0 and any(forward.unpack_dual(x).tangent is not None for x in tensors)
