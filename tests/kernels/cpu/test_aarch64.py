"""The generated C++ on another processor: compiled for AArch64, run in an emulator, compared with the reference."""

import aarch64
import pytest
import torch

pytestmark = pytest.mark.skipif(
    bool(aarch64.missing()),
    reason=f"KERNELS ARE NOT TESTED ON AARCH64: {aarch64.missing()} not here (apt-get install g++-aarch64-linux-gnu qemu-user)",
)


@pytest.mark.parametrize(
    ("cell", "dtype", "threads"),
    [("lstm-v3", torch.float32, 1), ("lstm-v4", torch.float32, 2), ("gru-original", torch.float64, 2)],
)
def test_outputs_states_and_gradients_are_those_of_the_reference(cell, dtype, threads):
    assert aarch64.difference(cell, dtype, threads) < 20 * torch.finfo(dtype).eps
