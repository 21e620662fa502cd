"""Kernels compiled ahead for a card that need not be there: what each takes of it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from carousel.equations import Cell
from carousel.kernels.registry import loop_called, wide_key
from carousel.kernels.triton.kernel import Plan, kernels_of
from carousel.kernels.triton.program import by_head, program_of
from carousel.kernels.triton.source import NUMBERS

WIDE = ("_S_", "_C_", "_V_", "_Y_", "_L_", "_F_", "_G_", "_H_")  # letters of arrays in single precision
_NAMES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}


@dataclass(frozen=True)
class Report:
    """The resources of a compiled kernel: registers a thread, bytes of stack (0: nothing is spilled), shared memory, code."""

    kernel: str
    registers: int
    stack: int
    shared: int
    code: int


def compiled(
    cell: Cell, sizes: tuple[int, ...], dtype: torch.dtype, plan: Plan, way: str, *, capability: int = 90
) -> list[Report]:
    """Compile what ``plan`` runs, ``way`` "forward" or "backward", for cards of a compute capability.

    ``sizes``: of the input, the states and the projection. For whole sequences without resets, derivatives wanted.
    """
    loop, mixed = loop_called(wide_key(cell)), dtype is not torch.float32
    program, kernels = program_of(loop, mixed), kernels_of(loop, mixed)
    units = program.units(lambda size: cell.length(size, *sizes))
    if plan.way == "stepwise":
        names = [n for n in kernels.functions if n.startswith(f"{way}_") and "_held" not in n and "_scan" not in n]
    else:
        names = [plan.kernel(way)]
    precision = "ieee" if dtype is not torch.float32 else "tf32"
    constants: dict[str, Any] = {
        "SAVE": True,
        "RESETS": False,
        "DIRECT": False,
        "BB": plan.rows,
        "BU": plan.units,
        "BK": plan.depth,
    }
    constants |= {"PARTS": 1 if plan.apart else plan.parts, "PRECISION": precision, **by_head(units, plan.heads)}
    options: dict[str, Any] = {"num_warps": plan.warps, "num_stages": plan.stages, **plan.together}
    single = {x.label for x in program.described if x.single}
    return [_compile(kernels.functions[n], n, constants, dtype, single, options, capability) for n in names]


def _compile(
    function: Any,
    name: str,
    constants: dict[str, Any],
    dtype: torch.dtype,
    single: set[str],
    options: dict[str, Any],
    capability: int,
) -> Report:
    signature: dict[str, str] = {}
    given: dict[tuple[int, ...], Any] = {}
    attributes: dict[tuple[int, ...], Any] = {}
    for k, argument in enumerate(function.arg_names):
        absent = argument in ("_resets",) or argument[:3] in ("_I_", "_D_")
        absent |= argument == "_barrier" and constants["PARTS"] == 1
        if argument in constants or absent:
            signature[argument], given[(k,)] = "constexpr", constants.get(argument)
        elif argument in NUMBERS:
            signature[argument] = "i32"
        else:
            wide = argument[:3] in WIDE or argument == "_clock" or argument in single
            integer = argument in ("all_at", "all_rows", "_barrier")
            signature[argument] = "*i32" if integer else "*fp32" if wide else _NAMES[dtype]
            attributes[(k,)] = [["tt.divisibility", 16]]
    source = ASTSource(function, signature, given, attributes)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    code: bytes = made.asm["cubin"]
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(code)
        text = subprocess.run([tool, "--dump-resource-usage", file], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", text)
    if found is None:
        raise RuntimeError(f"cuobjdump says nothing of {name}: {text!r}")
    return Report(name, int(found[1]), int(found[2]), made.metadata.shared, len(code))
