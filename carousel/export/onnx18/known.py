"""ONNX's recurrent operators, and cells that have their equations: read off the trace, whatever the letters are.

ONNX's documentation of LSTM, GRU and RNN has the operators' equations. Weights that an operator has and a cell lacks are zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np
import sympy

from carousel.equations import Cell
from carousel.equations.functions import FUNCTIONS, logistic
from carousel.equations.loop import blocks
from carousel.equations.notes import Expr

# Functions that the operators know; each is called there as its own operator of ONNX is.
ACTIVATIONS = {"logistic": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "softsign": "Softsign", "softplus": "Softplus"}


@dataclass(frozen=True)
class Operator:
    """An operator and its arguments: arrays of one direction, with the rows of all gates one below the other.

    Attributes:
        kind: LSTM, GRU or RNN.
        arrays: W, R (dense weights from input and output), B (biases) and P (peepholes), where it has some.
        activations: functions of the gates, of the new content, and of the output, in that order.
        attributes: ``input_forget``, ``linear_before_reset``.
    """

    kind: str
    arrays: dict[str, np.ndarray]
    activations: tuple[str, ...]
    attributes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Sum:
    """Σ weight @ vector + Σ diagonal weight · vector + bias, by vector."""

    dense: dict[Expr, np.ndarray] = field(default_factory=dict)
    diagonal: dict[Expr, np.ndarray] = field(default_factory=dict)
    bias: Any = 0.0

    def __add__(self, other: Sum) -> Sum:
        return Sum(_added(self.dense, other.dense), _added(self.diagonal, other.diagonal), self.bias + other.bias)

    def times(self, factor: float) -> Sum:
        """Return the sum times a number."""
        dense, diagonal = ({x: factor * w for x, w in weights.items()} for weights in (self.dense, self.diagonal))
        return Sum(dense, diagonal, factor * self.bias)

    def of(self, dense: Sequence[Expr], diagonal: Sequence[Expr] = ()) -> bool:
        """Return whether all its vectors are among these."""
        return self.dense.keys() <= {*dense} and self.diagonal.keys() <= {*diagonal}


def _added(one: Mapping[Expr, Any], other: Mapping[Expr, Any]) -> dict[Expr, Any]:
    return {x: one.get(x, 0.0) + other.get(x, 0.0) for x in {**one, **other}}


def known(cell: Cell, arrays: Mapping[str, np.ndarray], sizes: tuple[int, ...]) -> Operator | None:
    """Return the operator that has a cell's equations, or None where none has.

    Args:
        cell: a cell without noise.
        arrays: its parameters and constants, by the equations' names.
        sizes: its sizes, as ``Recurrent.sizes`` gives them.
    """
    trace = cell.trace
    size = trace.states[0].size
    if trace.inputs or cell.heads > 1 or size is None:
        return None
    if len(trace.states) > 2 or any(s.size is None or s.size.root is not size.root for s in trace.states):
        return None
    reader = _Reader(cell, arrays, sizes)
    return _lstm(reader) if len(trace.states) == 2 else _gru(reader) or _rnn(reader)


class _Reader:
    """Reads a trace's expressions."""

    def __init__(self, cell: Cell, arrays: Mapping[str, np.ndarray], sizes: tuple[int, ...]):
        self.trace, self.arrays = cell.trace, arrays
        self.defined = dict(cell.trace.equations)
        self.vectors = {p.symbol: p for p in cell.trace.parameters if not p.is_matrix}
        every = [x for p in cell.trace.parameters for x in (p.rows, *p.columns)]
        self.lengths = {x.root: cell.length(x, *sizes) for x in every}
        self.units = cell.length(cell.trace.states[0].size, *sizes)
        self.inputs = cell.length(cell.trace.input_size, *sizes)
        self.states = {s.after for s in cell.trace.states}

    def said(self, x: Expr, *, states: bool = False) -> Expr:
        """Return the expression behind a name; the name of a state's new value stays, unless ``states``."""
        while x in self.defined and (states or x not in self.states):
            x, states = self.defined[x], False
        return x

    def factors(self, x: Expr) -> tuple[Expr, ...]:
        """Return the factors of a product, nested products included."""
        x = self.said(x)
        return tuple(f for a in x.args for f in self.factors(a)) if x.is_Mul else (x,)

    def terms(self, x: Expr, factor: float = 1.0) -> Iterator[tuple[float, Expr]]:
        """Yield the terms of a sum, nested sums included, with their numeric factors."""
        x = self.said(x)
        if x.is_Add:
            for a in x.args:
                yield from self.terms(a, factor)
        elif x.is_Mul and x.args[0].is_number:
            yield from self.terms(sympy.Mul(*x.args[1:], evaluate=False), factor * float(x.args[0]))
        else:
            yield factor, x

    def function(self, x: Expr) -> tuple[str, Expr] | None:
        """Return ONNX's name of an expression's outermost function, and the function's operand."""
        x = self.said(x)
        name = _name(x)
        return (ACTIVATIONS[name], x.args[0]) if name in ACTIVATIONS else None

    def sum(self, x: Expr) -> Sum | None:
        """Return an expression as a sum of dense products, peepholes and biases; None where it is anything else."""
        found = Sum()
        for factor, term in self.terms(x):
            one = self.term(term)
            if one is None:
                return None
            found = found + one.times(factor)
        return found

    def term(self, x: Expr) -> Sum | None:
        if x in self.trace.products:
            product = self.trace.products[x]
            operand, weight = self.said(product.operand), self.arrays[product.weight.name]
            columns = blocks(product.weight, product.part, self.lengths)
            return Sum(dense={operand: weight[:, columns]}) if operand.is_Symbol else None
        if x in self.vectors:
            return Sum(bias=self.arrays[self.vectors[x].name])
        if x.is_number:
            return Sum(bias=np.full(self.units, float(x)))
        factors = self.factors(x)
        for a, b in permutations(factors) if len(factors) == 2 else ():
            if a in self.vectors and b.is_Symbol and b not in self.vectors:
                return Sum(diagonal={b: self.arrays[self.vectors[a].name]})
        return None

    def gate(self, x: Expr) -> tuple[str, Sum] | None:
        """Return function and sum of an expression that is a function of a sum."""
        found = self.function(x)
        total = self.sum(found[1]) if found else None
        return (found[0], total) if found and total is not None else None

    def less(self, x: Expr, other: Expr) -> bool:
        """Return whether ``x`` is 1 − ``other``."""
        terms = [(c, self.said(t)) for c, t in self.terms(x)]
        return len(terms) == 2 and (1.0, sympy.S.One) in terms and (-1.0, self.said(other)) in terms

    def stacked(self, sums: Sequence[Sum], message: Expr) -> dict[str, np.ndarray]:
        """Return W, R and B of an operator's gates."""
        nothing = {self.trace.input: np.zeros((self.units, self.inputs)), message: np.zeros((self.units, self.units))}
        w, r = (np.concatenate([s.dense.get(x, zero) for s in sums]) for x, zero in nothing.items())
        return {"W": w, "R": r, "B": np.concatenate([*(np.zeros(self.units) + s.bias for s in sums), np.zeros(len(w))])}


def _name(x: Expr) -> str:
    return FUNCTIONS[type(x)].name if type(x) in FUNCTIONS else ""


def _lstm(read: _Reader) -> Operator | None:
    """m = o · tanh(h), h = f · h + i · g: gates of input, message and, through peepholes, memory; i = 1 − f, or f = 1 − i."""
    message, memory = read.trace.states
    e, m, h = read.trace.input, message.before, memory.before
    factors = [read.said(x) for x in read.factors(read.said(message.after, states=True))]
    terms = [*read.terms(read.said(memory.after, states=True))]
    if len(factors) != 2 or len(terms) != 2 or any(c != 1 for c, _ in terms):
        return None
    for (o, out), ((_, kept), (_, written)) in ((a, b) for a in permutations(factors) for b in permutations(terms)):
        squashed, opened = read.function(out), read.gate(o)
        of_memory, new = read.factors(kept), read.factors(written)
        if not squashed or read.said(squashed[1]) != memory.after or not opened or len(of_memory) != 2 or len(new) != 2:
            continue
        for (f, x), (i, g) in ((a, b) for a in permutations(of_memory) for b in permutations(new)):
            block = read.gate(g)
            if x != h or block is None or not block[1].of([e, m]) or not opened[1].of([e, m], [memory.after]):
                continue
            gates = _coupled(read, i, f)
            if gates is None or not all(s.of([e, m], [h]) for _, s in gates[0]) or {a for a, _ in gates[0]} != {opened[0]}:
                continue
            (_, on), (_, off) = gates[0]
            arrays = read.stacked([on, opened[1], off, block[1]], m)
            peepholes = [s.diagonal.get(x, np.zeros(read.units)) for s, x in ((on, h), (opened[1], memory.after), (off, h))]
            if any(s.diagonal for s in (on, opened[1], off)):
                arrays["P"] = np.concatenate(peepholes)
            return Operator("LSTM", arrays, (opened[0], block[0], squashed[0]), {"input_forget": gates[1]} if gates[1] else {})
    return None


def _coupled(read: _Reader, i: Expr, f: Expr) -> tuple[list[tuple[str, Sum]], int] | None:
    """Return input gate, forget gate, and whether the second is 1 − the first; σ(−x) counts as 1 − σ(x)."""
    if read.less(f, i):
        one = read.gate(i)
        return ([one, one], 1) if one else None
    if read.less(i, f):
        one = read.gate(f)
        turned = (one[0], one[1].times(-1)) if one and one[0] == ACTIVATIONS[logistic.name] else None
        return ([turned, turned], 1) if turned else None
    gates = [read.gate(i), read.gate(f)]
    return ([g for g in gates if g], 0) if all(gates) else None


def _gru(read: _Reader) -> Operator | None:
    """h = (1 − z) · n + z · h, with the reset gate before the recurrent product or after it."""
    (state,) = read.trace.states
    e, h = read.trace.input, state.before
    terms = [*read.terms(read.said(state.after, states=True))]
    if len(terms) != 2 or any(c != 1 for c, _ in terms):
        return None
    for (_, kept), (_, written) in permutations(terms):
        of_state, new = read.factors(kept), read.factors(written)
        if len(of_state) != 2 or len(new) != 2:
            continue
        for (z, x), (less, n) in ((a, b) for a in permutations(of_state) for b in permutations(new)):
            if x != h:
                continue
            gates = _coupled(read, less, z) if read.less(less, z) or read.less(z, less) else None
            if gates is None:
                continue
            activation, letting = gates[0][0]
            candidate, update = read.function(n), letting.times(-1)
            if candidate is None or activation != ACTIVATIONS[logistic.name] or not update.of([e, h]):
                continue
            found = _reset(read, candidate[1])
            if found is None or found[0][0] != activation:
                continue
            (_, reset), plain, recurrent, after = found
            arrays = read.stacked([update, reset, plain], h)
            arrays["R"][2 * read.units :] = recurrent.dense.get(h, 0.0)
            arrays["B"][5 * read.units :] = recurrent.bias
            return Operator("GRU", arrays, (activation, candidate[0]), {"linear_before_reset": int(after)})
    return None


def _reset(read: _Reader, x: Expr) -> tuple[tuple[str, Sum], Sum, Sum, bool] | None:
    """Take W @ e + b + r · (U @ h + c), or W @ e + b + U @ (r · h), apart: r, W and b, U and c, and whether it is the first."""
    e, h = read.trace.input, read.trace.states[0].before
    plain, special = Sum(), []
    for factor, term in read.terms(x):
        one = read.term(term)
        if one is not None and one.of([e]):
            plain = plain + one.times(factor)
        else:
            special.append((factor, term))
    if len(special) != 1 or special[0][0] != 1:
        return None
    ((_, term),) = special
    product = read.trace.products.get(term)
    factors = read.factors(product.operand if product else term)
    for r, other in permutations(factors) if len(factors) == 2 else ():
        gate = read.gate(r)
        if gate is None or not gate[1].of([e, h]):
            continue
        if product and other == h:
            columns = blocks(product.weight, product.part, read.lengths)
            return gate, plain, Sum(dense={h: read.arrays[product.weight.name][:, columns]}), False
        inner = None if product else read.sum(other)
        if inner is not None and inner.of([h]):
            return gate, plain, inner, True
    return None


def _rnn(read: _Reader) -> Operator | None:
    """h = tanh(W @ e + U @ h + b)."""
    (state,) = read.trace.states
    found = read.gate(read.said(state.after, states=True))
    if found is None or not found[1].of([read.trace.input, state.before]):
        return None
    return Operator("RNN", read.stacked([found[1]], state.before), (found[0],))
