"""The recurrent networks of FlashRNN (Pöppel, Beck and Hochreiter 2024), where its package is installed: their own kernels."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

GATES = {"slstm": ("slstm", 4), "lstm-v2": ("lstm", 4), "rnn": ("elman", 1)}  # of our cells, the name there and the gates


def available() -> bool:
    """Return whether FlashRNN is installed."""
    return importlib.util.find_spec("flashrnn") is not None


class FlashRNN(nn.Module):
    """A layer whose input is multiplied by PyTorch, and whose loop is FlashRNN's fused kernel.

    Args:
        cell: the name of one of GATES.
        units: of the input, and of the states in all heads together.
        heads: of the recurrent weights.
        dtype: of all tensors.
        device: of all tensors.
    """

    def __init__(self, cell: str, units: int, heads: int, dtype: torch.dtype, device: torch.device):
        super().__init__()
        self.function, self.gates = GATES[cell]
        self.heads, self.each = heads, units // heads

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, dtype=dtype, device=device) / self.each**0.5)

        self.input = drawn(self.gates * units, units)
        self.recurrent = drawn(self.gates, heads, self.each, self.each)
        self.bias = drawn(self.gates, heads, self.each)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """Return the messages of all steps, (steps, rows, units), as a layer's output without its states."""
        from flashrnn.flashrnn import flashrnn

        given = linear(x.transpose(0, 1), self.input).unflatten(-1, (self.gates, self.heads, self.each))
        states, _ = flashrnn(
            given, self.recurrent, self.bias, function=self.function, dtype=str(x.dtype).removeprefix("torch.")
        )
        return states[0].flatten(-2).transpose(0, 1), None
