"""The graph behind a drawing: a cell's equations as operations and the wires between them.

A function of a sum that holds dense products is one *layer* (Olah's yellow box: the weights are in it); everything else is
a pointwise operation of its own. States that reach their new value through pointwise operations alone are *pipes*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import combinations

import sympy

from carousel.equations import Cell
from carousel.equations.before import Together
from carousel.equations.functions import FUNCTIONS
from carousel.equations.noise import NOISE
from carousel.equations.notes import Expr
from carousel.equations.printing import plain
from carousel.equations.units import OVER_UNITS


@dataclass(frozen=True)
class Wire:
    """From the node of that key; ``manner``: "dense" (through a weight matrix), "diagonal" (a peephole) or "plain"."""

    source: str
    manner: str = "plain"


@dataclass
class Node:
    """A part of a drawing. ``kind``: input, before (a state as it comes in; "h 2" is of two steps ago,
    "h up" of the step above), after, output, layer,
    times, plus, function (pointwise, one input), larger (maximum, minimum), switch, constant, join (wires that come together).
    ``name``: the quantity that it computes, if it has one.
    """

    key: str
    kind: str
    label: str
    wires: list[Wire] = field(default_factory=list)
    name: str | None = None


@dataclass
class Graph:
    """``nodes`` in an order in which they can be computed; ``pipes``: the operations along each piped state, in order."""

    nodes: dict[str, Node]
    pipes: dict[str, list[str]]

    def readers(self, key: str) -> list[str]:
        """Return the nodes to which a wire from ``key`` goes."""
        return [n.key for n in self.nodes.values() if any(w.source == key for w in n.wires)]


def graph(cell: Cell) -> Graph:
    """Return the graph of a cell."""
    return _Maker(cell).make()


class _Maker:
    def __init__(self, cell: Cell):
        self.trace = cell.trace
        self.states = cell.trace.declared
        past = {s.after for s in cell.trace.states} - {s.after for s in self.states}
        self.equations = {symbol: expr for symbol, expr in cell.trace.equations if symbol not in past}
        self.vectors = {p.symbol: p.name for p in cell.trace.parameters if not p.is_matrix}
        self.nodes: dict[str, Node] = {}
        self.made: dict[Expr, str] = {}  # expressions that have a node
        self.own: Expr = None  # the old value of the state whose equation is being read

    def make(self) -> Graph:
        self.made[self.trace.input] = self._new("input", "e")
        self.made |= {x.symbol: self._new("input", x.name) for x in self.trace.inputs}
        for state in (s for s in self.states if not s.edge):
            self.made[state.before] = self._new("before", state.name)
        for state in (s for s in self.trace.states if s.edge):
            self.made[state.before] = self._new("before", f"{state.name} {state.edge}")
        for before, (name, steps) in self.trace.delays.items():
            self.made[before] = self._new("before", f"{name} {steps}")
        befores = {s.after: s.before for s in self.states}
        # Pipes first: their operands come in the order in which the pipe meets them.
        for symbol, expr in sorted(self.equations.items(), key=lambda e: not self._is_carried(e[1], befores.get(e[0]))):
            self._quantity(symbol, expr, befores)
        for state in self.states:
            self._new("after", state.name, [Wire(self.made[state.after])])
        self._new("output", self.states[0].name, [Wire(self.made[self.states[0].after])])
        pipes: dict[str, list[str]] = {}
        for state in () if self.trace.before else self.states:
            path = self._path(self.made[state.after], f"before {state.name}", {k for p in pipes.values() for k in p})
            if path:
                pipes[state.name] = path
        used = {w.source for n in self.nodes.values() for w in n.wires}
        nodes = {k: n for k, n in self.nodes.items() if n.kind != "before" or k in used}
        made = Graph(nodes, pipes)
        _join(made)
        return made

    def _new(self, kind: str, label: str, wires: Iterable[Wire] = ()) -> str:
        ends = ("input", "before", "after", "output")
        key = f"{kind} {label}" if kind in ends else f"{kind} {len(self.nodes)}"
        self.nodes[key] = Node(key, kind, label, list(wires))
        return key

    def _is_carried(self, expr: Expr, before: Expr | None) -> bool:
        return before is not None and any(before in term.free_symbols for term in _terms(expr) if not _squashes(term))

    def _quantity(self, symbol: Expr, expr: Expr, befores: dict[Expr, Expr]) -> None:
        """Make the node of a named equation, once."""
        if symbol in self.made:
            return
        outer, self.own = self.own, befores.get(symbol)
        self.made[symbol] = key = self._node(expr)
        self.own = outer
        node = self.nodes[key]
        if node.name is None and node.kind not in ("input", "before"):
            node.name = str(symbol)[:-2]

    def _node(self, expr: Expr) -> str:
        """Return the key of the node that computes ``expr``."""
        if expr not in self.made and expr in self.equations:
            befores = {s.after: s.before for s in self.states}
            self._quantity(expr, self.equations[expr], befores)
        if expr not in self.made:
            self.made[expr] = self._build(expr)
        return self.made[expr]

    def _build(self, expr: Expr) -> str:
        if expr in self.trace.products:
            return self._layer("W", [expr])
        if expr in self.vectors or expr.is_number:
            return self._new("constant", self.vectors[expr] if expr in self.vectors else _number(expr))
        if expr.is_Add:
            return self._sum(expr)
        if expr.is_Mul:
            return self._product(expr)
        if isinstance(expr, sympy.Piecewise):
            return self._switch(expr)
        if expr.is_Pow and expr.exp == -1:
            return self._function("1/x", [expr.base])
        if expr.is_Pow and expr.exp.is_number:
            return self._function(f"x^{_number(expr.exp)}", [expr.base])
        if type(expr) in OVER_UNITS:
            return self._over_units(expr)
        if type(expr) is Together:
            return self._function("Σ", expr.args)
        if type(expr) in NOISE:
            return self._drawn(expr)
        known = FUNCTIONS.get(type(expr))
        if known is None:
            return self._function(type(expr).__name__.lower(), expr.args)  # any other function of SymPy
        if known.own and known.operands > 1:
            numbers = [_number(x) for x in expr.args if x.is_number]
            if len(numbers) == known.operands - 1:
                return self._function(f"{known.drawn} {' '.join(numbers)}", [x for x in expr.args if not x.is_number])
            return self._node(known.definition(*expr.args))
        if known.operands > 1:
            return self._chain("larger", known.drawn, list(expr.args))
        return self._squash(known.drawn, expr.args[0])

    def _squash(self, label: str, operand: Expr) -> str:
        """Make the node of a function of one operand: a layer where that is a sum that holds dense products."""
        terms = _terms(operand)
        dense = any(t in self.trace.products for t in terms)
        return self._layer(label, terms) if dense else self._function(label, [operand])

    def _over_units(self, expr: Expr) -> str:
        """Make the node of a function over units; a gain and a bias that are no parameters are operations of their own."""
        function = OVER_UNITS[type(expr)]
        key = self._squash(function.drawn, expr.args[0])
        for name, x in zip(function.defaults, expr.args[1:], strict=False):
            if x not in self.vectors and not x.is_number:
                kind, sign = ("times", "×") if name == "gain" else ("plus", "+")
                key = self._new(kind, sign, [Wire(key), Wire(self._node(x))])
        return key

    def _drawn(self, expr: Expr) -> str:
        """Make the node of a value of noise."""
        kind = NOISE[type(expr)]
        name, operands = f"{kind.name.removesuffix('_once')} {self.vectors[expr.args[-2]]}", expr.args[: kind.operands]
        if len(operands) == 1:
            return self._squash(name, operands[0])
        return self._new("switch", name, [Wire(self._node(x)) for x in operands])

    def _function(self, label: str, operands: Iterable[Expr]) -> str:
        return self._new("function", label, [Wire(self._node(x)) for x in operands])

    def _layer(self, label: str, terms: list[Expr]) -> str:
        wires = []
        for term in terms:
            if term in self.trace.products:
                wires.append(Wire(self._node(self.trace.products[term].operand), "dense"))
            elif term not in self.vectors and not term.is_number:
                operand, diagonal = self._without_weight(term)
                wires.append(Wire(self._node(operand), "diagonal" if diagonal else "plain"))
        return self._new("layer", label, dict.fromkeys(wires))

    def _without_weight(self, term: Expr) -> tuple[Expr, bool]:
        """Return the quantity that a peephole ``w.ih * h`` sees, and True; or the term as it is, and False."""
        rest = [x for x in term.args if x not in self.vectors] if term.is_Mul else []
        return (rest[0], True) if len(rest) == 1 and len(term.args) == 2 else (term, False)

    def _sum(self, expr: Expr) -> str:
        terms = list(expr.args)
        dense = [t for t in terms if t in self.trace.products]
        inside = [t for t in terms if dense and (t in self.vectors or self._without_weight(t)[1] or t in dense)]
        numbers = [t for t in terms if t.is_number]
        rest = [t for t in terms if t not in inside and t not in numbers]
        if len(numbers) == 1 and len(rest) == 1 and not inside:
            if _negative(rest[0]):
                return self._function(f"{_number(numbers[0])}−", [_negated(rest[0])])
            return self._function(f"{'−' if numbers[0] < 0 else '+'}{_number(abs(numbers[0]))}", rest)
        operands = [*rest, *numbers]
        if not inside:
            return self._chain("plus", "+", operands)
        layer = self._layer("W", inside)
        return layer if not operands else self._chain("plus", "+", operands, [layer])

    def _product(self, expr: Expr) -> str:
        numbers = [x for x in expr.args if x.is_number]
        rest = [x for x in expr.args if not x.is_number]
        key = self._chain("times", "×", rest) if len(rest) > 1 else self._node(rest[0])
        factor = sympy.prod(numbers)
        if factor == 1:
            return key
        return self._new("function", "−" if factor == -1 else f"×{_number(factor)}", [Wire(key)])

    def _switch(self, expr: Expr) -> str:
        (then, condition), (other, _) = expr.args
        known = sorted(condition.free_symbols - set(self.vectors), key=str)
        wires = [Wire(self._node(x)) for x in (other, then, *known)]
        text = plain(replace(self.trace, equations=((sympy.Symbol("x_t"), condition),))).partition(" = ")[2]
        return self._new("switch", text, wires)

    def _chain(self, kind: str, label: str, operands: list[Expr], more: Iterable[str] = ()) -> str:
        """Make an operation of several operands, two at a time; the state that is carried on first, so that it stays a pipe."""
        operands = sorted(operands, key=lambda x: self.own is None or self.own not in x.free_symbols)
        keys = [*(self._node(x) for x in operands), *more]
        return reduce(lambda a, b: self._new(kind, label, [Wire(a), Wire(b)]), keys)

    def _path(self, key: str, start: str, taken: set[str]) -> list[str]:
        """Return the pointwise operations from ``start`` to ``key``; none where a layer is between, or nothing at all."""
        node = self.nodes[key]
        if node.kind not in ("times", "plus", "function", "larger", "switch") or key in taken:
            return []
        for wire in node.wires:
            if wire.source == start:
                return [key]
            before = self._path(wire.source, start, taken)
            if before:
                return [*before, key]
        return []


def _join(made: Graph) -> None:
    """Join wires that go the same way, as in Olah's [h, x]: fewer lines say the same.

    First come sources that have all of their readers in common, then the pairs with most; peepholes stay apart.
    """
    while joined := _to_join(made):
        sources, readers = joined
        key = f"join {sum(n.kind == 'join' for n in made.nodes.values())}"
        for reader in readers:
            node = made.nodes[reader]
            kept = [w for w in node.wires if w.manner != "dense" or w.source not in sources]
            node.wires = [Wire(key, "dense"), *kept]
        _insert_before(made, Node(key, "join", "", [Wire(s, "dense") for s in sources]), readers)


def _to_join(made: Graph) -> tuple[list[str], list[str]] | None:
    """Return sources that should come together, and the layers that read all of them."""
    readers: dict[str, list[str]] = {}
    for node in made.nodes.values():
        for wire in node.wires:
            if wire.manner == "dense" and node.kind != "join":
                readers.setdefault(wire.source, []).append(node.key)
    alike: dict[tuple[str, ...], list[str]] = {}
    for source, keys in readers.items():
        alike.setdefault(tuple(keys), []).append(source)
    for reading, sources in alike.items():
        if len(sources) > 1:
            return sources, list(reading)
    pairs = [([a, b], [k for k in readers[a] if k in readers[b]]) for a, b in combinations(readers, 2)]
    best = max(pairs, key=lambda p: len(p[1]), default=None)
    return best if best and len(best[1]) > 1 else None


def _insert_before(made: Graph, join: Node, readers: list[str]) -> None:
    """Put a node in front of the first that reads it, and after all that it reads."""
    nodes: dict[str, Node] = {}
    for key, node in made.nodes.items():
        if key in readers and join.key not in nodes:
            nodes[join.key] = join
        nodes[key] = node
    made.nodes = nodes


def _terms(expr: Expr) -> list[Expr]:
    return list(expr.args) if expr.is_Add else [expr]


def _squashes(expr: Expr) -> bool:
    return type(expr) in OVER_UNITS or (type(expr) in FUNCTIONS and FUNCTIONS[type(expr)].operands == 1)


def _negative(expr: Expr) -> bool:
    return bool(expr.is_Mul and -1 in expr.args)


def _negated(expr: Expr) -> Expr:
    rest = [x for x in expr.args if x != -1]
    return rest[0] if len(rest) == 1 else sympy.Mul(*rest, evaluate=False)


def _number(value: Expr) -> str:
    return f"{float(value):g}".replace("-", "−")
