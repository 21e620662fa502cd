"""Runs with a launch for each step, as CUDA graphs: from the third call of a shape on, all its launches are one."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
Work = Callable[[], None]
Arrays = dict[str, Tensor | None]
MOST = 16  # graphs, each of which keeps the memory of a run
ONCE = 256  # shapes that have come once


def recorded(work: Work) -> Work:
    """Record a function's launches on the GPU; return a function that repeats them, in the same memory."""
    graph = torch.cuda.CUDAGraph()
    with (
        torch.cuda.stream(torch.cuda.current_stream()),  # a recording that fails would leave its own as the current one
        torch.cuda.graph(graph, capture_error_mode="thread_local"),  # other threads may use the GPU
    ):
        work()
    return graph.replay


class Graphs:
    """The recorded runs that were used last, by everything that must be equal for a recording to fit.

    A recording reads and writes the same memory each time. A call copies its arrays there and its results back, so calls share
    no memory. After one has failed, nothing further is recorded. ``record``: a function like ``recorded``, which notes the work
    without doing it.
    """

    def __init__(self, record: Callable[[Work], Work] | None = None):
        self.record = record
        self.failed = False
        self.found: OrderedDict[Hashable, _Graph] = OrderedDict()
        self.once: OrderedDict[Hashable, None] = OrderedDict()
        self.lock = Lock()  # autograd runs backwards in a thread of its own

    def wanted(self, device: torch.device) -> bool:
        """Return whether runs on a device are recorded: not during another recording, nor if $CAROUSEL_TRITON_GRAPH is 0."""
        if os.environ.get("CAROUSEL_TRITON_GRAPH") == "0":
            return False
        return self.record is not None or (device.type == "cuda" and not torch.cuda.is_current_stream_capturing())

    def run(
        self, key: Hashable, given: Arrays, made: Callable[[Arrays], Work], read: Iterable[str], filled: Iterable[str]
    ) -> None:
        """Do a run's work.

        Args:
            key: everything that must be equal, except the shapes and types of arrays.
            given: all arrays by name.
            made: returns the work on given arrays, and allocates the further memory that it needs.
            read: the arrays whose values the work reads.
            filled: the arrays that the work gives values.
        """
        shapes = tuple((name, None if x is None else (x.shape, x.dtype, x.device)) for name, x in given.items())
        with self.lock:
            key = (key, shapes)
            if key in self.found:
                self.found.move_to_end(key)
                self.found[key].run(given, read, filled)
            elif key not in self.once or self.failed:
                made(given)()
                _kept(self.once, key, None, ONCE)
            elif not self._recorded(key, given, made, read, filled):  # its kernels are compiled by now
                made(given)()

    def _recorded(
        self, key: Hashable, given: Arrays, made: Callable[[Arrays], Work], read: Iterable[str], filled: Iterable[str]
    ) -> bool:
        """Do the work in memory of its own and record it there. Return whether it is done: not if that memory is too much."""
        done = False
        try:
            graph = _Graph(given, made)
            graph.run(given, read, filled)
            done = True
            graph.again = (self.record or recorded)(graph.again)
        except RuntimeError as error:
            self.failed = True
            why = str(error).strip().partition("\n")[0]
            warnings.warn(
                f"a loop's steps could not be recorded as a CUDA graph ({why}); they are launched one by one", stacklevel=2
            )
        else:
            del self.once[key]
            _kept(self.found, key, graph, MOST)
        return done


class _Graph:
    """Arrays of its own, and the work on them, which is recorded after its first run."""

    def __init__(self, given: Arrays, made: Callable[[Arrays], Work]):
        self.arrays = {name: None if x is None else torch.empty_like(x) for name, x in given.items()}
        self.work = self.again = made(self.arrays)  # a recording does not keep the work's memory, the work does

    def run(self, given: Arrays, read: Iterable[str], filled: Iterable[str]) -> None:
        for name in read:
            _copy(given[name], self.arrays[name])
        self.again()
        for name in filled:
            _copy(self.arrays[name], given[name])


def _kept(cache: OrderedDict[Hashable, T], key: Hashable, value: T, most: int) -> None:
    cache[key] = value
    if len(cache) > most:
        cache.popitem(last=False)


def _copy(source: Tensor | None, room: Tensor | None) -> None:
    if source is not None and room is not None:
        room.copy_(source)
