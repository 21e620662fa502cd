"""A compiled loop, and what a call of it needs to know of rows, sizes and threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Sequence
from functools import cache, cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor

from carousel.equations.loop import Loop
from carousel.kernels.cpu import compiler
from carousel.kernels.cpu.program import Program
from carousel.kernels.cpu.source import source

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
    """Where everything of a program stands in the lists of a call, and how many units it has."""

    def __init__(self, program: Program):
        self.program = program
        loop, back = program.loop, program.backward
        number = {letter: k for k, letter in enumerate(program.sizes)}

        def units(symbols: Iterable[Any]) -> list[int]:
            return [number[program.letters[program.root(s)]] for s in symbols]

        products = [*program.outer_products, *program.inner_products]
        self.dense = list(dict.fromkeys(p.weight.name for p in products))  # names of the weights, as they are given
        self.biases = list(dict.fromkeys(b for o in loop.outer for bs in o.biases for b in bs))
        self.places = [self._place(letter) for letter in program.sizes]
        # Of each product: the weight, and the sizes of the operands beside which its own stands.
        self.blocks = [
            (self.dense.index(p.weight.name), [number[program.letters[c.root]] for c in p.weight.columns[: p.part]])
            for p in products
        ]
        self.outer = [
            (len(o.symbols), units(o.symbols)[0], [[self.biases.index(b) for b in bs] for bs in o.biases]) for o in loop.outer
        ]
        self.input = number[program.letters[program.root(loop.input)]]
        self.states, self.stored, self.kept = units(program.states), units(program.stored), units(program.kept)
        self.learned, self.crossing = units(back.vectors), units(program.crossing_back)
        self.groups = [(len(g.symbols), units(g.symbols)[0], units(g.operands)) for g in loop.groups]
        own = [symbols for symbols, shared in zip(loop.entering, program.shared, strict=True) if shared is None]
        self.own = [(len(symbols), units(symbols)[0]) for symbols in own]
        # Which of the kept is each inner weight's operand, and which inner weights each state goes through.
        position = {x: k for k, x in enumerate(program.kept)}
        names = [x for group in loop.groups for x in group.operands]
        self.operands = [(g, position[x]) for g, group in enumerate(loop.groups) for x in group.operands]
        self.through = [[k for k, x in enumerate(names) if x == s] for s in program.states]
        self.passing = [back.carried[s] != 0 for s in program.states]
        index = {x: k for k, x in enumerate(program.stored)}
        self.stored_state = [index.get(s) for s in program.states]
        self.stored_kept = [index[x] for x in program.kept]
        self.lent = [x in program.remembered or x in program.lent for x in program.stored]
        self.saved = [position[x] for x in back.saved if x in position]
        self.remembered = [k for k, s in enumerate(program.states) if s in program.remembered]
        self.vectors_learned = [list(back.vectors).index(v) if v in back.vectors else None for v in loop.vectors]
        self.shared = program.shared
        self.has_clock = loop.clock is not None

    def _place(self, letter: str) -> tuple[int, int, int]:
        """Where to read a size: which list (states, vectors, input, weights), which tensor, which dimension."""
        program, loop = self.program, self.program.loop

        def is_it(symbol: Any) -> bool:
            return program.letters[program.root(symbol)] == letter

        for k, s in enumerate(program.states):
            if is_it(s):
                return 0, k, 1
        for k, s in enumerate(loop.vectors):
            if is_it(s):
                return 1, k, 0
        if is_it(loop.input):
            return 2, 0, 1
        for p in [*program.outer_products, *program.inner_products]:
            if program.letters[p.weight.rows.root] == letter:
                return 3, self.dense.index(p.weight.name), 0
            if len(p.weight.columns) == 1 and program.letters[p.weight.columns[0].root] == letter:
                return 3, self.dense.index(p.weight.name), 1
        # A part of a concatenation that is made of parameters alone: what nothing decides is of the states' own size.
        output = program.root(next(iter(program.states)))
        own = [k for k, s in enumerate(program.states) if program.root(s) not in (output, program.root(loop.input))]
        return 0, own[0] if own else 0, 1

    def lengths(self, states: Sequence[Tensor], vectors: Sequence[Tensor], data: Tensor, dense: Sequence[Tensor]) -> list[int]:
        """The number of units behind each size."""
        return self.lengths_of_shapes(*([x.shape for x in xs] for xs in (states, vectors, (data,), dense)))

    def lengths_of_shapes(self, *shapes: Sequence[torch.Size]) -> list[int]:
        """The same from the shapes of states, vectors, data and dense weights."""
        return [shapes[which][k][dim] for which, k, dim in self.places]

    @cached_property
    def labels(self) -> dict[str, list[str]]:
        """What the user calls each tensor of a call."""
        loop, program = self.program.loop, self.program
        states = [s.name for s in program.states.values()]
        before = [f"state {s} before the first step" for s in states]
        return {
            "data": ["input"],
            "dense": [f"parameter {name}" for name in self.dense],
            "biases": [f"parameter {_called(b)}" for b in self.biases],
            "entering": [f"what enters as {', '.join(map(str, symbols))}" for symbols in loop.entering[len(loop.outer) :]],
            "vectors": [f"parameter {_called(v)}" for v in loop.vectors],
            "before": before,
            "initial": [f"state {s} after a reset" for s in states],
            "clock": ["the step number"] * self.has_clock,
            "given": ["the gradient of the output"],
            "final": [f"the gradient of state {s} after the last step" for s in states],
            "kept": [f"what was kept of {x}" for x in program.kept],
        }

    def shapes(self, lengths: list[int], total: int, batch: int) -> dict[str, list[tuple[int, ...]]]:
        """The shape of each tensor of a call, for ``total`` rows in all steps and ``batch`` in the first."""
        loop, program = self.program.loop, self.program
        weights = {p.weight.name: p.weight for p in [*program.outer_products, *program.inner_products]}

        def units(size: Any) -> int:
            return lengths[program.sizes.index(program.letters[size.root])]

        dense = [(units(weights[n].rows), sum(map(units, weights[n].columns))) for n in self.dense]
        biases = {b: units(program.root(s)) for o in loop.outer for s, bs in zip(o.symbols, o.biases, strict=True) for b in bs}
        states = [(batch, lengths[n]) for n in self.states]
        rest = loop.entering[len(loop.outer) :]
        return {
            "data": [(total, lengths[self.input])],
            "dense": list(dense),
            "biases": [(biases[b],) for b in self.biases],
            "entering": [(total, len(symbols) * units(program.root(symbols[0]))) for symbols in rest],
            "vectors": [(units(program.root(v)),) for v in loop.vectors],
            "before": list(states),
            "initial": list(states),
            "clock": [(total,)] * self.has_clock,
            "given": [(total, lengths[self.states[0]])],
            "final": list(states),
            "kept": [(total, lengths[n]) for n in self.kept],
        }

    @cached_property
    def counts(self) -> list[int]:
        """How many weights are stacked in each outer product, then for each operand of each group."""
        return [count for count, _, _ in self.outer] + [count for count, _, operands in self.groups for _ in operands]

    def weights(self, lengths: list[int], dense: Sequence[Tensor]) -> tuple[list[int], list[int]]:
        """Of each product: where its weight begins, and the numbers from one row to the next."""
        pointers = [dense[d].data_ptr() + dense[d].itemsize * sum(lengths[k] for k in prefix) for d, prefix in self.blocks]
        return pointers, [dense[d].shape[1] for d, _ in self.blocks]

    @cached_property
    def _stacks(self) -> list[tuple[int, int, int]]:
        """Of each stack of weights: its first product, the size of its sums, the size of its operand."""
        sizes = [(n, self.input) for _, n, _ in self.outer] + [(n, x) for _, n, xs in self.groups for x in xs]
        first = [sum(self.counts[:k]) for k in range(len(self.counts))]
        return [(at, n, x) for at, (n, x) in zip(first, sizes, strict=True)]

    def stack(self, lengths: list[int], dense: Sequence[Tensor], k: int) -> list[Tensor]:
        """The weights of stack ``k`` (outer products first, then each operand of each group), one below the other."""
        at, _, operand = self._stacks[k]
        found = []
        for d, prefix in self.blocks[at : at + self.counts[k]]:
            first = sum(lengths[p] for p in prefix)
            found.append(dense[d][:, first : first + lengths[operand]])
        return found

    def pairs(self, lengths: list[int], dense: Sequence[Tensor], k: int, sums: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What Σ a @ b makes the product of ``sums`` with stack ``k``."""
        return list(zip(sums.split(lengths[self._stacks[k][1]], dim=1), self.stack(lengths, dense, k), strict=True))

    def bias(self, lengths: list[int], biases: Sequence[Tensor], like: Tensor) -> list[Tensor]:
        """What each outer product begins with."""
        return [
            torch.cat([sum((biases[k] for k in ks[1:]), biases[ks[0]]) if ks else like.new_zeros(lengths[n]) for ks in each])
            for _, n, each in self.outer
        ]

    def saved_bytes(self, lengths: list[int], itemsize: int) -> int:
        """Bytes that a run with derivatives keeps, a row and step; the outputs are not counted."""
        return itemsize * sum(lengths[n] for n in self.kept)


def _called(symbol: Any) -> str:
    """The name that the equations give a parameter."""
    return str(symbol).replace("_", ".", 1)


class Kernel:
    """A compiled loop for one dtype; ``bfloat``: what is multiplied is rounded to bfloat16 first.

    Raises CompileError without a compiler, NoDerivative for equations that SymPy cannot derive.
    """

    def __init__(self, loop: Loop, dtype: torch.dtype, bfloat: bool = False):
        self.layout = layout_of(loop)
        library = compiler.library(loop.name, source(self.layout.program), dtype, bfloat)
        self.forward, self.backward = library.carousel_forward, library.carousel_backward
        for function in (self.forward, self.backward):
            function.restype = None
            function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self.lanes = compiler.SIMD[compiler.simd()][0] // dtype.itemsize
        self.pair = 2 if bfloat else 1  # numbers of a weight in a word

    def panel(self, like: Tensor, units: int, sums: int, depth: int) -> Tensor:
        """Room for packed weights: whole vectors of units."""
        return like.new_empty(-(-units // self.lanes) * self.lanes * sums * -(-depth // self.pair))


def addresses(
    steps: Steps, resets: Tensor | None, numbers: Sequence[int], arrays: Sequence[Tensor | int | None], threads: int
) -> tuple[Any, Any, Any]:
    """What a kernel takes; ``numbers`` are the chunk, whether weights are packed, sizes and strides; ``arrays`` tensors or
    addresses, null where there is None."""
    every = [steps.at, steps.slot, steps.rows, resets, *arrays]
    pointers = (ctypes.c_void_p * len(every))(*[x.data_ptr() if isinstance(x, Tensor) else x for x in every])
    integers = (ctypes.c_int64 * (3 + len(numbers)))(len(steps.rows), steps.batch, threads, *numbers)
    return pointers, integers, _team()


def call(
    function: Any,
    steps: Steps,
    resets: Tensor | None,
    numbers: Sequence[int],
    arrays: Sequence[Tensor | int | None],
    threads: int,
) -> None:
    """Run a kernel over ``addresses``."""
    function(*addresses(steps, resets, numbers, arrays, threads))


@cache
def layout_of(loop: Loop) -> Layout:
    """A loop's layout, made once."""
    return Layout(Program(loop))


@cache
def _kernel(loop: Loop, dtype: torch.dtype, bfloat: bool, simd: str) -> Kernel:
    return Kernel(loop, dtype, bfloat)


def kernel(loop: Loop, dtype: torch.dtype, bfloat: bool = False) -> Kernel:
    """A loop's kernel, compiled or loaded once a process."""
    return _kernel(loop, dtype, bfloat, compiler.simd())
