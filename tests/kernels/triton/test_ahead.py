"""Kernels are compiled for cards that are not here: nothing is spilled from registers, and all fits."""

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed: pip install -e .[dev]")

from carousel.cells import CELLS
from carousel.kernels.triton.ahead import compiled
from carousel.kernels.triton.kernel import Plan

pytestmark = pytest.mark.filterwarnings("ignore")

HELD = Plan("held", 16, 16, parts=32, pieces=1)


@pytest.mark.parametrize(
    ("name", "plan", "way", "capability"),
    [
        ("lstm", HELD, "forward", 90),
        ("lstm", HELD, "backward", 90),
        ("lstm-v4", Plan("stepwise", 4, 64), "forward", 80),
        ("lstm-v3", Plan("stepwise", 4, 64), "backward", 90),
        ("gru-original", Plan("grid", 16, 16, 128, 32, stages=3), "forward", 80),
    ],
)
def test_nothing_is_spilled(name, plan, way, capability):
    for report in compiled(CELLS[name], (512, 512, 256), torch.bfloat16, plan, way, capability=capability):
        assert report.stack == 0, report
        assert 0 < report.registers <= 255
        assert report.shared <= (163 << 10 if capability == 80 else 227 << 10)
        assert report.code > 0
