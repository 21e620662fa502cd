"""Cells on a GPU: a loop's assignments as Triton kernels, its products inside them or by cuBLAS."""

from __future__ import annotations

import importlib.util
import os
from functools import cache


@cache
def available() -> bool:
    """Return whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


@cache
def interpreted() -> bool:
    """Return whether kernels run on the CPU, in Triton's interpreter: for tests."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"
