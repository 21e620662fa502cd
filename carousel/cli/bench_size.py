"""``carousel bench size``: flash, memory and stack of exported layers on small processors."""

from __future__ import annotations

from typing import Annotated

import typer

from carousel.bench import c_stream, footprint
from carousel.cli import commands, options, screen
from carousel.errors import InputError
from carousel.layers import Recurrent


def command(
    cell: Annotated[str, typer.Option(help="A cell of carousel cells.")] = "gru",
    inputs: Annotated[int, typer.Option(min=1, help="Numbers of an input.")] = 16,
    units: Annotated[int, typer.Option(min=1, help="Units of a layer.")] = 32,
    layers: Annotated[int, typer.Option(min=1, help="Layers.")] = 1,
    processors: Annotated[str, typer.Option(help="Separated by commas.")] = ",".join(footprint.PROCESSORS),
    json: options.Json = False,
) -> None:
    """Print the flash, memory and stack of exported layers on small processors, compiled by zig (package ziglang)."""
    zig, names = c_stream.zig(), options.several("--processors", processors, tuple(footprint.PROCESSORS))
    if zig is None:
        raise InputError("bench size needs the package ziglang: pip install carousel-rnn[compiler]")
    layer = Recurrent(commands.cell(cell), inputs, units, layers).eval()
    rows = footprint.measure(layer, zig, names)
    if json:
        screen.print_json(rows)
        return
    table = [{name: f"{value:,}" if isinstance(value, int) else value for name, value in r.items()} for r in rows]
    screen.print_rows(f"{layer!r}: bytes; memory is that of one state, the stack at most", table, ("processor", "precision"))
