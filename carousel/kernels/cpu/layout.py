"""All of a call that its shapes decide: where its weights begin, how much scratch memory it takes, its numbers by name.

A layout is made once for calls of the same shapes, since a small call would feel it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

from torch import Tensor

from carousel.kernels.cpu.kernel import Kernel, threads_for
from carousel.kernels.cpu.program import begin, panel, panels, pointers, stride
from carousel.kernels.interface import Stack
from carousel.kernels.steps import Steps

LINE = 64  # numbers: no two arrays share a line of the cache
ROWS_AT_ONCE = 96  # of the input, that a thread multiplies before it takes their steps

Arrays = dict[str, Tensor | int | None]
Lengths = Mapping[str, int]
Shapes = tuple[tuple[int, int], ...]


class Room:
    """Memory for arrays that nobody sees: how many numbers each has, by name, and where each begins."""

    def __init__(self, counts: Mapping[str, int]):
        lines = [-(-count // LINE) for count in counts.values()]
        self.counts, self.total = counts, LINE * sum(lines)
        self.begins = {name: LINE * at for name, at in zip(counts, accumulate(lines[:-1], initial=0), strict=False)}


def scratch(like: Tensor, room: Room) -> tuple[Tensor, Arrays]:
    """Return that memory, and the address of each array."""
    memory = like.new_empty(room.total)
    begin, size = memory.data_ptr(), memory.itemsize
    return memory, {name: begin + at * size for name, at in room.begins.items()}


@dataclass(frozen=True, eq=False)
class Layout:
    """``weights``: of each weight's address the name, the number among the dense ones, and how many numbers come before it.

    ``named``: all numbers that compiled code takes, by name; ``numbers``: the same as it takes them.
    """

    steps: Steps
    threads: int
    weights: tuple[tuple[str, int, int], ...]
    room: Room
    named: dict[str, int]
    numbers: Any

    def addresses(self, dense: Sequence[Tensor]) -> Arrays:
        """Return the addresses of the weights by name."""
        begins = [(x.data_ptr(), x.itemsize) for x in dense]
        return {name: begins[number][0] + before * begins[number][1] for name, number, before in self.weights}


@lru_cache(maxsize=1024)
def forward_layout(
    k: Kernel,
    rows: tuple[int, ...],
    reverse: bool,
    lengths: tuple[int, ...],
    dense: Shapes,
    threads: int,
    save: bool,
    members: int = 0,
) -> Layout:
    """Return the layout of a run forwards.

    Args:
        k: the loop's compiled code.
        rows: of each step.
        reverse: the steps are taken from the last to the first.
        lengths: the units behind each size of the loop's interface.
        dense: the shapes of the dense weights.
        threads: the most that may be used.
        save: whether a run backwards follows.
        members: of sets, the most of a level.
    """
    program, sizes, levels = k.program, dict(zip(k.program.interface.sizes, lengths, strict=True)), bool(k.program.loop.edges)
    steps = Steps.of(rows, reverse, levels=levels)
    threads = threads_for(dense, steps.total, threads)
    batch = max(steps.batch, members)
    chunk = min(steps.count, max(1, ROWS_AT_ONCE * threads // batch))
    counts = inputs(k, sizes, chunk * batch)
    if not save:  # of a chain two places are enough: the step's, and the next one's
        places = steps.total if levels else 2 * steps.batch
        counts |= {
            s.array: places * sizes[s.size]
            for s in program.stored.values()
            if s.always and not (levels and s.state is not None)
        }
    counts |= own(k, "forward", threads * batch)
    weights, strides = weights_of(program.interface.stacks, sizes, dense)
    named = {"steps": steps.count, "batch": batch, "threads": threads, "chunk": chunk, "packed": 0, **sizes, **strides}
    return Layout(steps, threads, weights, Room(counts), named, k.forward.counted(named))


@lru_cache(maxsize=1024)
def backward_layout(
    k: Kernel, rows: tuple[int, ...], reverse: bool, lengths: tuple[int, ...], dense: Shapes, threads: int, members: int = 0
) -> Layout:
    """Return the layout of a run backwards; arguments as those of ``forward_layout``."""
    program, sizes = k.program, dict(zip(k.program.interface.sizes, lengths, strict=True))
    steps = Steps.of(rows, reverse, levels=bool(program.loop.edges))
    threads = threads_for(dense, steps.total, threads)
    inner, batch = tuple(program.interface.inner.values()), max(steps.batch, members)
    counts = {name: k.panel(stack, sizes, transposed=True) for stack in inner for name in panels(stack)}
    counts |= {name: batch * sizes[n] for name, n in program.cross_back.items()}
    counts |= own(k, "backward", threads * batch)
    weights, strides = weights_of(inner, sizes, dense)
    named = {"steps": steps.count, "batch": batch, "threads": threads, "chunk": 1, "packed": 0, **sizes, **strides}
    return Layout(steps, threads, weights, Room(counts), named, k.backward.counted(named))


def inputs(k: Kernel, lengths: Lengths, rows: int) -> dict[str, int]:
    """Return how many numbers packed weights and, in ``rows`` rows, sums of the input are, by name."""
    counts = {panel(stack): k.panel(stack, lengths) for stack in k.program.interface.stacks}
    return counts | {name: rows * len(s.parts) * lengths[s.size] for name, s in k.program.sums_of_input.items()}


def own(k: Kernel, way: str, rows: int) -> dict[str, int]:
    """Return how many numbers the arrays are that each thread has for itself, by name; ``rows``: of all threads."""
    return {name: rows * (numbers + vectors * k.lanes) for name, (numbers, vectors) in k.program.gathers[way].items()}


def weights_of(
    stacks: Sequence[Stack], lengths: Lengths, dense: Shapes
) -> tuple[tuple[tuple[str, int, int], ...], dict[str, int]]:
    """Return ``Layout.weights`` of some stacks, and by name the numbers between rows and those before a weight in its rows."""
    each = [(name, n, prefix) for s in stacks for name, (n, prefix) in zip(pointers(s), s.parts, strict=True)]
    places = tuple((name, n, sum(lengths[size] for size in prefix)) for name, n, prefix in each)
    return places, {stride(name): dense[n][1] for name, n, _ in each} | {begin(name): before for name, _, before in places}


def shapes(dense: Sequence[Tensor]) -> Shapes:
    """Return the shapes of dense weights, the blocks of heads one below the other."""
    return tuple([(x.numel() // x.shape[-1], x.shape[-1]) for x in dense])
