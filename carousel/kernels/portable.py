"""A loop as operators of PyTorch alone, for ``torch.export``: programs that run where Carousel is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.kernels.backend import Call, Result
from carousel.kernels.body import Body, Stacked
from carousel.kernels.inputs import loop_of
from carousel.kernels.pointwise import Values
from carousel.kernels.reference import Reference, taken


class Portable(Reference):
    """The reference, whose steps are one ``scan`` of PyTorch where a program is exported, for any number of them."""

    name = "portable"
    asked_for = True

    def run(self, call: Call) -> Result:
        """Run a call as the reference does; what a program records, clamps or draws is written out step by step."""
        written = call.record or call.clamp or call.changes or call.cell.before or loop_of(call.cell).draws
        whole = torch.compiler.is_exporting() and call.batch_sizes is None
        return _scanned(call) if whole and not written else super().run(call)

    def explain(self, cell: Cell, data: Tensor, rows: int, sizes: tuple[int, ...]) -> str | None:
        return f"{self.name}: PyTorch operations, one after the other"


def _scanned(call: Call) -> Result:
    from torch._higher_order_ops.scan import scan_op  # torch.scan would trace the step by Dynamo, which SymPy stops

    body, names = Body(call), call.cell.states
    each, pack = _packed(body)
    rows = call.before[names[0]].shape[0]
    every = [*body.whole.values(), *([] if call.resets is None else [call.resets])] or [call.data]
    steps = [_laid_out(x).unflatten(0, (-1, rows)) for x in every]
    initial = [] if call.resets is None or call.initial is None else [call.initial[n] for n in names]

    def step(*given: Tensor) -> list[Tensor]:
        states = dict(zip(names, given, strict=False))
        now, rest = given[len(names) : len(names) + len(steps)], given[len(names) + len(steps) :]
        if initial:
            starts, rest = rest[: len(initial)], rest[len(initial) :]
            states = {n: torch.where(now[-1].unsqueeze(1), x, states[n]) for n, x in zip(names, starts, strict=True)}
        constants, stacked = pack(rest)
        one = body.of_step(dict(zip(body.whole, now, strict=False)), constants, stacked)
        _, after = taken(one, 0, states, {})
        return [*(x.clone() for x in after.values()), after[names[0]].clone()]  # scan takes no value twice, and no view

    steps = [x.flip(0) for x in steps] if call.reverse else steps
    known = () if isinstance(rows, int) else (rows,)  # for AOTInductor, which finds sizes among what is given
    *last, output = scan_op(step, [call.before[n].clone() for n in names], steps, (*initial, *each, *known))
    output = output.flip(0) if call.reverse else output
    return Result(_laid_out(output.flatten(0, 1)), dict(zip(names, last, strict=True)), {})


def _laid_out(x: Tensor) -> Tensor:
    """Return a copy whose strides do not depend on the batch, which a program with any batch would have to check."""
    return x.clone(memory_format=torch.contiguous_format)


def _packed(body: Body) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], tuple[Values, Stacked]]]:
    """Return all tensors that every step takes, and what makes constants and weights of such a list again."""
    lengths = {group: len(weights) for group, weights in body.stacked.items()}
    every = [*body.constants.values(), *(w for weights in body.stacked.values() for w in weights)]

    def pack(given: Sequence[Tensor]) -> tuple[Values, Stacked]:
        constants = dict(zip(body.constants, given, strict=False))
        rest = iter(given[len(constants) :])
        return constants, {group: [next(rest) for _ in range(n)] for group, n in lengths.items()}

    return every, pack
