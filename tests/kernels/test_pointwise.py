"""What the table of functions says to libraries of arrays is what it defines."""

from types import SimpleNamespace

import numpy as np
import pytest
import sympy
import torch
from torch.nn import functional

from carousel.equations.functions import FUNCTIONS, where
from carousel.kernels.pointwise import TORCH, printed

x, y = (sympy.Symbol(f"{name}_t", real=True) for name in "xy")
JNP = ("tanh", "exp", "log", "abs", "maximum", "minimum", "where", "sin", "cos", "sqrt", "clip")


def by_torch(function):
    return lambda v, **options: function(torch.tensor(v), **options).numpy()


# JAX's names by NumPy and PyTorch: the bench's JAX need not be installed.
STAND_IN = {
    "jnp": SimpleNamespace(**{n: getattr(np, n) for n in JNP}),
    "jax": SimpleNamespace(
        nn=SimpleNamespace(
            sigmoid=lambda v: 1 / (1 + np.exp(-v)),
            relu=lambda v: np.maximum(v, 0),
            softplus=by_torch(functional.softplus),
            silu=by_torch(functional.silu),
            gelu=lambda v, approximate: by_torch(functional.gelu)(v, approximate="tanh" if approximate else "none"),
            elu=by_torch(functional.elu),
            soft_sign=by_torch(functional.softsign),
            hard_sigmoid=lambda v: by_torch(functional.relu6)(v + 3) / 6,
            hard_tanh=by_torch(functional.hardtanh),
        ),
        scipy=SimpleNamespace(special=SimpleNamespace(erf=by_torch(torch.erf), erfc=by_torch(torch.erfc))),
        lax=SimpleNamespace(stop_gradient=lambda v: v),
    ),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda f: f.name)
def test_words_for_pytorch_and_jax_mean_the_definition(function):
    operands = {1: (x - y / 3,), 2: (x, y), 3: (y > 0.5 if function is where else 3 * y, x, y)}[function.operands]
    equations = ((sympy.Symbol("z_t", real=True), function(*operands)),)
    a, b = np.array([0.3, 0.7, 1.9]), np.array([0.4, 0.6, 0.1])
    wanted = [float(function.definition(*operands).subs({x: u, y: v})) for u, v in zip(a, b, strict=True)]
    (theirs,) = printed(equations, "torch", TORCH)({x: torch.tensor(a), y: torch.tensor(b)}).values()
    (jaxs,) = printed(equations, "jax", STAND_IN)({x: a, y: b}).values()
    np.testing.assert_allclose(theirs, wanted, rtol=1e-12)
    np.testing.assert_allclose(jaxs, wanted, rtol=1e-12)


def test_a_choice_of_several_branches_of_numbers_has_the_precision_of_its_condition():
    steps = sympy.Piecewise((-1, x < 0), (0.1, x < 1), (2, True))
    for dtype in (torch.float32, torch.float64):
        given = torch.tensor([-1.0, 0.5, 3.0], dtype=dtype)
        (found,) = printed(((y, steps),), "torch", TORCH)({x: given}).values()
        assert torch.equal(found, torch.tensor([-1.0, 0.1, 2.0], dtype=dtype))
