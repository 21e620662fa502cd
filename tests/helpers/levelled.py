"""Layers whose steps follow several, beside loops written by hand: their values and gradients compared."""

import torch


def gradients(value, layer, x):
    """Return the gradients of the input and of all parameters, of a weighted sum of a value."""
    loss = (value * torch.linspace(-1, 1, value.numel()).view_as(value)).sum()
    leaves = [x, *layer.parameters()]
    return torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)


def close(a, b, tolerance=1e-9):
    """Compare the shapes and all numbers of two tensors."""
    assert a.shape == b.shape
    assert (a - b).abs().max() <= tolerance
