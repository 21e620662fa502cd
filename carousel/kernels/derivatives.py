"""Derivatives of ``carousel::loop``, backwards, forwards and of one another, all by a back end's compiled loops.

With y = loop(x) and J its Jacobian: the tangent J u is a run of the tangent loop (``equations/tangent.py``), the gradient
Jᵀ g is ``carousel::loop_backward``. A derivative of the gradient is the gradient of ⟨g, J u⟩, so of a run of the tangent
loop. Each is differentiable again in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import forward_ad

from carousel.equations.tangent import weight_tangent
from carousel.kernels import compiled, stacks
from carousel.kernels.compiled import ON_REQUEST, Run
from carousel.kernels.interface import Arriving, interface_of
from carousel.kernels.registry import TANGENT, loop_called

Optional = Sequence[Tensor | None]


class Planned(Protocol):
    """A run of which all but the tensors is known; ``flat`` are those of all ``KINDS``."""

    run: Run

    def forward(self, flat: Sequence[Tensor]) -> list[Tensor]:
        """Return outputs, states after each row's last step, and what the run saves."""
        ...

    def backward(self, asked: Sequence[bool], tensors: Sequence[Tensor]) -> list[Tensor] | None:
        """Return what ``compiled.backward`` gives, None where tensors are not as planned.

        Args:
            asked: of each kind ``ON_REQUEST``, whether its gradients are wanted.
            tensors: the gradients of the results, then those of the call, then those saved.
        """
        ...


def loop(run: Run, clock: Tensor | None, resets: Tensor | None, flat: Sequence[Tensor]) -> list[Tensor]:
    """Return outputs, states after each row's last step and recorded values, differentiable; ``flat``: all of ``KINDS``."""
    watched = torch.is_grad_enabled() and any(x.requires_grad for x in flat)
    if watched or transformed():
        function = _Loop if torch._C._are_functorch_transforms_active() else _QuickLoop
        return list(function.apply(run, clock, resets, *flat))[: run.results]
    return _forward(run, clock, resets, flat, save=False)


def planned(plan: Planned, flat: Sequence[Tensor]) -> list[Tensor]:
    """Return what ``loop`` gives for plain tensors where autograd alone looks on, by the plan."""
    return list(_PlannedLoop.apply(plan, None, None, *flat))


def transformed() -> bool:
    """Return whether forward mode or one of torch.func's transforms may look on."""
    return forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active()


def _given(run: Run, clock: Tensor | None, resets: Tensor | None, flat: Sequence[Tensor]) -> list[Any]:
    """Return the first arguments of both operators."""
    (data,), *rest = run.lists(flat).values()
    return [run.backend, run.key, data, *rest, clock, resets, run.batch_sizes, run.reverse, run.products]


def _keys(tensors: Sequence[Tensor | None]) -> set[int]:
    """Return all that PyTorch's dispatcher looks at: devices, layouts, subclasses, transforms, lazy negation."""
    return {torch._C._dispatch_keys(x).raw_repr() for x in tensors if x is not None}


with torch.inference_mode():
    _PLAIN = _keys([torch.empty(0, device="cpu")])
_PLAIN |= _keys([torch.empty(0, device="cpu")])


def plain(*tensors: Tensor | None) -> bool:
    """Return whether PyTorch's autograd alone looks on, and all tensors are plain ones of the processor.

    Then kernels are called without PyTorch's dispatcher, which a small call would feel.
    """
    if torch._C._len_torch_dispatch_stack() or torch._C._are_functorch_transforms_active():
        return False
    return _keys(tensors) <= _PLAIN


def _forward(run: Run, clock: Tensor | None, resets: Tensor | None, flat: Sequence[Tensor], *, save: bool) -> list[Tensor]:
    if plain(clock, resets, run.follows, *flat):
        return compiled.forward(run, run.lists(flat), clock, resets, save)
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.carousel.loop(*_given(run, clock, resets, flat), save, run.follows)


def _backward(run: Run, asked: Sequence[bool], clock: Tensor | None, resets: Tensor | None, *tensors: Tensor) -> list[Tensor]:
    given, flat, saved = _parted(run, tensors)
    final, recorded = given[1 : 1 + run.after], given[1 + run.after :]
    if plain(clock, resets, run.follows, *tensors):
        wanted = [kind for kind, is_asked in zip(ON_REQUEST, asked, strict=True) if is_asked]
        return compiled.backward(run, run.lists(flat), clock, resets, Arriving(given[0], final, recorded, saved, wanted))
    with torch._C._AutoDispatchBelowAutograd():
        arriving = given[0], final, recorded, saved, *asked
        return torch.ops.carousel.loop_backward(*_given(run, clock, resets, flat), *arriving, run.follows)


def _parted(run: Run, tensors: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Part tensors into gradients of a run's results, the tensors of the call, and the values that its run has saved."""
    first, last = run.results, run.results + sum(run.counts)
    return list(tensors[:first]), list(tensors[first:last]), list(tensors[last:])


def _tangent(
    run: Run, clock: Tensor | None, resets: Tensor | None, flat: Sequence[Tensor], changes: Optional
) -> tuple[Tensor, ...]:
    """Return the change of the results where the tensors of the call change; None changes nothing."""
    x, inside, interface = run.lists(flat), loop_called(run.key), run.interface
    u = run.lists([torch.zeros_like(x) if u is None else u for x, u in zip(flat, changes, strict=True)])
    (data,), (data_u,), lengths = x["data"], u["data"], interface.lengths_of(x)
    sums = []
    for stack in interface.outer:
        weight, weight_u = (stacks.whole(stack, lengths, dense).t() for dense in (x["dense"], u["dense"]))
        bias = stacks.begin(stack, lengths, u["biases"], data)
        sums.append(torch.addmm(torch.addmm(bias, data, weight_u), data_u, weight))
    weights = dict(zip(interface.dense, x["dense"], strict=True))
    weights |= {weight_tangent(inside, n): w for n, w in zip(interface.dense, u["dense"], strict=True)}
    key = run.key + TANGENT
    lists = {
        **x,
        "dense": [weights[n] for n in interface_of(loop_called(key)).dense],
        "hoisted": [*x["hoisted"], *sums, *u["hoisted"]],
        "vectors": [*x["vectors"], *(u["vectors"][k] for k in interface.learned)],
        "before": [*u["before"], *x["before"]],
        "initial": [*u["initial"], *x["initial"]],
    }
    made = replace(run, key=key, counts=tuple(map(len, lists.values())))
    found = loop(made, clock, resets, [x for xs in lists.values() for x in xs])
    return (*found[: 1 + run.after], *found[1 + made.after :])


def _keep(ctx: Any, run: Run, output: Sequence[Tensor], tensors: Optional) -> None:
    """Keep for the run backwards the tensors of a call, and of its results the type and the recorded shapes."""
    ctx.run, ctx.output_type = run, output[0].dtype
    ctx.recorded = [x.shape for x in output[1 + run.after : run.results]]
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors)


class _Loop(torch.autograd.Function):
    """``carousel::loop``; gives what its run has saved as well."""

    @staticmethod
    def forward(run: Run, clock: Tensor | None, resets: Tensor | None, *flat: Tensor) -> tuple[Tensor, ...]:
        return tuple(_forward(run, clock, resets, flat, save=True))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        run, clock, resets, *flat = inputs
        saved = output[run.results :]
        ctx.mark_non_differentiable(*saved)
        ctx.saved, ctx.plan = len(saved), None
        _keep(ctx, run, output, (clock, resets, *flat, *saved))
        ctx.save_for_forward(clock, resets, *flat)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        run, (clock, resets, *tensors) = ctx.run, ctx.saved_tensors
        x, needs = run.lists(tensors), run.lists(ctx.needs_input_grad[3:])
        before, asked = x["before"], tuple(any(needs[kind]) for kind in ON_REQUEST)
        given = gradients[0]
        if given is None:
            given = before[0].new_zeros(x["data"][0].shape[0], before[0].shape[1], dtype=ctx.output_type)
        final = [torch.zeros_like(s) if g is None else g for g, s in zip(gradients[1 : 1 + run.after], before, strict=False)]
        recorded = zip(gradients[1 + run.after : run.results], ctx.recorded, strict=True)
        final += [given.new_zeros(shape) if g is None else g for g, shape in recorded]
        again, tensors = torch.is_grad_enabled() or transformed(), [given, *final, *tensors]
        found = None if again or ctx.plan is None else ctx.plan.backward(asked, tensors)
        if found is None:
            found = (_LoopBackward.apply if again else _backward)(run, asked, clock, resets, *tensors)
        results: list[Any] = [None] * (3 + sum(run.counts))
        for place, gradient in zip(run.gradients(asked), found, strict=True):
            results[3 + place] = gradient
        return tuple(results)

    @staticmethod
    def jvp(ctx: Any, _run: Any, _clock: Any, _resets: Any, *changes: Tensor | None) -> tuple[Tensor | None, ...]:
        clock, resets, *flat = ctx.saved_tensors
        return (*_tangent(ctx.run, clock, resets, flat, changes), *[None] * ctx.saved)

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


class _PlannedLoop(torch.autograd.Function):
    """``_QuickLoop`` by a plan; what is saved stays inside."""

    @staticmethod
    def forward(ctx: Any, plan: Planned, clock: None, resets: None, *flat: Tensor) -> tuple[Tensor, ...]:
        results = plan.forward(flat)
        output, saved = results[: plan.run.results], results[plan.run.results :]
        ctx.plan = plan
        _keep(ctx, plan.run, output, (clock, resets, *flat, *saved))
        return tuple(output)

    backward = staticmethod(_Loop.backward)


class _LoopBackward(torch.autograd.Function):
    """``carousel::loop_backward``."""

    @staticmethod
    def forward(
        run: Run, asked: tuple[bool, ...], clock: Tensor | None, resets: Tensor | None, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        found = _backward(run, asked, clock, resets, *tensors)
        # Several gradients are parts of one product; forward mode takes no views that share a tensor.
        return tuple(x.clone(memory_format=torch.contiguous_format) if x._is_view() else x for x in found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.run, ctx.asked, *tensors = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *changes: Tensor | None) -> tuple[Any, ...]:
        run, (clock, resets, *tensors) = ctx.run, ctx.saved_tensors
        given, flat, saved = _parted(run, tensors)
        directions: list[Tensor | None] = [None] * len(flat)
        for place, u in zip(run.gradients(ctx.asked), changes, strict=True):
            directions[place] = u
        found, pull = torch.func.vjp(lambda *x: _tangent(run, clock, resets, x, directions), *flat)  # type: ignore[misc]  # of PyTorch's stubs
        return (None, None, None, None, *found, *pull(tuple(given)), *[None] * len(saved))

    @staticmethod
    def jvp(ctx: Any, _run: Any, _asked: Any, _clock: Any, _resets: Any, *changes: Tensor | None) -> tuple[Tensor, ...]:
        run, (clock, resets, *tensors) = ctx.run, ctx.saved_tensors
        given, flat, saved = _parted(run, tensors)
        given_u, flat_u, _ = _parted(run, changes)
        moved = [torch.zeros_like(x) if u is None else u for x, u in zip(given, given_u, strict=True)]
        straight = _LoopBackward.apply(run, ctx.asked, clock, resets, *moved, *flat, *saved)
        _, pull = torch.func.vjp(lambda *x: _tangent(run, clock, resets, x, flat_u), *flat)  # type: ignore[misc]  # of PyTorch's stubs
        bent = pull(tuple(given))
        return tuple(x + bent[place] for place, x in zip(run.gradients(ctx.asked), straight, strict=True))

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
