"""The remainder of kernels is exact, as NumPy's is; PyTorch's own ends where a quotient is larger than its type."""

import numpy as np
import pytest
import torch

from carousel import kernels
from carousel.equations import cell


@cell(input_size="h")
def remainder(e, h):
    h = e % h
    return h


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_exact(dtype):
    generator = torch.Generator().manual_seed(1)

    def drawn(count):
        return torch.randn(count, generator=generator, dtype=dtype) * 10 ** (6 * torch.rand(count, generator=generator) - 3)

    whole = torch.arange(-500, 500).to(dtype)
    odd = torch.tensor([0.0, -0.0, 1.0, -1.0, float("inf"), -float("inf"), float("nan"), 1e30, -1e30, 1e-40, 3.0], dtype=dtype)
    tenths = torch.tensor(0.1, dtype=dtype)
    pairs = [
        (drawn(4000), drawn(4000)),
        (whole, torch.full_like(whole, 3)),
        (whole, torch.full_like(whole, -7)),
        (whole * tenths, torch.full_like(whole, float(tenths))),  # quotients beside whole numbers
        (torch.nextafter(whole * tenths, torch.zeros(()).to(dtype)), torch.full_like(whole, float(tenths))),
        (drawn(2000) * 1e9, drawn(2000)),
        (drawn(64), torch.full((64,), float("inf"), dtype=dtype)),
        (drawn(64), torch.full((64,), -float("inf"), dtype=dtype)),
        tuple(x.reshape(-1) for x in torch.meshgrid(odd, odd, indexing="ij")),
    ]
    for a, b in pairs:
        call = kernels.Call(remainder, a.reshape(1, -1), [1], {"h": b.reshape(1, -1)}, {})
        with kernels.use("cpu"):
            found = kernels.run(call).output[0]
        with np.errstate(all="ignore"):
            wanted = torch.from_numpy(np.fmod(a.numpy(), b.numpy()))
        other_sign = (wanted != 0) & ((wanted < 0) != (b < 0))
        wanted = torch.where(other_sign, wanted + b, wanted)
        torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)
        there = ~wanted.isnan()
        assert torch.equal(found.signbit()[there], wanted.signbit()[there])
