"""The language of a cell: write equations, get symbols, stages, LaTeX and counts. Knows SymPy, not PyTorch."""

from carousel.equations.cell import Cell, Shape, Work, cell
from carousel.equations.errors import EquationError
from carousel.equations.functions import (
    absolute,
    detach,
    exp,
    identity,
    log,
    logistic,
    maximum,
    minimum,
    relu,
    tanh,
    where,
)
from carousel.equations.terms import concat

__all__ = [
    "Cell",
    "EquationError",
    "Shape",
    "Work",
    "absolute",
    "cell",
    "concat",
    "detach",
    "exp",
    "identity",
    "log",
    "logistic",
    "maximum",
    "minimum",
    "relu",
    "tanh",
    "where",
]
