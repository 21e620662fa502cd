"""Kernels of many loops, compiled as one file: what they share is compiled once, so that each takes a third of the time."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest import mock

import torch

from carousel.equations.loop import Loop
from carousel.kernels.cpu import compiler
from carousel.kernels.cpu import kernel as of_loops

RUNTIME = '#include "runtime.h"\n'


def compile_together(loops: Mapping[Loop, Sequence[str]], dtype: torch.dtype) -> None:
    """Have ``kernel`` remember each loop's directions, one file a processor."""
    kernels = {loop: of_loops.kernel(loop, dtype) for loop in loops}
    printed = {way: {} for way in of_loops.SOURCES}
    for loop, ways in loops.items():
        for way in ways:
            program = kernels[loop].program
            printed[way][program] = of_loops.SOURCES[way](program)
    texts = {text: f"carousel_{way}" for way, every in printed.items() for text in every.values()}
    count, libraries = os.cpu_count() or 1, {}
    by_size = sorted(texts, key=len)  # files of about the same size
    with ThreadPoolExecutor(count) as pool:
        parts = filter(None, (by_size[k::count] for k in range(count)))
        for made in pool.map(lambda part: _built({text: texts[text] for text in part}, dtype), parts):
            libraries |= made
    built = mock.patch.object(compiler.Compiler, "libraries", lambda _, sources: [libraries[x] for x in sources.values()])
    with built, mock.patch.dict(of_loops.SOURCES, {way: every.__getitem__ for way, every in printed.items()}):
        for loop, ways in loops.items():
            kernels[loop].compile(*ways)


def _built(texts, dtype):
    """Each text's library, of one function by the name that the text has for it."""
    whole = RUNTIME
    for k, (text, name) in enumerate(texts.items()):
        assert text.count(RUNTIME) == 1
        whole += f"namespace kernel_{k} {{\n{text.replace(RUNTIME, '').replace(name, f'{name}_{k}')}}}\n"
    library = compiler.library("together", whole, dtype)
    each = {text: {name: getattr(library, f"{name}_{k}")} for k, (text, name) in enumerate(texts.items())}
    return {text: SimpleNamespace(carousel_multiply=library.carousel_multiply, **function) for text, function in each.items()}
