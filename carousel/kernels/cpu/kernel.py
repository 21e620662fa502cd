"""A loop's compiled functions, called with arrays and numbers by name."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property, partial
from typing import Any

import torch
from torch import Tensor

from carousel.equations.loop import Loop
from carousel.kernels.cpu import compiler
from carousel.kernels.cpu.program import Signature, program_of
from carousel.kernels.cpu.source import source
from carousel.kernels.interface import Stack

_forked = False
WORDS: dict[torch.dtype | None, int] = {None: 1, torch.bfloat16: 2, torch.int8: 4}  # weights in the place of one, by products


def _after_fork() -> None:
    global _forked
    _forked = True  # OpenMP's threads stayed behind, and a new team would wait for them


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)


@cache
def _openmp() -> Any:
    """Return the addresses of OpenMP's functions in the library that PyTorch has loaded; null where there is none."""
    names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
    try:
        everything = ctypes.CDLL(None)
        found = [ctypes.cast(getattr(everything, n), ctypes.c_void_p).value for n in names]
    except (AttributeError, TypeError):  # no such function; Windows has no handle of all libraries
        found = [None] * len(names)
    return (ctypes.c_void_p * len(names))(*found)


def most_threads() -> int:
    """Return how many threads a run may have: PyTorch's, but one in a process that was forked."""
    return 1 if _forked else torch.get_num_threads()


def threads_for(weights: Sequence[tuple[int, int]], rows: int, most: int) -> int:
    """Return the threads, ``most`` of them or one, that the work is worth: a team costs some microseconds.

    Args:
        weights: the shapes of the dense ones.
        rows: of all steps.
        most: how many there may be.
    """
    return most if 2 * rows * sum(units * depth for units, depth in weights) >= 2_000_000 else 1


class Entry:
    """One of a kernel's compiled functions, and the names of all that it takes."""

    def __init__(self, function: Any, signature: Signature):
        function.restype = None
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self.function, self.arrays, self.numbers = function, signature.arrays, signature.numbers
        self.pointers, self.integers = ctypes.c_void_p * len(self.arrays), ctypes.c_int64 * len(self.numbers)

    def counted(self, numbers: Mapping[str, int]) -> Any:
        """Return numbers by name as the function takes them."""
        return self.integers(*[numbers[n] for n in self.numbers])

    def bound(self, arrays: Mapping[str, Tensor | int | None], numbers: Any) -> Callable[[], None]:
        """Return a call of the function.

        Args:
            arrays: tensors or addresses by name, null where there is None. What they point to must outlive the call.
            numbers: as ``counted`` gives them.
        """
        each = [arrays[n] for n in self.arrays]
        return partial(self.call, self.pointers(*[x.data_ptr() if isinstance(x, Tensor) else x for x in each]), numbers)

    def call(self, pointers: Any, numbers: Any) -> None:
        """Call the function with addresses in the order of ``arrays`` and numbers as ``counted`` gives them."""
        self.function(pointers, numbers, _openmp())


class Kernel:
    """A compiled loop for one dtype; ``products``: bfloat16 where what is multiplied is rounded to it first, int8 where weights
    are, which a run backwards does not know.

    What runs is compiled when it is first asked for, all by the compiler and for the processor that there were at first.
    Raises CompileError without a compiler, NoDerivative for equations that SymPy cannot derive.
    """

    def __init__(self, loop: Loop, dtype: torch.dtype, products: torch.dtype | None = None):
        self.program, self.name = program_of(loop), loop.name
        self.lanes = compiler.SIMD[compiler.simd()][0] // dtype.itemsize
        # Of a weight, the numbers in the place of one, and the scales of each unit before them.
        self.word, self.scales = WORDS[products], int(products is torch.int8)
        self._compiler = compiler.compiler_of(dtype, products)
        self._libraries: dict[str, ctypes.CDLL] = {}

    def compile(self, *directions: str) -> None:
        """Compile those directions that have not been, in one file: two files would take longer. Raises CompileError."""
        missing = [direction for direction in directions if direction not in self._libraries]
        if missing:
            library = self._compiler.library("-".join([self.name, *missing]), source(self.program, missing))
            self._libraries.update(dict.fromkeys(missing, library))

    @cached_property
    def forward(self) -> Entry:
        """The run forwards."""
        self.compile("forward")
        return Entry(self._libraries["forward"].carousel_forward, self.program.forward)

    @cached_property
    def backward(self) -> Entry:
        """The run backwards."""
        self.compile("backward")
        return Entry(self._libraries["backward"].carousel_backward, self.program.backward)

    @cached_property
    def multiply(self) -> Any:
        """The products after a run backwards, as ``small.py`` calls them."""
        self.compile("backward")
        function = self._libraries["backward"].carousel_multiply
        function.restype, function.argtypes = None, [ctypes.c_void_p, ctypes.c_int64]
        return function

    def panel(self, stack: Stack, lengths: Mapping[str, int], *, transposed: bool = False) -> int:
        """Return how many numbers a stack's packed weights are: whole vectors of units of one head.

        ``transposed``: of each of its panels for products with the transposed.
        """
        count, sizes = len(stack.parts), (stack.size, stack.depth)
        units, depth = (lengths[n] for n in sizes)
        if transposed:
            count, units, depth, sizes = 1, depth, units if stack.heads > 1 else count * units, sizes[::-1]
        heads = 1 if stack.biases is not None else self.program.interface.heads.get(sizes[0], 1)
        deep = self.scales - (-depth // stack.heads // self.word)
        return heads * -(-units // heads // self.lanes) * self.lanes * count * deep


@cache
def _kernel(loop: Loop, dtype: torch.dtype, products: torch.dtype | None, simd: str) -> Kernel:
    return Kernel(loop, dtype, products)


def kernel(loop: Loop, dtype: torch.dtype, products: torch.dtype | None = None) -> Kernel:
    """Return a loop's kernel, compiled or loaded once a process."""
    return _kernel(loop, dtype, products, compiler.simd())
