"""What the loop over time works on: all that leaves it is computed here, for all steps at once, by PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

import torch
from torch import Tensor

from carousel.equations import Cell
from carousel.equations.loop import Equation, Loop, blocks, grouped, loop
from carousel.equations.notes import ROW, Expr, Product, Size
from carousel.equations.stages import Accumulator, Reduction, Stage
from carousel.equations.variants import numbers
from carousel.kernels import heads, noise
from carousel.kernels.backend import Call
from carousel.kernels.interface import interface_of
from carousel.kernels.pointwise import Values, evaluate, pointwise


@dataclass(frozen=True)
class Inputs:
    """Tensors of one call, in the order of ``Loop``'s ``hoisted``, ``vectors`` and ``groups`` with their operands.

    ``hoisted``: (Σ batch_sizes, width) each, the symbols of one outer product side by side. ``vectors``: (units,) each.
    ``weights``: of each operand of each group, the dense weights of the group's symbols, stacked: (Σ units, operand's units),
    or of heads (heads, Σ units of a head, operand's units of a head).
    ``values``: all that is known outside the loop, by symbol.
    """

    hoisted: list[Tensor]
    vectors: list[Tensor]
    weights: list[Tensor]
    values: Values = field(default_factory=dict)


@cache
def loop_of(cell: Cell) -> Loop:
    """Return the inside of a cell's loop, made once."""
    return loop(cell.trace, cell.schedule, f"{cell.name}: {cell.doc}\n\n{cell.text}")


def hoist(call: Call) -> Inputs:
    """Compute what leaves the loop."""
    inside = loop_of(call.cell)
    lengths = _lengths(call)
    values, stacked = outside(call, lengths)
    return Inputs(
        hoisted=[stacked[s] if s in stacked else values[s[0]] for s in inside.hoisted],
        vectors=[values[v] for v in inside.vectors],
        weights=[
            torch.cat([_block(p[k], values, lengths) for p in group.products], dim=-2)
            for group in inside.groups
            for k in range(len(group.operands))
        ],
        values=values,
    )


def step_numbers(
    cell: Cell,
    before: Mapping[str, Tensor],
    total: int,
    batch_sizes: Sequence[int] | None,
    reverse: bool,
    resets: Tensor | None,
    initial: Mapping[str, Tensor] | None,
    dtype: torch.dtype,
) -> Tensor | None:
    """Return the number of each row's step at every step, (Σ batch_sizes,); None for a cell that has none."""
    if loop_of(cell).clock is None:
        return None
    name = cell.trace.states[-1].name
    value, start = before[name][:, 0], initial[name][:, 0] if initial is not None else before[name][:, 0]
    if batch_sizes is None:
        return _equal_steps(value, start, total // value.shape[0], reverse, resets).to(dtype)
    pieces = []
    steps = list(enumerate(batch_sizes))
    flags = resets.split(list(batch_sizes)) if resets is not None else None
    value = value.clone()
    for step, n in reversed(steps) if reverse else steps:
        if flags is not None:
            value[:n] = torch.where(flags[step], start[:n], value[:n])
        pieces.append(value[:n].clone())
        value[:n] += 1
    return torch.cat(pieces[::-1] if reverse else pieces).to(dtype)


def _equal_steps(value: Tensor, start: Tensor, steps: int, reverse: bool, resets: Tensor | None) -> Tensor:
    """Return ``step_numbers`` of steps with equally many rows; PyTorch need not know yet how many steps there are."""
    taken = torch.arange(steps, device=value.device, dtype=value.dtype).unsqueeze(1)
    numbers = value + taken
    if resets is not None:
        flags = resets.view(steps, -1)
        last = torch.where(flags.flip(0) if reverse else flags, taken, -1).cummax(0).values  # step of the last reset so far
        numbers = torch.where(last < 0, numbers, start + (taken - last))
    return (numbers.flip(0) if reverse else numbers).reshape(-1)


def outside(
    call: Call, lengths: dict[Size, int], leave: frozenset[Expr] = frozenset()
) -> tuple[Values, dict[tuple[Expr, ...], Tensor]]:
    """Compute all values that need no state, by symbol, and sums side by side; sums in ``leave`` are left out."""
    cell, data = call.cell, call.data
    values: Values = {cell.trace.input: data}
    values |= noise.values(cell, call.noise, lengths, data, call.batch_sizes, call.before)
    values |= _constants(cell, data, call.parameters, lengths)
    values |= {x.symbol: call.inputs[x.name] for x in cell.trace.inputs}
    values |= {s: units(lengths[size.root], data) for s, size in cell.schedule.counts.items()}
    stacked: dict[tuple[Expr, ...], Tensor] = {}
    for stage in cell.schedule.outside:
        for accumulators in grouped(stage.accumulators):
            symbols = tuple(a.symbol for a in accumulators)
            if leave.issuperset(symbols):
                continue
            total = _outer(accumulators, values, lengths)
            if total.dim() == 1:  # of parameters alone; the loop reads a row for every step
                total = total.expand(data.shape[0], -1)
            stacked[symbols] = total
            values.update(zip(symbols, total.split([lengths[a.rows.root] for a in accumulators], dim=-1), strict=True))
        values |= {r.symbol: reduced(r, values[r.operand]) for r in stage.reductions}
        values |= pointwise(_equations(cell, stage))(values)
    for state in cell.trace.states:  # one that the equations set to a number of the row has it in every unit
        value = values.get(state.after)
        if value is not None and state.size is not None and value.shape[-1:] == (1,):
            values[state.after] = value.expand(*value.shape[:-1], lengths[state.size.root])
    return values, stacked


@cache
def _equations(cell: Cell, stage: Stage) -> tuple[Equation, ...]:
    """Return the equations of a stage outside the loop that the loop does not compute itself."""
    inside = loop_of(cell).definitions
    return tuple(e for e in stage.equations if e[0] not in inside)


def units(count: int, like: Tensor) -> Tensor:
    """Return a number of units as a value of the equations, in a precision that has it."""
    return torch.full((), count, dtype=torch.promote_types(like.dtype, torch.float32), device=like.device)


def reduced(r: Reduction, x: Tensor) -> Tensor:
    """Return a reduction of ``x``, (…, units), one number a row: (…, 1), or by head (…, units). Sums of half precision are
    single."""
    if r.heads is not None:
        each = x.unflatten(-1, (r.heads, -1))
        return reduced(replace(r, heads=None), each).expand(each.shape).flatten(-2)
    if r.kind == "sum":
        return x.sum(-1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
    return x.detach().amax(-1, keepdim=True)


def hoist_rest(call: Call) -> tuple[list[Tensor], list[Tensor], Values]:
    """Return the hoisted inputs outside ``Loop.outer``, which a back end computes itself, the vectors, and all values."""
    inside = loop_of(call.cell)
    values, stacked = outside(call, _lengths(call), _left(call.cell))
    rest = inside.hoisted[len(inside.outer) :]
    given = [values[v] for v in inside.vectors]
    exact = torch.promote_types(call.data.dtype, torch.float32)
    vectors = [x if x.is_floating_point() else x.to(exact) for x in given]  # kernels take noise's whole numbers so
    return [stacked[s] if s in stacked else values[s[0]] for s in rest], vectors, values


def as_vectors(call: Call, hoisted: list[Tensor]) -> list[Tensor]:
    """Return ``hoist_rest``'s hoisted inputs, numbers of a row as vectors: those of ``widened``'s loop."""
    inside, lengths = loop_of(call.cell), {**_lengths(call), ROW: 1}
    met, found = numbers(inside), []
    for symbols, x in zip(inside.hoisted[len(inside.outer) :], hoisted, strict=True):
        found += [x.to(call.data.dtype).expand(-1, lengths[size]) for size in met[symbols[0]]] if symbols[0] in met else [x]
    return found


@cache
def parameters_alone(cell: Cell) -> tuple[tuple[str, ...], ...] | None:
    """Return the names of the parameters that a loop takes as they are, where a back end computes ``Loop.outer`` itself.

    Returns:
        Those of its dense weights, biases and vectors, as ``Interface`` orders them; None where anything is computed first.
    """
    inside, known = loop_of(cell), {p.symbol: p.name for p in cell.trace.parameters if p.learned or p.kind == "rate"}
    interface = interface_of(inside)
    kinds = (interface.dense_symbols, interface.biases, inside.vectors)
    if cell.masks or len(inside.hoisted) > len(inside.outer) or not all(s in known for symbols in kinds for s in symbols):
        return None
    return tuple(tuple(known[s] for s in symbols) for symbols in kinds)


def in_rows(value: Tensor, rows: int, like: Tensor) -> Tensor:
    """Return a quantity of a step as (rows, size): one of parameters alone has no rows, one of the clock its precision."""
    if value.dim() == 2 and value.dtype == like.dtype:
        return value
    return value.expand(rows, -1).to(like.dtype)


@cache
def _left(cell: Cell) -> frozenset[Expr]:
    """Outer sums that nothing outside the loop reads."""
    read = {s for stage in cell.schedule.outside for _, expr in _equations(cell, stage) for s in expr.free_symbols}
    read |= {a.start for stage in cell.schedule.outside for a in stage.accumulators}
    read |= {r.operand for stage in cell.schedule.outside for r in stage.reductions}
    read |= {
        s for stage in cell.schedule.outside for a in stage.accumulators for p in a.products for s in p.operand.free_symbols
    }
    return frozenset(s for o in loop_of(cell).outer if read.isdisjoint(o.symbols) for s in o.symbols)


def _outer(accumulators: list[Accumulator], values: Values, lengths: dict[Size, int]) -> Tensor:
    """Compute sums that need no state, side by side: Σ weight @ operand + their first terms."""
    total = None
    if any(a.start is not None or a.biases for a in accumulators):
        parts = []
        for a in accumulators:
            terms = [values[s] for s in (*([a.start] if a.start is not None else []), *a.biases)]
            first = values[a.products[0].weight.symbol]
            parts.append(sum(terms[1:], terms[0]) if terms else first.new_zeros(lengths[a.rows.root]))
        rows = next((p.shape[0] for p in parts if p.dim() == 2), None)
        total = torch.cat(parts if rows is None else [p.expand(rows, p.shape[-1]) for p in parts], dim=-1)
    for k, product in enumerate(accumulators[0].products):
        weight = torch.cat([_block(a.products[k], values, lengths) for a in accumulators], dim=-2).mT
        x = evaluate(product.operand)(values).to(weight.dtype)  # what goes over units may be more precise
        total = heads.product(x, weight, len(accumulators), total)
    assert total is not None  # an accumulator has at least one product
    return total


def _block(product: Product, values: Values, lengths: dict[Size, int]) -> Tensor:
    weight = values[product.weight.symbol]
    return weight if len(product.weight.columns) == 1 else weight[:, blocks(product.weight, product.part, lengths)]


@cache
def _roots(cell: Cell) -> tuple[list[tuple[str, int, Size]], list[tuple[str, Size | None]], list[Size]]:
    """Return each parameter's name, number of dimensions and size, each state's name and size, and all sizes of parameters."""
    learned = [p for p in cell.trace.parameters if p.learned]
    parameters = [(p.name, 3 if p.heads > 1 else 2 if p.kind == "dense" else 1, p.rows.root) for p in learned]
    states = [(s.name, None if s.size is None else s.size.root) for s in cell.trace.states]
    return parameters, states, [size.root for p in cell.trace.parameters for size in (p.rows, *p.columns)]


def _lengths(call: Call) -> dict[Size, int]:
    """Return the number behind every size of the trace. Raises ValueError where there are other dimensions."""
    cell, data, before, parameters = call.cell, call.data, call.before, call.parameters
    known, states, sizes = _roots(cell)
    for name, dimensions, _ in known:
        if parameters[name].dim() != dimensions:
            shape = tuple(parameters[name].shape)
            raise ValueError(f"parameter {name} of cell {cell.name} has shape {shape}, expected {dimensions} dimensions")
    for name, x in (("the input", data), *((name, before[name]) for name, _ in states)):
        if x.dim() != 2:
            what = name if x is data else f"state {name}"
            raise ValueError(f"{what} of cell {cell.name} has shape {tuple(x.shape)}, expected 2 dimensions: (rows, units)")
    lengths = {size: math.prod(parameters[name].shape[: max(1, dimensions - 1)]) for name, dimensions, size in known}
    lengths |= {size: before[name].shape[-1] for name, size in states if size is not None}
    lengths[cell.trace.input_size.root] = data.shape[-1]
    lengths |= _given(call, lengths)
    for size in sizes:  # a constant's, or an operand's, that nothing else has
        if size not in lengths:
            lengths[size] = before[cell.hidden].shape[-1]
    for p in cell.trace.parameters if cell.inputs else ():  # of a concatenation no product would miss a column
        columns = sum(lengths[c.root] for c in p.columns)
        if p.kind == "dense" and parameters[p.name].shape[-1] * p.heads != columns:
            shape = tuple(parameters[p.name].shape)
            raise ValueError(f"parameter {p.name} of cell {cell.name} has shape {shape}, expected {columns} columns")
    return lengths


def _given(call: Call, lengths: Mapping[Size, int]) -> dict[Size, int]:
    """Return the number behind the size of each further input. Raises ValueError for another shape than it must have."""
    found: dict[Size, int] = {}
    for x in call.cell.trace.inputs:
        value, root = call.inputs.get(x.name), x.size.root
        if value is None:
            raise ValueError(f"cell {call.cell.name} needs the input {x.name} of each step")
        units = 1 if x.is_number else lengths.get(root, found.get(root, value.shape[-1] if value.dim() else 0))
        if tuple(value.shape) != (call.data.shape[0], units):
            wanted = (call.data.shape[0], units)
            raise ValueError(f"input {x.name} of cell {call.cell.name} has shape {tuple(value.shape)}, expected {wanted}")
        found |= {} if x.is_number else {root: units}
    return found


def _constants(cell: Cell, like: Tensor, parameters: Mapping[str, Tensor], lengths: dict[Size, int]) -> Values:
    """Values that are the same at every step: parameters (masked, transposed) and constants."""
    values: Values = {}
    turned: dict[Expr, str] = {}
    for p in cell.trace.parameters:
        if p.kind in ("constant", "matrix"):
            columns = [sum(lengths[c.root] for c in p.columns)] if p.columns else []
            values[p.symbol] = _array(cell, p.name, p.name, (lengths[p.rows.root], *columns), like)
        elif p.kind == "transposed":
            turned[p.symbol] = p.name.removesuffix(".T")
        elif p.name in cell.masks:
            weight = parameters[p.name]
            values[p.symbol] = weight * _array(cell, f"the mask of {p.name}", p.name, tuple(weight.shape), weight)
        else:
            values[p.symbol] = parameters[p.name]
    named = {p.name: values[p.symbol] for p in cell.trace.parameters if p.kind == "dense"}
    return values | {symbol: named[name].mT.contiguous() for symbol, name in turned.items()}


def _array(cell: Cell, what: str, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return the array that a user's function gives. Raises ValueError for another shape than was asked for."""
    found = _on_card(cell, name, shape, like.dtype, like.device) if like.is_cuda and type(like) is Tensor else None
    if found is None:
        found = torch.as_tensor(cell.array(name, *shape), dtype=like.dtype, device=like.device)
    if tuple(found.shape) != shape:
        raise ValueError(f"cell {cell.name}: {what} must have shape {shape}, but its function gives {tuple(found.shape)}")
    return found


@lru_cache(maxsize=256)
def _on_card(cell: Cell, name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the array on a card, copied there once, since a copy waits for the card."""
    with torch.inference_mode(False):
        return torch.as_tensor(cell.array(name, *shape), dtype=dtype, device=device)
