"""Run a cell's function once on symbols and write down its equations."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy

from carousel.equations.before import Before, Predecessors, checked, names, value_before
from carousel.equations.errors import EquationError
from carousel.equations.functions import FUNCTIONS, gates
from carousel.equations.inputs import Inputs, check
from carousel.equations.noise import NOISE
from carousel.equations.notes import ROW, Draw, Expr, Input, Notes, Parameter, Product, Size, rebuild
from carousel.equations.returned import check_inputs, check_order, check_spaces
from carousel.equations.running import Written
from carousel.equations.terms import HOLDS, Concatenation, Namespace, Term, Weight, delayed
from carousel.equations.units import OVER_UNITS

INPUT, STEP = "e", "t"


@dataclass(frozen=True)
class State:
    """One thing a cell remembers: its letter, the symbols of its last and its new value, and its size.

    Where steps follow several, there is one for each of them, ``edge`` its name, and all have the same new value.
    """

    name: str
    before: Expr
    after: Expr
    size: Size | None  # None: the step number, one a row
    edge: str = ""


@dataclass(frozen=True)
class Trace:
    """A cell as symbols. ``equations`` are in the order in which they can be computed, states included."""

    name: str
    input: Expr
    input_size: Size
    states: tuple[State, ...]
    equations: tuple[tuple[Expr, Expr], ...]  # (symbol, value)
    parameters: tuple[Parameter, ...]
    products: Mapping[Expr, Product]
    concatenations: Mapping[Expr, tuple[Expr, ...]]
    sizes: Mapping[Expr, Size | None]  # of each equation's symbol
    gates: tuple[str, ...]
    input_like: str | None = None  # the state that has the input's size, where the cell says so
    same: tuple[str, ...] = ()  # states that have one size, where the cell says so
    inputs: tuple[Input, ...] = ()  # the further ones
    draws: tuple[Draw, ...] = ()  # uses of noise
    delays: Mapping[Expr, tuple[str, int]] = field(default_factory=dict)  # states that keep a value of so many steps ago
    heads: int = 1  # blocks on the diagonal, of which dense weights from states consist
    before: Before = ()  # the names of what a step follows, or that of a set; of a chain none

    @property
    def declared(self) -> tuple[State, ...]:
        """The states that the cell's function has as arguments: all but those that keep a value of some steps ago.

        Where steps follow several, each once.
        """
        own = {s.name: s for s in reversed(self.states) if s.before not in self.delays}
        return tuple(reversed(own.values()))

    @property
    def unseen(self) -> frozenset[Expr]:
        """New values of the states that go on by themselves, whose equations nobody writes: the clock's and the past's."""
        return frozenset(s.after for s in self.states if s.size is None or s.before in self.delays)

    def from_state(self, parameter: Parameter) -> bool:
        """Return whether a dense weight multiplies what depends on a state, or has a state's size."""
        given = (self.input_size.root, *(x.size.root for x in self.inputs if x.like is None))
        vectors = [x for x in self.inputs if not x.is_number]
        if self.input_like is None and all(x.size.root in given for x in vectors):
            return any(c.root not in given for c in parameter.columns)
        return not all(self.of_inputs(p) for p in self.products.values() if p.weight.name == parameter.name)

    def of_inputs(self, product: Product) -> bool:
        """Return whether a product's operand is made of a step's inputs alone, as it is written."""
        return bool(product.operand.free_symbols <= {self.input, *(x.symbol for x in self.inputs)})

    @property
    def names(self) -> tuple[str, ...]:
        """The names that can be watched: every named quantity of a step, gates and states among them."""
        past = self.unseen - {s.after for s in self.declared}
        return tuple(str(symbol)[:-2] for symbol, _ in self.equations if symbol not in past)

    @property
    def expressions(self) -> tuple[Expr, ...]:
        """The right sides of the equations, and what dense weights multiply."""
        return (*(expr for _, expr in self.equations), *(p.operand for p in self.products.values()))


def symbol(name: str, when: str = "t") -> Expr:
    """Return a quantity's symbol: ``i`` at this step is i_t, ``h`` at the last h_tm1 (as in the lecture's Theano step)."""
    return sympy.Symbol(f"{name}_{when}", real=True)


def trace(
    written: Written,
    constants: frozenset[str],
    matrices: frozenset[str],
    name: str,
    input_like: str | None = None,
    same: tuple[str, ...] = (),
    inputs: Inputs | None = None,
    before: Before = (),
) -> Trace:
    """Trace a function, whose input has the size of the state ``input_like``, and whose states ``same`` have one size.

    ``inputs`` are the further ones, ``before`` what a step follows, as ``cell`` takes them. Raises EquationError, with the
    line, for equations that cannot be a cell.
    """
    first = written.first

    def refuse(reason: str, line: int = first) -> EquationError:
        return EquationError(reason, written.filename, line, name)

    arguments = list(written.arguments)
    inputs = inputs or {}
    asked = "p" not in inputs and written.rates  # for rates; else it is an ordinary letter
    spaces = {"W", "w", "b"} | ({"c"} if constants or matrices else set()) | ({"p"} if asked else set())
    state_names = [a for a in arguments if a not in spaces | {INPUT, STEP, *inputs}]
    if not arguments or arguments[0] != INPUT:
        raise refuse("the first argument of a cell is its input, e")
    if not state_names:
        raise refuse("a cell needs a state: an argument such as h besides e, W, w, b")
    if input_like is not None and input_like not in state_names:
        raise refuse(f"input_size names a state of the cell, {' or '.join(state_names)}, not {input_like!r}")
    for wrong in [s for s in same if s not in state_names]:
        raise refuse(f"same names states of the cell, {' or '.join(state_names)}, not {wrong!r}")

    if before and STEP in arguments:
        raise refuse("t counts the steps of a chain, and this cell's steps follow several: call the argument something else")

    try:
        check(inputs, arguments, state_names, spaces)
        before = checked(before, arguments)
    except EquationError as error:
        raise refuse(error.reason) from error
    notes, values = symbols(state_names, constants, matrices, input_like, same, inputs, before)
    try:
        returned, variables = written.run([values[a] for a in arguments])
    except Exception as error:  # whatever a user's function raises is told with its line
        reason = error.reason if isinstance(error, EquationError) else _explain(error)
        raise refuse(reason, written.line_of(error) or first) from error

    last = written.last
    try:
        check_spaces(returned, state_names, variables, spaces & set(arguments))
        check_inputs(returned, state_names, [values[n] for n in inputs])
        outputs = _new_states(returned, state_names, notes.sizes)
        check_order(outputs, state_names, values, variables)
        own = {variable: value for variable, value in variables.items() if variable not in arguments}
        made = traced(name, notes, state_names, outputs, own, clock=STEP in arguments, input_like=input_like, same=same)
    except EquationError as error:
        raise refuse(error.reason, last) from error
    if before and made.draws:
        raise refuse("noise is drawn along a chain, and this cell's steps follow several: apply dropout to the layer's input")
    try:
        check_names(made)
    except EquationError as error:
        raise refuse(error.reason) from error
    return made


def symbols(
    states: list[str],
    constants: frozenset[str],
    matrices: frozenset[str],
    input_like: str | None,
    same: Sequence[str] = (),
    inputs: Inputs | None = None,
    before: Before = (),
) -> tuple[Notes, dict[str, Any]]:
    """Return the values that stand for a cell's arguments, by name, and the notes that are taken of their use."""
    own = {a: a for a, like in (inputs or {}).items() if like is None} | ({} if input_like else {INPUT: INPUT})
    vectors = [a for a, like in (inputs or {}).items() if like != 1]
    notes = Notes({a: Size(a, of_input=own.get(a, "")) for a in (INPUT, *states, *vectors)}, constants, matrices)
    notes.before = before
    if input_like is not None:
        notes.sizes[INPUT].has_rows = True  # no further input has it by chance
        notes.sizes[input_like].join(notes.sizes[INPUT])
    for state in same[1:]:
        notes.sizes[same[0]].join(notes.sizes[state])
    for name, like in (inputs or {}).items():
        notes.inputs[name] = Input(name, like, symbol(name), notes.sizes.get(name, ROW))
        if isinstance(like, str):
            notes.sizes[like].join(notes.sizes[name])
    values: dict[str, Any] = {s: Namespace(notes, s) for s in HOLDS}
    values[INPUT] = Term(notes, symbol(INPUT), notes.sizes[INPUT], letter=INPUT)
    values[STEP] = Term(notes, symbol(STEP, "tm1"), None)
    values |= {n: Term(notes, x.symbol, None if x.is_number else x.size, letter=n) for n, x in notes.inputs.items()}
    if before:
        return notes, values | {s: Predecessors(notes, s, notes.sizes[s], before) for s in states}
    return notes, values | {s: Term(notes, symbol(s, "tm1"), notes.sizes[s], letter=s) for s in states}


def check_name(name: str) -> None:
    """Raise EquationError unless a cell's name can stand in a comment of every language that the cell is printed in."""
    if not name or not name.isprintable() or "*/" in name or "<" in name:
        raise EquationError(f"a cell's name is one line of text without < and */, not {name!r}")


def traced(
    name: str,
    notes: Notes,
    states: list[str],
    outputs: tuple[Term, ...],
    variables: Mapping[str, Any],
    *,
    clock: bool,
    input_like: str | None,
    same: tuple[str, ...] = (),
) -> Trace:
    """Return the trace of a cell, of its states' new values and its variables. Raises EquationError."""
    check_name(name)
    named = list(zip(states, outputs, strict=True))
    for variable, value in variables.items():
        several = [(f"{variable}{k}", x) for k, x in enumerate(value)] if isinstance(value, list) else [(variable, value)]
        named += [(n, x) for n, x in several if isinstance(x, Term) and not isinstance(x, Weight | Concatenation)]
    equations, quantities = _named_equations(named, notes, len(states))
    edges = names(notes.before)
    made = [State(s, symbol(s, "tm1"), symbol(s), notes.sizes[s]) for s in states if not edges]
    made += [State(s, value_before(s, edge), symbol(s), notes.sizes[s], edge) for s in states for edge in edges]
    delays: dict[Expr, tuple[str, int]] = {}
    for letter in (x for x in (INPUT, *notes.inputs, *states) if x in notes.delays):
        now = letter not in states
        last = symbol(letter) if now else symbol(letter, "tm1")
        for steps in range(1 if now else 2, notes.delays[letter] + 1):
            kept = delayed(letter, steps)
            if kept in quantities or kept in states:
                raise EquationError(f"{kept} is the name of {letter}.ago({steps}): call the other one something else")
            made.append(State(kept, symbol(kept, "tm1"), symbol(kept), notes.sizes[letter]))
            equations.append((symbol(kept), last))
            last = symbol(kept, "tm1")
            delays[last] = letter, steps
    if clock:
        made.append(State(STEP, symbol(STEP, "tm1"), symbol(STEP), None))
        equations.append((symbol(STEP), symbol(STEP, "tm1") + 1))
    used = _used(equations, notes)
    turned = [p for p in notes.parameters.values() if p.kind == "transposed" and p.symbol in used]
    used |= {notes.parameters[p.name.removesuffix(".T")].symbol for p in turned}
    return Trace(
        name=name,
        input=symbol(INPUT),
        input_size=notes.sizes[INPUT],
        states=tuple(made),
        equations=tuple(equations),
        parameters=tuple(p for p in notes.parameters.values() if p.symbol in used),
        products={s: p for s, p in notes.products.items() if s in used},
        concatenations=notes.concatenations,
        sizes={symbol(n): v.size for n, v in quantities.items()} | {s.after: s.size for s in made},
        gates=_gates(equations, notes),
        input_like=input_like,
        same=same,
        delays=delays,
        inputs=tuple(notes.inputs.values()),
        draws=tuple(d for _, d in sorted(notes.draws.items()) if d.rate.symbol in used),
        before=notes.before,
    )


def _new_states(returned: Any, states: list[str], sizes: dict[str, Size]) -> tuple[Term, ...]:
    """Return the states' new values, checked, and joined to the states' sizes."""
    outputs = returned if isinstance(returned, tuple) else (returned,)
    if len(outputs) > len(states):
        raise EquationError(f"{len(outputs)} values are returned for {len(states)} states ({', '.join(states)})")
    if len(outputs) < len(states):
        raise EquationError(f"state {states[len(outputs)]} is never set: return {', '.join(states)}")
    for state, value in zip(states, outputs, strict=True):
        if isinstance(value, Predecessors):
            raise EquationError(f"state {state} is never set: it is returned as it came in")
        if not isinstance(value, Term) or isinstance(value, Weight | Concatenation):
            raise EquationError(f"state {state} is set to something that is no vector of the equations")
        if value.each:
            raise EquationError(f"state {state} is set to a value of each {value.notes.before}: sum them, together(…)")
        if value.letter == state:
            raise EquationError(f"state {state} is never set: it is returned as it came in")
        if value.size is not None:
            sizes[state].join(value.size)
    return outputs


def check_names(made: Trace) -> None:
    """Refuse a parameter whose symbol is another quantity's too: the bias ``b.x_t`` and a variable ``b_x``."""
    quantities = {s for s, _ in made.equations} | {s.before for s in made.states} | {x.symbol for x in made.inputs}
    for p in made.parameters:
        if p.symbol in quantities:
            name = str(p.symbol).rpartition("_")[0]
            raise EquationError(f"{p.name} and the variable {name} cannot be told apart: call one of them something else")


def _explain(error: Exception) -> str:
    others = [f.name for f in OVER_UNITS.values() if not f.of_heads] + [f.name for f in NOISE.values() if not f.once]
    known = ", ".join([*(f.name for f in FUNCTIONS.values()), "identity", "concat", *others])
    if isinstance(error, NameError):
        return f"unknown function or variable {error.name}; the functions of carousel.equations are {known}"
    return f"{type(error).__name__}: {error}; the functions of carousel.equations are {known}"


def _named_equations(
    named: list[tuple[str, Term]], notes: Notes, states: int
) -> tuple[list[tuple[Expr, Expr]], dict[str, Term]]:
    """Return one equation for each name, in computable order, each written with the names of the others.

    A gate is named by its bias letter even where the function gives it no variable of its own.
    """
    quantities = dict(named[:states])
    # An expression is replaced by its name wherever it occurs; a bare symbol or parameter is not worth a name. A state that is
    # set to one number a row has units, so its name cannot stand for that number.
    by_expr = {v.expr: s for s, v in quantities.items() if v.expr.args and v.size is not None}
    for local, value in named[states:]:
        if value.expr.args and value.expr not in by_expr:
            taken = local in quantities or (local in notes.sizes and local in "et")
            quantities[local if not taken else f"{local}_"] = value
            by_expr[value.expr] = local if not taken else f"{local}_"
    everywhere = [v.expr for v in quantities.values()] + [p.operand for p in notes.products.values()]
    for expr in everywhere:
        for gate in expr.atoms(*gates()):
            letters = _bias_letters(gate, notes)
            taken = letters in quantities or letters in (INPUT, *notes.inputs) or keyword.iskeyword(letters or "")
            if gate not in by_expr and letters and not taken:
                quantities[letters] = Term(notes, gate, notes.sizes[letters])
                by_expr[gate] = letters

    def rewrite(expr: Expr, own: Expr | None) -> Expr:
        if expr is not own and expr in by_expr:
            return symbol(by_expr[expr])
        if not expr.args:
            return expr
        args = [rewrite(a, own) for a in expr.args]
        return rebuild(expr, args)

    # Operands of products hold expressions too: v4's message is a product of the gated memory.
    for key, product in notes.products.items():
        notes.products[key] = Product(key, product.weight, rewrite(product.operand, None), product.part, product.shown)
    for key, parts in notes.concatenations.items():
        notes.concatenations[key] = tuple(rewrite(p, None) for p in parts)

    # An expression is written after all that it needs, so the order of writing can be computed, and is the slide's.
    order = sorted(quantities, key=lambda n: notes.written.get(quantities[n].expr, len(notes.written)))
    return [(symbol(n), rewrite(quantities[n].expr, quantities[n].expr)) for n in order], quantities


def _symbols(expr: Expr, notes: Notes) -> list[Expr]:
    """Return the symbols of an expression in reading order, the ones inside dense products included."""
    found: list[Expr] = []
    for node in sympy.preorder_traversal(expr):
        if node in notes.products:
            found += [notes.products[node].weight.symbol, *_symbols(notes.products[node].operand, notes)]
        if node.is_Symbol:
            found.append(node)
    return found


def _used(equations: list[tuple[Expr, Expr]], notes: Notes) -> set[Expr]:
    return {s for _, expr in equations for s in _symbols(expr, notes)}


def _bias_letters(gate: Expr, notes: Notes) -> str | None:
    for p in notes.parameters.values():
        if p.kind == "bias" and p.symbol in (gate.args[0], *gate.args[0].args):
            return p.letters
    return None


def _gates(equations: list[tuple[Expr, Expr]], notes: Notes) -> tuple[str, ...]:
    """Return the gates. A gate is a valve: a function between 0 and 1 that multiplies something, itself or as 1 − gate."""
    factors: set[Expr] = set()
    everything = [expr for _, expr in equations] + [p.operand for p in notes.products.values()]
    for expr in everything:
        for product in expr.atoms(sympy.Mul):
            for factor in product.args:
                factors |= factor.free_symbols if factor.is_Add or factor.is_Symbol else set()
    return tuple(str(s)[:-2] for s, expr in equations if isinstance(expr, gates()) and s in factors)
