"""The one table of functions: each one's meaning in the equations, and its name in every language.

``@function`` enters a function as ``@cell`` does a cell: its body says in SymPy's terms how it is defined, so a language that
has no words for it can write it with others. What SymPy's derivatives hold besides, ``tamed`` writes with them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce, update_wrapper
from typing import Any

import sympy
from sympy.printing.precedence import PRECEDENCE

from carousel.equations.errors import EquationError
from carousel.equations.terms import Expr, Term


@dataclass(eq=False, repr=False)
class Function:
    """One function, to be called on terms or on SymPy expressions.

    A language writes a name to be called, ``torch.sigmoid``, or a template of the operands, ``({0} < 0)``. None leaves
    it to the definition where the function is our own, else to SymPy's printer.

    Args:
        definition: the expression for one unit; its name, operands and docstring are the function's.
        symbol: the SymPy class of its values; None makes one.
        derivative: of one operand x and the value y = f(x); None leaves it to SymPy.
        gate: whether its values lie between 0 and 1, so that it gates a factor.
        slope: the bound of its slope's absolute value; None where there is none.
        drawn: its label in a drawing; without, the name.
        torch, jax, cpp, triton, c, latex: its name in these languages; C++'s operands and Triton's are vectors, C++'s numbers
            ``T``; C's numbers are ``float``, and a function of SymPy's is called there as here, with an f.
    """

    definition: Callable[..., Expr]
    symbol: Any = None
    derivative: Callable[..., Expr] | None = None
    gate: bool = False
    slope: float | None = None
    drawn: str = ""
    torch: str | None = None
    jax: str | None = None
    cpp: str | None = None
    triton: str | None = None
    c: str | None = None
    latex: str | None = None

    def __post_init__(self) -> None:
        update_wrapper(self, self.definition)
        self.name = self.definition.__name__
        self.drawn = self.drawn or self.name
        self.operands = len(inspect.signature(self.definition).parameters)
        self.own = self.symbol is None  # else the definition makes a node of SymPy's class
        if self.own:
            members = {"nargs": self.operands, "fdiff": lambda value, number=1: self._slope(value, number)}
            self.symbol = type(self.name, (sympy.Function,), members)

    def __call__(self, *operands: Any) -> Any:
        build = partial(self.symbol, evaluate=False) if self.own else self.definition
        if any(isinstance(x, sympy.Basic) for x in operands):
            return build(*map(sympy.sympify, operands))
        return Term.apply(build, self.name, operands)

    def _slope(self, value: Expr, number: int) -> Expr:
        """Return the partial derivative of an own function by the operand of that number, at the value's operands."""
        if self.derivative is not None:
            return sympy.sympify(self.derivative(*value.args, value))
        slots = sympy.symbols(f"x:{self.operands}", real=True, cls=sympy.Dummy)
        return self.definition(*slots).diff(slots[number - 1]).subs(dict(zip(slots, value.args, strict=True)))


FUNCTIONS: dict[Any, Function] = {}  # by SymPy class


def function(symbol: Any = None, **record: Any) -> Callable[[Callable[..., Expr]], Function]:
    """Enter a function in the table by its definition; the arguments are ``Function``'s."""

    def enter(definition: Callable[..., Expr]) -> Function:
        made = Function(definition, symbol, **record)
        if made.name in {f.name for f in FUNCTIONS.values()}:
            raise ValueError(f"the table has a function called {made.name} already")
        FUNCTIONS[made.symbol] = made
        return made

    return enter


@function(
    derivative=lambda x, y: y * (1 - y),
    gate=True,
    slope=0.25,
    drawn="σ",
    torch="torch.sigmoid",
    jax="jax.nn.sigmoid",
    cpp="logistic",
    triton="logistic",
    c="logistic",
)
def logistic(x: Expr) -> Expr:
    """Return the logistic function 1 / (1 + exp(−x)), per unit. A logistic that multiplies something is a gate."""
    return 1 / (1 + sympy.exp(-x))


@function(sympy.tanh, slope=1.0, torch="torch.tanh", jax="jnp.tanh", cpp="tanh", triton="tanh")
def tanh(x: Expr) -> Expr:
    """Return the hyperbolic tangent, per unit."""
    return sympy.tanh(x, evaluate=False)


@function(
    derivative=lambda x, y: sympy.Piecewise((0, y <= 0), (1, True)),
    slope=1.0,
    torch="torch.relu",
    jax="jax.nn.relu",
    latex=r"\max\left(0, {0}\right)",
)
def relu(x: Expr) -> Expr:
    """Return max(0, x), per unit; its slope is 0 where x ≤ 0, else 1 (also where x is not a number), as PyTorch has it."""
    return sympy.Piecewise((0, x <= 0), (x, True))


@function(sympy.exp, torch="torch.exp", jax="jnp.exp", cpp="exp", triton="tl.exp")
def exp(x: Expr) -> Expr:
    """Return e to the power x, per unit (the gates of sLSTM)."""
    return sympy.exp(x, evaluate=False)


@function(sympy.log, torch="torch.log", jax="jnp.log", cpp="log", triton="tl.log")
def log(x: Expr) -> Expr:
    """Return the natural logarithm, per unit."""
    return sympy.log(x, evaluate=False)


@function(derivative=lambda x, y: 0, torch="torch.Tensor.detach", jax="jax.lax.stop_gradient")
def detach(x: Expr) -> Expr:
    """Return x itself, of which no error flows back, as PyTorch's ``detach``: it truncates a gradient, as the paper of 1997."""
    return x


@function(
    sympy.Abs, slope=1.0, torch="torch.abs", jax="jnp.abs", cpp="select({0} < T(0), -{0}, {0})", triton="tl.abs", c="fabsf"
)
def absolute(x: Expr) -> Expr:
    """Return the absolute value, per unit."""
    return sympy.Abs(x, evaluate=False)


@function(sympy.Max, drawn="max", torch="torch.maximum", jax="jnp.maximum", cpp="maximum", triton="maximum", c="maximum")
def maximum(x: Expr, y: Expr) -> Expr:
    """Return the larger of two, per unit."""
    return sympy.Max(x, y, evaluate=False)


@function(sympy.Min, drawn="min", torch="torch.minimum", jax="jnp.minimum", cpp="minimum", triton="minimum", c="minimum")
def minimum(x: Expr, y: Expr) -> Expr:
    """Return the smaller of two, per unit."""
    return sympy.Min(x, y, evaluate=False)


@function(sympy.Piecewise, torch="torch.where", jax="jnp.where", cpp="select", triton="tl.where", c="({0} ? {1} : {2})")
def where(condition: Expr, x: Expr, y: Expr) -> Expr:
    """Return x where the condition holds (``t % c.T == 0``, ``h > 0``), else y, per unit.

    Raises:
        EquationError: there is no condition, or one on a value that another ``where`` of the same step has chosen (SymPy
            would multiply them out).
    """
    if not condition.is_Relational:
        raise EquationError("where takes a condition on the equations' terms first, such as h > 0")
    if condition.has(sympy.Piecewise):
        raise EquationError("a condition on what another where(…) of this step has chosen: compare a state or a sum instead")
    return sympy.Piecewise((x, condition), (y, True), evaluate=False)


def identity(x: Term) -> Term:
    """Return x itself: it says that no squashing is meant, and lets the product of two dense terms pass."""
    return Term.apply(lambda y: y, "identity", (x,))


def gates() -> tuple[Any, ...]:
    """Return the SymPy classes of the functions that gate the value that they multiply."""
    return tuple(symbol for symbol, f in FUNCTIONS.items() if f.gate)


def tamed(expr: Expr) -> Expr:
    """Return SymPy's derivative of the functions above with its jumps as ``where``; at a jump its own slope is zero."""
    expr = expr.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0)) if expr.has(sympy.DiracDelta) else expr
    return expr.rewrite((sympy.Heaviside, sympy.sign), sympy.Piecewise)


class Words:
    """The printers' common part: mixed into one of SymPy's, it writes functions as the table says for its ``language``."""

    language: str = ""  # a field of Function; empty: by their names

    def _print(self, expr: Expr, **options: Any) -> str:
        known = FUNCTIONS.get(type(expr))
        words = self.words(known) if known else None
        printer: Any = super()  # SymPy's
        if known is None or (words is None and not known.own):
            return printer._print(expr, **options)
        if words is None:
            return printer.parenthesize(known.definition(*expr.args), PRECEDENCE["Func"], strict=True)
        text = self._call(words, expr, known.operands)
        return f"{text}^{{{options['exp']}}}" if "exp" in options else text  # LaTeX's power of a function

    def parenthesize(self, item: Expr, level: int, *more: Any, **options: Any) -> str:
        """Print as SymPy does, but a remainder that is multiplied in parentheses: SymPy leaves them out of some products."""
        printer: Any = super()
        if isinstance(item, sympy.Mod) and level > PRECEDENCE["Relational"] and self.language != "latex":
            return f"({self._print(item)})"
        return str(printer.parenthesize(item, level, *more, **options))

    def words(self, known: Function) -> str | None:
        """Return the language's words for a function."""
        return getattr(known, self.language)

    def _call(self, words: str, expr: Expr, operands: int) -> str:
        def call(*texts: str) -> str:
            return words.format(*texts) if "{" in words else f"{words}({', '.join(texts)})"

        if not isinstance(expr, sympy.Piecewise):
            texts = [self.operand(x, expr) for x in expr.args]
            return reduce(call, texts) if len(texts) > operands else call(*texts)  # SymPy's Max may have more than two
        *branches, (last, _) = expr.args
        text = self.operand(last, expr)
        for value, condition in reversed(branches):
            text = call(self._print(condition), self.operand(value, expr), text)
        return text

    def operand(self, x: Expr, expr: Expr) -> str:
        """Print one operand of a function's value."""
        return self._print(x)
