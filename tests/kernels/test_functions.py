"""Every function gives what it should over the whole range of its type, value and slope, in the reference and compiled."""

import pytest
import torch
from exact_functions import EXACT, cell_of, check

from carousel import kernels
from carousel.equations.functions import FUNCTIONS

NOT_ALONE = {"detach", "maximum", "minimum", "where"}  # which other tests know


def test_no_function_is_left_out():
    assert {f.name for f in FUNCTIONS.values()} == EXACT.keys() | NOT_ALONE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("back_end", ["reference", "cpu"])
@pytest.mark.parametrize("name", EXACT)
def test_value_and_slope_over_the_whole_range(name, back_end, dtype):
    if back_end == "reference" and dtype == torch.float32 and name in ("silu", "gelu", "tanh", "logistic"):
        pytest.skip("PyTorch's own in single precision ends sooner than its numbers")

    def apply(x):
        h = x.reshape(1, -1).requires_grad_()
        with kernels.use(back_end):
            output = kernels.run(kernels.Call(cell_of(name), torch.zeros(1, 1, dtype=dtype), [1], {"h": h}, {})).output
        slopes = torch.autograd.grad(output.sum(), h)[0] if output.requires_grad else torch.zeros_like(h)
        return output.detach()[0], slopes[0]

    check(name, apply, dtype, of_one=int(back_end == "reference"))
