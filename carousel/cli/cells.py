"""``carousel cells``: list the cells, or print one's equations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carousel import files
from carousel.cli import commands, screen
from carousel.drawing.svg import standalone
from carousel.equations import Cell
from carousel.equations.before import names
from carousel.equations.derivative import NoDerivative
from carousel.equations.notes import Input
from carousel.errors import InputError

if TYPE_CHECKING:
    from carousel.cells.catalogue import Entry

EXAMPLE = "Example: carousel cells lstm-v3 --latex"


def command(
    name: Annotated[str | None, typer.Argument(help="A cell, or file.py:name; without it, all.", show_default=False)] = None,
    find: Annotated[
        str | None, typer.Option(help="List the cells with this text in name, family, source or equations.", show_default=False)
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print the equations as LaTeX.")] = False,
    source: Annotated[bool, typer.Option("--source", help="Print the C++ code made from the equations.")] = False,
    draw: Annotated[Path | None, typer.Option(help="Write the cell's drawing to this file (.svg).", show_default=False)] = None,
    input_size: Annotated[int, typer.Option("--input", "-e", min=1, help="Size of e, for the counts.")] = 200,
    hidden_size: Annotated[int, typer.Option("--hidden", min=1, help="Size of h, for the counts.")] = 200,
    proj_size: Annotated[
        int | None, typer.Option("--projection", min=1, help="Size of a projected m; half of h by default.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List all cells by family and year, with source, parameters and gates; or print the equations of one."""
    if name is not None and find is not None:
        raise InputError("--find is for all cells: carousel cells --find highway")
    for option, wanted in (("--latex", latex), ("--source", source), ("--draw cell.svg", draw is not None)):
        if name is None and wanted:
            raise InputError(f"{option} is for one cell: carousel cells lstm-v3 {option}")
    if draw is not None and draw.suffix != ".svg":
        raise InputError(f"a drawing is .svg, not {draw.name!r}")
    entries = [] if name else _entries(find)
    chosen = [commands.cell(name, alone=False)] if name else [entry.cell for entry in entries]
    sizes = (input_size, hidden_size, proj_size or max(1, hidden_size // 2))
    if draw is not None:
        files.write(draw, standalone(chosen[0]))
    if json:
        facts = [_facts(c, sizes) for c in chosen]
        for entry, each in zip(entries, facts, strict=False):
            each |= {"family": entry.family, "year": entry.year}
        screen.print_json(facts[0] if name else facts)
    elif latex:
        print(chosen[0].latex)
    elif source:
        from carousel import kernels  # PyTorch takes longer to load than all else that this command does

        try:
            print(kernels.source(chosen[0]), end="")
        except NoDerivative as error:
            raise InputError(f"there is no C++ of it: {error}") from None
    elif name:
        _print_one(chosen[0], sizes)
    else:
        _print_all(entries, sizes)


def _entries(find: str | None) -> list[Entry]:
    from carousel.cells.catalogue import catalogue, found  # it defines every cell of a paper, which one cell does not need

    entries = catalogue() if find is None else found(find, catalogue())
    if not entries:
        raise InputError(f"no cell has {find!r} in its name, family, source or equations")
    return entries


def _facts(cell: Cell, sizes: tuple[int, ...]) -> dict[str, Any]:
    sizes = _all_sizes(cell, sizes)
    work = cell.work(*sizes)
    return {
        "name": cell.name,
        "description": cell.doc,
        "source": cell.citation,
        "states": cell.states,
        "follows": names(cell.before),
        "inputs": dict(cell.inputs),
        "gates": cell.gates,
        "quantities": cell.names,
        "equations": cell.text.splitlines(),
        "latex": cell.latex,
        "sizes": dict(zip(("input", "hidden", "projection", *cell.sized), sizes, strict=True)),
        "parameters": cell.count(*sizes),
        "shapes": {p.name: p.shape for p in cell.parameter_specs(*sizes)},
        "flops_per_step": {
            "input_products": work.input_products,
            "recurrent_products": work.recurrent_products,
            "pointwise": work.pointwise,
            "total": work.total,
        },
    }


def _print_one(cell: Cell, sizes: tuple[int, ...]) -> None:
    sizes = _all_sizes(cell, sizes)
    work = cell.work(*sizes)
    print(f"{cell.name}: {cell.doc}\n{cell.citation}\n")
    print("\n".join(f"  {line}" for line in cell.text.splitlines()))
    print(f"\nstates      {', '.join(cell.states)} (the first is the output)")
    if cell.before:
        print(f"follows     {', '.join(names(cell.before))}{' (a set)' if isinstance(cell.before, str) else ''}")
    if cell.inputs:
        print(f"inputs      {', '.join(f'{x.name} ({_like(x)})' for x in cell.trace.inputs)}")
    print(f"gates       {', '.join(cell.gates) or 'none'}")
    shapes = [f"{p.name} {'×'.join(map(str, p.shape))}" for p in cell.parameter_specs(*sizes)]
    print(f"parameters  {cell.count(*sizes):,} with e = {sizes[0]}, h = {sizes[1]}" + _projected(cell, sizes))
    print(f"            {', '.join(shapes)}")
    products = f"input products {work.input_products:,}, recurrent {work.recurrent_products:,}, pointwise {work.pointwise:,}"
    print(f"operations  {work.total:,} a step and row ({products})")


def _all_sizes(cell: Cell, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes with those of further inputs, which count as large as e."""
    return *sizes, *[sizes[0]] * len(cell.sized)


def _like(x: Input) -> str:
    return "a number" if x.is_number else f"as {x.like}" if x.like else "any size"


def _projected(cell: Cell, sizes: tuple[int, ...]) -> str:
    return f", m = {sizes[2]}" if cell.has_projection else ""


def _print_all(entries: list[Entry], sizes: tuple[int, ...]) -> None:
    rows = [
        {
            "family": entry.family,
            "year": str(entry.year),
            "cell": entry.cell.name,
            "gates": " ".join(entry.cell.gates),
            f"parameters ({sizes[0]}, {sizes[1]})": f"{entry.cell.count(*_all_sizes(entry.cell, sizes)):,}",
            "source": entry.cell.citation.rstrip("."),
        }
        for entry in entries
    ]
    headings = list(rows[0])
    columns = {h: "right" if h.startswith("parameters") else "left" for h in headings}
    screen.out.print(screen.table("Cells", columns, rows))
    screen.out.print("\nEquations of one: carousel cells lstm-v3")
