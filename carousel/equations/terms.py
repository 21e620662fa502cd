"""The terms that stand for e, m, h, W, w and b while a cell's function is traced.

Everything in a cell but a dense product is pointwise, so a term is a SymPy expression for *one unit*, with the size of
the vector it belongs to beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import sympy

from carousel.equations.errors import EquationError
from carousel.equations.notes import Expr, Notes, Parameter, Product, Size

INFINITE = (sympy.oo, -sympy.oo, sympy.zoo, sympy.nan)  # of a float, or of a division by 0
MOST_STEPS = 64  # of a delay: each costs a state, which is copied at every step


def delayed(letter: str, steps: int) -> str:
    """Return the name of the state that keeps a value of so many steps ago."""
    return f"{letter}_ago{steps}"


class Term:
    """A vector (or a number, where ``size`` is None) in a cell's equations; combine it with + − * / % and comparisons."""

    __array_ufunc__ = None  # NumPy must not try to spread over it

    def __init__(
        self,
        notes: Notes,
        expr: Expr,
        size: Size | None,
        *,
        dense: bool = False,
        letter: str | None = None,
        each: bool = False,
    ):
        self.notes, self.expr, self.size = notes, expr, size
        self.dense = dense  # holds a dense product that no function has been applied to
        self.letter = letter  # set for the input and the states as they came in
        self.each = each  # has a value for each step of the set that a step follows

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
        parts = expr.args if expr.is_Add or expr.is_Mul or expr.is_Pow else ()  # minimum(x, ∞) is x
        if any(x in INFINITE for x in (expr, *parts)):
            raise EquationError(f"{name} gives a number that is not finite")
        notes.written.setdefault(expr, len(notes.written))
        return Term(notes, expr, size, dense=dense, each=any(x.each for x in terms))

    def ago(self, steps: int) -> Term:
        """Return the input or a state of so many steps ago, zero before the first step: ``h.ago(2)`` is h of step t − 2.

        A state as it comes in is of one step ago, so ``h.ago(1)`` is ``h``, and ``e.ago(0)`` is ``e``.

        Raises:
            EquationError: for anything but the input and the states as they come in, and for steps that are still to come.
        """
        if self.notes.before:
            raise EquationError("only a chain has steps so many ago, and this cell's steps follow several")
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


def _dense(*xs: Any) -> bool:
    return any(isinstance(x, Term) and x.dense for x in xs)


def _times(a: Expr, b: Expr) -> Expr:
    flat = [y for x in (a, b) for y in (x.args if x.is_Mul else (x,))]
    return sympy.Mul(*flat, evaluate=False)


class Concatenation(Term):
    """Several vectors one after the other, Olah's [h, x]; only a dense weight can take it."""

    def __init__(self, parts: tuple[Term, ...]):
        self.parts = parts
        super().__init__(parts[0].notes, parts[0].expr, None, each=any(p.each for p in parts))


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
        return Term(notes, expr, known.rows, dense=True, each=other.each)


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
