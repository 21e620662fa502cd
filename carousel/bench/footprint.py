"""Flash and memory, in bytes, of an exported layer on small processors, compiled by zig."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from carousel import export
from carousel.bench.c_stream import compile_c
from carousel.export.c99.footprint import footprint
from carousel.layers import Recurrent
from carousel.layers.precision import PRECISIONS

# Zig's names of processors and their targets. The second has neither a unit for floats nor one for vectors.
PROCESSORS = {"cortex_m4": "thumb-freestanding-eabihf", "cortex_m0plus": "thumb-freestanding-eabi"}
FRAMES = ("-Wframe-larger-than=0", "-Wno-error=frame-larger-than")  # Clang's warnings tell the bytes of each frame
WHOLE = "model_state the_state;\n"  # so that the object has it in its memory


def measure(layer: Recurrent, command: list[str], processors: list[str]) -> list[dict[str, Any]]:
    """Return a row for each processor and precision: bytes of flash, of code in it, of memory for one state, and of stack.

    No function calls itself, so the stack takes at most the frames of all functions together.

    Args:
        layer: the layer, exported without ``math.h``.
        command: zig's C compiler.
        processors: names in ``PROCESSORS``.
    """
    rows = []
    with TemporaryDirectory() as folder:
        for processor in processors:
            for precision in PRECISIONS:
                source, made = Path(folder, f"{precision}.c"), Path(folder, f"{precision}.o")
                source.write_text(export.c(layer, precision, libm=False) + WHOLE)
                target = ["-target", PROCESSORS[processor], f"-mcpu={processor}", "-ffreestanding"]
                strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
                told = compile_c([*command, *target, *strict, *FRAMES, "-Os", "-c", source, "-o", made])
                stack = sum(map(int, re.findall(r"stack frame size \((\d+)\)", told)))
                found = footprint(made)
                assert found is not None  # zig writes ELF for these
                row = {"processor": processor, "precision": precision, "flash": found.flash, "code": found.code}
                rows.append({**row, "memory": found.memory, "stack": stack})
    return rows
