"""Gradients of all that a loop was given, from the adjoints of every step: matrix products over all steps at once.

This is the half of the way back that needs no kernel, so it is the same for every back end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from carousel.equations.notes import Expr
from carousel.kernels import levels, stacks
from carousel.kernels.compiled import Run
from carousel.kernels.heads import joined, parted
from carousel.kernels.interface import Interface, Stack, Tensors
from carousel.kernels.liveness import Liveness
from carousel.kernels.steps import Steps

Lengths = Mapping[str, int]


@dataclass(frozen=True)
class Adjoints:
    """The results of a run backwards.

    ``groups``: adjoints of each group's sums at every step, (Σ batch_sizes, Σ units). ``hoisted``: of each hoisted input, where
    they are not those of a group. ``vectors``: gradients of the learned vectors. ``carried``: what has come back to each state
    before the first step, apart from what goes through products, (B, units). ``direct``: the same of every step, where
    gradients of initial states are wanted.
    """

    groups: Sequence[Tensor]
    hoisted: Sequence[Tensor | None]
    vectors: Sequence[Tensor]
    carried: Sequence[Tensor]
    direct: Sequence[Tensor | None]


@dataclass(frozen=True)
class Products:
    """Products that a back end has computed itself.

    ``dense``: the gradients of the dense weights. ``biases``: of each stack that multiplies the input, the sum over rows of its
    adjoints, (Σ units,), None where nothing asks for it. ``data``: the gradient of the input, None where nobody does.
    """

    dense: Sequence[Tensor]
    biases: Sequence[Tensor | None]
    data: Tensor | None


def gradients(
    live: Liveness,
    interface: Interface,
    run: Run,
    steps: Steps,
    tensors: Tensors,
    lengths: Lengths,
    operands: Mapping[Expr, Tensor],
    found: Adjoints,
    asked: Sequence[str],
    products: Products | None = None,
) -> dict[str, list[Tensor]]:
    """Return gradients by kind: what ``compiled.Kernels.backward`` gives.

    Args:
        live: of the loop.
        interface: of the loop.
        run: the call but for its tensors.
        steps: of the call.
        tensors: of the call.
        lengths: the units behind each size of the interface.
        operands: the values of the vectors that dense weights multiply, at every step.
        found: by the run backwards.
        asked: the kinds, of those that are computed on request, which are wanted.
        products: those that are known.
    """
    data, dense, resets = tensors.data, tensors.dense, tensors.resets
    hoisted = [found.groups[g] if g is not None else x for g, x in zip(live.shared, found.hoisted, strict=True)]
    complete = [x for x in hoisted if x is not None]
    outer, rest = complete[: len(interface.outer)], complete[len(interface.outer) :]
    rounded = _rounding(run.products)
    factors = [rounded(w) for w in dense]
    if products is None:
        given = [(x, data) for x in outer]
        given += [(found.groups[g], operands[s.operand]) for (g, _), s in interface.inner.items()]
        of_dense = _of_dense(interface, lengths, dense, [(rounded(x), rounded(operand)) for x, operand in given])
        sums = [x.sum(0) if any(s.biases or ()) else None for s, x in zip(interface.outer, outer, strict=True)]
        of_data = None
        if "data" in asked:
            pairs = [(rounded(x), stacks.whole(s, lengths, factors)) for s, x in zip(interface.outer, outer, strict=True)]
            of_data = _sum_of_products(data, pairs)
        products = Products(of_dense, sums, of_data)
    results = {
        "dense": list(products.dense),
        "biases": _of_biases(interface, products.biases),
        "hoisted": rest,
        "vectors": list(found.vectors),
    }

    def through(used: Sequence[tuple[int, Stack]], rows: slice | Tensor, like: Tensor) -> Tensor:
        """Return the sum of the gradients that come back through the weights of some stacks, at some rows."""
        each = {g: rounded(found.groups[g])[rows] for g, _ in used}
        return _sum_of_products(like, [p for g, s in used for p in stacks.pairs(s, lengths, factors, each[g])])

    if products.data is not None:
        results["data"] = [products.data]
    chain = run.follows is None
    if "before" in asked and interface.loop.over_set:
        results["before"] = [torch.zeros_like(x) for x in tensors.before]  # which nothing reads
    elif "before" in asked and run.follows is not None:
        nothing = dict(zip(interface.loop.edges, levels.before(run.follows) < 0, strict=True))
        results["before"] = []
        for state, used, straight in zip(interface.states.values(), interface.through, found.direct, strict=True):
            first = nothing[state.edge].nonzero().squeeze(1)
            total = through(used, first, data.new_empty(len(first), lengths[interface.size(state.before)]))
            total = total if straight is None else total + straight[first]
            results["before"].append(total.sum(0, keepdim=True))
    states = list(zip(interface.through, live.passing, found.carried, found.direct, strict=True)) if chain else []
    if "before" in asked and chain:
        begun = slice(0, steps.batch) if steps.whole else steps.first
        totals = [through(used, begun, x) + x if passes else through(used, begun, x) for used, passes, x, _ in states]
        results["before"] = [x if resets is None else x.masked_fill(resets[steps.first].unsqueeze(1), 0) for x in totals]
    if "initial" in asked and resets is not None:
        results["initial"] = []
        where = resets.nonzero().squeeze(1)
        row = torch.cat([torch.arange(n) for n in run.rows]).to(where.device)[where]
        for used, passes, x, straight in states:
            total = through(used, where, x.new_empty(len(where), x.shape[1]))
            total = total + straight[where] if passes and straight is not None else total
            results["initial"].append(torch.zeros_like(x).index_add_(0, row, total))
    return results


def _of_dense(
    interface: Interface, lengths: Lengths, dense: Sequence[Tensor], factors: Sequence[tuple[Tensor, Tensor]]
) -> list[Tensor]:
    """Return the gradient of each dense weight; ``factors``: of each stack the adjoints of its sums, and what it multiplies."""
    found: dict[int, Tensor] = {}
    for tower in interface.towers:
        weights = [number for number, _ in interface.stacks[tower[0]].parts]
        whole = _side_by_side(dense[weights[0]], [factors[k] for k in tower])
        found.update(zip(weights, whole.chunk(len(weights)), strict=True))
    for k in (k for k in range(len(interface.stacks)) if not any(k in tower for tower in interface.towers)):
        stack = interface.stacks[k]
        for (number, prefix), piece in zip(stack.parts, _of_weights(stack, dense[0], *factors[k]), strict=True):
            if number not in found:
                found[number] = torch.zeros_like(dense[number])
            first = sum(lengths[n] for n in prefix)
            found[number][..., first : first + piece.shape[-1]] += piece
    return [found[k] for k in range(len(dense))]


def _side_by_side(like: Tensor, factors: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Return sumsᵀ @ operand of each pair, one beside the other."""
    if len(factors) == 1:
        return _gradient(like, *factors[0])
    rows, columns = factors[0][0].shape[1], [operand.shape[1] for _, operand in factors]
    whole = like.new_empty(rows, sum(columns))
    for (sums, operand), part in zip(factors, whole.split_with_sizes(columns, dim=1), strict=True):
        if operand.dtype is not like.dtype:
            part.copy_(sums.t() @ operand)
        elif _better_turned(sums, operand):
            torch.mm(operand.t(), sums, out=part.t())
        else:
            torch.mm(sums.t(), operand, out=part)
    return whole


def _of_biases(interface: Interface, sums: Sequence[Tensor | None]) -> list[Tensor]:
    """Return the gradient of each bias, from the sums (Σ units,) of the stacks that multiply the input."""
    found: dict[int, Tensor] = {}
    for stack, x in zip(interface.outer, sums, strict=True):
        if x is not None and stack.biases is not None:
            for piece, numbers in zip(x.chunk(len(stack.biases)), stack.biases, strict=True):
                found |= {k: found[k] + piece if k in found else piece for k in numbers}
    return [found[k] for k in range(len(interface.biases))]


def _rounding(products: torch.dtype | None) -> Callable[[Tensor], Tensor]:
    """Return a factor of a product, in another type where one is asked for; the same tensor is rounded once."""
    done: dict[int, Tensor] = {}

    def rounded(x: Tensor) -> Tensor:
        if id(x) not in done:
            done[id(x)] = x.to(products)
        return done[id(x)]

    return (lambda x: x) if products is None else rounded


def _product(like: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return (a @ b if a.dim() == 2 else joined(a @ b)).to(like.dtype)


def _of_weights(stack: Stack, like: Tensor, sums: Tensor, operand: Tensor) -> Sequence[Tensor]:
    """Return the gradient of each weight of a stack, from the adjoints of its sums and what it multiplies."""
    if stack.heads == 1:
        return _gradient(like, sums, operand).chunk(len(stack.parts))
    x = parted(operand, stack.heads)
    return [(parted(s, stack.heads).mT @ x).to(like.dtype) for s in sums.chunk(len(stack.parts), dim=1)]


def _gradient(like: Tensor, sums: Tensor, operand: Tensor) -> Tensor:
    """Return sumsᵀ @ operand."""
    return _product(like, operand.t(), sums).t() if _better_turned(sums, operand) else _product(like, sums.t(), operand)


def _better_turned(sums: Tensor, operand: Tensor) -> bool:
    """Return whether sumsᵀ @ operand is so large that MKL takes up to a third less time for its transpose."""
    return sums.shape[1] * operand.shape[1] >= 1 << 20


def _sum_of_products(like: Tensor, pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Σ a @ b, zero where there is none."""
    if not pairs:
        return torch.zeros_like(like)
    total = _product(like, *pairs[0])
    for a, b in pairs[1:]:
        if a.dtype == total.dtype and a.dim() == 2:
            total.addmm_(a, b)
        else:
            total += _product(like, a, b)
    return total
