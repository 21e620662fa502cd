"""Compiled loops that back ends provide, and calls of them: every tensor is checked first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from carousel.equations.loop import Loop
from carousel.kernels import levels
from carousel.kernels.backend import equal_steps
from carousel.kernels.boundary import check
from carousel.kernels.interface import KINDS, Arriving, Described, Interface, Tensors, interface_of
from carousel.kernels.registry import loop_called

ON_REQUEST = ("data", "before", "initial")  # kinds whose gradients are computed where they are asked for

Lists = Mapping[str, Sequence[Tensor]]


@dataclass(frozen=True)
class Run:
    """A call of a loop without its tensors.

    Args:
        backend: the name of the back end whose kernels run.
        key: of the loop, as in ``registry``.
        counts: the number of tensors of each of ``KINDS``.
        batch_sizes: rows of each step; None: at every step as many as the states have.
        reverse: the steps are taken from the last to the first.
        products: the type to which factors of matrix products are rounded; None: that of the data.
        follows: where steps follow several, which each of them precedes, as ``levels`` says.
    """

    backend: str
    key: str
    counts: tuple[int, ...]
    batch_sizes: tuple[int, ...] | None
    reverse: bool
    products: torch.dtype | None = None
    follows: Tensor | None = field(default=None, compare=False)

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of each step, in a run whose tensors have numbers."""
        assert self.batch_sizes is not None
        return self.batch_sizes

    @cached_property
    def interface(self) -> Interface:
        """The interface of the loop."""
        return interface_of(loop_called(self.key))

    @cached_property
    def states(self) -> int:
        """The number of states with units."""
        return self.counts[KINDS.index("before")]

    @cached_property
    def after(self) -> int:
        """The number of states that are given back: those after each row's last step, of a chain."""
        return 0 if self.interface.loop.edges else self.states

    @cached_property
    def results(self) -> int:
        """The number of outputs, of states after and of recorded values, all of which have derivatives."""
        return 1 + self.after + len(self.interface.loop.recorded)

    def lists(self, flat: Sequence[Any]) -> dict[str, list[Any]]:
        """Return the tensors, given one after the other, by kind."""
        return _lists(self.counts, flat)

    def gradients(self, asked: Sequence[bool]) -> tuple[int, ...]:
        """Return for each result of ``carousel::loop_backward`` the place, among the tensors, of the one that it is for."""
        return _gradients(self.interface, self.counts, tuple(asked))


def _lists(counts: Sequence[int], flat: Sequence[Any]) -> dict[str, list[Any]]:
    found, at = {}, 0
    for kind, n in zip(KINDS, counts, strict=True):
        found[kind] = list(flat[at : at + n])
        at += n
    return found


@cache
def _gradients(interface: Interface, counts: tuple[int, ...], asked: tuple[bool, ...]) -> tuple[int, ...]:
    places = _lists(counts, range(sum(counts)))
    places["vectors"] = [places["vectors"][k] for k in interface.learned]
    left_out = {kind for kind, wanted in zip(ON_REQUEST, asked, strict=True) if not wanted}
    return tuple(place for kind, found in places.items() if kind not in left_out for place in found)


class Kernels(Protocol):
    """Compiled loops of one back end."""

    def allow(self, data: Tensor, products: torch.dtype | None) -> None:
        """Raise ValueError for a device that no kernel runs on, or factors that it does not multiply."""

    def output_type(self, dtype: torch.dtype, products: torch.dtype | None) -> torch.dtype:
        """Return the type of outputs and saved values, from those of the tensors and of factors. Raises ValueError."""
        ...

    def saved(self, loop: Loop, output: torch.dtype) -> tuple[Described, ...]:
        """Return the tensors that a run saves for the run backwards; the same tuple for the same loop and type of output."""
        ...

    def forward(self, run: Run, tensors: Tensors, lengths: dict[str, int], save: bool) -> list[Tensor]:
        """Return outputs, states after each row's last step, recorded values, and with ``save`` the tensors of ``saved``.

        Args:
            run: the call but for its tensors.
            tensors: of the call, checked.
            lengths: the units behind each size of the loop's interface.
            save: whether a run backwards follows.
        """
        ...

    def backward(self, run: Run, tensors: Tensors, lengths: dict[str, int], arriving: Arriving) -> dict[str, list[Tensor]]:
        """Return gradients by kind: those that are asked for, and of all that is not ``ON_REQUEST``; of vectors the learned.

        Args:
            run: the call but for its tensors.
            tensors: of the call, checked.
            lengths: the units behind each size of the loop's interface.
            arriving: what the run begins with.
        """
        ...


_kernels: dict[str, Kernels] = {}


def provide(backend: str, kernels: Kernels) -> None:
    """Let calls find a back end's kernels."""
    _kernels[backend] = kernels


def provided(backend: str) -> Kernels:
    """Return a back end's kernels. Raises ValueError where it has none."""
    if backend not in _kernels:
        raise ValueError(f"no back end called {backend!r} has kernels; {' and '.join(_kernels)} have")
    return _kernels[backend]


def forward(run: Run, lists: Lists, clock: Tensor | None, resets: Tensor | None, save: bool) -> list[Tensor]:
    """Return what ``Kernels.forward`` gives. Raises ValueError for tensors that do not fit.

    Args:
        run: the call but for its tensors.
        lists: the tensors of each of ``KINDS``.
        clock: the step numbers, (Σ batch_sizes,), where the loop has them.
        resets: (Σ batch_sizes,) boolean.
        save: whether a run backwards follows.
    """
    kernels = provided(run.backend)
    run, lengths = _checked(kernels, run, lists, clock, resets, {})
    return kernels.forward(run, Tensors.of(lists, clock, resets), lengths, save)


def backward(run: Run, lists: Lists, clock: Tensor | None, resets: Tensor | None, arriving: Arriving) -> list[Tensor]:
    """Return the gradients that ``Kernels.backward`` gives, one kind after the other. Arguments as those of ``forward``."""
    kernels = provided(run.backend)
    others = {"given": [arriving.given], "final": arriving.final, "recorded": arriving.recorded, "saved": arriving.saved}
    run, lengths = _checked(kernels, run, lists, clock, resets, others)
    found = kernels.backward(run, Tensors.of(lists, clock, resets), lengths, arriving)
    return [x for kind in KINDS if kind in found for x in found[kind]]


def _checked(
    kernels: Kernels, run: Run, lists: Lists, clock: Tensor | None, resets: Tensor | None, others: Lists
) -> tuple[Run, dict[str, int]]:
    """Return the run with the rows of its steps, and the units behind each size. Raises ValueError."""
    data, loop = lists["data"][0], loop_called(run.key)
    output = kernels.output_type(data.dtype, run.products)
    kernels.allow(data, run.products)
    levels.check(loop, run.batch_sizes, run.follows)
    if run.batch_sizes is None:
        given = [x.shape[0] for x in (data, *lists["before"]) if x.dim()]  # other shapes are refused below
        sizes = tuple(equal_steps(given[0], given[1])) if len(given) > 1 else (1,)
        run = replace(run, batch_sizes=sizes)
    every = {**lists, "clock": [] if clock is None else [clock], **others}
    saved = kernels.saved(loop, output) if others else ()
    return run, check(interface_of(loop), run.rows, data.dtype, every, resets, saved, output)
