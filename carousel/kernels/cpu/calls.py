"""One call of a compiled loop, forward or backward: its arrays, and what PyTorch's matrix products do around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from carousel.kernels.cpu.kernel import Kernel, Layout, Steps, call, threads_for

ROWS_AT_ONCE = 96  # of the input, that a thread multiplies before it takes their steps


def forward(
    k: Kernel,
    lengths: list[int],
    data: Tensor,
    dense: list[Tensor],
    biases: list[Tensor],
    entering: list[Tensor],
    vectors: list[Tensor],
    before: list[Tensor],
    initial: list[Tensor],
    clock: Tensor | None,
    resets: Tensor | None,
    batch_sizes: list[int],
    reverse: bool,
    bfloat: bool,
    keep: bool,
) -> list[Tensor]:
    """Outputs, states after each row's last step, and with ``keep`` what the run backwards needs of every step.

    ``lengths``: the units behind each size of the layout, as ``boundary.check`` gives them.
    """
    layout, steps = k.layout, Steps.of(batch_sizes, reverse, keep)
    data, clock = data.contiguous(), None if clock is None else clock.contiguous()
    dense, entering, vectors = _contiguous(dense), _contiguous(entering), _contiguous(vectors)
    threads = threads_for(dense, steps.total)
    rows = steps.total if keep else 2 * steps.batch
    stored = [
        data.new_empty(rows, lengths[n]) if keep or lent else None for n, lent in zip(layout.stored, layout.lent, strict=True)
    ]
    flags = resets.contiguous() if resets is not None and initial else None
    for place, start, x in zip(layout.stored_state, initial or before, before, strict=True):
        room = None if place is None else stored[place]
        if room is None:
            continue
        if flags is not None:
            x = torch.where(flags[steps.first].unsqueeze(1), start, x)
        if not keep:
            room.view(2, steps.batch, -1).copy_(x.expand(2, -1, -1))
        elif steps.whole:
            room[: steps.batch].copy_(x)
        else:
            room.index_copy_(0, steps.first, x)
    output = data.new_empty(steps.total, before[0].shape[1])
    final = [torch.empty(x.shape, dtype=x.dtype) for x in before]
    starts = [initial[s].contiguous() if flags is not None else None for s in layout.remembered]
    chunk = min(len(batch_sizes), max(1, ROWS_AT_ONCE * threads // steps.batch))
    bias = layout.bias(lengths, biases, data)
    outer_panels = [k.panel(data, lengths[n], count, lengths[layout.input]) for count, n, _ in layout.outer]
    inner_panels = [k.panel(data, lengths[n], count, lengths[x]) for count, n, xs in layout.groups for x in xs]
    entered = [data.new_empty(chunk * steps.batch, len(x)) for x in bias]
    pointers, strides = layout.weights(lengths, dense)
    arrays = [
        data,
        *outer_panels,
        *bias,
        *entered,
        *entering,
        *vectors,
        *inner_panels,
        *pointers,
        *stored,
        *starts,
        *final,
        output,
    ]
    call(k.forward, steps, flags, [chunk, 0, *lengths, *strides], [*arrays, *([clock] * layout.has_clock)], threads)
    return [output, *final, *([stored[n] for n in layout.stored_kept] if keep else [])]  # type: ignore[list-item]  # all there


def backward(
    k: Kernel,
    lengths: list[int],
    given: Tensor,
    final: list[Tensor],
    kept: list[Tensor],
    data: Tensor,
    dense: list[Tensor],
    biases: list[Tensor],
    entering: list[Tensor],
    vectors: list[Tensor],
    clock: Tensor | None,
    resets: Tensor | None,
    batch_sizes: list[int],
    reverse: bool,
    bfloat: bool,
    to_data: bool,
    to_before: bool,
    to_initial: bool,
) -> list[Tensor]:
    """Gradients of dense weights, biases, what enters, vectors; where asked, of data, states before, initial ones."""
    layout, steps = k.layout, Steps.of(batch_sizes, reverse)
    dense, entering, vectors, kept = _contiguous(dense), _contiguous(entering), _contiguous(vectors), _contiguous(kept)
    clock = None if clock is None else clock.contiguous()
    threads = threads_for(dense, steps.total)
    sums = [data.new_zeros(threads, lengths[n]) for n in layout.learned]
    adjoints = [data.new_empty(steps.total, count * lengths[n]) for count, n, _ in layout.groups]
    own = [data.new_empty(steps.total, count * lengths[n]) for count, n in layout.own]
    carried = [x.clone(memory_format=torch.contiguous_format) for x in final]
    direct = [torch.empty(steps.total, x.shape[1], dtype=x.dtype) if to_initial else None for x in final]
    lent = [data.new_empty(steps.batch, lengths[n]) for n in layout.crossing]
    panels = [k.panel(data, lengths[x], 1, count * lengths[n]) for count, n, xs in layout.groups for x in xs]
    flags = resets.contiguous() if resets is not None else None
    pointers, strides = layout.weights(lengths, dense)
    arrays: list[Tensor | int | None] = [
        *vectors,
        *sums,
        *panels,
        *pointers[sum(count for count, _, _ in layout.outer) :],
        *entering,
    ]
    arrays += [*(kept[n] for n in layout.saved), *adjoints, *own, *carried]
    arrays += [x for x, passing in zip(direct, layout.passing, strict=True) if passing]
    arrays += [*lent, given.contiguous(), *([clock] * layout.has_clock)]
    call(k.backward, steps, flags, [1, 0, *lengths, *strides], arrays, threads)

    rest = iter(own)
    entered = [next(rest) if shared is None else adjoints[shared] for shared in layout.shared]
    rounded = _rounding(bfloat)
    factors = [rounded(w) for w in dense]
    products = [_gradient(data, rounded(x), rounded(data)) for x, _ in zip(entered, layout.outer, strict=False)]
    products += [_gradient(data, rounded(adjoints[g]), rounded(kept[x])) for g, x in layout.operands]
    results = _of_dense(layout, lengths, dense, products)
    results += _of_biases(layout, lengths, entered)
    results += [*entered[len(layout.outer) :], *(x.sum(0) for x in sums)]
    if to_data:
        outer = [rounded(x) for x in entered[: len(layout.outer)]]
        pairs = [p for j, x in enumerate(outer) for p in layout.pairs(lengths, factors, j, x)]
        results.append(_sum_of_products(data, pairs))

    def through(numbers: list[int], rows: slice | Tensor, like: Tensor) -> Tensor:
        """What comes back to a state through the weights that multiply it, at some rows."""
        first = len(layout.outer)
        sums = {n: rounded(adjoints[layout.operands[n][0]])[rows] for n in numbers}
        return _sum_of_products(like, [p for n in numbers for p in layout.pairs(lengths, factors, first + n, sums[n])])

    if to_before:
        begun = slice(0, steps.batch) if steps.whole else steps.first
        for numbers, passing, x in zip(layout.through, layout.passing, carried, strict=True):
            total = through(numbers, begun, x)
            total = total + x if passing else total
            results.append(total if flags is None else total.masked_fill(flags[steps.first].unsqueeze(1), 0))
    if to_initial and flags is not None:
        where = flags.nonzero().squeeze(1)
        row = torch.cat([torch.arange(n) for n in batch_sizes])[where]
        for numbers, passing, x, straight in zip(layout.through, layout.passing, carried, direct, strict=True):
            total = through(numbers, where, x.new_empty(len(where), x.shape[1]))
            total = total + straight[where] if passing and straight is not None else total
            results.append(torch.zeros_like(x).index_add_(0, row, total))
    return results


def _contiguous(tensors: list[Tensor]) -> list[Tensor]:
    return [x.contiguous() for x in tensors]


def _rounding(bfloat: bool) -> Callable[[Tensor], Tensor]:
    """What is multiplied, as bfloat16 where that is asked; the same tensor is rounded once."""
    done: dict[int, Tensor] = {}

    def rounded(x: Tensor) -> Tensor:
        if id(x) not in done:
            done[id(x)] = x.bfloat16()
        return done[id(x)]

    return rounded if bfloat else lambda x: x


def _product(like: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return (a @ b).to(like.dtype)


def _gradient(like: Tensor, sums: Tensor, operand: Tensor) -> Tensor:
    """sumsᵀ @ operand. The other way round MKL is a third faster where it is large."""
    if sums.shape[1] * operand.shape[1] < 1 << 20:
        return _product(like, sums.t(), operand)
    return _product(like, operand.t(), sums).t()


def _sum_of_products(like: Tensor, pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Σ a @ b, zero where there is none."""
    if not pairs:
        return torch.zeros_like(like)
    total = _product(like, *pairs[0])
    for a, b in pairs[1:]:
        if a.dtype == total.dtype:
            total.addmm_(a, b)
        else:
            total += a @ b
    return total


def _of_dense(layout: Layout, lengths: list[int], dense: list[Tensor], products: list[Tensor]) -> list[Tensor]:
    """The gradient of each weight, from those of stacked weights."""
    pieces: list[list[tuple[int, Tensor]]] = [[] for _ in dense]
    at = 0
    for product, count in zip(products, layout.counts, strict=True):
        for piece in product.chunk(count):
            weight, prefix = layout.blocks[at]
            pieces[weight].append((sum(lengths[k] for k in prefix), piece))
            at += 1
    found = []
    for w, parts in zip(dense, pieces, strict=True):
        if len({first for first, _ in parts}) == len(parts) and sum(p.shape[1] for _, p in parts) == w.shape[1]:
            parts.sort(key=lambda p: p[0])
            found.append(parts[0][1] if len(parts) == 1 else torch.cat([p for _, p in parts], dim=1))
        else:  # a weight that multiplies several vectors
            total = torch.zeros_like(w)
            for first, piece in parts:
                total[:, first : first + piece.shape[1]] += piece
            found.append(total)
    return found


def _of_biases(layout: Layout, lengths: list[int], entered: list[Tensor]) -> list[Tensor]:
    found: dict[int, Tensor] = {}
    for x, (_, n, each) in zip(entered, layout.outer, strict=False):
        for piece, biases in zip(x.sum(0).split(lengths[n]), each, strict=True):
            for k in biases:
                found[k] = found[k] + piece if k in found else piece
    return [found[k] for k in range(len(layout.biases))]
