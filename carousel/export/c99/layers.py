"""Recurrent layers as C: the state, and one step, printed from each cell's stages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from carousel.equations import Cell
from carousel.equations.notes import ROW, Expr, Product
from carousel.equations.stages import Accumulator
from carousel.equations.trace import symbol
from carousel.export.c99.printer import Printer
from carousel.export.c99.weights import Weight, vector, weight
from carousel.export.rounding import numbers
from carousel.layers import Recurrent

REDUCTIONS = {"sum": "total", "max": "largest"}  # functions of helpers.c


@dataclass(frozen=True)
class LayerCode:
    """A layer in C: constant arrays, the members of the state, their first values, and the function of a step."""

    weights: str
    members: str
    initial: str
    step: str
    bytes: int


@dataclass
class Writer:
    """Writes the work of one layer's step as C; writers of similar languages override the lines that differ.

    ``seen`` maps names of quantities to their numbers of units. A caller may read and hold these quantities: the state has an
    array ``…_seen`` of values and an array ``…_held`` of values to hold for each; NaN holds nothing.
    """

    cell: Cell
    sizes: tuple[int, ...]
    number: int
    precision: str
    values: Mapping[str, np.ndarray]  # of parameters, masked, and constants
    seen: Mapping[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    @cached_property
    def printer(self) -> Printer:
        return Printer(self.name)

    @cached_property
    def parameters(self) -> dict[Expr, str]:
        return {p.symbol: f"l{self.number}_{p.name.replace('.', '_')}" for p in self.cell.trace.parameters}

    @cached_property
    def dense(self) -> dict[str, Weight]:
        of = {p.name: self.parameters[p.symbol] for p in self.cell.trace.parameters if p.is_matrix}
        return {name: weight(called, self.values[name], self.precision) for name, called in of.items()}

    @cached_property
    def units(self) -> dict[Expr, int | None]:
        """The number of units of each symbol; None: one number, as the step number and what a reduction gives."""
        trace = self.cell.trace
        stages = (*self.cell.schedule.outside, *self.cell.schedule.inside)
        found = {trace.input: trace.input_size, **trace.sizes, **self.cell.schedule.sizes}
        found |= {x.symbol: x.size for x in trace.inputs}
        found |= {s.before: s.size for s in trace.states} | {s.after: s.size for s in trace.states}
        found |= {p.symbol: p.rows for p in trace.parameters if not p.is_matrix}
        found |= {a.symbol: a.rows for stage in stages for a in stage.accumulators}
        found |= dict.fromkeys(self.cell.schedule.counts)
        return {x: None if size in (None, ROW) else self.cell.length(size, *self.sizes) for x, size in found.items()}

    @cached_property
    def needed(self) -> set[Expr]:
        """The symbols on which some new state depends."""
        uses: dict[Expr, set[Expr]] = {}
        for stage in (*self.cell.schedule.outside, *self.cell.schedule.inside):
            uses |= {x: set(expr.free_symbols) for x, expr in stage.equations}
            uses |= {r.symbol: {r.operand} for r in stage.reductions}
            for a in stage.accumulators:
                operands = {s for p in a.products for s in p.operand.free_symbols}
                uses[a.symbol] = operands | {*a.biases} | ({a.start} if a.start is not None else set())
        found: set[Expr] = set()
        waiting = [s.after for s in self.cell.trace.states] + [*map(symbol, self.seen)]
        while waiting:
            if (x := waiting.pop()) not in found:
                found.add(x)
                waiting += uses.get(x, set())
        return found

    def name(self, symbol: Expr) -> str:
        if symbol in self.cell.schedule.counts:
            return self.printer.number(self.cell.length(self.cell.schedule.counts[symbol], *self.sizes))
        called = self.parameters.get(symbol, str(symbol))
        return called if self.units[symbol] is None else f"{called}[k]"

    def loop(self, units: int | None, body: list[str]) -> None:
        if units is None:
            self.lines += [f"  {line}" for line in body]
        else:
            self.lines += [f"  for (k = 0; k < {units}; k++) {{", *(f"    {line}" for line in body), "  }"]

    def operand(self, product: Product, known: dict[tuple[Expr, int], str]) -> tuple[str, int]:
        """Return an array of C that holds what a weight multiplies, and its length."""
        length = self.cell.length(product.weight.columns[product.part], *self.sizes)
        expr = product.operand
        if expr.is_Symbol and self.units[expr] is not None:
            return self.parameters.get(expr, str(expr)), length
        if (expr, length) not in known:
            known[expr, length] = name = f"x{len(known)}"
            self.loop(length, [f"{name}[k] = {self.printer.doprint(expr)};"])
        return known[expr, length], length

    def accumulate(self, a: Accumulator, known: dict[tuple[Expr, int], str]) -> None:
        terms = [self.name(x) for x in ([a.start] if a.start is not None else []) + list(a.biases)]
        added = []
        for p in a.products:
            array, length = self.operand(p, known)
            first = sum(self.cell.length(c, *self.sizes) for c in p.weight.columns[: p.part])
            w, heads = self.dense[p.weight.name], p.weight.heads
            if heads == 1:
                added.append(f"  {w.add(str(a.symbol), first, array, length)}")
                continue
            rows, each = self.cell.length(a.rows, *self.sizes) // heads, length // heads  # a head's units see their head alone
            call = w.add(f"{a.symbol} + k * {rows}", first, f"{array} + k * {each}", each, rows, f"k * {rows}")
            added.append(f"  for (k = 0; k < {heads}; k++) {call}")
        self.loop(self.units[a.symbol], [f"{a.symbol}[k] = {' + '.join(terms) or '0.0f'};"])
        self.lines += added

    def reduced(self, kind: str, operand: str, length: int, *, from_unit: bool = False) -> str:
        """Return a sum or maximum over some units of an array, from its first unit or from unit k on."""
        return f"{REDUCTIONS[kind]}({operand}{' + k' if from_unit else ''}, {length})"

    def value(self, x: Expr, expr: Expr) -> str:
        """Return the value of an equation, or the value at which it is held."""
        text, name = self.printer.doprint(expr), str(x)[:-2]
        return f"held({text}, {self.held(name)}[k])" if name in self.seen and x == symbol(name) else text

    def held(self, name: str) -> str:
        """Return the array of values at which a quantity is held."""
        return f"s->l{self.number}_{name}_held"

    def step(self) -> str:
        """Return the function of a step."""
        trace, n, input = self.cell.trace, self.number, str(self.cell.trace.input)
        local = self.stages()
        for s in trace.states:
            member = f"s->l{n}_{s.name}{'' if s.size is None else '[k]'}"
            self.loop(self.units[s.after], [f"{member} = {self.name(s.after)};"])
        self.loop(self.units[trace.states[0].after], [f"y[k] = {self.name(trace.states[0].after)};"])
        body = "\n".join(self.lines)
        read = [s for s in trace.states if re.search(rf"\b{s.before!s}\b", body)]
        befores = [f"  const float {'' if s.size is None else '*'}{s.before} = s->l{n}_{s.name};" for s in read]
        seen = {str(symbol(name)): name for name in self.seen}
        stages = (*self.cell.schedule.outside, *self.cell.schedule.inside)
        number = "wide" if any(stage.reductions for stage in stages) else "float"
        arrays = [
            f"  float *{x} = s->l{n}_{seen[x]}_seen;"
            if x in seen
            else f"  {f'{number} {x}' if k is None else f'float {x}[{k}]'};"
            for x, k in local.items()
        ]
        given = [input, *(str(x.symbol) for x in trace.inputs)]
        unread = [f"  (void){x};" for x in given if not re.search(rf"\b{x}\b", body)]
        equations = "\n".join(f"   {line}" for line in self.cell.text.splitlines())
        signature = f"const float *{input}, {further(self.cell)}float *y"
        begin = f"/* {self.cell.name}\n\n{equations} */\nstatic void layer{n}(model_state *s, {signature}) {{"
        return "\n".join([begin, *befores, *arrays, "  int k;", *unread, body, "}"]) + "\n"

    def stages(self) -> dict[str, int | None]:
        """Write the work of all stages; return the arrays that it takes, with their units (None: a number)."""
        local: dict[str, int | None] = {}
        known: dict[tuple[Expr, int], str] = {}
        for stage in (*self.cell.schedule.outside, *self.cell.schedule.inside):
            for a in stage.accumulators:
                if a.symbol in self.needed:
                    local[str(a.symbol)] = self.units[a.symbol]
                    self.accumulate(a, known)
            for r in stage.reductions:
                if r.symbol in self.needed:
                    local[str(r.symbol)] = self.units[r.symbol]
                    length = self.cell.length(r.size, *self.sizes)
                    operand = self.parameters.get(r.operand, str(r.operand))
                    if r.heads is None:
                        self.lines.append(f"  {r.symbol} = {self.reduced(r.kind, operand, length)};")
                    else:  # computed at a head's first unit
                        each = length // r.heads
                        of_head = self.reduced(r.kind, operand, each, from_unit=True)
                        self.loop(length, [f"{r.symbol}[k] = k % {each} ? {r.symbol}[k - 1] : {of_head};"])
            together: list[tuple[int | None, list[str]]] = []
            for x, expr in stage.equations:
                if x in self.needed:
                    local[str(x)] = self.units[x]
                    if not together or together[-1][0] != self.units[x]:
                        together.append((self.units[x], []))
                    together[-1][1].append(f"{self.name(x)} = {self.value(x, expr)};")
            for units, lines in together:
                self.loop(units, lines)
        return local | {name: length for (_, length), name in known.items()}


def arrays(layer: Recurrent, number: int, direction: int = 0) -> dict[str, np.ndarray]:
    """Return the parameters, masked, and the constants of one layer of a stack, by the equations' names.

    A dense weight is (into, from); with several heads it is (heads, into, from), with the units of one head.
    """
    cell, sizes = layer.cell.quiet, layer.sizes(number)
    values: dict[str, np.ndarray] = {name: numbers(x) for name, x in layer.rates_of(cell, number).items()}
    for p in cell.trace.parameters:
        if p.kind in ("constant", "matrix"):
            rows, columns = cell.length(p.rows, *sizes), sum(cell.length(c, *sizes) for c in p.columns)
            values[p.name] = cell.array(p.name, rows, *([columns] if p.columns else [])).astype(float)
        elif p.learned:
            values[p.name] = numbers(layer.parameter(p.name, number, direction))
            if p.name in cell.masks:
                values[p.name] = values[p.name] * cell.array(p.name, *values[p.name].shape)
    for p in cell.trace.parameters:
        if p.kind == "transposed":
            values[p.name] = values[p.name.removesuffix(".T")].swapaxes(-1, -2)
    return values


def values_of(layer: Recurrent, number: int, direction: int = 0) -> dict[str, np.ndarray]:
    """Return ``arrays`` with each dense weight as a matrix (rows, columns); blocks of heads stand one below the other."""
    return {n: x.reshape(-1, x.shape[-1]) if x.ndim == 3 else x for n, x in arrays(layer, number, direction).items()}


def seen_of(layer: Recurrent, number: int) -> dict[str, int]:
    """Return the quantities of one layer of a stack that a caller may read and hold, with their numbers of units."""
    units = layer.units(number)
    return {name: units[name] for name in layer.cell.quiet.names if name in units}


def layer_code(layer: Recurrent, number: int, precision: str, *, open: bool = False) -> LayerCode:
    """Return one layer of a stack as C, without noise.

    Args:
        layer: the stack, which reads in one direction.
        number: number of the layer, from 0.
        precision: of dense weights, one of ``layers.precision.PRECISIONS``.
        open: let a caller read and hold named quantities, as ``Writer`` describes.
    """
    cell, values = layer.cell.quiet, values_of(layer, number)
    writer = Writer(cell, layer.sizes(number), number, precision, values, seen_of(layer, number) if open else {})
    step = writer.step()
    used = [p for p in cell.trace.parameters if re.search(rf"\b{writer.parameters[p.symbol]}\b", step)]
    vectors = [p for p in used if not p.is_matrix]
    matrices = [writer.dense[p.name] for p in used if p.is_matrix]
    weights = "".join(w.text for w in matrices)
    weights += "".join(vector(writer.parameters[p.symbol], values[p.name]) for p in vectors)
    members, initial = "", ""
    for s in cell.trace.states:
        units, member = writer.units[s.before], f"l{number}_{s.name}"
        members += f"  float {member}{'' if units is None else f'[{units}]'};\n"
        if layer.learned_initial and units is not None:
            start = numbers(layer.parameter(f"initial.{s.name}", number))
            weights += vector(f"{member}_first", start)
            initial += f"  for (k = 0; k < {units}; k++) s->{member}[k] = {member}_first[k];\n"
        else:
            initial += (
                f"  s->{member} = 0.0f;\n" if units is None else f"  for (k = 0; k < {units}; k++) s->{member}[k] = 0.0f;\n"
            )
    for name, units in writer.seen.items():
        members += f"  float l{number}_{name}_seen[{units}], l{number}_{name}_held[{units}];\n"
    size = sum(w.bytes for w in matrices) + 4 * sum(values[p.name].size for p in vectors)
    return LayerCode(weights, members, initial, step, size)


def further(cell: Cell) -> str:
    """Return the parameters of a step's further inputs, as C has them, each with a comma after it."""
    return "".join(f"{'float ' if x.is_number else 'const float *'}{x.symbol}, " for x in cell.trace.inputs)
