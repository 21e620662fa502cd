"""A cell's equations as text that can be read back: a cell without its code.

``h[t] = f[t] * h[t-1] + i[t] * tanh(W.he @ e[t] + W.hm @ m[t-1] + b.h)``: names are the slide's, a step is in brackets. The
text is data: reading it computes nothing but terms of the equations, whatever it says.
"""

from __future__ import annotations

import ast
import keyword
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, cast

import sympy

from carousel.equations.before import Before, Predecessors, checked, together
from carousel.equations.errors import EquationError
from carousel.equations.functions import FUNCTIONS, identity
from carousel.equations.inputs import Inputs, check
from carousel.equations.noise import NOISE, applied
from carousel.equations.notes import Expr, Notes
from carousel.equations.printing import Text, shown, step, visible
from carousel.equations.terms import Concatenation, Namespace, Term, Weight, concat
from carousel.equations.trace import STEP, Trace, check_names, symbol, symbols, traced
from carousel.equations.units import OVER_UNITS

LONGEST, MOST = 10_000, 500  # letters of an equation, equations of a cell: more is no cell, and would take long to read
LARGEST, LARGEST_POWER = 2**53, 1000  # of numbers


def written(trace: Trace) -> list[str]:
    """Return the equations, each a line, in an order in which they can be computed."""
    printer = Notation(trace)
    return [f"{printer.name(s)} = {printer.text(expr)}" for s, expr in shown(trace)]


def read(
    name: str,
    states: Sequence[str],
    equations: Sequence[str],
    parameters: Sequence[str],
    constants: frozenset[str],
    matrices: frozenset[str] = frozenset(),
    *,
    clock: bool,
    input_like: str | None = None,
    same: Sequence[str] = (),
    inputs: Inputs | None = None,
    before: Before = (),
) -> Trace:
    """Return the trace of the cell that ``written`` wrote.

    Args:
        name: the cell's.
        states: their names in the order of a layer's ``hx``, without the clock.
        equations: one a line.
        parameters: their names in the order in which a layer has them.
        constants: letters of the constants of each unit.
        matrices: letters of the constant matrices.
        clock: whether the number of the step is among the states.
        input_like: the state that has the input's size, where the cell says so.
        same: states that have one size, where the cell says so.
        inputs: the further ones, as ``cell`` takes them.
        before: what a step follows, as ``cell`` takes it.

    Raises:
        EquationError: an equation, which it names, is none of a cell in this notation.
    """
    spaces = {"W", "w", "b", *("c" if constants or matrices else "")}
    if taken := {"e", STEP, *spaces}.intersection(states):
        raise EquationError(f"no state can be called {min(taken)}")
    if len(equations) > MOST:
        raise EquationError(f"{len(equations)} equations are more than the {MOST} that a cell may have")
    check(inputs or {}, ["e", *states, *(inputs or ())], states, {*spaces, *states})
    before = checked(before, ["e", *states, *(inputs or ()), *spaces])
    if before and clock:
        raise EquationError("its steps follow several, and have no number")
    notes, arguments = symbols(list(states), constants, matrices, input_like, same, inputs, before)
    given = ("e", *notes.inputs)
    known: dict[tuple[str, int], Any] = {(n, 0): arguments[n] for n in given}  # by name, and how many steps ago
    known |= {(s, 1): arguments[s] for s in states if not before}
    reader = _Reader(notes, known, arguments)
    for line in equations:
        try:
            target, value = reader.equation(line)
        except (EquationError, SyntaxError, RecursionError, MemoryError, ValueError) as error:
            reason = error.reason if isinstance(error, EquationError) else "it is no equation of this notation"
            raise EquationError(f"{line[:200]!r}: {reason}") from None
        known[target, 0] = value
    missing = [s for s in states if (s, 0) not in known]
    if missing:
        raise EquationError(f"state {missing[0]} is never set")
    outputs = tuple(known[s, 0] for s in states)
    for state, value in zip(states, outputs, strict=True):
        if value.each:
            raise EquationError(f"state {state} has a value for each {before}")
        if value.size is not None:
            notes.sizes[state].join(value.size)
    variables = {n: v for (n, ago), v in known.items() if not ago and n not in (*states, *given)}
    made = traced(name, notes, list(states), outputs, variables, clock=clock, input_like=input_like, same=tuple(same))
    check_names(made)
    if sorted(parameters) != sorted(p.name for p in made.parameters):
        raise EquationError("its parameters are not those of its equations")
    # As they were written: an optimizer knows parameters by their order.
    order = [str(symbol(n)) for n, ago in known if not ago]
    return replace(
        made,
        equations=tuple(sorted(made.equations, key=lambda e: order.index(str(e[0])) if str(e[0]) in order else len(order))),
        parameters=tuple(sorted(made.parameters, key=lambda p: list(parameters).index(p.name))),
    )


class Notation(Text):
    """Prints equations in this notation."""

    def __init__(self, trace: Trace):
        super().__init__()
        self.trace = trace
        self.parameters = {p.symbol: p.name for p in trace.parameters}
        self.clocks = [s.before for s in trace.states if s.size is None]
        self.edges = {s.before: f"{s.name}[{s.edge}]" for s in trace.states if s.edge}

    def name(self, symbol: Expr) -> str:
        """Return the text that stands for a symbol."""
        if symbol in self.clocks:
            return STEP
        if symbol in self.edges:
            return self.edges[symbol]
        if symbol in self.parameters:
            space, letters, *turned = self.parameters[symbol].split(".")
            plain = letters.isidentifier() and not keyword.iskeyword(letters)
            return ".".join([f"{space}.{letters}" if plain else f'{space}["{letters}"]', *turned])
        name, steps = step(symbol, self.trace.delays)
        return f"{name}[t{f'-{steps}' if steps else ''}]"

    def text(self, expr: Expr) -> str:
        """Print a product in parentheses but where it is added: Python reads ``a * W @ x`` as ``(a * W) @ x``."""
        text = self.doprint(visible(self.trace, expr))
        before, after = r"(?:(?<=^)|(?<=\()|(?<=, )|(?<= \+ ))", r"(?=$|\)|,| [+-] )"
        return re.sub(rf"{before}<<([^<>]*)>>{after}", r"\1", text).replace("<<", "(").replace(">>", ")")

    def _print_Symbol(self, symbol: Expr) -> str:
        product = self.trace.products.get(symbol)
        if product is None:
            return self.name(symbol)
        parts = self.trace.concatenations.get(symbol)
        operand = f"concat({', '.join(map(self.text, parts))})" if parts else self.text(product.operand)
        bare = product.operand.is_Function or (product.operand.is_Symbol and product.operand not in self.trace.products)
        if not (parts or bare):
            operand = f"({operand})"
        return f"<<{self.name(product.weight.symbol)} @ {operand}>>"

    def _print_Float(self, expr: Expr) -> str:
        return repr(float(expr))

    def _print_Equality(self, expr: Expr) -> str:
        return f"{self.doprint(expr.lhs)} == {self.doprint(expr.rhs)}"

    def _print_Mod(self, expr: Expr) -> str:
        return " % ".join(f"({self.doprint(x)})" for x in expr.args)


BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
COMPARED: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
}


class _Reader:
    """Python's grammar read by hand: terms, numbers and the functions of the table are all that there is."""

    def __init__(self, notes: Notes, known: dict[tuple[str, int], Any], arguments: dict[str, Any]):
        self.notes, self.known, self.arguments = notes, known, arguments
        self.functions = {f.name: f for f in FUNCTIONS.values()}
        self.over_units = {f.name: f for f in OVER_UNITS.values()}
        self.noise = {kind.name: node for node, kind in NOISE.items()}

    def equation(self, line: str) -> tuple[str, Term]:
        if len(line) > LONGEST:
            raise EquationError(f"it is longer than {LONGEST} letters")
        body = ast.parse(line).body
        if len(body) != 1 or not isinstance(body[0], ast.Assign) or len(body[0].targets) != 1:
            raise EquationError("it is no equation of this notation")
        target = body[0].targets[0]
        name, ago = self._step(target)
        if ago:
            raise EquationError("an equation sets a value at step t")
        if (name, 0) in self.known or name == STEP:
            raise EquationError(f"{name}[t] is set already")
        value = self.term(body[0].value)
        if isinstance(value, Weight | Concatenation) or value.expr.is_number or value.expr.is_Relational:
            raise EquationError("it sets no vector")
        return name, value

    def _step(self, node: ast.AST) -> tuple[str, int]:
        """Return the name of ``h[t]`` or ``h[t-2]``, and how many steps ago it was."""
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            when = re.fullmatch(r"t(?: - ([1-9]\d?))?", ast.unparse(node.slice))
            if when:
                return node.value.id, int(when[1] or 0)
        raise EquationError(f"{ast.unparse(node)} is neither a value at a step, such as h[t-1], nor a parameter")

    def term(self, node: ast.AST) -> Term:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            number = _number(node.operand)
            return -self.term(node.operand) if number is None else self._constant(-number)
        if (number := _number(node)) is not None:
            return self._constant(number)
        if isinstance(node, ast.Name) and node.id == STEP:
            return cast(Term, self.arguments[STEP])
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.value, ast.Name):
            return self._named(node)
        if isinstance(node, ast.Attribute) and node.attr == "T" and isinstance(weight := self.term(node.value), Weight):
            return weight.T
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            weight, operand = self.term(node.left), self.term(node.right)
            if not isinstance(weight, Weight) or operand.expr.is_number:
                raise EquationError("@ stands between a dense weight and a vector")
            # A product of two products, and a weight whose letters are others, were meant when they were written.
            return identity(weight @ (operand if isinstance(operand, Concatenation) else identity(operand)))
        if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
            return self._combined(BINARY[type(node.op)], node.left, node.right)
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARED:
            return self._combined(COMPARED[type(node.ops[0])], node.left, node.comparators[0])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._applied(node.func.id, [self.term(x) for x in node.args])
        raise EquationError(f"{ast.unparse(node)} is nothing of this notation")

    def _constant(self, number: float) -> Term:
        return Term(self.notes, sympy.sympify(number), None)

    def _applied(self, name: str, operands: list[Term]) -> Term:
        if name == "concat":
            return concat(*operands)
        if name == "together" and len(operands) == 1:
            return together(*operands)
        if name in self.over_units:
            return self._over_units(name, operands)
        if name in self.noise:
            return self._drawn(name, operands)
        function = self.functions.get(name)
        if function is None:
            raise EquationError(f"there is no function {name}")
        if len(operands) < function.operands:
            raise EquationError(f"{name} takes {function.operands} operands")
        return cast(Term, reduce(function, operands) if len(operands) > function.operands else function(*operands))

    def _over_units(self, name: str, operands: list[Term]) -> Term:
        function = self.over_units[name]
        if not function.fewest <= len(operands) <= function.operands:
            raise EquationError(f"{name} takes {function.fewest} to {function.operands} operands")
        first, *rest = operands
        numbers = [x.expr if x.expr.is_number else None for x in rest]
        given = [x if n is None else int(n) if n.is_Integer else float(n) for x, n in zip(rest, numbers, strict=True)]
        return cast(Term, function(first, *given))

    def _drawn(self, name: str, operands: list[Term]) -> Term:
        node, count = self.noise[name], NOISE[self.noise[name]].operands
        number = operands[-1].expr if operands else sympy.nan
        if len(operands) != count + 2 or not (number.is_Integer and 0 <= number < MOST):
            raise EquationError(f"{name} takes {count + 1} operands and a number")
        return applied(node, tuple(operands[:count]), operands[count], int(number))

    def _combined(self, combine: Callable[[Any, Any], Any], left: ast.AST, right: ast.AST) -> Term:
        a, b = self.term(left), self.term(right)
        if combine is operator.truediv and a.expr.is_Integer and b.expr.is_Integer:
            if b.expr == 0:
                raise EquationError("division by zero")
            return Term(self.notes, sympy.Rational(a.expr, b.expr), None)
        if combine is operator.pow and b.expr.is_number and (a.expr.is_number or not abs(float(b.expr)) <= LARGEST_POWER):
            raise EquationError("a power that SymPy would work out, whatever its length")
        return cast(Term, combine(a, b))

    def _named(self, node: ast.Attribute | ast.Subscript) -> Term:
        owner = self.arguments.get(node.value.id) if isinstance(node.value, ast.Name) else None
        step = isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant)  # c[t], a variable called c
        if isinstance(owner, Predecessors) and isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name):
            if node.slice.id != "t":
                return owner[node.slice.id]
        elif isinstance(owner, Namespace) and not step:
            letters = node.attr if isinstance(node, ast.Attribute) else getattr(node.slice, "value", None)
            if not isinstance(letters, str) or letters.startswith("_") or not letters:
                raise EquationError(f"{ast.unparse(node)} is no parameter")
            return owner[letters]
        name, ago = self._step(node)
        if (name, ago) in self.known:
            return self.known[name, ago]
        if ago and name in self.arguments and isinstance(self.arguments[name], Term):
            return cast(Term, self.arguments[name].ago(ago))
        raise EquationError(f"{ast.unparse(node)} is not known there")


def _number(node: ast.AST) -> float | None:
    """Return the number that is written there, if it can be computed with."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        number = cast(float, node.value)
        if not abs(number) <= LARGEST:
            raise EquationError("a number in it is too large")
        return number
    return None
