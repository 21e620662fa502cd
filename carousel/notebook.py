"""A cell or a layer in a notebook: its drawing, its equations, its parameters.

Each part goes out in the form that every notebook can show: SVG, LaTeX, a table in HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

import sympy
from IPython.display import publish_display_data

from carousel.drawing.svg import standalone
from carousel.equations import Cell
from carousel.layers import Grid, Recurrent, Tree

Row = tuple[str, str, str]
Layer = Recurrent | Grid | Tree
HEADINGS = ("parameter", "shape", "count")


def show(shown: Cell | Layer) -> None:
    """Publish a cell or a layer to the notebook."""
    for bundle in bundles(shown):
        publish_display_data(bundle)


def bundles(shown: Cell | Layer) -> Iterator[dict[str, str]]:
    """Yield what is published, by MIME type."""
    cell = shown if isinstance(shown, Cell) else shown.cell
    yield {"image/svg+xml": standalone(cell), "text/plain": repr(shown)}
    yield {"text/latex": cell._repr_latex_(), "text/plain": cell.text}
    rows = list(_of_cell(shown) if isinstance(shown, Cell) else _of_layer(shown))
    yield {"text/html": _table(rows), "text/plain": "\n".join("  ".join(row) for row in rows)}


def _of_cell(cell: Cell) -> Iterator[Row]:
    """Return the parameters of a cell for E inputs, H units and, where the output is projected, P outputs.

    A further input with a size of its own has as many units as its letter says, in capitals: ``c`` has C.
    """
    letters = ["E", "H", "P", *(name.upper() for name in cell.sized)]
    sizes: Any = sympy.symbols(letters, positive=True, integer=True)
    whole = {size: size / cell.heads for size in sizes}  # asked with multiples of the heads, which share their units
    specs = cell.parameter_specs(*(cell.heads * size for size in sizes))
    return _rows((spec.name, tuple(sympy.sympify(n).subs(whole) for n in spec.shape)) for spec in specs)


def _of_layer(layer: Layer) -> Iterator[Row]:
    """Return the parameters of a layer."""
    return _rows((name, tuple(p.shape)) for name, p in layer.named_parameters())


def _rows(parameters: Iterable[tuple[str, tuple[Any, ...]]]) -> Iterator[Row]:
    """Yield a line for the parameters of one space, layer and shape; the last is the sum."""
    groups: dict[Any, list[str]] = {}
    for name, shape in parameters:
        space, _, letters = name.partition(".")
        groups.setdefault((space, letters.partition("_l")[2], shape), []).append(name)
    total = sympy.Integer(0)
    for (*_, shape), names in groups.items():
        count = len(names) * sympy.prod(shape)
        yield " ".join(names), " × ".join(map(_said, shape)), _said(count)
        total += count
    yield "all", "", _said(total)


def _said(expr: Any) -> str:
    """Return a number, or a polynomial of sizes: ``4 E H + 4 H² + 7 H``."""
    expr = sympy.expand(expr)
    return f"{int(expr):,}" if expr.is_Integer else str(expr).replace("**2", "²").replace("*", " ")


def _table(rows: list[Row]) -> str:
    head = "".join(f"<th>{h}</th>" for h in HEADINGS)
    body = "".join("<tr>" + "".join(f"<td>{escape(x)}</td>" for x in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
