"""A graph of ONNX under construction: values support Python's operators, and each operation adds a node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

OPSET, IR = 18, 8  # of 2022; ONNX Runtime has had them since 1.14
BFLOAT16 = "bfloat16"  # which NumPy has not


@dataclass(eq=False)
class Value:
    """The output of a node, an input of the graph, or a constant.

    Args:
        graph: the graph that the value belongs to; bodies of loops see the values of the graphs around them.
        wanted: the value's name in the file, unless another value has it.
        units: size of the last dimension; 1 for one number that applies to all units.
        rows: whether there are dimensions before the last.
        kind: a type of NumPy, or BFLOAT16.
    """

    graph: Graph
    wanted: str = ""
    units: int = 1
    rows: bool = False
    kind: Any = np.float32
    _name: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The name in the file, chosen when it is first asked for."""
        if self._name is None:
            self._name = self.graph.root.unique(self.wanted or "x")
        return self._name

    def called(self, name: str) -> None:
        """Take another name, unless the present one has been asked for."""
        self.wanted = name if self._name is None else self.wanted

    def __add__(self, other: Any) -> Value:
        return operation("Add", self, other)

    def __radd__(self, other: Any) -> Value:
        return operation("Add", other, self)

    def __sub__(self, other: Any) -> Value:
        return operation("Sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return operation("Sub", other, self)

    def __mul__(self, other: Any) -> Value:
        return operation("Mul", self, other)

    def __rmul__(self, other: Any) -> Value:
        return operation("Mul", other, self)

    def __truediv__(self, other: Any) -> Value:
        return operation("Div", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return operation("Div", other, self)

    def __neg__(self) -> Value:
        return operation("Neg", self)

    def __pow__(self, exponent: Any) -> Value:
        """Return a power; small whole exponents become products and ½ a root, as in the other languages."""
        if isinstance(exponent, Value):
            return operation("Pow", self, exponent)
        if exponent < 0:
            return operation("Reciprocal", self**-exponent)
        if exponent == 0.5:
            return operation("Sqrt", self)
        if exponent not in (1, 2, 3, 4):
            return operation("Pow", self, exponent)
        found = self
        for _ in range(int(exponent) - 1):
            found = found * self
        return found

    def __rpow__(self, base: Any) -> Value:
        return operation("Pow", base, self)

    def __mod__(self, other: Any) -> Value:
        """Return the remainder with the divisor's sign; ONNX's has the dividend's."""
        found = operation("Mod", self, other, fmod=1)
        return operation("Where", found * other < 0, found + other, found)

    def __rmod__(self, other: Any) -> Value:
        return self.graph.root.constant(other) % self

    def __lt__(self, other: Any) -> Value:
        return operation("Less", self, other)

    def __le__(self, other: Any) -> Value:
        return operation("LessOrEqual", self, other)

    def __gt__(self, other: Any) -> Value:
        return operation("Greater", self, other)

    def __ge__(self, other: Any) -> Value:
        return operation("GreaterOrEqual", self, other)

    def __eq__(self, other: Any) -> Value:  # type: ignore[override]
        return operation("Equal", self, other)

    def __ne__(self, other: Any) -> Value:  # type: ignore[override]
        return operation("Not", self == other)

    __hash__ = object.__hash__

    def __and__(self, other: Value) -> Value:
        return operation("And", self, other)

    def __or__(self, other: Value) -> Value:
        return operation("Or", self, other)


@dataclass
class Node:
    """One operation. ``inputs``: None for an optional one left out. ``reads``: further values that a loop's body reads."""

    kind: str
    inputs: Sequence[Value | None]
    outputs: list[Value]
    attributes: dict[str, Any]
    reads: frozenset[Value] = frozenset()


class Graph:
    """Nodes in the order in which they run, and constants, which the outermost graph keeps for all graphs in it.

    Args:
        around: the graph around it, where this graph is the body of a loop.
    """

    def __init__(self, around: Graph | None = None):
        self.depth: int = 0 if around is None else around.depth + 1
        self.root: Graph = self if around is None else around.root
        self.nodes: list[Node] = []
        self.constants: dict[Value, Any] = {}  # as TensorProto
        self._known: dict[tuple[str, bytes, tuple[int, ...]], Value] = {}
        self._names: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """Return the name, with a number after it where it is taken."""
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else self.unique(f"{name}_{count}")

    def constant(self, values: Any, kind: Any = np.float32, name: str = "c") -> Value:
        """Return a constant; equal constants are kept once. For the kind BFLOAT16, ``values`` are the numbers' bits."""
        from onnx import TensorProto, numpy_helper

        array = np.ascontiguousarray(values, dtype=np.uint16 if kind == BFLOAT16 else kind).reshape(np.shape(values))
        key = (str(kind), sha256(array.tobytes()).digest(), array.shape)
        if key not in self._known:
            self._known[key] = made = Value(self, name, array.shape[-1] if array.ndim else 1, array.ndim > 1, kind)
            stored = numpy_helper.from_array(array, made.name)
            if kind == BFLOAT16:
                stored.data_type = TensorProto.BFLOAT16
            self.constants[made] = stored
        return self._known[key]

    def node(
        self,
        kind: str,
        *inputs: Value | None,
        outputs: Iterable[Value] | None = None,
        reads: Iterable[Value] = (),
        **attributes: Any,
    ) -> Value:
        """Add an operation and return its first output; without ``outputs`` it has the shape and kind of the first input."""
        first = inputs[0]
        like = [] if first is None else [Value(self, kind.lower(), first.units, first.rows, first.kind)]
        given = like if outputs is None else [*outputs]
        self.nodes.append(Node(kind, inputs, given, attributes, frozenset(reads)))
        return given[0]

    def needed(self, outputs: Iterable[Value]) -> frozenset[Value]:
        """Drop all nodes on which the outputs do not depend; return all values that the remaining nodes read."""
        needed, kept = {*outputs}, []
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.outputs):
                kept.append(node)
                needed |= {x for x in node.inputs if x is not None} | node.reads
        self.nodes = kept[::-1]
        return frozenset(needed)

    def made(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any], constants: Iterable[Any] = ()) -> Any:
        """Return the graph as an ``onnx.GraphProto``.

        Args:
            name: the graph's name.
            inputs: each a ValueInfoProto.
            outputs: each a ValueInfoProto.
            constants: each a TensorProto.
        """
        from onnx import helper

        nodes = [
            helper.make_node(
                n.kind, [x.name if x is not None else "" for x in n.inputs], [x.name for x in n.outputs], **n.attributes
            )
            for n in self.nodes
        ]
        return helper.make_graph(nodes, name, inputs, outputs, [*constants])


def operation(kind: str, *operands: Any, **attributes: Any) -> Value:
    """Add an operation, unit by unit, on values and numbers to the innermost graph that has one of the values."""
    graph = max((x.graph for x in operands if isinstance(x, Value)), key=lambda g: g.depth)
    values = [x if isinstance(x, Value) else graph.root.constant(float(x)) for x in operands]
    made = Value(graph, kind.lower(), max(x.units for x in values), any(x.rows for x in values), KINDS.get(kind, np.float32))
    return graph.node(kind, *values, outputs=[made], **attributes)


KINDS = dict.fromkeys(("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Not", "And", "Or"), np.bool_)
