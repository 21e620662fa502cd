"""Kernels of many loops, compiled as one file: what they share is compiled once, so that each takes a third of the time."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest import mock

import torch

from carousel.equations.loop import Loop
from carousel.kernels.cpu import compiler
from carousel.kernels.cpu.kernel import kernel

RUNTIME = '#include "runtime.h"\n'
FUNCTIONS = ("carousel_forward", "carousel_backward")


def compile_together(loops: Mapping[Loop, Sequence[str]], dtype: torch.dtype) -> None:
    """Have ``kernel`` remember each loop, with those of its directions that are named; one file a processor."""
    libraries: dict[str, SimpleNamespace] = {}  # by text, empty at first
    with mock.patch.object(compiler.Compiler, "library", lambda _, name, text: libraries.setdefault(text, SimpleNamespace())):
        for loop, directions in loops.items():
            kernel(loop, dtype).compile(*directions)
    count, by_size = os.cpu_count() or 1, sorted(libraries, key=len)  # files of about the same size
    with ThreadPoolExecutor(count) as pool:
        parts = filter(None, (by_size[k::count] for k in range(count)))
        list(pool.map(lambda part: _build({text: libraries[text] for text in part}, dtype), parts))


def _build(libraries, dtype):
    """Give each text's library its functions."""
    whole = RUNTIME
    for k, text in enumerate(libraries):
        assert text.count(RUNTIME) == 1
        text = text.replace(RUNTIME, "")
        for name in FUNCTIONS:
            text = text.replace(name, f"{name}_{k}")
        whole += f"namespace kernel_{k} {{\n{text}}}\n"
    library = compiler.compiler_of(dtype).library("together", whole)
    for k, (text, made) in enumerate(libraries.items()):
        made.carousel_multiply = library.carousel_multiply
        for name in FUNCTIONS:
            if name in text:
                setattr(made, name, getattr(library, f"{name}_{k}"))
