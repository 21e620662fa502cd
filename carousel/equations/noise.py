"""Noise inside the loop over time: ``zoneout(new, old, p.h)`` and ``dropout(x, p.g)``, whose rates a layer gives.

A trace holds them as they are written, each use with a number of its own; ``stages.py`` puts the definitions in, a choice
between two values where ``draw``, a hash of counters, is below a bound. ``quiet.py`` takes them out, for evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy

from carousel.equations.errors import EquationError
from carousel.equations.notes import Draw, Expr, rebuild
from carousel.equations.terms import Rate, Term

BITS = 24  # of a drawn number: so many are exact in single precision


@dataclass(frozen=True)
class Noise:
    """A kind of noise: its name, how many operands it has before its rate, whether it is drawn once for all steps.

    ``definition``: the value, from the operands, the condition that holds with the probability of the rate, and 1 / (1 − rate).
    ``expected``: the value in evaluation, from the operands and the rate.
    """

    name: str
    operands: int
    once: bool
    definition: Callable[..., Expr]
    expected: Callable[..., Expr]


def _node(name: str) -> Any:
    """Return a SymPy class for values of noise: (operand, …, rate, number)."""

    def text(value: Expr, printer: Any) -> str:
        shown = value.args if getattr(printer, "numbered", True) else value.args[:-1]
        return f"{name}({', '.join(printer._print(x) for x in shown)})"

    def latex(value: Expr, printer: Any, exp: str | None = None) -> str:
        *operands, rate, _ = value.args
        word, _, once = name.partition("_")
        above = rf"^{{\mathrm{{{once}}}}}" if once else ""
        made = rf"\operatorname{{{word}}}{above}_{{{printer._print(rate)}}}"
        made += rf"\left({', '.join(printer._print(x) for x in operands)}\right)"
        return made if exp is None else rf"{{{made}}}^{{{exp}}}"

    def fdiff(value: Expr, number: int = 1) -> Expr:
        raise NotImplementedError(f"{name} is drawn; derivatives know its definition alone")

    return type(name, (sympy.Function,), {"_latex": latex, "_sympystr": text, "fdiff": fdiff, "is_real": True})


def _called(value: Expr, printer: Any) -> str:
    name = "draw_once" if value.args[-1] == SEQUENCES else "draw"
    return f"{name}({', '.join(printer._print(x) for x in value.args)})"


# A whole number below 2^BITS, of two keys of a unit, of where counting begins, and of the place that is counted.
draw = type(
    "draw",
    (sympy.Function,),
    {"nargs": 4, "is_real": True, "fdiff": lambda value, number=1: sympy.S.Zero, "_cxxcode": _called, "_pythoncode": _called},
)

# What is counted: the rows of all steps, or the rows of a step; step by step inside the loop, or for all steps at once.
PLACE, SEQUENCE, PLACES, SEQUENCES = (sympy.Symbol(x, real=True) for x in ("place", "sequence", "places", "sequences"))
COUNTED = frozenset((PLACE, SEQUENCE))
WORDS = ("key", "more", "first", "below")  # whole numbers
KEYS = (*WORDS, "scale")


def symbols(number: int) -> dict[str, Expr]:
    """Return the vectors that a use of noise takes, by ``KEYS``."""
    return {what: sympy.Symbol(f"z{number}_{what}", real=True) for what in KEYS}


def defined(kind: Noise, operands: list[Expr], number: int) -> Expr:
    """Return a value of noise by its definition, drawn for all steps at once."""
    of = symbols(number)
    drawn = draw(of["key"], of["more"], of["first"], SEQUENCES if kind.once else PLACES)
    return kind.definition(*operands, sympy.StrictLessThan(drawn, of["below"], evaluate=False), of["scale"])


def counted_within(expr: Expr) -> Expr:
    """Return an expression with what is drawn in it drawn inside the loop, step by step."""
    if not expr.args:
        return {PLACES: PLACE, SEQUENCES: SEQUENCE}.get(expr, expr)
    return rebuild(expr, [counted_within(x) for x in expr.args])


NOISE: dict[Any, Noise] = {}  # by SymPy class


def _enter(name: str, operands: int, definition: Callable[..., Expr], expected: Callable[..., Expr]) -> Any:
    node = _node(name)
    NOISE[node] = Noise(name, operands, name.endswith("_once"), definition, expected)
    return node


def _choice(where: Expr, a: Expr, b: Expr) -> Expr:
    return sympy.Piecewise((a, where), (b, True), evaluate=False)


def _dropped(x: Expr, where: Expr, scale: Expr) -> Expr:
    return _choice(where, sympy.S.Zero, sympy.Mul(x, scale, evaluate=False))


def _mean(new: Expr, old: Expr, rate: Expr) -> Expr:
    rest = sympy.Add(1, sympy.Mul(-1, rate, evaluate=False), evaluate=False)
    return sympy.Add(sympy.Mul(rate, old, evaluate=False), sympy.Mul(rest, new, evaluate=False), evaluate=False)


ZONEOUT = _enter("zoneout", 2, lambda new, old, where, scale: _choice(where, old, new), _mean)
DROPOUT = _enter("dropout", 1, _dropped, lambda x, rate: x)
DROPOUT_ONCE = _enter("dropout_once", 1, _dropped, lambda x, rate: x)


def zoneout(new: Term, old: Term, rate: Term) -> Term:
    """Return ``new``, but ``old`` with the probability ``rate``, drawn for each unit and step; in evaluation the mean of both.

    Krueger et al. 2017, "Zoneout".

    Args:
        new: a state's new value.
        old: its value before the step.
        rate: one of the cell's ``p``, such as ``p.h``; a layer gives its number.
    """
    return applied(ZONEOUT, (new, old), rate)


def dropout(x: Term, rate: Term, *, once: bool = False) -> Term:
    """Return ``x`` with units set to zero with the probability ``rate``, the others divided by 1 − rate; in evaluation ``x``.

    Args:
        x: a vector.
        rate: one of the cell's ``p``, such as ``p.g``; a layer gives its number.
        once: draw once for all steps of a row (Gal and Ghahramani 2016), else at every step anew (Semeniuta et al. 2016).
    """
    return applied(DROPOUT_ONCE if once else DROPOUT, (x,), rate)


def applied(node: Any, operands: tuple[Any, ...], rate: Any, number: int | None = None) -> Term:
    """Return a value of noise; ``number``: of the use, the next one by default. Raises EquationError."""
    kind = NOISE[node]
    name = kind.name.removesuffix("_once")
    if not isinstance(rate, Rate):
        raise EquationError(f"the rate of {name} is one of p, such as {name}(…, p.h), where p is among the cell's arguments")
    notes, parameter = rate.notes, rate.parameter
    number = len(notes.draws) if number is None else number
    known = notes.draws.get(number)  # of a use that is written in several places
    if known and (known.rate.name, known.once) != (parameter.name, kind.once):
        raise EquationError(f"two uses of noise have the number {number}")
    made = Term.apply(lambda *xs: node(*xs, parameter.symbol, sympy.Integer(number), evaluate=False), name, operands)
    first = operands[0] if isinstance(operands[0], Term) and operands[0].size is not None else operands[-1]
    if not isinstance(first, Term) or first.size is None or made.size is None:
        raise EquationError(f"{name} is drawn for the units of a vector, and this is one number a row")
    if known:
        made.size.join(known.size)
    elif all(d.rate.name != parameter.name for d in notes.draws.values()):  # a rate has the size of its first use
        parameter.rows.join(made.size)
    notes.draws.setdefault(number, Draw(number, parameter, made.size, kind.once))
    return made
