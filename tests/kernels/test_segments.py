"""Segments that are run twice give the same, and keep less."""

import pytest
import torch

from carousel.layers import Recurrent


def kept_bytes(layer, x):
    """Bytes of distinct tensors that the way back holds, the layer's own parameters aside."""
    own, seen = {p.untyped_storage().data_ptr() for p in layer.parameters()}, {}

    def pack(t):
        if t.untyped_storage().data_ptr() not in own:
            seen[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        layer(x)
    return sum(seen.values())


@pytest.mark.parametrize("steps", [1, 4, 7])
@pytest.mark.parametrize("name", ["lstm-v3", "clockwork"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_same_gradients(name, steps, bidirectional):
    torch.manual_seed(0)
    plain = Recurrent(name, 4, 5, bidirectional=bidirectional, learned_initial=True).double()
    layer = Recurrent(name, 4, 5, bidirectional=bidirectional, learned_initial=True, segment_length=steps).double()
    layer.load_state_dict(plain.state_dict())
    x = [torch.randn(n, 4, dtype=torch.float64, requires_grad=True) for n in (12, 9, 9, 2)]
    resets = torch.rand(12, 4) < 0.2
    found = []
    for one in (plain, layer):
        output, hx = one(torch.nn.utils.rnn.pack_sequence(x), resets=resets)
        states = [s for s in (hx if isinstance(hx, tuple) else (hx,)) if s.requires_grad]
        loss = output.data.square().sum() + sum(s.sum() for s in states)
        gradients = torch.autograd.grad(loss, [*one.parameters(), *x])
        found.append([output.data, *(hx if isinstance(hx, tuple) else (hx,)), *gradients])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_what_is_kept_grows_with_the_square_root():
    kept = {}
    for steps in (64, 256, 1024):
        layer = Recurrent("lstm-v3", 8, 32, segment_length=int(steps**0.5))
        x = torch.randn(steps, 4, 8)
        # The input and the output are of every step; what is beyond them is the states of the borders.
        kept[steps] = kept_bytes(layer, x) - x.nbytes
    assert kept[1024] <= 4.6 * kept[64]
    every = kept_bytes(Recurrent("lstm-v3", 8, 32), torch.randn(1024, 4, 8))
    assert kept[1024] < every / 10


@pytest.mark.parametrize("what", ["a parameter", "the input", "a state"])
def test_what_was_changed_since_is_refused_backwards(what):
    layer, x, h = Recurrent("gru", 2, 3, segment_length=2), torch.randn(5, 1, 2), torch.zeros(1, 1, 3)
    output, _ = layer(x, h)
    with torch.no_grad():
        {"a parameter": layer.parameter("W.rh"), "the input": x, "a state": h}[what].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_less_than_none_is_refused():
    with pytest.raises(ValueError, match="segment_length must be at least 0"):
        Recurrent("rnn", 2, 3, segment_length=-1)
