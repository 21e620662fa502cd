"""A cell's compiled loop, and what a call of it needs to know of rows, sizes and threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.kernels.cpu import compiler
from carousel.kernels.cpu.source import Source

_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True  # OpenMP's threads stayed behind, and a new team would wait for them


os.register_at_fork(after_in_child=_after_fork)


@cache
def _team() -> Any:
    """OpenMP's functions in the library that PyTorch has loaded, as addresses; null where there is none."""
    everything = ctypes.CDLL(None)
    names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
    try:
        found = [ctypes.cast(getattr(everything, n), ctypes.c_void_p).value for n in names]
    except AttributeError:
        found = [None] * len(names)
    return (ctypes.c_void_p * len(names))(*found)


def threads_for(weights: Sequence[Tensor], rows: int) -> int:
    """Threads that the work is worth: a team costs some microseconds. One in a process that was forked."""
    work = 2 * rows * sum(w.numel() for w in weights)
    return 1 if _forked or work < 2_000_000 else torch.get_num_threads()


class Steps:
    """Where each step's rows are, in the order in which a run takes the steps."""

    def __init__(self, batch_sizes: tuple[int, ...], reverse: bool, keep: bool):
        self.batch, self.total = batch_sizes[0], sum(batch_sizes)
        rows = torch.tensor(batch_sizes)
        at = rows.cumsum(0) - rows
        lengths = (rows.unsqueeze(0) > torch.arange(self.batch).unsqueeze(1)).sum(1)
        # Of each row, where its first step in the run's order stands among the rows of all steps.
        self.first = (at[lengths - 1] if reverse else at[0]) + torch.arange(self.batch)
        if reverse:
            rows, at = rows.flip(0), at.flip(0)
        self.rows, self.at = rows.contiguous(), at.contiguous()
        # Without derivatives two places are enough: the step's, and the next one's.
        self.slot = self.at if keep else (torch.arange(len(rows)) % 2) * self.batch
        self.whole = not reverse and batch_sizes[-1] == self.batch  # the first steps are the first rows

    @classmethod
    def of(cls, batch_sizes: Sequence[int], reverse: bool, keep: bool = True) -> Steps:
        """Made once for the same arguments."""
        return _steps(tuple(batch_sizes), reverse, keep)


@lru_cache(maxsize=256)
def _steps(batch_sizes: tuple[int, ...], reverse: bool, keep: bool) -> Steps:
    return Steps(batch_sizes, reverse, keep)


class Layout:
    """How many units everything in a loop has, read off a call's tensors; all lists in the order of ``Source``'s arrays."""

    def __init__(self, source: Source):
        loop, back = source.loop, source.backward
        self.places = [_place(source, letter) for letter in source.sizes]
        number = {letter: k for k, letter in enumerate(source.sizes)}

        def units(symbols: Iterable[Any]) -> list[int]:
            return [number[source.letters[source.root(s)]] for s in symbols]

        self.states = units(source.states)
        self.stored, self.kept = units(source.stored), units(source.kept)
        self.learned = units(back.vectors)
        self.crossing = units(source.crossing_back)
        self.groups = [(len(g.symbols), units(g.symbols)[0]) for g in loop.groups]
        own = [symbols for symbols, shared in zip(loop.entering, source.shared, strict=True) if shared is None]
        self.own = [(len(symbols), units(symbols)[0]) for symbols in own]
        # Which of the kept is each weight's operand, and which states each weight carries back to.
        position = {x: k for k, x in enumerate(source.kept)}
        self.operands = [(g, position[x]) for g, group in enumerate(loop.groups) for x in group.operands]
        names = [x for group in loop.groups for x in group.operands]
        self.through = [[k for k, x in enumerate(names) if x == s] for s in source.states]
        self.passing = [back.carried[s] != 0 for s in source.states]
        index = {x: k for k, x in enumerate(source.stored)}
        self.stored_state = [index.get(s) for s in source.states]
        self.stored_kept = [index[x] for x in source.kept]
        self.lent = [x in source.remembered or x in source.lent for x in source.stored]
        self.saved = [position[x] for x in back.saved if x in position]
        self.remembered = [k for k, s in enumerate(source.states) if s in source.remembered]
        self.shared = source.shared
        self.vectors_learned = [list(back.vectors).index(v) if v in back.vectors else None for v in loop.vectors]
        self.has_clock = loop.clock is not None

    def lengths(self, states: Sequence[Tensor], vectors: Sequence[Tensor], weights: Sequence[Tensor]) -> list[int]:
        """The number of units behind each size."""
        lists = (states, vectors, weights)
        return [lists[which][k].shape[dim] // parts for which, k, dim, parts in self.places]


def _place(source: Source, letter: str) -> tuple[int, int, int, int]:
    """Where to read a size: which list (states, vectors, weights), which tensor, which dimension, by how much to divide."""

    def is_it(symbol: Any) -> bool:
        return source.letters[source.root(symbol)] == letter

    for k, s in enumerate(source.states):
        if is_it(s):
            return 0, k, 1, 1
    for k, s in enumerate(source.loop.vectors):
        if is_it(s):
            return 1, k, 0, 1
    for k, (g, j) in enumerate(source.weights):
        group = source.loop.groups[g]
        if is_it(group.operands[j]):
            return 2, k, 1, 1
        if is_it(group.symbols[0]):
            return 2, k, 0, len(group.symbols)
    raise AssertionError(f"size {letter} of {source.cell.name} belongs to no tensor")


class Kernel:
    """A cell's compiled loop for one dtype.

    Raises CompileError without a compiler, NoDerivative for equations that SymPy cannot derive.
    """

    def __init__(self, cell: Cell, dtype: torch.dtype):
        self.source, self.layout = source_of(cell), layout_of(cell)
        library = compiler.library(cell.name, self.source.text, dtype)
        self.forward, self.backward = library.carousel_forward, library.carousel_backward
        for function in (self.forward, self.backward):
            function.restype = None
            function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self.lanes = compiler.SIMD[compiler.simd()][0] // dtype.itemsize

    def panels(self, weights: Sequence[Tensor], *, transposed: bool) -> list[Tensor]:
        """Room for packed weights: whole vectors of units."""
        room = []
        for (g, _), w in zip(self.source.weights, weights, strict=True):
            sums = 1 if transposed else self.layout.groups[g][0]
            units, depth = (w.shape[1], w.shape[0]) if transposed else (w.shape[0] // sums, w.shape[1])
            room.append(w.new_empty(-(-units // self.lanes) * self.lanes * sums * depth))
        return room


def call(
    function: Any, steps: Steps, resets: Tensor | None, lengths: list[int], arrays: list[Tensor | None], threads: int
) -> None:
    """Run a kernel over its arrays, null where there is None."""
    every = [steps.at, steps.slot, steps.rows, resets, *arrays]
    pointers = (ctypes.c_void_p * len(every))(*[None if x is None else x.data_ptr() for x in every])
    numbers = (ctypes.c_int64 * (3 + len(lengths)))(len(steps.rows), steps.batch, threads, *lengths)
    function(pointers, numbers, _team())


@cache
def source_of(cell: Cell) -> Source:
    """A cell's C++, printed once."""
    return Source(cell)


@cache
def layout_of(cell: Cell) -> Layout:
    """A cell's layout, made once."""
    return Layout(source_of(cell))


@cache
def _kernel(cell: Cell, dtype: torch.dtype, simd: str) -> Kernel:
    return Kernel(cell, dtype)


def kernel(cell: Cell, dtype: torch.dtype) -> Kernel:
    """A cell's kernel, compiled or loaded once a process."""
    return _kernel(cell, dtype, compiler.simd())
