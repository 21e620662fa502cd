"""Dense weights in stacks: what a stack is made of, and what it multiplies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from carousel.kernels.heads import parted
from carousel.kernels.interface import Stack

Lengths = Mapping[str, int]


def weights(stack: Stack, lengths: Lengths, dense: Sequence[Tensor]) -> list[Tensor]:
    """Return the weights of a stack, (units, operand's units) each; of several heads (heads, units and operand's units of a
    head)."""
    if stack.heads > 1:
        return [dense[number] for number, _ in stack.parts]
    found = []
    for number, prefix in stack.parts:
        first = sum(lengths[n] for n in prefix)
        found.append(dense[number].narrow(1, first, lengths[stack.depth]))
    return found


def whole(stack: Stack, lengths: Lengths, dense: Sequence[Tensor]) -> Tensor:
    """Return the weights of a stack one below the other, (Σ units, operand's units), with zeros between the blocks of heads."""
    each = weights(stack, lengths, dense)
    return torch.cat([torch.block_diag(*w) for w in each] if stack.heads > 1 else each)


def blocks(stack: Stack, lengths: Lengths, dense: Sequence[Tensor]) -> Tensor:
    """Return the same without the zeros, of several heads (Σ units, operand's units of a head)."""
    return torch.cat([w.flatten(0, -2) for w in weights(stack, lengths, dense)])


def begin(stack: Stack, lengths: Lengths, biases: Sequence[Tensor], like: Tensor) -> Tensor:
    """Return the sums' first terms, (Σ units,), of a stack that multiplies the input."""
    assert stack.biases is not None
    parts: list[Any] = [[biases[k] for k in ks] or [like.new_zeros(lengths[stack.size])] for ks in stack.biases]
    return torch.cat([sum(terms[1:], terms[0]) for terms in parts])


def pairs(stack: Stack, lengths: Lengths, dense: Sequence[Tensor], adjoints: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return factors a, b for which Σ a @ b is the product of ``adjoints`` (rows, Σ units) with the stack, by head where there
    are several."""
    each = adjoints.split(lengths[stack.size], dim=1)
    if stack.heads > 1:
        each = tuple(parted(x, stack.heads) for x in each)
    return list(zip(each, weights(stack, lengths, dense), strict=True))
