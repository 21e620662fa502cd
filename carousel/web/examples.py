"""What the pages of examples share: an example is chosen by part and number, a quantity by name and layer."""

from __future__ import annotations

from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from carousel.errors import InputError
from carousel.page.facts import CHARACTERS

Part = Literal["test", "valid", "train"]
PARTS = get_args(Part)
WAYS = ("forwards", "backwards")
DIGITS = 4


class ExampleRequest(BaseModel):
    """The example of a number in a part of the run's data."""

    model_config = ConfigDict(extra="forbid")

    part: Part = "test"
    number: int = Field(0, ge=0, le=1_000_000_000)

    def check(self, kept: Sized) -> None:
        """Raise InputError where the part has no example of that number."""
        if self.number >= len(kept):
            raise InputError(f"there is no example {self.number}; {self.part} has {len(kept):,}, counted from 0")


class QuantityRequest(ExampleRequest):
    """A quantity of a layer while it reads an example."""

    name: str = Field(min_length=1, max_length=100)
    layer: int = Field(0, ge=0, le=1000)


class TextRequest(QuantityRequest):
    """The same while it reads what was typed, where something was."""

    text: str | None = Field(None, max_length=CHARACTERS)


def parts_of(folder: Path, path: Callable[[Path, str], Path]) -> list[str]:
    """Return the parts of a run's own data that are there; ``path`` gives their files."""
    return [part for part in PARTS if path(folder, part).exists()]


def check_size(found: int, most: int, what: str) -> None:
    """Raise InputError where an example has more nodes, steps or values than the page shows."""
    if found > most:
        raise InputError(f"the example has {found:,} {what}; the page shows at most {most:,}")


def told(values: np.ndarray) -> Any:
    """Return values as JSON shows them. Raises InputError where they are not finite."""
    if not np.isfinite(values).all():
        raise InputError("the model's values are not finite; was it trained to the end?")
    return values.astype(float).round(DIGITS).tolist()
