"""A folder of trials of the experiments of 1997, as ``carousel tasks run`` leaves it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.errors import InputError
from carousel.tasks import runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Trials:
    """The results of trials; their networks are not kept.

    Args:
        folder: as ``carousel tasks run`` leaves it.

    Raises:
        InputError: a ValueError of one line; the folder holds no results, or a file that is none.

    Attributes:
        results: a dictionary a trial, as its file has it.
        folder: where they lie.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.results: list[dict[str, Any]] = runs.results(self.folder)
        if not self.results:
            raise InputError(f"{self.folder} holds no results: carousel tasks run all, first")

    def __repr__(self) -> str:
        return f"<Trials {self.folder}: {len(self.results)} results>"

    def table(self) -> list[dict[str, Any]]:
        """Return the paper's tables with our lines beside: a dictionary a line."""
        from carousel.tasks.report import lines  # matplotlib loads slowly

        return lines(self.results)

    def figure(self) -> Figure:
        """Return the figure of the results."""
        from carousel.tasks.report import draw

        return draw(self.results)
