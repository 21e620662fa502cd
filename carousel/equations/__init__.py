"""The language of a cell: write equations, get symbols, stages, LaTeX and counts. Knows SymPy, not PyTorch."""

from carousel.equations.cell import Cell, Shape, Work, cell
from carousel.equations.errors import EquationError
from carousel.equations.functions import detach_ as detach
from carousel.equations.functions import exp, identity, log, maximum, minimum, tanh, where
from carousel.equations.functions import logistic_ as logistic
from carousel.equations.functions import relu_ as relu
from carousel.equations.terms import concat

__all__ = [
    "Cell",
    "EquationError",
    "Shape",
    "Work",
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
