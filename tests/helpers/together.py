"""Kernels of many loops, compiled as one file: what they share is compiled once, so that each takes a third of the time."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest import mock

import torch

from carousel.equations.loop import Loop
from carousel.kernels.cpu import compiler
from carousel.kernels.cpu import kernel as of_loops
from carousel.kernels.cpu.program import program_of
from carousel.kernels.cpu.source import source

RUNTIME = '#include "runtime.h"\n'
FUNCTIONS = ("carousel_forward", "carousel_backward")


def compile_together(loops: Sequence[Loop], dtype: torch.dtype) -> None:
    """Have ``kernel`` remember each loop's, one file a processor."""
    printed = {program: source(program) for program in map(program_of, loops)}
    count, libraries = os.cpu_count() or 1, {}
    by_size = sorted(dict.fromkeys(printed.values()), key=len)  # files of about the same size
    with ThreadPoolExecutor(count) as pool:
        parts = filter(None, (by_size[k::count] for k in range(count)))
        for part, library in pool.map(lambda part: _built(part, dtype), parts):
            libraries |= {text: _one(library, k) for k, text in enumerate(part)}
    built = mock.patch.object(compiler, "library", lambda name, text, *_: libraries[text])
    with built, mock.patch.object(of_loops, "source", printed.__getitem__):
        for loop in loops:
            of_loops.kernel(loop, dtype)


def _built(texts, dtype):
    whole = RUNTIME
    for k, text in enumerate(texts):
        assert text.count(RUNTIME) == 1
        text = text.replace(RUNTIME, "")
        for name in FUNCTIONS:
            text = text.replace(name, f"{name}_{k}")
        whole += f"namespace kernel_{k} {{\n{text}}}\n"
    return texts, compiler.library("together", whole, dtype)


def _one(library, k):
    made = SimpleNamespace(**{name: getattr(library, f"{name}_{k}") for name in FUNCTIONS})
    made.carousel_multiply = library.carousel_multiply
    return made
