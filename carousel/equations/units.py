"""Functions over the units of a vector: one number a row (``mean(x)``), or a vector whose units depend on all (``softmax(x)``).

Two of them are primitive, a sum and a maximum; the others are defined by these in a few lines. A trace holds them as they are
written; ``stages.py`` puts the definitions in, so that all that follows knows sums and maxima alone. Each has a twin that goes
over the units of each head, ``mean(x, heads=True)``: always a vector, whose units have what their head has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import update_wrapper
from inspect import signature
from typing import Any

import sympy

from carousel.equations.errors import EquationError
from carousel.equations.functions import exp
from carousel.equations.notes import Expr
from carousel.equations.terms import Term

EPSILON = 1e-5  # added to a variance, as PyTorch's LayerNorm does
HALF = sympy.Rational(1, 2)


OVER_UNITS: dict[Any, OverUnits] = {}  # by SymPy class


@dataclass(eq=False, repr=False)
class OverUnits:
    """One function over units, to be called on terms.

    Args:
        definition: of its value for one unit, from SymPy expressions; name, operands and docstring are the function's.
        row: whether its value is one number a row.
        drawn: its label in a drawing; without, the name.
        latex: its name in LaTeX, a template of the operands joined by commas.
        of_heads: whether it goes over the units of each head.
    """

    definition: Callable[..., Expr]
    row: bool = False
    drawn: str = ""
    latex: str = ""
    of_heads: bool = False

    def __post_init__(self) -> None:
        update_wrapper(self, self.definition)
        self.drawn = self.drawn or self.definition.__name__
        self.name = f"{'head_' if self.of_heads else ''}{self.definition.__name__}"
        parameters = list(signature(self.definition).parameters.values())
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.fewest, self.operands = len(parameters) - len(self.defaults), len(parameters)
        latex = self.latex or rf"\operatorname{{{self.definition.__name__}}}\left({{0}}\right)"
        self.symbol = node(self.name, rf"{latex}_{{\mathrm{{head}}}}" if self.of_heads else latex)
        OVER_UNITS[self.symbol] = self
        self.by_head = self if self.of_heads else OverUnits(self.definition, False, self.drawn, self.latex, True)

    def __call__(self, x: Any, *given: Any, heads: bool = False, **named: Any) -> Any:
        """Return the value over the units of ``x``, or of each head; what is left out at the end has its default."""
        if heads and not self.of_heads:
            return self.by_head(x, *given, **named)
        if not all(n in self.defaults for n in named) or len(given) > len(self.defaults):
            raise TypeError(f"{self.name} takes {', '.join(['x', *self.defaults])}")
        values = dict(zip(self.defaults, given, strict=False))
        if twice := set(values) & set(named):
            raise TypeError(f"{self.name} is given {min(twice)} twice")
        values |= named
        rest = [values.get(n, default) for n, default in self.defaults.items()]
        while rest and not isinstance(rest[-1], Term) and rest[-1] == list(self.defaults.values())[len(rest) - 1]:
            rest.pop()
        made = Term.apply(lambda *xs: self.symbol(*xs, evaluate=False), self.name, (x, *rest))
        if not isinstance(x, Term) or x.size is None:
            raise EquationError(f"{self.name} goes over the units of a vector, and this is one number a row")
        made.size = None if self.row else x.size
        return made


def node(name: str, words: str) -> Any:
    """Return a SymPy class for the values of a function over several units or steps, without a derivative of its own.

    ``words``: its LaTeX, {0} for what it is applied to.
    """

    def latex(value: Expr, printer: Any, exp: str | None = None) -> str:
        text = words.replace("{0}", ", ".join(printer._print(x) for x in value.args))
        return text if exp is None else f"{text}^{{{exp}}}"

    def fdiff(value: Expr, number: int = 1) -> Expr:
        raise NotImplementedError(f"{name} goes over several; derivatives know its definition alone")

    return type(name, (sympy.Function,), {"_latex": latex, "fdiff": fdiff})


# What definitions are made of, besides ``total``: the largest of the units, of which no error flows back, and their number.
Largest, Count = node("largest", ""), node("units", "")


def over_units(**record: Any) -> Callable[[Callable[..., Expr]], OverUnits]:
    """Enter a function over units in the table by its definition; the arguments are those of ``OverUnits``."""

    def enter(definition: Callable[..., Expr]) -> OverUnits:
        return OverUnits(definition, **record)

    return enter


def gains_and_biases(equations: Iterable[Expr]) -> dict[Expr, float]:
    """Return where those parameters start that are the gain or the bias of a normalisation: at one, at zero."""
    found: dict[Expr, float] = {}
    for expr in equations:
        for value in expr.atoms(*(symbol for symbol, f in OVER_UNITS.items() if "gain" in f.defaults)):
            names = list(OVER_UNITS[type(value)].defaults)
            found |= {x: {"gain": 1.0, "bias": 0.0}[n] for n, x in zip(names, value.args[1:], strict=False) if n != "eps"}
    return found


@over_units(row=True, drawn="Σ", latex=r"\operatorname{sum}\left({0}\right)")
def total(x: Expr) -> Expr:
    """Return the sum over the units, one number a row."""
    return total.symbol(x, evaluate=False)


@over_units(row=True)
def mean(x: Expr) -> Expr:
    """Return the mean over the units, one number a row."""
    return total.symbol(x) / Count(x)


@over_units(row=True, latex=r"\left\lVert {0} \right\rVert")
def norm(x: Expr) -> Expr:
    """Return the Euclidean norm, one number a row; at zero it hands no error back, as PyTorch's."""
    square = total.symbol(x * x)
    nothing = sympy.Eq(square, 0, evaluate=False)
    root = sympy.Pow(sympy.Piecewise((1, nothing), (square, True), evaluate=False), HALF, evaluate=False)
    return sympy.Piecewise((0, nothing), (root, True), evaluate=False)


@over_units()
def softmax(x: Expr) -> Expr:
    """Return exp(x) divided by its sum over the units: positive numbers that add up to one."""
    above = exp(sympy.Add(x, -Largest(x), evaluate=False))
    return above / total.symbol(above)


@over_units(drawn="LN", latex=r"\operatorname{LN}\left({0}\right)")
def layer_norm(x: Expr, gain: Expr = 1, bias: Expr = 0, eps: Expr = EPSILON) -> Expr:
    """Return x without its mean, divided by its standard deviation over the units, times ``gain`` plus ``bias``.

    As PyTorch's ``LayerNorm``: the variance is the mean of squared differences, and ``eps`` is added to it. A gain and a bias
    that are parameters, such as ``layer_norm(x, w.i, b.i)``, start at one and zero.
    """
    centred = x - mean.definition(x)
    return centred * (mean.definition(centred**2) + eps) ** -HALF * gain + bias


@over_units(drawn="RMS", latex=r"\operatorname{RMSNorm}\left({0}\right)")
def rms_norm(x: Expr, gain: Expr = 1, eps: Expr = EPSILON) -> Expr:
    """Return x divided by the root of its mean square over the units, times ``gain``; ``eps`` is added to the mean square.

    A gain that is a parameter, such as ``rms_norm(x, w.i)``, starts at one.
    """
    return x * (mean.definition(x**2) + eps) ** -HALF * gain
