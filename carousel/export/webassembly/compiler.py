"""C to WebAssembly, by the compiler in the package ``ziglang``."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from carousel.errors import InputError, TrainingError
from carousel.kernels.cpu.compiler import environment

FLAGS = ["-target", "wasm32-wasi", "-mexec-model=reactor", "-Wl,--no-entry", "-std=c99", "-O3", "-msimd128", "-s"]


def compiled(text: str) -> bytes:
    """Compile a C file to a WebAssembly module, which imports nothing.

    Raises:
        InputError: the compiler is not installed.
        TrainingError: the compiler refuses the file.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise InputError("WebAssembly needs the compiler of carousel-rnn[compiler], which is not installed")
    with tempfile.TemporaryDirectory() as room:
        source, made = Path(room, "model.c"), Path(room, "model.wasm")
        source.write_text(text)
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, str(source), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(room))
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no message"]
            raise TrainingError(f"the compiler refuses the file: {lines[0].strip()}")
        return made.read_bytes()
