"""Small runs backwards multiply by compiled code, and find the gradients that PyTorch's products find."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from carousel.kernels.cpu import compiler, plan, small
from carousel.layers import Recurrent

CELLS = [
    "lstm-v2",
    "lstm-v3",
    "lstm-v4",
    "lstm",
    "gru",
    "min-gru",
    "lstm-layer-norm",
    "mogrifier",
    "horn",
    "qrnn",
    "lstm-v2-2-heads",
]


@pytest.fixture
def counted(monkeypatch):
    """The results of compiled products."""
    found, multiply = [], small.Small.__call__

    def run(self, *given, **options):
        found.append(multiply(self, *given, **options))
        return found[-1]

    monkeypatch.setattr(small.Small, "__call__", run)
    return found


def gradients(layer, x, most, monkeypatch, packed=False, **given):
    """Return the gradients of a call, the second of its kind, whose largest products are so small."""
    monkeypatch.setattr(small, "MOST", most)
    small._small.cache_clear()
    plan._plans.clear()
    for _ in range(2):
        layer.zero_grad()
        x.grad = None
        data = pack_padded_sequence(x, torch.tensor([5, 4, 2])) if packed else x
        output = layer(data, **given)[0]
        (output if isinstance(output, torch.Tensor) else output.data).square().sum().backward()
    return [x.grad, *(p.grad for p in layer.parameters())]


GIVEN = {"rows": {}, "packed": {"packed": True}, "resets": {"resets": torch.rand(5, 3) < 0.3}}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_those_of_pytorchs_products(name, given, counted, monkeypatch):
    torch.manual_seed(0)
    layer = Recurrent(name, 6, 6, bidirectional=True, dtype=torch.float64)
    x = torch.randn(5, 3, 6, dtype=torch.float64, requires_grad=True)
    ours = gradients(layer, x, small.MOST, monkeypatch, **given)
    assert bool(counted) == ("heads" not in name)  # blocks of heads are PyTorch's
    counted.clear()
    theirs = gradients(layer, x, 0, monkeypatch, **given)
    assert not counted
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)


def test_large_calls_multiply_by_pytorch(counted):
    layer = Recurrent("lstm", 64, 64)
    layer(torch.randn(70, 8, 64))[0].sum().backward()
    assert not counted


@pytest.mark.skipif(not compiler.bfloat16(), reason="this processor does not multiply bfloat16")
def test_factors_in_bfloat16_are_rounded_as_pytorchs(counted):
    with torch.autocast("cpu", torch.bfloat16):
        Recurrent("lstm", 4, 4)(torch.randn(5, 2, 4))[0].sum().backward()
    assert not counted


def test_no_gradient_of_the_input_is_computed_where_nobody_asks(counted):
    Recurrent("lstm", 4, 4)(torch.randn(5, 2, 4))[0].sum().backward()
    assert [found.data for found in counted] == [None]
