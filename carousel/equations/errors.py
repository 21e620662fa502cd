"""The error of equations that cannot be a cell."""


class EquationError(ValueError):
    """A cell's equations are refused: names the file, the line and the reason.

    Raised while the cell is defined, never later. ``reason``, ``filename`` and ``line`` are attributes.
    """

    def __init__(self, reason: str, filename: str | None = None, line: int | None = None, cell: str | None = None):
        self.reason, self.filename, self.line, self.cell = reason, filename, line, cell
        where = f"{filename}, line {line}, in {cell}: " if filename else ""
        super().__init__(where + reason)
