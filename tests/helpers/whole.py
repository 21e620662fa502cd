"""Whole layers beside an oracle."""

import torch


def agree(found, wanted, leaves):
    """Values, and gradients of an uneven number made of them, to 1e-9."""
    gradients = []
    for values in (found, wanted):
        loss = sum((x * torch.linspace(-1, 2, x.numel(), dtype=x.dtype).view_as(x)).sum() for x in values)
        gradients.append(torch.autograd.grad(loss, leaves, allow_unused=True))
    for a, b in [*zip(found, wanted, strict=True), *zip(*gradients, strict=True)]:
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def as_tuple(states):
    return states if isinstance(states, tuple) else (states,)
