"""Cells on a GPU: a loop's assignments as Triton kernels, its products inside them or by cuBLAS."""

from __future__ import annotations

import importlib.util
import os
from functools import cache

WAYS = ("stepwise", "rows", "grid", "held", "scan")
"""The ways to run a loop that $CAROUSEL_TRITON_WAY may force; ``planner`` describes them."""


@cache
def available() -> bool:
    """Return whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


@cache
def interpreted() -> bool:
    """Return whether kernels run on the CPU, in Triton's interpreter: for tests."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"
