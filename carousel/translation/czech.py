"""The place of ``carousel.corpora.czech`` in 0.1.0, whose documentation named it."""

from __future__ import annotations

import warnings
from typing import Any

from carousel.corpora import czech


def __getattr__(name: str) -> Any:
    found = getattr(czech, name)
    if not name.startswith("__"):
        warnings.warn("carousel.translation.czech is carousel.corpora.czech now", DeprecationWarning, stacklevel=2)
    return found
