"""A run's lines of metrics for TensorBoard, which is an optional package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from carousel.errors import InputError

FOLDER = "tensorboard"  # in the run folder
MISSING = "`tensorboard` needs the package: pip install 'carousel-rnn[tensorboard]'"


class Board:
    """Writes every number of a line of metrics under its name, by step.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError(MISSING) from None
        self.writer = SummaryWriter(str(folder / FOLDER))

    def add(self, row: dict[str, Any]) -> None:
        """Add a line."""
        for name, value in numbers(row):
            self.writer.add_scalar(f"{row['event']}/{name}", value, row["step"])
        self.writer.flush()


def numbers(row: dict[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a line by their names, parts of names with a stroke between them."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{above}{name}/")
        elif type(value) in (int, float) and (above or name not in ("step", "epoch")):
            yield f"{above}{name}", float(value)
