"""Derivatives of ``carousel::loop``, backwards, forwards and of one another, all by compiled loops.

With y = loop(x) and J its Jacobian: the tangent J u is a run of the tangent loop (``equations/tangent.py``), the gradient
Jᵀ g is ``carousel::loop_backward``. A derivative of the gradient is the gradient of ⟨g, J u⟩, so of a run of the tangent
loop. Each is differentiable again in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from carousel.equations.loop import Loop
from carousel.equations.tangent import tangent, weight_tangent
from carousel.kernels.cpu.kernel import Layout, layout_of
from carousel.kernels.cpu.registry import registered
from carousel.kernels.inputs import loop_of

Optional = Sequence[Tensor | None]
TANGENT = "'"  # after the key of a loop: its tangent's
_loops: dict[str, Loop] = {}


def loop_called(key: str) -> Loop:
    """The loop of a registered cell, or of its tangent."""
    if key not in _loops:
        _loops[key] = tangent(loop_called(key[:-1])) if key.endswith(TANGENT) else loop_of(registered(key))
    return _loops[key]


@dataclass(frozen=True)
class Call:
    """All of a call but its tensors. ``counts``: tensors in each of data, dense, biases, entering, vectors, before, initial."""

    key: str
    counts: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    reverse: bool
    bfloat: bool

    @property
    def layout(self) -> Layout:
        return layout_of(loop_called(self.key))

    @property
    def states(self) -> int:
        return self.counts[-2]

    def lists(self, flat: Sequence[Any]) -> list[list[Any]]:
        """The tensors in their lists; what is beyond them in one more."""
        found, at = [], 0
        for n in (*self.counts, len(flat) - sum(self.counts)):
            found.append(list(flat[at : at + n]))
            at += n
        return found

    def gradients(self, asked: Sequence[bool]) -> list[int]:
        """For each result of ``carousel::loop_backward``, the place in the flat list of the tensor that it is for."""
        first = [sum(self.counts[:k]) for k in range(len(self.counts))]
        data, dense, biases, entering, vectors, before, initial = (
            list(range(at, at + n)) for at, n in zip(first, self.counts, strict=True)
        )
        learned = [k for k, n in zip(vectors, self.layout.vectors_learned, strict=True) if n is not None]
        return [*dense, *biases, *entering, *learned, *data * asked[0], *before * asked[1], *initial * asked[2]]


def loop(call: Call, clock: Tensor | None, resets: Tensor | None, flat: Sequence[Tensor]) -> list[Tensor]:
    """Outputs and states after each row's last step, differentiable."""
    watched = torch.is_grad_enabled() and any(x.requires_grad for x in flat)
    if watched or _transformed():
        function = _Loop if torch._C._are_functorch_transforms_active() else _QuickLoop
        return list(function.apply(call, clock, resets, *flat))[: 1 + call.states]
    return _forward(call, clock, resets, flat, keep=False)


def _transformed() -> bool:
    """Whether forward mode or one of torch.func's transforms may look on."""
    return forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active()


def _forward(call: Call, clock: Tensor | None, resets: Tensor | None, flat: Sequence[Tensor], *, keep: bool) -> list[Tensor]:
    (data,), *lists, _ = call.lists(flat)
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.carousel.loop(call.key, data, *lists, clock, resets, call.batch_sizes, call.reverse, call.bfloat, keep)


def _backward(call: Call, asked: Sequence[bool], clock: Tensor | None, resets: Tensor | None, *tensors: Tensor) -> list[Tensor]:
    """``tensors``: gradients of the output and of the states after, then the call's, then what its run has kept."""
    given, *final = tensors[: 1 + call.states]
    (data,), dense, biases, entering, vectors, _, _, kept = call.lists(tensors[1 + call.states :])
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.carousel.loop_backward(
            call.key, given, final, kept, data, dense, biases, entering, vectors, clock, resets,
            call.batch_sizes, call.reverse, call.bfloat, *asked,
        )  # fmt: skip


def _tangent(
    call: Call, clock: Tensor | None, resets: Tensor | None, flat: Sequence[Tensor], changes: Optional
) -> tuple[Tensor, ...]:
    """How the outputs and the states after change, as the tensors of the call do; None changes nothing."""
    known = [torch.zeros_like(x) if u is None else u for x, u in zip(flat, changes, strict=True)]
    (data,), dense, biases, entering, vectors, before, initial, _ = call.lists(flat)
    (data_u,), dense_u, biases_u, entering_u, vectors_u, before_u, initial_u, _ = call.lists(known)
    inside, layout = loop_called(call.key), call.layout
    lengths = layout.lengths(before, vectors, data, dense)
    sums = []
    for k, bias in enumerate(layout.bias(lengths, biases_u, data)):
        weight, weight_u = (torch.cat(layout.stack(lengths, ws, k)).t() for ws in (dense, dense_u))
        sums.append(torch.addmm(torch.addmm(bias, data, weight_u), data_u, weight))
    weights = dict(zip(layout.dense, dense, strict=True))
    weights |= {weight_tangent(inside, n): u for n, u in zip(layout.dense, dense_u, strict=True)}
    key = call.key + TANGENT
    learned = [u for u, v in zip(vectors_u, inside.vectors, strict=True) if v not in inside.constants]
    lists = [
        [data],
        [weights[n] for n in layout_of(loop_called(key)).dense],
        biases,
        [*entering, *sums, *entering_u],
        [*vectors, *learned],
        [*before_u, *before],
        [*initial_u, *initial],
    ]
    made = Call(key, tuple(map(len, lists)), call.batch_sizes, call.reverse, call.bfloat)
    results = loop(made, clock, resets, [x for xs in lists for x in xs])
    return tuple(results[: 1 + call.states])


class _Loop(torch.autograd.Function):
    """``carousel::loop``; gives what its run has kept as well."""

    @staticmethod
    def forward(call: Call, clock: Tensor | None, resets: Tensor | None, *flat: Tensor) -> tuple[Tensor, ...]:
        return tuple(_forward(call, clock, resets, flat, keep=True))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.call, clock, resets, *flat = inputs
        kept = output[1 + ctx.call.states :]
        ctx.mark_non_differentiable(*kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(clock, resets, *flat, *kept)
        ctx.save_for_forward(clock, resets, *flat)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        call, (clock, resets, *tensors) = ctx.call, ctx.saved_tensors
        (data,), *_, before, _, _ = call.lists(tensors)
        needs = call.lists(ctx.needs_input_grad[3:])
        asked = (any(needs[0]), any(needs[5]), any(needs[6]))
        given = gradients[0]
        if given is None:
            given = before[0].new_zeros(len(data), before[0].shape[1])
        final = [torch.zeros_like(x) if g is None else g for g, x in zip(gradients[1:], before, strict=False)]
        again = torch.is_grad_enabled() or _transformed()
        found = (_LoopBackward.apply if again else _backward)(call, asked, clock, resets, given, *final, *tensors)
        results: list[Any] = [None] * (3 + sum(call.counts))
        for place, x in zip(call.gradients(asked), found, strict=True):
            results[3 + place] = x
        return tuple(results)

    @staticmethod
    def jvp(ctx: Any, _call: Any, _clock: Any, _resets: Any, *changes: Tensor | None) -> tuple[Tensor | None, ...]:
        clock, resets, *flat = ctx.saved_tensors
        found = _tangent(ctx.call, clock, resets, flat, changes)
        return (*found, *[None] * len(ctx.call.layout.kept))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return one_by_one(_Loop.apply, info.batch_size, in_dims, arguments)


class _QuickLoop(torch.autograd.Function):
    """``_Loop`` where torch.func does not look on: PyTorch reads the signature of a function with ``setup_context`` at each
    call, which a small call would feel."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        output = _Loop.forward(*inputs)
        _Loop.setup_context(ctx, inputs, output)
        return output

    backward, jvp = staticmethod(_Loop.backward), staticmethod(_Loop.jvp)


class _LoopBackward(torch.autograd.Function):
    """``carousel::loop_backward``."""

    @staticmethod
    def forward(
        call: Call, asked: tuple[bool, ...], clock: Tensor | None, resets: Tensor | None, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        found = _backward(call, asked, clock, resets, *tensors)
        # Several gradients are parts of one product; forward mode takes no views that share a tensor.
        return tuple(x.clone(memory_format=torch.contiguous_format) if x._is_view() else x for x in found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.call, ctx.asked, *tensors = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def _saved(ctx: Any) -> tuple[Tensor | None, Tensor | None, list[Tensor], list[Tensor], list[Tensor]]:
        """Clock, resets, gradients of the results, tensors of the call, what its run has kept."""
        clock, resets, *tensors = ctx.saved_tensors
        first, last = 1 + ctx.call.states, 1 + ctx.call.states + sum(ctx.call.counts)
        return clock, resets, tensors[:first], tensors[first:last], tensors[last:]

    @staticmethod
    def backward(ctx: Any, *changes: Tensor | None) -> tuple[Any, ...]:
        clock, resets, given, flat, kept = _LoopBackward._saved(ctx)
        directions: list[Tensor | None] = [None] * len(flat)
        for place, u in zip(ctx.call.gradients(ctx.asked), changes, strict=True):
            directions[place] = u
        found, pull = torch.func.vjp(lambda *x: _tangent(ctx.call, clock, resets, x, directions), *flat)  # type: ignore[misc]
        return (None, None, None, None, *found, *pull(tuple(given)), *[None] * len(kept))

    @staticmethod
    def jvp(ctx: Any, _call: Any, _asked: Any, _clock: Any, _resets: Any, *changes: Tensor | None) -> tuple[Tensor, ...]:
        clock, resets, given, flat, kept = _LoopBackward._saved(ctx)
        first, last = len(given), len(given) + len(flat)
        moved = [torch.zeros_like(x) if u is None else u for x, u in zip(given, changes[:first], strict=True)]
        straight = _LoopBackward.apply(ctx.call, ctx.asked, clock, resets, *moved, *flat, *kept)
        _, pull = torch.func.vjp(lambda *x: _tangent(ctx.call, clock, resets, x, changes[first:last]), *flat)  # type: ignore[misc]
        bent = pull(tuple(given))
        return tuple(x + bent[place] for place, x in zip(ctx.call.gradients(ctx.asked), straight, strict=True))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return one_by_one(_LoopBackward.apply, info.batch_size, in_dims, arguments)


def one_by_one(
    function: Callable[..., Sequence[Tensor]], count: int, in_dims: Sequence[Any], arguments: Sequence[Any]
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """vmap: the function once for each, since a kernel has a batch of its own."""

    def pick(x: Any, dim: Any, k: int) -> Any:
        if isinstance(x, list) and isinstance(dim, list | tuple):
            return [pick(a, d, k) for a, d in zip(x, dim, strict=True)]
        return x.select(dim, k) if isinstance(dim, int) and isinstance(x, Tensor) else x

    each = [function(*(pick(x, d, k) for x, d in zip(arguments, in_dims, strict=True))) for k in range(count)]
    found = tuple(torch.stack(xs) for xs in zip(*each, strict=True))
    return found, (0,) * len(found)
