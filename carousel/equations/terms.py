"""The terms that stand for e, m, h, W, w and b while a cell's function is traced.

Everything in a cell but a dense product is pointwise, so a term is a SymPy expression for *one unit*, with the size of
the vector it belongs to beside it. Sizes are unknowns that the equations join; two that cannot be one are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import sympy

from carousel.equations.errors import EquationError

Expr = Any  # SymPy ships no types: an expression, a symbol or a condition


class Size:
    """An unknown vector length. Lengths that the equations join share one ``root``."""

    def __init__(self, letter: str, *, of_input: str = "", has_rows: bool = False):
        self.letter = letter
        self.of_input = of_input  # the input whose size it is, which the caller of a layer chooses
        self.has_rows = has_rows  # the rows of a weight or a bias, which the hidden size decides
        self._parent: Size | None = None

    @property
    def root(self) -> Size:
        return self if self._parent is None else self._parent.root

    def join(self, other: Size) -> None:
        """Make both one length; refuse where that would tie the hidden size to an input's, or two inputs' to each other."""
        a, b = self.root, other.root
        if a is b:
            return
        if a.of_input and b.of_input:
            one, other_one = sorted((a.of_input, b.of_input), key=lambda n: n == "e")
            raise EquationError(
                f"sizes that cannot agree: '{one}' and '{other_one}' are inputs of any sizes; say where they have one: "
                f'@cell(inputs={{"{one}": "{other_one}"}})'
            )
        if (a.of_input and b.has_rows) or (b.of_input and a.has_rows):
            inner, name = (b, a.of_input) if a.of_input else (a, b.of_input)
            said = '@cell(input_size="h")' if name == "e" else f'@cell(inputs={{"{name}": "h"}})'
            whose = "the input" if name == "e" else "the layer is given"
            raise EquationError(
                f"sizes that cannot agree: '{inner.letter}' has as many units as the hidden state, '{name}' as many as {whose}"
                f"; bring {name} to that size with a dense weight, such as W.h{name} @ {name}, or say that it has the size of "
                f"a state: {said}"
            )
        b._parent = a
        a.of_input = a.of_input or b.of_input
        a.has_rows |= b.has_rows


ROW = Size("row")  # of one number a row, such as a mean over units: its length is one


@dataclass(frozen=True)
class Parameter:
    """One named array of a cell: ``W.ie`` (dense), ``w.ih`` (diagonal), ``b.i`` (bias), ``c.T`` (a constant), ``c.A`` (a
    constant matrix), ``W.hh.T`` (a dense weight transposed) or ``p.h`` (a rate of noise, which the layer gives)."""

    name: str
    kind: str  # "dense", "diagonal", "bias", "constant", "matrix", "transposed", "rate"
    symbol: Expr
    rows: Size
    columns: tuple[Size, ...] = ()  # of matrices only; several where the operand is a concatenation
    heads: int = 1  # blocks on the diagonal, of which a dense weight, or one transposed, consists

    @property
    def learned(self) -> bool:
        """Whether a layer has it; all others are given, or made of those."""
        return self.kind in ("dense", "diagonal", "bias")

    @property
    def is_matrix(self) -> bool:
        """Whether it multiplies with @."""
        return self.kind in ("dense", "matrix", "transposed")

    @property
    def letters(self) -> str:
        """The part after the dot: ``ie`` of ``W.ie``."""
        return self.name.split(".", 1)[1]


@dataclass(frozen=True)
class Draw:
    """One use of noise, by its number in the cell: what is drawn for the units of a vector of that ``size``.

    ``once``: the same for all steps of a sequence.
    """

    number: int
    rate: Parameter
    size: Size
    once: bool = False


@dataclass(frozen=True)
class Product:
    """A dense weight times a vector. ``part`` counts the block of columns where the operand is a concatenation."""

    symbol: Expr
    weight: Parameter
    operand: Expr
    part: int = 0
    shown: bool = True  # a concatenation's first part prints the whole of it, the others nothing
    beside: tuple[Expr, ...] = ()  # all parts of the concatenation


@dataclass(frozen=True)
class Input:
    """A further input of each step. ``like``: 1 of one number a row (``size`` is ROW), the name of what has as many units, or
    None, where the layer is given its size."""

    name: str
    like: int | str | None
    symbol: Expr
    size: Size

    @property
    def is_number(self) -> bool:
        """Whether it is one number a row."""
        return self.size is ROW


@dataclass
class Notes:
    """The record that a trace keeps while the function runs."""

    sizes: dict[str, Size]
    constants: frozenset[str]
    matrices: frozenset[str] = frozenset()  # of the constants
    inputs: dict[str, Input] = field(default_factory=dict)  # the further ones
    parameters: dict[str, Parameter] = field(default_factory=dict)
    products: dict[Expr, Product] = field(default_factory=dict)
    concatenations: dict[Expr, tuple[Expr, ...]] = field(default_factory=dict)
    draws: dict[int, Draw] = field(default_factory=dict)
    written: dict[Expr, int] = field(default_factory=dict)  # when each expression was first written: the slide's order
    delays: dict[str, int] = field(default_factory=dict)  # of the input and of states, by letter: the most steps back

    def parameter(self, namespace: str, letters: str) -> Parameter:
        name = f"{namespace}.{letters}"
        if name in self.parameters:
            return self.parameters[name]
        of_c = "matrix" if letters in self.matrices else "constant"
        kind = {"W": "dense", "w": "diagonal", "b": "bias", "c": of_c, "p": "rate"}[namespace]
        if kind == "constant" and letters not in self.constants:
            known = sorted(self.constants | self.matrices)
            raise EquationError(f"{name} is not among the constants of @cell(constants=…, matrices=…): {known}")
        if kind == "rate":  # of as many units as what it is used with, whatever its letters are
            return self.enter(Parameter(name, kind, sympy.Symbol(f"p_{letters}", real=True), Size(letters)))
        # "into a from b": the rows have a's size if a is the input or a state, else a size of their own.
        given = namespace == "c"
        into = letters if letters in self.sizes or kind == "bias" or given else letters[0]
        if not given and into in self.inputs and self.inputs[into].is_number:
            raise EquationError(f"{name} reads 'into {into}', but {into} is an input, one number a row: rename one of them")
        rows = self.sizes.setdefault(into, Size(into, has_rows=not given))
        if not rows.root.of_input and rows.root is not self.sizes["e"].root and not given:
            rows.root.has_rows = True
        return self.enter(Parameter(name, kind, sympy.Symbol(f"{namespace}_{letters}", real=True), rows))

    def enter(self, parameter: Parameter) -> Parameter:
        """Note a parameter. Raises EquationError where another one has its symbol."""
        for other in self.parameters.values():
            if other.symbol == parameter.symbol and other.name != parameter.name:
                raise EquationError(f"{parameter.name} and {other.name} cannot be told apart: give one of them other letters")
        self.parameters[parameter.name] = parameter
        return parameter


MOST_STEPS = 64  # of a delay: each costs a state, which is copied at every step


def delayed(letter: str, steps: int) -> str:
    """Return the name of the state that keeps a value of so many steps ago."""
    return f"{letter}_ago{steps}"


class Term:
    """A vector (or a number, where ``size`` is None) in a cell's equations; combine it with + − * / % and comparisons."""

    __array_ufunc__ = None  # NumPy must not try to spread over it

    def __init__(self, notes: Notes, expr: Expr, size: Size | None, *, dense: bool = False, letter: str | None = None):
        self.notes, self.expr, self.size = notes, expr, size
        self.dense = dense  # holds a dense product that no function has been applied to
        self.letter = letter  # set for the input and the states as they came in

    @staticmethod
    def apply(build: Callable[..., Expr], name: str, operands: Iterable[Any], *, dense: bool = False) -> Term:
        """Build a term of SymPy's making, its operands' sizes joined. Raises EquationError for an operand that is no term."""
        operands = tuple(operands)
        for x in operands:
            if isinstance(x, Namespace):
                raise x.refusal()
        terms = [x for x in operands if isinstance(x, Term)]
        if not terms:
            raise EquationError(f"{name} takes a term of the equations, not {type(operands[0]).__name__}")
        for x in operands:
            if isinstance(x, Weight):
                raise EquationError(f"{x.parameter.name} is dense: multiply it from the left, {x.parameter.name} @ …")
            if not isinstance(x, Term | int | float):
                raise EquationError(f"{name} takes terms of the equations and numbers, not {type(x).__name__}")
            if isinstance(x, Concatenation):
                raise EquationError("concat(…) can only be multiplied by a dense weight: W.f @ concat(m, e)")
            if isinstance(x, Term) and x.expr.is_Relational and name != "where":
                raise EquationError(f"{name} takes numbers, not a condition: use where(condition, x, y)")
        size: Size | None = None
        for x in terms:
            if size is not None and x.size is not None:
                size.join(x.size)
            size = size or x.size
        values = [x.expr if isinstance(x, Term) else sympy.sympify(x) for x in operands]
        notes, expr = terms[0].notes, build(*values)
        notes.written.setdefault(expr, len(notes.written))
        return Term(notes, expr, size, dense=dense)

    def ago(self, steps: int) -> Term:
        """Return the input or a state of so many steps ago, zero before the first step: ``h.ago(2)`` is h of step t − 2.

        A state as it comes in is of one step ago, so ``h.ago(1)`` is ``h``, and ``e.ago(0)`` is ``e``.

        Raises:
            EquationError: for anything but the input and the states as they come in, and for steps that are still to come.
        """
        if self.letter is None:
            raise EquationError("only the input and the states as they come in have a past: h.ago(2), before h is set")
        if self.size is None:
            raise EquationError(f"{self.letter} is one number a row, and only vectors have a past: hand the layer what it was")
        least = 0 if self.letter in ("e", *self.notes.inputs) else 1
        if not isinstance(steps, int) or isinstance(steps, bool) or not least <= steps <= MOST_STEPS:
            raise EquationError(f"{self.letter}.ago takes a whole number of steps from {least} to {MOST_STEPS}, not {steps!r}")
        if steps == least:
            return self
        self.notes.delays[self.letter] = max(steps, self.notes.delays.get(self.letter, 0))
        return Term(self.notes, sympy.Symbol(f"{delayed(self.letter, steps)}_tm1", real=True), self.size)

    def _sum(self, other: Any, sign: int = 1) -> Term:
        def build(a: Expr, b: Expr) -> Expr:
            b = b if sign == 1 else -b if b.is_Number else sympy.Mul(-1, b, evaluate=False)
            flat = [y for x in (a, b) for y in (x.args if x.is_Add else (x,))]
            return sympy.Add(*flat, evaluate=False)  # unevaluated: SymPy would sort the slide's order away

        return Term.apply(build, "+" if sign == 1 else "-", (self, other), dense=_dense(self, other))

    def __add__(self, other: Any) -> Term:
        return self._sum(other)

    def __radd__(self, other: Any) -> Term:
        return Term.apply(lambda b, a: sympy.Add(a, b, evaluate=False), "+", (self, other), dense=self.dense)

    def __sub__(self, other: Any) -> Term:
        return self._sum(other, -1)

    def __rsub__(self, other: Any) -> Term:
        return (-self).__radd__(other)

    def __neg__(self) -> Term:
        return Term.apply(lambda a: sympy.Mul(-1, a, evaluate=False), "-", (self,), dense=self.dense)

    def __mul__(self, other: Any) -> Term:
        if isinstance(other, Term) and self.dense and other.dense:
            raise EquationError(
                "a product of two dense terms: a gate is a sum of dense terms inside a function such as logistic; "
                "if the product is meant, wrap one factor in identity(…)"
            )
        return Term.apply(_times, "*", (self, other), dense=_dense(self, other))

    def __rmul__(self, other: Any) -> Term:
        return Term.apply(lambda b, a: _times(a, b), "*", (self, other), dense=self.dense)

    def __truediv__(self, other: Any) -> Term:
        if isinstance(other, Term) and other.dense:
            raise EquationError("division by a dense term, which may be zero: apply a function to it first")
        return Term.apply(lambda a, b: _times(a, sympy.Pow(b, -1)), "/", (self, other), dense=self.dense)

    def __rtruediv__(self, other: Any) -> Term:
        return Term.apply(lambda b, a: _times(a, sympy.Pow(b, -1)), "/", (self, other))

    def __pow__(self, other: Any) -> Term:
        if self.dense:
            raise EquationError("a power of a dense term: apply a function to it first")
        return Term.apply(lambda a, b: sympy.Pow(a, b, evaluate=False), "**", (self, other))

    def __abs__(self) -> Term:
        return Term.apply(lambda a: sympy.Abs(a, evaluate=False), "abs", (self,))

    def __mod__(self, other: Any) -> Term:
        return Term.apply(lambda a, b: sympy.Mod(a, b, evaluate=False), "%", (self, other))

    def _compare(self, relation: Any, other: Any) -> Term:
        return Term.apply(lambda a, b: relation(a, b, evaluate=False), relation.__name__, (self, other))

    def __lt__(self, other: Any) -> Term:
        return self._compare(sympy.StrictLessThan, other)

    def __le__(self, other: Any) -> Term:
        return self._compare(sympy.LessThan, other)

    def __gt__(self, other: Any) -> Term:
        return self._compare(sympy.StrictGreaterThan, other)

    def __ge__(self, other: Any) -> Term:
        return self._compare(sympy.GreaterThan, other)

    def __eq__(self, other: Any) -> Term:  # type: ignore[override]  # an equation, as in SymPy and PyTorch
        return self._compare(sympy.Eq, other)

    __hash__ = None  # type: ignore[assignment]  # as Python does where equality is redefined

    def __iter__(self) -> Any:
        raise EquationError("a vector of the equations has no parts to go through; the sum over its units is total(x)")

    def __bool__(self) -> bool:
        raise EquationError("a condition is not known while the cell is defined: use where(condition, x, y)")

    def __float__(self) -> float:
        raise EquationError("unknown function: only those of carousel.equations can be applied to a term")

    def __matmul__(self, other: Any) -> Term:
        raise EquationError("only a dense weight multiplies with @: W.ab @ x (use * for units, gate by gate)")


def rebuild(expr: Expr, args: list[Expr]) -> Expr:
    """Return the same node over other arguments, unevaluated, so that the slide's order stays."""
    if tuple(args) == expr.args:
        return expr
    plain = isinstance(expr, sympy.functions.elementary.piecewise.ExprCondPair)  # the one node without the option
    return expr.func(*args) if plain else expr.func(*args, evaluate=False)


def _dense(*xs: Any) -> bool:
    return any(isinstance(x, Term) and x.dense for x in xs)


def _times(a: Expr, b: Expr) -> Expr:
    flat = [y for x in (a, b) for y in (x.args if x.is_Mul else (x,))]
    return sympy.Mul(*flat, evaluate=False)


class Concatenation(Term):
    """Several vectors one after the other, Olah's [h, x]; only a dense weight can take it."""

    def __init__(self, parts: tuple[Term, ...]):
        self.parts = parts
        super().__init__(parts[0].notes, parts[0].expr, None)


def concat(*parts: Term) -> Concatenation:
    """Return the vectors one after the other, to be multiplied by one dense weight: ``W.f @ concat(m, e)``."""
    for p in parts:
        if isinstance(p, Namespace):
            raise p.refusal()
    if not parts or not all(isinstance(p, Term) for p in parts):
        raise EquationError("concat takes terms of the equations: concat(m, e)")
    return Concatenation(parts)


class Weight(Term):
    """A dense weight or a constant matrix: it multiplies with ``@``, and ``T`` transposes it."""

    def __init__(self, notes: Notes, parameter: Parameter):
        super().__init__(notes, parameter.symbol, parameter.rows)
        self.parameter = parameter

    @property
    def T(self) -> Weight:  # as NumPy and PyTorch name it
        """The weight transposed, the same numbers: ``W.hh @ h - W.hh.T @ h`` is antisymmetric."""
        own = self.notes.parameters[self.parameter.name]
        if own.kind != "dense":
            raise EquationError(f"{own.name}.T: only a dense weight is transposed")
        if not own.columns:
            letter = own.letters[-1]
            columns = (self.notes.sizes[letter] if letter in self.notes.sizes else Size(letter),)
            own = self.notes.parameters[own.name] = replace(own, columns=columns)
        if len(own.columns) > 1:
            raise EquationError(f"{own.name} multiplies several vectors side by side, so it is not transposed")
        turned = Parameter(
            f"{own.name}.T", "transposed", sympy.Symbol(f"{own.symbol}_T", real=True), own.columns[0], (own.rows,)
        )
        return Weight(self.notes, self.notes.parameters.get(turned.name) or self.notes.enter(turned))

    def __matmul__(self, other: Any) -> Term:
        if isinstance(other, Namespace):
            raise other.refusal()
        if not isinstance(other, Term) or isinstance(other, Weight):
            raise EquationError(f"{self.parameter.name} @ takes a vector of the equations")
        notes, name, letters = self.notes, self.parameter.name, self.parameter.letters
        parts = other.parts if isinstance(other, Concatenation) else (other,)
        if (
            self.parameter.kind == "dense"
            and len(letters) == 2
            and other.letter
            and letters[1] != other.letter
            and letters[1] in notes.sizes
        ):
            raise EquationError(
                f"{name} reads 'into {letters[0]} from {letters[1]}', but multiplies {other.letter}: "
                f"write W.{letters[0]}{other.letter} @ {other.letter}"
            )
        for part in parts:
            if part.size is None and not part.expr.is_number:
                raise EquationError(
                    f"{name} is dense, and multiplies one number a row here: write w.{letters} * {part.letter or '…'}"
                )
        columns = tuple(p.size if p.size is not None else Size(letters[-1]) for p in parts)
        known = notes.parameters[name]
        if not known.columns:
            known = notes.parameters[name] = replace(known, columns=columns)
        elif len(known.columns) != len(columns):
            raise EquationError(f"{name} multiplies {len(columns)} vectors here and {len(known.columns)} elsewhere")
        for a, b in zip(known.columns, columns, strict=True):
            a.join(b)
        symbols, beside = [], tuple(p.expr for p in parts) if len(parts) > 1 else ()
        for k, part in enumerate(parts):
            wanted = (name, part.expr, k, beside)  # another concatenation that begins alike is printed otherwise
            same = [p for p in notes.products.values() if (p.weight.name, p.operand, p.part, p.beside) == wanted]
            symbol = same[0].symbol if same else sympy.Symbol(f"P{len(notes.products)}", real=True)
            notes.products.setdefault(symbol, Product(symbol, known, part.expr, k, k == 0, beside))
            symbols.append(symbol)
        if len(symbols) > 1:
            notes.concatenations[symbols[0]] = beside
        expr = symbols[0] if len(symbols) == 1 else sympy.Add(*symbols, evaluate=False)
        notes.written.setdefault(expr, len(notes.written))
        return Term(notes, expr, known.rows, dense=True)


class Rate(Term):
    """A rate of noise, which a layer of the cell gives."""

    def __init__(self, notes: Notes, parameter: Parameter):
        super().__init__(notes, parameter.symbol, parameter.rows)
        self.parameter = parameter


# The names asked for in each of a signature's namespaces.
HOLDS = {"W": "dense weights", "w": "diagonal weights", "b": "biases", "c": "constants", "p": "rates"}


class Namespace:
    """``W``, ``w``, ``b``, ``c``, ``p`` in a cell's signature: ``W.ie``, or ``W["i", "f"]`` where that is a keyword."""

    def __init__(self, notes: Notes, name: str):
        self._notes, self._name = notes, name

    def __getattr__(self, letters: str) -> Term:
        if letters.startswith("__"):
            raise AttributeError(letters)
        parameter = self._notes.parameter(self._name, letters)
        if parameter.is_matrix:
            return Weight(self._notes, parameter)
        if self._name == "p":
            return Rate(self._notes, parameter)
        return Term(self._notes, parameter.symbol, parameter.rows)

    def __getitem__(self, letters: str | tuple[str, ...]) -> Term:
        return getattr(self, "".join(letters))

    def refusal(self) -> EquationError:
        """Return the error for a namespace in the place of a vector."""
        name = self._name
        return EquationError(
            f"{name} is where {HOLDS[name]} come from, not a vector: write {name}.{'T' if name == 'c' else 'h'} for one of "
            f"them, or another letter for a state or a variable"
        )

    def _refuse(self, *_: Any) -> Any:
        raise self.refusal()

    __add__ = __radd__ = __sub__ = __rsub__ = __neg__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = _refuse
    __abs__ = __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __mod__ = __rmod__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __eq__ = __ne__ = _refuse
    __hash__ = None  # type: ignore[assignment]  # as Python does where equality is redefined
