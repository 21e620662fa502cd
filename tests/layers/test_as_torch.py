"""``Recurrent`` takes what ``torch.nn.LSTM`` takes, in its order, after the cell."""

import copy
import inspect
import io

import pytest
import torch
from torch import nn

from carousel import kernels
from carousel.layers import Recurrent, Streaming, from_torch_state

E, H, P, T, B = 3, 5, 2, 7, 4
# num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype: by position
POSITIONS = [
    (1,),
    (2, False),
    (2, True, True, 0.25, True),
    (2, False, False, 0.0, True, 0, "cpu", torch.float64),
    (1, True, False, 0.0, False, P),
    (2, False, True, 0.0, True, P, "cpu", torch.float64),
]


def test_the_order_is_torchs():
    theirs = [n for n in inspect.signature(nn.modules.rnn.RNNBase.__init__).parameters if n not in ("self", "mode")]
    ours = inspect.signature(Recurrent).parameters.values()
    assert [p.name for p in ours if p.kind is p.POSITIONAL_OR_KEYWORD] == ["cell", *theirs]


@pytest.mark.parametrize("given", POSITIONS, ids=str)
def test_the_same_arguments_by_position_are_the_same_layer(given):
    torch.manual_seed(3)
    theirs = nn.LSTM(E, H, *given)
    ours = Recurrent("lstm-v4" if theirs.proj_size else "lstm-v3", E, H, *given)
    ours.load_state_dict(from_torch_state(theirs.state_dict(), ours))
    for option in ("num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size"):
        assert getattr(ours, option) == getattr(theirs, option), option
    like = next(theirs.parameters())
    assert all((p.dtype, p.device) == (like.dtype, like.device) for p in (*ours.parameters(), *ours.buffers()))
    ours.flatten_parameters()
    x = torch.randn(B, T, E, dtype=like.dtype)
    for module in (ours, theirs):
        module.eval()
    torch.testing.assert_close([*ours(x)], [*theirs(x)])


def test_what_stood_elsewhere_is_refused():
    """Dropout is the fourth after the sizes, where a flag stands; nobody gets another layer without a word."""
    for wrong in ((2, 0.5), (2, True, 0.5), (2, True, True, True), (2, True, False, 0.0, 0.5)):
        with pytest.raises(TypeError):
            Recurrent("lstm", E, H, *wrong)


class TestWithoutBias:
    @pytest.fixture(params=["lstm", "lstm-v3", "gru", "gru-original", "rnn", "vanilla"])
    def both(self, request):
        """A layer without biases, and one with the same weights whose biases are zero."""
        options = {"num_layers": 2, "bidirectional": True, "dtype": torch.float64}
        without, zero = (Recurrent(request.param, E, H, bias=b, **options) for b in (False, True))
        zero.load_state_dict(without.state_dict() | {k: torch.zeros_like(v) for k, v in zero.b.state_dict(prefix="b.").items()})
        return without, zero

    @pytest.mark.parametrize("backend", ["cpu", "reference"])
    def test_biases_count_as_zero(self, both, backend):
        x, found = torch.randn(T, B, E, dtype=torch.float64), []
        for layer in both:
            mine = x.clone().requires_grad_()
            with kernels.use(backend):
                output, hx = layer(mine)
                output.sum().backward()
            weights = {n: p.grad for n, p in layer.named_parameters() if not n.startswith("b.")}
            found.append({"output": output.detach(), "x": mine.grad, "hx": hx, **weights})
        torch.testing.assert_close(*found)

    def test_there_are_no_parameters_for_them(self, both):
        without, _ = both
        assert len(without.b) == 0
        assert not [n for n, _ in without.named_parameters() if n.startswith("b.")]
        assert not [n for n in without.state_dict() if n.startswith("b.")]
        assert "bias=False" in repr(without)
        assert not any(v.any() for n, v in without.parameters_of(1, 1).items() if n.startswith("b."))


def test_a_layer_without_bias_is_moved_copied_saved_and_streamed():
    layer = Recurrent("gru", E, H, bias=False)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    x = torch.randn(T, 1, E)
    expected = layer(x)[0]
    for other in (copy.deepcopy(layer), torch.load(file, weights_only=False)):
        torch.testing.assert_close(other(x)[0], expected)
    stream = Streaming(layer)
    torch.testing.assert_close(torch.stack([stream(step).clone() for step in x]), expected.detach())
    torch.testing.assert_close(layer.double()(x.double())[0], expected.double(), atol=1e-5, rtol=1e-5)
    empty = Recurrent("gru", E, H, bias=False, device="meta").to_empty(device="cpu")
    empty.reset_parameters()
    empty.load_state_dict(layer.state_dict())
    torch.testing.assert_close(empty(x)[0], expected.float(), atol=1e-5, rtol=1e-5)


def test_a_forget_bias_needs_biases():
    with pytest.raises(ValueError, match=r"forget_bias starts the bias b\.f, which bias=False leaves out"):
        Recurrent("lstm", E, H, bias=False, forget_bias=1.0)
