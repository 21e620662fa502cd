"""Products in bfloat16: what is multiplied is rounded, all else stays in single precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from carousel import kernels
from carousel.cells import CELLS
from carousel.kernels.cpu import compiler
from carousel.kernels.inputs import loop_of
from carousel.layers import Recurrent

pytestmark = pytest.mark.skipif(not compiler.bfloat16(), reason="this processor does not multiply bfloat16")


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


def rounded(*shape):
    return torch.randn(*shape).bfloat16().float()


def gradients(layer, x, wanted):
    output = layer(x)[0]
    flat = output.data if hasattr(output, "batch_sizes") else output
    weights = torch.linspace(-1, 1, flat.numel()).reshape(flat.shape)
    return [flat.detach(), *torch.autograd.grad((flat * weights).sum(), wanted)]


def assert_close(found, expected, tolerance=0.02):
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= tolerance * b.norm() + 1e-6


def _mean_error(found, expected):
    return sum((a - b).norm() / b.norm() for a, b in zip(found, expected, strict=True)) / len(expected)


@pytest.mark.parametrize(("name", "tolerance"), [("lstm-v3", 1e-5), ("lstm-layer-norm", 1e-3)])
@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 9), units=st.integers(1, 40), size=st.integers(1, 40))
def test_one_step_of_what_is_rounded_already_is_exact(name, tolerance, rows, units, size):
    layer = Recurrent(name, size, units)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(rounded(*p.shape))
        x, before = rounded(1, rows, size), (rounded(1, rows, units), torch.randn(1, rows, units))
        expected, hx = layer(x, before)
        with autocast():
            found, found_hx = layer(x, before)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found_hx, hx, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", [*CELLS, "lstm-layer-norm", "gru-layer-norm"])
def test_every_cell_is_near_single_precision(name):
    torch.manual_seed(0)
    layer = Recurrent(name, 36, 18, 2, bidirectional=True)
    x = torch.randn(8, 7, 36, requires_grad=True)
    wanted = [x, *layer.parameters()]
    expected = gradients(layer, x, wanted)
    with autocast():
        found = gradients(layer, x, wanted)
    if loop_of(layer.cell).goes_over_units:  # small variances make rounding large: as PyTorch's operations have it
        with autocast(), kernels.use("reference"):
            rounded_too = gradients(layer, x, wanted)
        assert _mean_error(found, expected) <= 1.3 * _mean_error(rounded_too, expected)
    else:
        assert_close(found, expected)
    assert not torch.allclose(found[0], expected[0], rtol=1e-6, atol=1e-6)  # it was rounded
    assert all(g.dtype == torch.float32 for g in found)


def test_rows_longer_than_a_piece_that_is_rounded_at_once():
    layer = Recurrent("lstm", 1111, 650)
    x = torch.randn(2, 5, 1111, requires_grad=True)
    wanted = [x, *layer.parameters()]
    expected = gradients(layer, x, wanted)
    with autocast():
        assert_close(gradients(layer, x, wanted), expected)


def test_packed_rows_segments_and_resets():
    torch.manual_seed(0)
    layer = Recurrent("lstm-v4", 9, 12, segment_length=3)
    x = pack_sequence([torch.randn(n, 9) for n in (11, 7, 7, 2)])
    wanted = list(layer.parameters())
    expected = gradients(layer, x, wanted)
    with autocast():
        assert_close(gradients(layer, x, wanted), expected)
    resets = torch.rand(8, 4) < 0.3
    x = torch.randn(8, 4, 9)
    with torch.no_grad(), autocast():
        found, _ = layer(x, resets=resets)
    assert_close([found], [layer(x, resets=resets)[0].detach()])


@pytest.fixture
def asked_of_pytorch():
    torch.backends.mkldnn.rnn.fp32_precision = "bf16"
    yield
    torch.backends.mkldnn.rnn.fp32_precision = "none"


def test_it_can_be_asked_for_as_pytorch_has_it_for_recurrent_layers(asked_of_pytorch, monkeypatch):
    layer, x = Recurrent("gru", 6, 6), torch.randn(3, 2, 6)
    with torch.no_grad():
        found = layer(x)[0]
        with kernels.use("reference"):
            exact = layer(x)[0]
        with autocast():
            assert torch.equal(layer(x)[0], found)
        assert not torch.allclose(found, exact, rtol=1e-6, atol=1e-6)
        monkeypatch.setenv("CAROUSEL_SIMD", "avx2")  # without the instructions it stays as it was
        torch.testing.assert_close(layer(x)[0], exact, rtol=1e-6, atol=1e-6)


def test_under_autocast_the_input_may_be_rounded_and_doubles_stay():
    layer, x = Recurrent("lstm", 6, 6), torch.randn(3, 2, 6)
    with torch.no_grad(), autocast():
        found = layer(x.bfloat16())[0]
        assert found.dtype == torch.float32
        assert torch.equal(found, layer(x.bfloat16().float())[0])
        double = layer.double()(x.double())[0]
    with torch.no_grad():
        assert torch.equal(double, layer(x.double())[0])


def test_compiled_it_is_the_same():
    layer, x = Recurrent("lstm-v3", 5, 6), torch.randn(7, 3, 5)
    with autocast():
        expected = layer(x)[0]
        found = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)[0]
    torch.testing.assert_close(found, expected)
