"""A layer's parameters: what may be put in their place, by assignment and by PyTorch's own tools."""

import io
import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from carousel.layers import Recurrent, Streaming, to_torch


def made():
    torch.manual_seed(3)
    return Recurrent("lstm-v3", 3, 4, dtype=torch.float64)


X = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("value", [torch.zeros(4, 4), None, "zero", [[0.0]]])
def test_what_is_no_parameter_is_refused(value):
    """A weight drop by assignment would give the raw weight no gradient."""
    layer = made()
    before = layer.W["im_l0"].clone()
    with pytest.raises(TypeError, match=r"'im_l0' holds a parameter.*parametrize\.register_parametrization\(layer\.W, 'im_l0'"):
        layer.W["im_l0"] = value
    with pytest.raises(TypeError, match="parametrize"):
        layer.W.update({"im_l0": value})
    assert torch.equal(layer.W["im_l0"], before)


def test_a_parameter_is_taken():
    layer, other = made(), nn.Parameter(torch.ones(4, 4, dtype=torch.float64))
    layer.W["im_l0"] = other
    layer(X)[0].sum().backward()
    assert layer.W["im_l0"] is other and other.grad.any()


def test_a_dropped_weight_by_parametrize_learns():
    class Drop(nn.Module):
        def forward(self, weight):
            return nn.functional.dropout(weight, 0.5)

    layer = made()
    raw = layer.W["im_l0"]
    parametrize.register_parametrization(layer.W, "im_l0", Drop())
    layer(X)[0].sum().backward()
    assert layer.W.parametrizations["im_l0"].original is raw and raw.grad.any()


def test_a_parametrized_weight_can_be_assigned():
    layer = made()
    parametrizations.orthogonal(layer.W, "im_l0")
    turned = torch.eye(4, dtype=torch.float64).flip(0)
    for value in (turned, nn.Parameter(turned)):
        layer.W["im_l0"] = value
        torch.testing.assert_close(layer.W["im_l0"].detach(), turned)


def test_a_pruned_weight_is_pruned_at_every_call_and_learns():
    layer = made()
    prune.l1_unstructured(layer.W, "im_l0", amount=0.5)
    outputs = []
    for _ in range(3):
        output, _ = layer(X)
        outputs.append(output.sum().item())
        output.sum().backward()
        with torch.no_grad():
            for p in layer.parameters():
                p -= 0.1 * p.grad
        assert (layer.W["im_l0"] == 0).sum() == 8
    assert outputs[0] > outputs[1] > outputs[2]
    with torch.no_grad():
        expected, streamed = layer(X)[0], Streaming(layer, batch=2)
        torch.testing.assert_close(torch.stack([streamed(x).clone() for x in X]), expected)
        prune.remove(layer.W, "im_l0")
        torch.testing.assert_close(layer(X)[0], expected)


def test_a_pruned_weight_that_is_loaded_is_the_loaded_one():
    layer, other = made(), made()
    for x in (layer, other):
        prune.l1_unstructured(x.W, "im_l0", amount=0.5)
    with torch.no_grad():
        other.W.im_l0_orig.mul_(3)
        layer(X)
        layer.load_state_dict(other.state_dict())
        torch.testing.assert_close(layer(X)[0], other(X)[0])


def test_pruned_and_parametrized_weights_are_converted_as_they_are():
    layer = Recurrent("gru", 3, 4, dtype=torch.float64)
    prune.l1_unstructured(layer.W, "nh_l0", amount=0.5)
    parametrizations.orthogonal(layer.W, "rh_l0")
    torch.testing.assert_close(to_torch(layer)(X)[0], layer(X)[0])


# Attributes since 0.1.0:
NEWER = {"bias", "init", "input_sizes", "rates", "weight_noise", "weight_dropout", "_places", "_units"}
COPIES = {
    "deepcopy": deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "a pickle of 0.1.0": lambda layer: _unpickled(layer, without=NEWER),
    "torch.save": lambda layer: torch.load(_saved(layer), weights_only=False),
    "load_state_dict": lambda layer: _loaded(layer),
    "load_state_dict, assigned": lambda layer: _loaded(layer, assign=True),
}


def _unpickled(layer, without):
    found = Recurrent.__new__(Recurrent)
    found.__setstate__({name: value for name, value in vars(layer).items() if name not in without})
    return found


def _saved(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return file


def _loaded(layer, **options):
    torch.manual_seed(99)
    found = Recurrent("lstm-v3", 3, 4, dtype=torch.float64)
    found.load_state_dict(layer.state_dict(), **options)
    return found


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_compute_the_same_and_refuse_the_same(copy):
    layer = made()
    found = copy(layer)
    assert torch.equal(found(X)[0], layer(X)[0])
    with pytest.raises(TypeError, match="parametrize"):
        found.W["im_l0"] = torch.zeros(4, 4)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("strict", [True, False])
def test_a_state_dict_of_pytorchs_module_names_the_conversion(kind, strict):
    module = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind](3, 4)
    layer = Recurrent(kind, 3, 4)
    before = deepcopy(layer.state_dict())
    with pytest.raises(ValueError, match=r"state dict of torch\.nn\.LSTM, GRU or RNN.*from_torch_state\(state, layer\)"):
        layer.load_state_dict(module.state_dict(), strict=strict)
    with pytest.raises(ValueError, match="from_torch_state"):  # inside another module too
        nn.Sequential(layer).load_state_dict(nn.Sequential(module).state_dict(), strict=strict)
    assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())
