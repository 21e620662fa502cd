"""One layer in one direction as a Scan over its equations: hoisted inputs stand before the loop, the rest is its body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.equations import Cell
from carousel.equations.loop import Equation, Group, blocks, grouped
from carousel.equations.notes import Expr, Product
from carousel.equations.stages import Reduction
from carousel.equations.trace import symbol
from carousel.export.onnx18.functions import WORDS
from carousel.export.onnx18.graph import Graph, Value, operation
from carousel.export.onnx18.weights import Weights
from carousel.kernels.body import planned
from carousel.kernels.inputs import loop_of
from carousel.kernels.pointwise import printed

Values = dict[Expr, Value]


@dataclass
class Scan:
    """A layer's work in one direction.

    Args:
        cell: a cell without noise.
        sizes: sizes of the input, the states, the projection and further inputs, as ``Recurrent.sizes`` gives them.
        arrays: the cell's parameters and constants, by the equations' names.
        weights: the weights of the graph around the loop.
        name: prefix of the constants' names.
    """

    cell: Cell
    sizes: tuple[int, ...]
    arrays: Mapping[str, np.ndarray]
    weights: Weights
    name: str

    def __post_init__(self) -> None:
        self.graph, self.loop = self.weights.graph, loop_of(self.cell)
        every = [size for p in self.cell.trace.parameters for size in (p.rows, *p.columns)]
        self.lengths = {size.root: self.cell.length(size, *self.sizes) for size in every}

    def run(
        self,
        data: Value,
        before: Sequence[Value],
        inputs: Mapping[str, Value],
        resets: tuple[Value, Sequence[Value]] | None,
        reverse: bool,
    ) -> tuple[Value, list[Value]]:
        """Add the loop; return the outputs, (T, B, units), and the last states, (B, units) each.

        Args:
            data: the input, (T, B, units).
            before: the states before the first step, (B, units) each.
            inputs: further inputs by name.
            resets: a mask, (T, B, 1), true where states return to their first values before a step, and these values,
                (1, units) each.
            reverse: begin with the last step.
        """
        trace = self.cell.trace
        values, stacked = self.outside(data, inputs)
        body = Graph(self.graph)
        starts = [Value(body, f"{s.name}_before", x.units, True) for s, x in zip(trace.states, before, strict=True)]
        steps: dict[Value, Value] = {}  # the value of a step, and that of all steps

        def of_step(x: Value, name: str) -> Value:
            if not x.rows:
                return x
            steps[made := Value(body, name, x.units, True, x.kind)] = x
            return made

        inner = {s: x for s, x in values.items() if not x.rows}
        hoisted = {s: of_step(stacked.get(s) or values[s[0]], f"{s[0]}_step") for s in self.loop.hoisted}
        states = starts
        if resets is not None:
            flags = of_step(resets[0], "reset")
            states = [operation("Where", flags, a, x) for a, x in zip(resets[1], starts, strict=True)]
        inner |= {s.before: x for s, x in zip(trace.states, states, strict=True)}
        after = self.step(inner, hoisted)
        outs = [self.like(after[s.after], x, s.name) for s, x in zip(trace.states, starts, strict=True)]
        output = body.node("Identity", outs[0], outputs=[Value(body, "output_step", outs[0].units, True)])
        read = body.needed([*outs, output])
        entering = [x for x in steps if x in read] or [of_step(data, "step")]
        return self.loop_node(body, starts, entering, [steps[x] for x in entering], outs, output, read, before, reverse)

    def loop_node(
        self,
        body: Graph,
        starts: Sequence[Value],
        entering: Sequence[Value],
        all_steps: Sequence[Value],
        outs: Sequence[Value],
        output: Value,
        read: frozenset[Value],
        before: Sequence[Value],
        reverse: bool,
    ) -> tuple[Value, list[Value]]:
        inputs = [info(x, ["batch", x.units]) for x in (*starts, *entering)]
        outputs = [info(x, ["batch", x.units]) for x in (*outs, output)]
        made = body.made(f"{self.cell.name} step".replace(" ", "_"), inputs, outputs)
        last = [Value(self.graph, f"{s.name}_last", x.units, True) for s, x in zip(self.cell.trace.states, outs, strict=True)]
        every = Value(self.graph, "outputs", output.units, True)
        way = [int(reverse)] * len(entering)
        self.graph.node(
            "Scan",
            *before,
            *all_steps,
            outputs=[*last, every],
            reads=[x for x in read if x.graph is not body],
            body=made,
            num_scan_inputs=len(entering),
            scan_input_directions=way,
            scan_output_directions=way[:1],
        )
        return every, last

    def outside(self, data: Value, inputs: Mapping[str, Value]) -> tuple[Values, dict[tuple[Expr, ...], Value]]:
        """Compute everything that needs no state: single values by symbol, and sums side by side."""
        trace, inside = self.cell.trace, self.loop.definitions
        values: Values = {trace.input: data} | {x.symbol: inputs[x.name] for x in trace.inputs}
        vectors = [p for p in trace.parameters if not p.is_matrix]
        values |= {p.symbol: self.weights.vector(self.arrays[p.name], self.name + p.name) for p in vectors}
        counts = {s: self.cell.length(size, *self.sizes) for s, size in self.cell.schedule.counts.items()}
        values |= {s: self.graph.constant(float(n)) for s, n in counts.items()}
        stacked: dict[tuple[Expr, ...], Value] = {}
        for stage in self.cell.schedule.outside:
            for sums in grouped(stage.accumulators):
                symbols = tuple(a.symbol for a in sums)
                total = None
                if any(a.biases for a in sums):
                    names = {p.symbol: p.name for p in vectors}
                    rows = [np.zeros(self.lengths[a.rows.root]) + sum(self.arrays[names[b]] for b in a.biases) for a in sums]
                    total = self.weights.vector(np.concatenate(rows), f"{self.name}bias")
                for k, product in enumerate(sums[0].products):
                    operand = self.computed(((_OPERAND, product.operand),), values)[_OPERAND]
                    total = self.product(operand, [a.products[k] for a in sums], total)
                assert total is not None and all(a.start is None for a in sums)
                stacked[symbols] = total
                values |= self.parted(total, symbols, [self.lengths[a.rows.root] for a in sums])
            values |= {r.symbol: self.reduced(r, values[r.operand]) for r in stage.reductions}
            values |= self.computed(tuple(e for e in stage.equations if e[0] not in inside), values)
        return values, stacked

    def step(self, values: Values, hoisted: Mapping[tuple[Expr, ...], Value]) -> Values:
        """Compute a step; return all its values."""
        clock = self.loop.clock
        plans = [planned(stage, self.loop.hoisted) for stage in self.loop.stages]
        for symbols, x in hoisted.items():
            values |= self.parted(x, symbols, [self.units(s) for s in symbols])
        for stage, plan in zip(self.loop.stages, plans, strict=True):
            values |= {r.symbol: self.reduced(r, values[r.operand]) for r in stage.reductions}
            for group, begin, targets in plan.groups:
                values |= self.parted(
                    self.total(group, values, hoisted.get(begin)), targets, [self.units(s) for s in group.symbols]
                )
            values |= self.computed(plan.equations, values)
        if clock is not None:
            values[self.cell.trace.states[-1].after] = values[clock] + 1
        return values

    def total(self, group: Group, values: Values, total: Value | None) -> Value:
        for k, operand in enumerate(group.operands):
            total = self.product(values[operand], [p[k] for p in group.products], total)
        assert total is not None  # a group has at least one operand
        return total

    def units(self, x: Expr) -> int:
        return self.cell.length(self.loop.sizes[x], *self.sizes)

    def computed(self, equations: tuple[Equation, ...], values: Values) -> Values:
        """Compute pointwise equations; each value has the name of the equation's symbol."""
        if not equations:
            return {}
        found: dict[Expr, Any] = printed(equations, "onnx", WORDS)(values)
        made = {s: x if isinstance(x, Value) else self.graph.constant(float(x)) for s, x in found.items()}
        for s, x in made.items():
            x.called(str(s))
        return made

    def product(self, x: Value, products: Sequence[Product], total: Value | None) -> Value:
        """Return ``x`` times weights side by side, added to ``total``."""
        each = [self.block(p) for p in products]
        name = self.name + "_".join(p.weight.name for p in products)
        weight = self.weights.dense(np.concatenate(each, axis=-2), name, turned=True)
        if (heads := products[0].weight.heads) == 1:
            made = Value(_inner(x, weight), "product", weight.units, x.rows)
            found = made.graph.node("MatMul", x, weight, outputs=[made])
        else:
            found = self.by_head(x, weight, heads, len(products))
        return found if total is None else total + found

    def by_head(self, x: Value, weight: Value, heads: int, sums: int) -> Value:
        """Return the product with blocks of heads, (heads, columns of a head, sums · rows of a head)."""
        graph, of = x.graph, self.graph.constant
        units, rows = x.units // heads, weight.units // sums
        shape = graph.node("Shape", x, outputs=[Value(graph, "shape", kind=np.int64)], end=-1)
        found = graph.node("Reshape", x, of([-1, heads, units], np.int64))
        found = graph.node("Transpose", found, perm=[1, 0, 2])
        found = graph.node("MatMul", found, weight)
        found = graph.node("Reshape", found, of([heads, -1, sums, rows], np.int64))
        found = graph.node("Transpose", found, perm=[1, 2, 0, 3])
        whole = graph.node("Concat", shape, of([heads * weight.units], np.int64), axis=0)
        made = Value(graph, "product", heads * weight.units, x.rows)
        return graph.node("Reshape", found, whole, outputs=[made])

    def block(self, product: Product) -> np.ndarray:
        weight = self.arrays[product.weight.name]
        return weight if len(product.weight.columns) == 1 else weight[:, blocks(product.weight, product.part, self.lengths)]

    def parted(self, x: Value, symbols: Sequence[Expr], units: Sequence[int]) -> Values:
        """Split values that stand side by side, by symbol."""
        if len(symbols) == 1:
            return {symbols[0]: x}
        parts = [Value(x.graph, str(s), n, x.rows) for s, n in zip(symbols, units, strict=True)]
        x.graph.node("Split", x, self.graph.constant([*units], np.int64), outputs=parts, axis=-1)
        return dict(zip(symbols, parts, strict=True))

    def reduced(self, r: Reduction, x: Value) -> Value:
        """Return a sum or a maximum over the units; with heads over the units of each head, once for each unit."""
        graph, kind, last = x.graph, {"sum": "ReduceSum", "max": "ReduceMax"}[r.kind], self.graph.constant([-1], np.int64)
        if r.heads is None:
            return graph.node(kind, x, last, outputs=[Value(graph, str(r.symbol), 1, x.rows)], keepdims=1)
        shape = graph.node("Shape", x, outputs=[Value(graph, "shape", kind=np.int64)])
        each = self.graph.constant([1, r.heads, x.units // r.heads], np.int64)
        parts = graph.node("Reshape", x, self.graph.constant([-1, r.heads, x.units // r.heads], np.int64))
        found = graph.node("Expand", graph.node(kind, parts, last, keepdims=1), each)
        return graph.node("Reshape", found, shape, outputs=[Value(graph, str(r.symbol), x.units, x.rows)])

    def like(self, x: Value, before: Value, name: str) -> Value:
        """Return a state's new value with the rows and units that the state had before, made in the body."""
        body, made = before.graph, Value(before.graph, f"{name}_after", before.units, True)
        if x.rows and x.units == before.units:
            return body.node("Identity", x, outputs=[made])
        shape = body.node("Shape", before, outputs=[Value(body, "shape", kind=np.int64)])
        return body.node("Expand", x, shape, outputs=[made])


_OPERAND = symbol("operand")


def _inner(*values: Value) -> Graph:
    return max((x.graph for x in values), key=lambda graph: graph.depth)


def info(x: Value, shape: Sequence[int | str]) -> Any:
    """Return a value's name, type and shape as ONNX has them."""
    from onnx import helper

    return helper.make_tensor_value_info(x.name, helper.np_dtype_to_tensor_dtype(np.dtype(x.kind)), shape)
