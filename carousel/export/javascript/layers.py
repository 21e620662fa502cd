"""Recurrent layers as JavaScript: the step of C's writer, in JavaScript's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from carousel.equations.functions import Function
from carousel.equations.notes import Expr
from carousel.equations.stages import Accumulator
from carousel.export.c99.layers import REDUCTIONS, Writer, seen_of, values_of
from carousel.export.c99.printer import Printer
from carousel.export.rounding import numbers
from carousel.layers import Recurrent


@dataclass(frozen=True)
class LayerCode:
    """A layer in JavaScript: the function of its step with its record, and weights by name; ``matrices`` are rounded later."""

    text: str
    matrices: Mapping[str, np.ndarray]
    vectors: Mapping[str, np.ndarray]


class JsPrinter(Printer):
    """Expressions of one unit, in double precision; arrays round them."""

    one = "1.0"

    def words(self, known: Function) -> str | None:
        """Return a function's name: one of this language, else C's, else ``Math``'s."""
        return known.js or known.c or (None if known.own else f"Math.{known.name}")

    def _number(self, value: float) -> str:
        return repr(value)

    def _print_Infinity(self, expr: Expr) -> str:
        return "Infinity"

    def _print_NegativeInfinity(self, expr: Expr) -> str:
        return "(-Infinity)"

    def _print_NaN(self, expr: Expr) -> str:
        return "NaN"

    def power(self, base: str, exponent: str) -> str:
        return f"Math.pow({base}, {exponent})"

    def root(self, base: str) -> str:
        return f"Math.sqrt({base})"


class JsWriter(Writer):
    """Writes the work of one layer's step; the step's arrays stand in ``work``, held values in ``at``."""

    @cached_property
    def printer(self) -> Printer:
        return JsPrinter(self.name)

    def accumulate(self, a: Accumulator, known: dict[tuple[Expr, int], str]) -> None:
        terms = [self.name(x) for x in ([a.start] if a.start is not None else []) + list(a.biases)]
        for p in a.products:
            array, length = self.operand(p, known)
            begin, heads = "0", p.weight.heads
            if heads > 1:  # a unit's row is as long as its head
                rows, length = self.cell.length(a.rows, *self.sizes) // heads, length // heads
                begin = f"Math.floor(k / {rows}) * {length}"
            first = sum(self.cell.length(c, *self.sizes) for c in p.weight.columns[: p.part])
            at = f"k * {self.values[p.weight.name].shape[1]}{f' + {first}' if first else ''}"
            terms.append(f"dot({self.parameters[p.weight.symbol]}, {at}, {array}, {begin}, {length})")
        self.loop(self.units[a.symbol], [f"{a.symbol}[k] = {' + '.join(terms)};"])

    def reduced(self, kind: str, operand: str, length: int, *, from_unit: bool = False) -> str:
        return f"{REDUCTIONS[kind]}({operand}, {length}{', k' if from_unit else ''})"

    def held(self, name: str) -> str:
        return f"at.{name}"

    def step(self) -> str:
        """Return the function of a step and the layer's record."""
        trace, n = self.cell.trace, self.number
        local = self.stages()
        for s in trace.states:
            member = f"state.{s.name}{'' if s.size is None else '[k]'}"
            self.loop(self.units[s.after], [f"{member} = {self.name(s.after)};"])
        self.loop(self.units[trace.states[0].after], [f"y[k] = {self.name(trace.states[0].after)};"])
        body = "\n".join(self.lines)
        arrays = {x: units for x, units in local.items() if units is not None}
        befores = [f"  const {s.before} = state.{s.name};" for s in trace.states if re.search(rf"\b{s.before!s}\b", body)]
        given = ", ".join(["{ state, work, held: at }", str(trace.input), *(str(x.symbol) for x in trace.inputs), "y"])
        equations = "\n".join(f"//   {line}" for line in self.cell.text.splitlines())
        changing = ", ".join(["k", *(x for x, units in local.items() if units is None)])
        begin = [
            f"// {self.cell.name}\n//\n{equations}\nfunction step{n}({given}) {{",
            f"  const {{ {', '.join(arrays)} }} = work;",
            *befores,
            f"  let {changing};",
        ]
        states = {s.name: self.units[s.before] for s in trace.states}
        first = [s.name for s in trace.states if f"{s.name}_first" in self.values]
        record = [
            f"const layer{n} = {{",
            f"  step: step{n},",
            f"  states: {_record(states)},",
            f"  first: {_record({name: f'l{n}_{name}_first' for name in first})},",
            f"  work: {_record(arrays)},",
            f"  seen: {_record(self.seen)},",
            f"  outputs: {states[trace.states[0].name]},",
            "};",
        ]
        return "\n".join([*begin, body, "}\n", *record]) + "\n"


def _record(values: Mapping[str, object]) -> str:
    fields = ", ".join(f"{name}: {'null' if value is None else value}" for name, value in values.items())
    return f"{{ {fields} }}" if fields else "{}"


def layer_code(layer: Recurrent, number: int, direction: int = 0, called: int | None = None) -> LayerCode:
    """Return one layer of a stack as JavaScript, without noise.

    Args:
        layer: the stack.
        number: number of the layer, from 0.
        direction: 0 for the layer that reads forwards, 1 for the one that reads backwards.
        called: the number that its names have; None: the layer's.
    """
    cell, values = layer.cell.quiet, values_of(layer, number, direction)
    called = number if called is None else called
    if layer.learned_initial:
        sized = [s.name for s in cell.trace.states if s.size is not None]
        values |= {f"{name}_first": numbers(layer.parameter(f"initial.{name}", number, direction)) for name in sized}
    writer = JsWriter(cell, layer.sizes(number), called, "float32", values, seen_of(layer, number))
    text = writer.step()
    names = {p.name: writer.parameters[p.symbol] for p in cell.trace.parameters}
    names |= {name: f"l{called}_{name}" for name in values if name.endswith("_first")}
    used = {name: names[name] for name in values if re.search(rf"\b{names[name]}\b", text)}
    dense = {p.name for p in cell.trace.parameters if p.is_matrix}
    return LayerCode(
        text,
        {own: values[name] for name, own in used.items() if name in dense},
        {own: values[name] for name, own in used.items() if name not in dense},
    )
