"""The reference back end: a cell's schedule in plain PyTorch operations.

Any device, any dtype, differentiable any number of times; the oracle for every other back end.
Pointwise code is printed from the trace by SymPy; dense products of the same operands are stacked into one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import sympy
import torch
from sympy.printing.pycode import PythonCodePrinter
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.stages import Accumulator, Stage
from carousel.equations.terms import Product, Size
from carousel.equations.trace import symbol

Values = dict[Any, Tensor]  # a symbol of the trace → its value


def run(
    cell: Cell,
    data: Tensor,
    batch_sizes: Sequence[int],
    before: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    *,
    reverse: bool = False,
    resets: Tensor | None = None,
    initial: Mapping[str, Tensor] | None = None,
    record: Sequence[str] = (),
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Run one layer in one direction over whole sequences.

    Args:
        data: (Σ batch_sizes, input_size), the rows of each step one after the other, as in a PackedSequence.
        batch_sizes: rows of each step, not increasing.
        before: the states before the first step, (B, size) by name.
        parameters: by name, masks not yet applied.
        reverse: take the steps from the last to the first; everything is given back in the input's order.
        resets: (Σ batch_sizes,) boolean; where true, a row's state returns to ``initial`` before that step.
        initial: what ``resets`` returns to, (B, size) by name.
        record: names to give back for every step.

    Returns:
        The outputs (Σ batch_sizes, output size), the states after each row's last step, and what was recorded.
    """
    trace, schedule = cell.trace, cell.schedule
    lengths = _lengths(cell, data, before, parameters)
    constants = _constants(cell, data, parameters, lengths)
    outside: Values = {trace.input: data, **constants}
    for stage in schedule.outside:
        for group in _groups(stage, outside, lengths):
            group.add_to(outside)
        outside |= _pointwise(stage)(outside)

    groups = [_groups(stage, outside, lengths, batch_sizes) for stage in schedule.inside]
    pointwise = [_pointwise(stage) for stage in schedule.inside]
    # Split once: the gradient of a slice is as large as all steps together, that of a split is one concatenation.
    each_step = {s: v.split(batch_sizes) for s, v in outside.items() if s not in constants and v.dim() == 2}
    constants = {s: v for s, v in outside.items() if s not in each_step}
    kept = {name: symbol(name) for name in (cell.states[0], *record)}
    collected: dict[str, list[Tensor]] = {name: [] for name in kept}

    rows = batch_sizes[-1] if reverse else batch_sizes[0]
    states = {name: before[name][:rows] for name in cell.states}
    finished: list[dict[str, Tensor]] = []  # of rows whose sequence has ended, the shortest last
    reset_rows = resets.split(batch_sizes) if resets is not None else None
    for step in reversed(range(len(batch_sizes))) if reverse else range(len(batch_sizes)):
        n = batch_sizes[step]
        if n < rows:
            finished.insert(0, {k: v[n:] for k, v in states.items()})
            states = {k: v[:n] for k, v in states.items()}
        elif n > rows:  # backwards, the shorter sequences begin later
            states = {k: torch.cat([v, before[k][rows:n]]) for k, v in states.items()}
        rows = n
        if reset_rows is not None and initial is not None:
            states = {k: torch.where(reset_rows[step].unsqueeze(1), initial[k][:n], v) for k, v in states.items()}
        values = constants | {s: v[step] for s, v in each_step.items()}
        values |= {s.before: states[s.name] for s in trace.states}
        for stage_groups, compute in zip(groups, pointwise, strict=True):
            for group in stage_groups:
                group.add_to(values, step)
            values |= compute(values)
        states = {s.name: _rows(values[s.after], n, before[s.name]) for s in trace.states}
        for name, wanted in kept.items():
            collected[name].append(_rows(values[wanted], n, before.get(name, data)))
    if finished:
        states = {k: torch.cat([v, *(f[k] for f in finished)]) for k, v in states.items()}
    joined = {k: torch.cat(v[::-1] if reverse else v) for k, v in collected.items()}
    return joined[cell.states[0]], states, {name: joined[name] for name in record}


def _rows(value: Tensor, rows: int, like: Tensor) -> Tensor:
    """A quantity of a step as (rows, size): one of parameters alone has no rows, one of the clock its precision."""
    if value.dim() == 2 and value.dtype == like.dtype:
        return value
    return value.expand(rows, -1).to(like.dtype)


def _lengths(cell: Cell, data: Tensor, before: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> dict[Size, int]:
    """The number behind every size of the trace."""
    lengths = {p.rows.root: parameters[p.name].shape[0] for p in cell.trace.parameters if p.kind != "constant"}
    lengths |= {s.size.root: before[s.name].shape[-1] for s in cell.trace.states if s.size is not None}
    return lengths | {cell.trace.input_size.root: data.shape[-1]}


def _constants(cell: Cell, like: Tensor, parameters: Mapping[str, Tensor], lengths: dict[Size, int]) -> Values:
    """Values that are the same at every step: parameters (masked) and per-unit constants."""
    values: Values = {}
    for p in cell.trace.parameters:
        if p.kind == "constant":
            array = cell.constants[p.letters](lengths[p.rows.root])
            values[p.symbol] = torch.as_tensor(array, dtype=like.dtype, device=like.device)
        elif p.name in cell.masks:
            weight = parameters[p.name]
            mask = torch.as_tensor(cell.masks[p.name](*weight.shape), dtype=weight.dtype, device=weight.device)
            values[p.symbol] = weight * mask
        else:
            values[p.symbol] = parameters[p.name]
    return values


class _Group:
    """Accumulators of one stage with the same operands: one stacked product an operand."""

    def __init__(
        self, accumulators: list[Accumulator], values: Values, lengths: dict[Size, int], batch_sizes: Sequence[int] | None
    ):
        def block(product: Product) -> Tensor:
            widths = [lengths[c.root] for c in product.weight.columns]
            first = sum(widths[: product.part])
            return values[product.weight.symbol][:, first : first + widths[product.part]]

        self.symbols = [a.symbol for a in accumulators]
        self.sizes = [lengths[a.rows.root] for a in accumulators]
        self.operands = [_evaluate(p.operand) for p in accumulators[0].products]
        self.weights = [torch.cat([block(a.products[k]) for a in accumulators]).t() for k in range(len(self.operands))]
        parts = [self._start(a, values, n) for a, n in zip(accumulators, self.sizes, strict=True)]
        each_step = any(p.dim() == 2 for p in parts)
        if each_step:
            steps = max(len(p) for p in parts if p.dim() == 2)
            parts = [p.expand(steps, n) for p, n in zip(parts, self.sizes, strict=True)]
        empty = not any(a.start is not None or a.biases for a in accumulators)
        self.start = None if empty else torch.cat(parts, dim=-1)
        self.steps = self.start.split(batch_sizes) if self.start is not None and each_step and batch_sizes else None

    def _start(self, a: Accumulator, values: Values, size: int) -> Tensor:
        """What a sum begins with: its part from outside the loop, for all steps, or its bias."""
        terms = [values[s] for s in (*([a.start] if a.start is not None else []), *a.biases)]
        return sum(terms[1:], terms[0]) if terms else self.weights[0].new_zeros(size)

    def add_to(self, values: Values, step: int = 0) -> None:
        """Compute the sums from ``values`` (of one step, or of all steps outside the loop) and put them there."""
        total = self.start if self.steps is None else self.steps[step]
        for operand, weight in zip(self.operands, self.weights, strict=True):
            x = operand(values)
            total = x @ weight if total is None else torch.addmm(total, x, weight)
        assert total is not None  # an accumulator has at least one product
        values.update(zip(self.symbols, total.split(self.sizes, dim=1), strict=True))


def _groups(stage: Stage, values: Values, lengths: dict[Size, int], batch_sizes: Sequence[int] | None = None) -> list[_Group]:
    """``batch_sizes`` where the stage is inside the loop."""
    groups: dict[tuple[Any, ...], list[Accumulator]] = {}
    for a in stage.accumulators:
        groups.setdefault(tuple(p.operand for p in a.products), []).append(a)
    return [_Group(accumulators, values, lengths, batch_sizes) for accumulators in groups.values()]


@cache
def _pointwise(stage: Stage) -> Callable[[Values], Values]:
    """A stage's equations as one Python function, each named quantity a variable."""
    targets = [target for target, _ in stage.equations]
    used = {s for _, expr in stage.equations for s in expr.free_symbols} - set(targets)
    arguments = sorted(used, key=str)
    function = _lambdify(arguments, targets, stage.equations)

    def compute(values: Values) -> Values:
        return dict(zip(targets, function(*(values[a] for a in arguments)), strict=True))

    return compute


@cache
def _evaluate(expr: Any) -> Callable[[Values], Tensor]:
    """An operand of a dense product, as a function of the values."""
    if expr.is_Symbol:
        return lambda values: values[expr]
    arguments = sorted(expr.free_symbols, key=str)
    function = _lambdify(arguments, [expr], [])
    return lambda values: function(*(values[a] for a in arguments))[0]


def _lambdify(arguments: list[Any], results: list[Any], steps: list[tuple[Any, Any]]) -> Callable[..., list[Tensor]]:
    functions: dict[str, Any] = {
        "logistic": torch.sigmoid,
        "relu": torch.relu,
        "tanh": torch.tanh,
        "exp": torch.exp,
        "log": torch.log,
    }
    functions |= {"where": torch.where, "maximum": _maximum, "minimum": _minimum}
    return sympy.lambdify(arguments, results, modules=[functions], printer=_Printer, cse=lambda exprs: (steps, exprs))


def _maximum(a: Any, b: Any) -> Tensor:
    if not isinstance(a, Tensor):
        a, b = b, a
    return torch.maximum(a, b if isinstance(b, Tensor) else a.new_tensor(b))


def _minimum(a: Any, b: Any) -> Tensor:
    return -_maximum(-a, -b)


class _Printer(PythonCodePrinter):
    """Python with PyTorch's names where tensors need other words than numbers."""

    def __init__(self, settings: dict[str, Any] | None = None):
        names = {n: n for n in ("logistic", "relu")}
        super().__init__({"fully_qualified_modules": False, "user_functions": names, **(settings or {})})

    def _print_Piecewise(self, expr: Any) -> str:
        (a, condition), (b, _) = expr.args
        return f"where({self._print(condition)}, {self._print(a)}, {self._print(b)})"

    def _print_Max(self, expr: Any) -> str:
        return f"maximum({', '.join(self._print(x) for x in expr.args)})"

    def _print_Min(self, expr: Any) -> str:
        return f"minimum({', '.join(self._print(x) for x in expr.args)})"

    def _print_known(self, expr: Any) -> str:
        return f"{type(expr).__name__}({self._print(expr.args[0])})"

    _print_tanh = _print_exp = _print_log = _print_known
