"""Layers over cells, with PyTorch's calling convention."""

from carousel.layers.clamp import Clamp, Clamps
from carousel.layers.convert import from_torch, from_torch_state, to_torch, to_torch_state
from carousel.layers.first_values import chrono
from carousel.layers.recurrent import Recurrent, State
from carousel.layers.sequences import dropout
from carousel.layers.streaming import Streaming

__all__ = [
    "Clamp",
    "Clamps",
    "Recurrent",
    "State",
    "Streaming",
    "chrono",
    "dropout",
    "from_torch",
    "from_torch_state",
    "to_torch",
    "to_torch_state",
]
