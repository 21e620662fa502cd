"""Kernels built for AArch64 by a cross compiler and run in an emulator, beside the reference.

``python tests/helpers/aarch64.py`` prints how far outputs and gradients of some cells are from the reference.
Debian: apt-get install g++-aarch64-linux-gnu qemu-user
"""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from unittest import mock

import torch
from apart import apart
from torch import Tensor

from carousel import kernels
from carousel.equations.loop import Loop
from carousel.kernels.cpu import backend, compiler
from carousel.kernels.cpu.kernel import Kernel
from carousel.kernels.cpu.program import CppProgram, Signature, pointers, program_of, stride
from carousel.kernels.cpu.source import source
from carousel.layers import Recurrent

HARNESS = Path(__file__).with_suffix(".cpp")
COMPILER, EMULATORS = "aarch64-linux-gnu-g++", ("qemu-aarch64", "qemu-aarch64-static")
CELLS = ("lstm-v3", "lstm-v4", "gru-original", "clockwork", "gru-layer-norm")
WIDTH, FLAGS = compiler.SIMD["generic"]  # all that a processor other than x86 is given: vectors of 16 bytes, no -march
FLAGS = [*compiler.FLAGS, *FLAGS, f"-DWIDTH={WIDTH}"]


def missing() -> str:
    """Return the names of the tools that are not here, or nothing."""
    absent = [] if shutil.which(COMPILER) else [COMPILER]
    absent += [] if any(map(shutil.which, EMULATORS)) else [EMULATORS[0]]
    return " and ".join(absent)


class Emulated:
    """``Entry``, in the emulator: arrays go there and come back in a file."""

    def __init__(self, program: Path, function: str, described: CppProgram, signature: Signature):
        self.program, self.function, self.signature = program, function, signature
        self.weights = {p: stack for stack in described.interface.stacks for p in pointers(stack)}

    def counted(self, numbers: Mapping[str, int]) -> Mapping[str, int]:
        """As ``Entry.counted``."""
        return numbers

    def bound(self, arrays: Mapping[str, Tensor | int | None], numbers: Mapping[str, int]) -> Callable[[], None]:
        """As ``Entry.bound``."""
        itemsize = next(x for x in arrays.values() if isinstance(x, Tensor) and x.is_floating_point()).itemsize

        def memory(name: str) -> ctypes.Array[ctypes.c_char] | None:
            value = arrays[name]
            if value is None:
                return None
            if isinstance(value, Tensor):
                assert value.is_contiguous()
                return (ctypes.c_char * (value.numel() * value.itemsize)).from_address(value.data_ptr())
            stack = self.weights[name]
            items = (numbers[stack.size] - 1) * numbers[stride(name)] + numbers[stack.depth]
            return (ctypes.c_char * (items * itemsize)).from_address(value)

        return lambda: self._call([memory(n) for n in self.signature.arrays], [numbers[n] for n in self.signature.numbers])

    def _call(self, arrays: list[ctypes.Array[ctypes.c_char] | None], numbers: list[int]) -> None:
        sizes = [-1 if a is None else len(a) for a in arrays]
        there = [a for a in arrays if a]
        with tempfile.TemporaryDirectory() as room:
            file = Path(room, "arrays")
            head = struct.pack(f"<{len(sizes) + 1}q{len(numbers) + 1}q", len(sizes), *sizes, len(numbers), *numbers)
            file.write_bytes(head + b"".join(map(bytes, there)))
            emulator = next(filter(shutil.which, EMULATORS))
            subprocess.run([emulator, self.program, self.function, file], check=True, timeout=300)
            answer, at = file.read_bytes(), 0
            for a in there:
                a.raw = answer[at : at + len(a)]
                at += len(a)
            assert at == len(answer)


class EmulatedKernel(Kernel):
    """``Kernel``, in the emulator."""

    def __init__(self, loop: Loop, dtype: torch.dtype):
        self.program = program_of(loop)
        built = _built(source(self.program), dtype)
        self.forward = Emulated(built, "forward", self.program, self.program.forward)  # type: ignore[assignment]
        self.backward = Emulated(built, "backward", self.program, self.program.backward)  # type: ignore[assignment]
        self.lanes, self.word, self.scales = WIDTH // dtype.itemsize, 1, 0

    def compile(self, *directions: str) -> None:
        """Leave it at that: both directions are there."""


@cache
def _room() -> Path:
    return Path(tempfile.mkdtemp(prefix="carousel-aarch64-"))


@cache
def _built(text: str, dtype: torch.dtype) -> Path:
    folder = Path(tempfile.mkdtemp(dir=_room()))
    Path(folder, "kernel.cpp").write_text(text)
    typed = f"-DT={compiler.TYPES[dtype]}"
    files = [folder / "kernel.cpp", compiler.PRODUCTS, HARNESS, "-o", folder / "kernel"]
    command = [COMPILER, *FLAGS, typed, f"-I{compiler.HEADERS[0].parent}", "-static", *files, "-fopenmp"]
    done = subprocess.run(command, capture_output=True, text=True)  # the linker warns of dlopen in libgomp
    assert done.returncode == 0, done.stderr
    return folder / "kernel"


def _ran(layer: Recurrent, x: Tensor, resets: Tensor) -> list[Tensor]:
    """Outputs, last states and all gradients."""
    output, hx = layer(x, resets=resets)
    states = [s for s in (hx if isinstance(hx, tuple) else (hx,)) if s.is_floating_point()]
    loss = output.square().sum() + sum((s * s.detach().cos()).sum() for s in states)
    gradients = torch.autograd.grad(loss, [x, *layer.parameters()], allow_unused=True)
    return [x.detach() for x in (output, *states, *gradients) if x is not None]


def difference(cell: str, dtype: torch.dtype, threads: int = 1) -> float:
    """Return the largest difference of outputs, states and gradients from the reference, of their largest element.

    Seven rows and 37 units: neither fills its last tile. Episodes begin in the middle.
    """
    torch.manual_seed(1)
    options = {"proj_size": 11} if cell == "lstm-v4" else {}
    layer = Recurrent(cell, 19, 37, dtype=dtype, **options)
    x = torch.randn(9, 7, 19, dtype=dtype, requires_grad=True)
    resets = torch.rand(9, 7) < 0.2
    called = 0

    def emulated(loop: Loop, dtype: torch.dtype, bfloat: bool = False) -> EmulatedKernel:
        nonlocal called
        called += 1
        assert not bfloat
        return EmulatedKernel(loop, dtype)

    everyone = mock.patch("carousel.kernels.cpu.layout.threads_for", lambda *_: threads)
    sized = mock.patch("carousel.kernels.cpu.calls.scratch", apart)
    with mock.patch.object(backend, "kernel", emulated), everyone, sized, kernels.use("cpu"):
        found = _ran(layer, x, resets)
    assert called >= 2, "the emulated kernel was not asked"
    with kernels.use("reference"):
        expected = _ran(layer, x, resets)
    return max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-30)) for a, b in zip(found, expected, strict=True))


def main() -> None:
    if missing():
        sys.exit(f"not here: {missing()}")
    print(f"{COMPILER} {' '.join(FLAGS)}, run by qemu on {os.uname().machine}")
    for cell in CELLS:
        for dtype in compiler.TYPES:
            for threads in (1, 2):
                print(
                    f"{cell:14} {compiler.TYPES[dtype]:7} {threads} threads  {difference(cell, dtype, threads):.1e}", flush=True
                )


if __name__ == "__main__":
    main()
