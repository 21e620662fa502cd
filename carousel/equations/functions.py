"""The one table of functions: each one's meaning in the equations, and its name in every language.

``@function`` enters a function as ``@cell`` does a cell: its body says in SymPy's terms how it is defined, so a language that
has no words for it can write it with others. What SymPy's derivatives hold besides, ``tamed`` writes with them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import Any

import sympy

from carousel.equations.errors import EquationError
from carousel.equations.noise import NOISE
from carousel.equations.notes import Expr
from carousel.equations.terms import Term


@dataclass(eq=False, repr=False)
class Function:
    """One function, to be called on terms or on SymPy expressions.

    A language writes a name to be called, ``torch.sigmoid``, or a template of the operands, ``(2 * ({0}))``. None leaves
    it to the definition where the function is our own, else to SymPy's printer.

    Args:
        definition: the expression for one unit; its name, operands and docstring are the function's.
        symbol: the SymPy class of its values; None makes one.
        derivative: of the operands and the value, ``lambda x, y: …``; of several operands one for each; None leaves it to
            SymPy.
        gate: whether its values lie between 0 and 1, so that it gates a factor.
        slope: the bound of its slope's absolute value; None where there is none.
        drawn: its label in a drawing; without, the name.
        torch, jax, onnx, cpp, triton, c, js, latex: its name in these languages; C++'s operands and Triton's are vectors,
            C++'s numbers ``T``; C's numbers are ``float``, and a function of SymPy's is called there as here, with an f;
            JavaScript has C's names but for these, and a function of SymPy's is one of ``Math``.
    """

    definition: Callable[..., Expr]
    symbol: Any = None
    derivative: Callable[..., Expr] | tuple[Callable[..., Expr], ...] | None = None
    gate: bool = False
    slope: float | None = None
    drawn: str = ""
    torch: str | None = None
    jax: str | None = None
    onnx: str | None = None
    cpp: str | None = None
    triton: str | None = None
    c: str | None = None
    js: str | None = None
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
            known = self.derivative if isinstance(self.derivative, tuple) else (self.derivative,)
            return sympy.sympify(known[number - 1](*value.args, value))
        slots = sympy.symbols(f"x:{self.operands}", real=True, cls=sympy.Dummy)
        return self.definition(*slots).diff(slots[number - 1]).subs(dict(zip(slots, value.args, strict=True)))


FUNCTIONS: dict[Any, Function] = {}  # by SymPy class
# √½, 1/√π, √(2/π): as numbers, since a language would compute SymPy's powers anew for every unit.
ROOT_HALF, ROOT_PI_INVERSE, STEEP = (sympy.Float(x) for x in (0.7071067811865476, 0.5641895835477563, 0.7978845608028654))
CUBIC = sympy.Float(0.044715)  # of GELU's approximation


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
    onnx="onnx.sigmoid",
    cpp="logistic",
    triton="logistic",
    c="logistic",
)
def logistic(x: Expr) -> Expr:
    """Return the logistic function 1 / (1 + exp(−x)), per unit. A logistic that multiplies a value is a gate."""
    return 1 / (1 + sympy.exp(-x))


@function(sympy.tanh, slope=1.0, torch="torch.tanh", jax="jnp.tanh", onnx="onnx.tanh", cpp="tanh", triton="tanh")
def tanh(x: Expr) -> Expr:
    """Return the hyperbolic tangent, per unit."""
    return sympy.tanh(x, evaluate=False)


@function(
    derivative=lambda x, y: sympy.Piecewise((0, y <= 0), (1, True)),
    slope=1.0,
    torch="torch.relu",
    jax="jax.nn.relu",
    onnx="onnx.relu",
    latex=r"\max\left(0, {0}\right)",
)
def relu(x: Expr) -> Expr:
    """Return max(0, x), per unit; its slope is 0 where x ≤ 0, else 1 (also where x is not a number), as PyTorch has it."""
    return sympy.Piecewise((0, x <= 0), (x, True))


@function(sympy.exp, torch="torch.exp", jax="jnp.exp", onnx="onnx.exp", cpp="exp", triton="tl.exp")
def exp(x: Expr) -> Expr:
    """Return e to the power x, per unit (the gates of sLSTM)."""
    return sympy.exp(x, evaluate=False)


@function(sympy.log, torch="torch.log", jax="jnp.log", onnx="onnx.log", cpp="log", triton="tl.log")
def log(x: Expr) -> Expr:
    """Return the natural logarithm, per unit."""
    return sympy.log(x, evaluate=False)


@function(derivative=lambda x, y: 0, torch="torch.Tensor.detach", jax="jax.lax.stop_gradient")
def detach(x: Expr) -> Expr:
    """Return x itself, of which no error flows back, as PyTorch's ``detach``: it truncates a gradient, as the paper of 1997."""
    return x


@function(
    sympy.Abs,
    slope=1.0,
    torch="torch.abs",
    jax="jnp.abs",
    onnx="onnx.abs",
    cpp="absolute",
    triton="tl.abs",
    c="fabsf",
    js="Math.abs",
)
def absolute(x: Expr) -> Expr:
    """Return the absolute value, per unit; ``abs(x)`` is the same."""
    return sympy.Abs(x, evaluate=False)


@function(
    derivative=lambda x, y: logistic(x),
    slope=1.0,
    torch="torch.nn.functional.softplus({0}, threshold=40)",  # from 20 on, PyTorch's own is x: in float64, 1e-10 off
    jax="jax.nn.softplus",
    onnx="onnx.softplus",
    cpp="softplus",
    triton="softplus",
    c="softplus",
)
def softplus(x: Expr) -> Expr:
    """Return log(1 + exp(x)), per unit: positive, and x itself where x is large."""
    return sympy.log(1 + sympy.exp(x))


@function(
    derivative=lambda x, y: logistic(x) + y * (1 - logistic(x)),
    slope=1.0999,
    torch="torch.nn.functional.silu",
    jax="jax.nn.silu",
    cpp="silu",
    triton="silu",
    c="silu",
)
def silu(x: Expr) -> Expr:
    """Return x · logistic(x), per unit (SiLU, also called swish)."""
    return x / (1 + sympy.exp(-x))


@function(
    derivative=lambda x, y: 2 * ROOT_PI_INVERSE * sympy.exp(-(x**2)),
    slope=1.1284,
    torch="torch.erf",
    jax="jax.scipy.special.erf",
    onnx="onnx.erf",
    cpp="erf",
    triton="erf",
    c="erff",
    js="erf",
)
def erf(x: Expr) -> Expr:
    """Return the error function, per unit."""
    return sympy.erf(x)


@function(
    derivative=lambda x, y: -2 * ROOT_PI_INVERSE * sympy.exp(-(x**2)),
    slope=1.1284,
    torch="torch.special.erfc",
    jax="jax.scipy.special.erfc",
    onnx="onnx.erfc",
    cpp="erfc",
    triton="erfc",
    c="erfcf",
    js="erfc",
)
def erfc(x: Expr) -> Expr:
    """Return 1 − erf(x), per unit, also where erf(x) is nearly 1."""
    return sympy.erfc(x)


@function(
    derivative=lambda x, y: erfc(-ROOT_HALF * x) / 2 + x * sympy.exp(-(x**2) / 2) * (ROOT_HALF * ROOT_PI_INVERSE),
    slope=1.129,
    torch="(0.5 * ({0}) * torch.special.erfc(-0.7071067811865476 * ({0})))",  # PyTorch's own loses the tail: 1 + erf
    jax="jax.nn.gelu({0}, approximate=False)",
    onnx="onnx.gelu",
    cpp="gelu",
    triton="gelu",
    c="gelu",
)
def gelu(x: Expr) -> Expr:
    """Return x · Φ(x), Φ the normal distribution's, per unit (GELU)."""
    return x * erfc(-ROOT_HALF * x) / 2


def _bend(x: Expr) -> Expr:
    return 2 * STEEP * (x + CUBIC * x**3)


@function(
    derivative=lambda x, y: logistic(_bend(x)) + y * (1 - logistic(_bend(x))) * (2 * STEEP + 6 * STEEP * CUBIC * x**2),
    slope=1.13,
    torch="(({0}) * torch.sigmoid(1.5957691216057308 * ({0} + 0.044715 * ({0}) ** 3)))",  # here, too
    jax="jax.nn.gelu({0}, approximate=True)",
    cpp="gelu_tanh",
    triton="gelu_tanh",
    c="gelu_tanh",
)
def gelu_tanh(x: Expr) -> Expr:
    """Return GELU's approximation by tanh, per unit: PyTorch's ``gelu`` with ``approximate="tanh"``."""
    return x / (1 + sympy.exp(-_bend(x)))


@function(
    derivative=lambda x, y: sympy.Piecewise((1, x > 0), (sympy.exp(x), True)),
    slope=1.0,
    torch="torch.nn.functional.elu",
    jax="jax.nn.elu",
    onnx="onnx.elu",
    cpp="elu",
    triton="elu",
    c="elu",
)
def elu(x: Expr) -> Expr:
    """Return x where it is positive, else exp(x) − 1, per unit."""
    return sympy.Piecewise((x, x > 0), (sympy.exp(x) - 1, True))


@function(
    # The second branch is for values that are no number: infinity over infinity.
    derivative=lambda x, y: sympy.Piecewise(((1 + sympy.Abs(x)) ** -2, y**2 <= 1), (y, True)),
    slope=1.0,
    torch="torch.nn.functional.softsign",
    jax="jax.nn.soft_sign",
    onnx="onnx.softsign",
    cpp="softsign",
    triton="softsign",
    c="softsign",
)
def softsign(x: Expr) -> Expr:
    """Return x / (1 + |x|), per unit."""
    return x / (1 + sympy.Abs(x))


@function(
    derivative=lambda x, y: sympy.Piecewise((sympy.Rational(1, 6), sympy.Abs(x) < 3), (0, True)),
    gate=True,
    slope=1 / 6,
    torch="(torch.nn.functional.relu6({0} + 3) / 6)",  # PyTorch's own has a slope of 1/6 in single precision
    jax="jax.nn.hard_sigmoid",
    cpp="hard_sigmoid",
    triton="hard_sigmoid",
    c="hard_sigmoid",
)
def hard_sigmoid(x: Expr) -> Expr:
    """Return x / 6 + ½ between 0 and 1, per unit: a gate, as ``logistic`` is."""
    return sympy.Min(sympy.Max(x + 3, 0), 6) / 6


@function(
    derivative=lambda x, y: sympy.Piecewise((0, sympy.Abs(y) >= 1), (1, True)),
    slope=1.0,
    torch="torch.nn.functional.hardtanh",
    jax="jax.nn.hard_tanh",
    cpp="hard_tanh",
    triton="hard_tanh",
    c="hard_tanh",
)
def hard_tanh(x: Expr) -> Expr:
    """Return x between −1 and 1, per unit; its slope is 0 at both."""
    return sympy.Min(sympy.Max(x, -1), 1)


@function(sympy.sin, slope=1.0, torch="torch.sin", jax="jnp.sin", onnx="onnx.sin", cpp="sin", triton="tl.sin")
def sin(x: Expr) -> Expr:
    """Return the sine, per unit."""
    return sympy.sin(x, evaluate=False)


@function(sympy.cos, slope=1.0, torch="torch.cos", jax="jnp.cos", onnx="onnx.cos", cpp="cos", triton="tl.cos")
def cos(x: Expr) -> Expr:
    """Return the cosine, per unit."""
    return sympy.cos(x, evaluate=False)


@function(
    derivative=lambda x, y: 1 / (2 * y),
    drawn="√",
    torch="torch.sqrt",
    jax="jnp.sqrt",
    cpp="sqrt",
    triton="tl.sqrt_rn",
    c="sqrtf",
    js="Math.sqrt",
    latex=r"\sqrt{{{0}}}",
)
def sqrt(x: Expr) -> Expr:
    """Return the square root, per unit; its slope at zero is infinite."""
    return sympy.sqrt(x)


@function(
    derivative=lambda x, y: 0,
    slope=0.0,
    torch="torch.sign",
    jax="jnp.where({0} > 0, 1.0, jnp.where({0} < 0, -1.0, 0.0))",  # JAX's own keeps what is no number
    onnx="onnx.sign",
    cpp="sign",
    triton="sign",
    c="sign",
)
def sign(x: Expr) -> Expr:
    """Return −1, 0 or 1, per unit; no error flows back through it."""
    return sympy.sign(x)


@function(
    derivative=(
        lambda x, low, high, y: sympy.Piecewise((1, sympy.And(x >= low, x <= high)), (0, True)),
        lambda x, low, high, y: sympy.Piecewise((1, sympy.And(x < low, low < high)), (0, True)),
        lambda x, low, high, y: sympy.Piecewise((1, sympy.Or(x > high, high < low)), (0, True)),
    ),
    torch="torch.clamp(*torch.broadcast_tensors({0}, {1}, {2}))",  # its own derivative fails where a bound has more dimensions
    jax="jnp.clip",
    onnx="onnx.min(onnx.max({0}, {1}), {2})",
    cpp="clip",
    triton="clip",
    c="clip",
)
def clip(x: Expr, low: Expr, high: Expr) -> Expr:
    """Return x between two bounds, per unit; its slope is 1 at both, as PyTorch's ``clip`` has it."""
    return sympy.Min(sympy.Max(x, low), high)


@function(
    sympy.Max,
    drawn="max",
    torch="torch.maximum",
    jax="jnp.maximum",
    onnx="onnx.max",
    cpp="maximum",
    triton="maximum",
    c="maximum",
)
def maximum(x: Expr, y: Expr) -> Expr:
    """Return the larger of two, per unit."""
    return sympy.Max(x, y, evaluate=False)


@function(
    sympy.Min,
    drawn="min",
    torch="torch.minimum",
    jax="jnp.minimum",
    onnx="onnx.min",
    cpp="minimum",
    triton="minimum",
    c="minimum",
)
def minimum(x: Expr, y: Expr) -> Expr:
    """Return the smaller of two, per unit."""
    return sympy.Min(x, y, evaluate=False)


@function(
    sympy.Piecewise,
    torch="torch.where",
    jax="jnp.where",
    onnx="onnx.where",
    cpp="select",
    triton="tl.where",
    c="({0} ? {1} : {2})",
)
def where(condition: Expr, x: Expr, y: Expr) -> Expr:
    """Return x where the condition holds (``t % c.T == 0``, ``h > 0``), else y, per unit.

    Raises:
        EquationError: there is no condition, or one on a value that another ``where`` or noise of the same step has chosen
            (SymPy would multiply them out).
    """
    if not condition.is_Relational:
        raise EquationError("where takes a condition on the equations' terms first, such as h > 0")
    if condition.has(sympy.Piecewise, *NOISE):
        other = "another where(…)" if condition.has(sympy.Piecewise) else "noise"
        raise EquationError(f"a condition on what {other} of this step has chosen: compare a state or a sum instead")
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
