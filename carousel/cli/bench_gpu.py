"""``carousel bench kernels`` on a GPU, and its kernels compiled for one."""

from __future__ import annotations

from typing import Any

import torch

from carousel.bench import gpu
from carousel.cli import commands, options, screen
from carousel.errors import InputError
from carousel.kernels import triton


def kernels(
    cells: str,
    sizes: list[tuple[int, int, int]],
    types: str,
    ways: str,
    seconds: float,
    *,
    compiled: bool,
    jax: bool,
    compile_only: bool,
    json: bool,
) -> None:
    """Print the table, or the report of the compiler. Raises InputError for an unknown case, or without the card."""
    if not triton.available():
        raise InputError("this needs Triton, which comes with PyTorch for GPUs: pip install carousel-rnn[gpu]")
    if not compile_only and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no GPU here; --compile-only compiles the kernels without one")
    names = commands.cells(cells, alone=False)
    chosen = options.several("--types", types, tuple(gpu.TYPES))
    forced = options.several("--ways", ways, triton.WAYS) if ways.strip() else []
    try:
        cases = gpu.cases(names, sizes or gpu.SIZES, chosen)
    except ValueError as error:
        raise InputError(str(error)) from None
    rows: list[dict[str, Any]] = []
    with screen.counting("compiling" if compile_only else "measuring") as tick:
        for k, case in enumerate(cases):
            tick(k, len(cases))
            if compile_only:
                rows += gpu.compile_ahead(case)
            else:
                rows += gpu.measure(case, ways=forced, compiled=compiled, jax=jax, seconds=seconds)
    if json:
        screen.print_json({"machine": {} if compile_only else gpu.card(), "rows": rows})
        return
    table = [_compiled(r) if compile_only else _measured(r) for r in rows]
    title = "For compute capability 9.0" if compile_only else f"{', '.join(gpu.card().values())}; milliseconds"
    left = ("cell", "type", "run", "kernel")
    screen.print_rows(title, table, left)
    for failed in dict.fromkeys(line for r in rows for line in _failed(r)):
        print(failed)


def _case(r: dict[str, Any]) -> dict[str, str]:
    return {"cell": r["cell"], "B·H·T": f"{r['batch']}·{r['hidden']}·{r['steps']}", "type": r["dtype"]}


def _measured(r: dict[str, Any]) -> dict[str, str]:
    shown = {**_case(r), "run": r["what"], "products alone": f"{1000 * r['floor_seconds']:.3f}"}
    for name, seconds in r["seconds"].items():
        shown["torch.nn" if name.startswith("torch.nn") else name] = f"{1000 * seconds:.3f}"
    return shown


def _failed(r: dict[str, Any]) -> list[str]:
    """Return a line for each way that could not be measured."""
    case = " ".join(_case(r).values())
    return [f"{case}: {name} was not measured ({why})" for name, why in r.get("failed", {}).items()]


def _compiled(r: dict[str, Any]) -> dict[str, str]:
    return {**_case(r), **{k: str(r[k]) for k in ("kernel", "registers", "stack", "shared", "code")}}
