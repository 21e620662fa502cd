"""Exported C beside the exported layers: compiled for this processor, or for WebAssembly in Node."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from carousel import export
from carousel.export.c99.footprint import footprint
from carousel.export.c99.weights import apart
from carousel.layers import Recurrent

STEPS = 20  # of a call, so that calling from Python costs little beside them
DRIVER = """
static model_state the_state;
static float the_input[MODEL_INPUTS], the_output[MODEL_OUTPUTS];
void begin(void);
void steps(int count);
float *input_of(void);
float *output_of(void);
void begin(void) { model_init(&the_state); }
void steps(int count) { while (count-- > 0) model_step(&the_state, the_input, the_output); }
float *input_of(void) { return the_input; }
float *output_of(void) { return the_output; }
"""
NODE = """
const fs = require("fs"), lines = require("readline").createInterface({ input: process.stdin });
const e = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(process.argv[1])), {}).exports;
lines.on("line", (line) => {
  const [task, value] = JSON.parse(line);
  let answer = null;
  if (task === "begin") {
    new Float32Array(e.memory.buffer, e.input_of(), value.length).set(value);
    e.begin();
  } else if (task === "steps") e.steps(value);
  else if (task === "fill") {
    const bytes = fs.readFileSync(value[0]);
    let at = 0;
    for (const [name, size] of value[1]) {
      new Uint8Array(e.memory.buffer, e[name].value, size).set(bytes.subarray(at, at + size));
      at += size;
    }
  }
  else answer = Array.from(new Float32Array(e.memory.buffer, e.output_of(), value));
  process.stdout.write(JSON.stringify(answer) + "\\n");
});
"""


@dataclass(frozen=True)
class Compiled:
    """Exported layers that run: ``begin`` takes the input of all steps, ``steps`` runs ``STEPS`` steps, ``output`` returns the
    output of the last step. ``code``: bytes of machine code, where they are known."""

    begin: Callable[[Tensor], object]
    steps: Callable[[], object]
    output: Callable[[], Tensor]
    code: int | None


def compiler() -> list[str] | None:
    """Return the command of a C compiler, or None."""
    return next(([found] for found in map(shutil.which, ("cc", "gcc", "clang")) if found), None)


def zig() -> list[str] | None:
    """Return the command of zig's Clang, of the package ziglang, or None."""
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None


def native(layer: Recurrent, precision: str, folder: Path, command: list[str]) -> Compiled:
    """Compile layers for this processor with ``-O3 -march=native``."""
    source, made = folder / f"{precision}.c", folder / f"{precision}.o"
    with apart() as arrays:
        source.write_text(export.c(layer, precision) + DRIVER)
    compile_c([*command, "-std=c99", "-O3", "-march=native", "-fPIC", "-c", source, "-o", made])
    compile_c([*command, "-shared", made, "-o", made.with_suffix(".so"), "-lm"])
    library = ctypes.CDLL(str(made.with_suffix(".so")))
    for function in (library.input_of, library.output_of):
        function.restype = ctypes.POINTER(ctypes.c_float)
    for name, values in arrays.items():
        ctypes.memmove(ctypes.addressof(ctypes.c_char.in_dll(library, name)), values.ctypes.data, values.nbytes)
    found = footprint(made)

    def begin(x: Tensor) -> None:
        np.ctypeslib.as_array(library.input_of(), (layer.input_size,))[:] = x.numpy().ravel()
        library.begin()

    def output() -> Tensor:
        return torch.from_numpy(np.ctypeslib.as_array(library.output_of(), (layer.output_size,)).copy())

    return Compiled(begin, lambda: library.steps(STEPS), output, None if found is None else found.code)


def in_node(layer: Recurrent, precision: str, folder: Path, command: list[str], node: str) -> Compiled:
    """Compile layers for WebAssembly with vectors; they run in a process of Node, which ends with its input."""
    source, made = folder / f"{precision}-wasm.c", folder / f"{precision}.wasm"
    with apart() as arrays:
        source.write_text(export.c(layer, precision, libm=False) + DRIVER)
    exported = [f"-Wl,--export={name}" for name in ("begin", "steps", "input_of", "output_of", *arrays)]
    target = ["-target", "wasm32-freestanding", "-mcpu=generic+simd128+bulk_memory", "-nostdlib", "-Wl,--no-entry", *exported]
    compile_c([*command, *target, "-std=c99", "-O3", source, "-o", made])
    weights = made.with_suffix(".weights")
    weights.write_bytes(b"".join(x.tobytes() for x in arrays.values()))
    running = subprocess.Popen([node, "-e", NODE, made], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(task: str, value: object) -> object:
        assert running.stdin is not None and running.stdout is not None
        running.stdin.write(json.dumps([task, value]) + "\n")
        running.stdin.flush()
        return json.loads(running.stdout.readline())

    ask("fill", [str(weights), [[name, x.nbytes] for name, x in arrays.items()]])
    return Compiled(
        lambda x: ask("begin", x.ravel().tolist()),
        lambda: ask("steps", STEPS),
        lambda: torch.tensor(ask("output", layer.output_size)),
        None,
    )


def compile_c(command: list[object]) -> str:
    """Run a compiler, and return its warnings. Raises OSError with the first line of its message."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{shlex.join(map(str, command[:3]))} refuses the file: {done.stderr.strip().splitlines()[0]}")
    return done.stderr
