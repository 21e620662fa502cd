"""matplotlib's figure, loaded when one is drawn: half as long again as PyTorch, for what most commands never do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure
else:

    def Figure(**how: Any) -> Any:
        """Make a ``matplotlib.figure.Figure``: no display, and no state of the whole process."""
        from matplotlib.figure import Figure

        return Figure(**how)
