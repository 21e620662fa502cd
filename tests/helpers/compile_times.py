"""Seconds of the C++ compiler for a kernel: ``PYTHONPATH=. python tests/helpers/compile_times.py [CELL …]``.

Single precision, the compiler alone; least of three, for the run forwards and for both directions in one file.
"""

import sys
import tempfile
import time

import torch

from carousel import cells
from carousel.kernels.cpu import compiler
from carousel.kernels.cpu.program import program_of
from carousel.kernels.cpu.source import DIRECTIONS, source
from carousel.kernels.inputs import loop_of


def seconds(name: str, text: str) -> float:
    made = compiler.compiler_of(torch.float32)
    found = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as room:
            begun = time.perf_counter()
            made.compile(made.of(name, ".so", text), room)
            found.append(time.perf_counter() - begun)
    return min(found)


for name in sys.argv[1:] or ("rnn", "gru", "lstm-v4", "lstm-layer-norm"):
    program = program_of(loop_of(cells.get(name)))
    forward, both = (seconds(name, source(program, which)) for which in (DIRECTIONS[:1], DIRECTIONS))
    print(f"{name}: {forward:.2f} s forwards, {both:.2f} s both")
