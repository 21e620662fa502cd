"""How much a step of a cell computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from carousel.equations.notes import ROW, Size
from carousel.equations.stages import Schedule


@dataclass(frozen=True)
class Work:
    """Floating-point operations of one step of one row; a multiplication and an addition count as two."""

    input_products: int
    recurrent_products: int
    pointwise: int

    @property
    def total(self) -> int:
        return self.input_products + self.recurrent_products + self.pointwise


def counted(schedule: Schedule, length: Callable[[Size | None], int]) -> Work:
    """Count the operations of one step of one row.

    Args:
        schedule: of the cell.
        length: the number of units of a size.
    """
    dense, pointwise = [0, 0], 0
    for inside, stages in enumerate((schedule.outside, schedule.inside)):
        for stage in stages:
            for a in stage.accumulators:
                rows = length(a.rows)
                pointwise += rows * (len(a.biases) + (a.start is not None))
                dense[inside] += sum(2 * rows * length(p.weight.columns[p.part]) // p.weight.heads for p in a.products)
            pointwise += sum(length(r.size) for r in stage.reductions)
            for symbol, expr in stage.equations:
                size = schedule.sizes.get(symbol)
                pointwise += length(None if size is ROW else size) * int(expr.count_ops())
    return Work(dense[0], dense[1], pointwise)
