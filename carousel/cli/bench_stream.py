"""``carousel bench stream``: one row, one step at a time, beside other packages."""

from __future__ import annotations

from typing import Annotated, Any

import torch
import typer

from carousel.bench import stream
from carousel.cli import options, screen
from carousel.errors import InputError
from carousel.insight import figures


def command(
    units: Annotated[str, typer.Option(help="Of two layers and their input, sizes separated by commas.")] = "64,200,650",
    seconds: Annotated[float, typer.Option(min=0.05, help="About how long each way is measured.")] = 1.0,
    figure: options.Figure = None,
    json: options.Json = False,
) -> None:
    """Time a stream of single steps: ours in 32, 16 and 8 bits, the C file, WebAssembly, PyTorch, ONNX Runtime."""
    figures.check(figure)
    sizes = options.numbers(units)
    if not sizes:
        raise InputError(f"units are whole numbers from 1, separated by commas, not {units!r}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    left: dict[str, str] = {}
    try:
        with screen.counting("measuring") as tick:
            for k, size in enumerate(sizes):
                tick(k, len(sizes))
                found, left = stream.measure(size, seconds)
                rows += found
    finally:
        torch.set_num_threads(threads)
    if figure is not None:
        figures.save(stream.draw(rows), figure)
    if json:
        screen.print_json({"rows": rows, "left_out": left})
        return
    table = [
        {
            "units": str(r["units"]),
            "way": r["way"],
            "µs a step": f"{r['microseconds']:.1f}",
            "weights": _size(r["weights"]),
            "code": "" if r["code"] is None else _size(r["code"]),
        }
        for r in rows
    ]
    title = f"{stream.LAYERS} layers, one row, one step, one thread: medians"
    screen.print_rows(title, table, ("way",))
    for name, reason in left.items():
        print(f"{name} was left out: {reason}")
    if figure is not None:
        print(f"figure {figure}")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
