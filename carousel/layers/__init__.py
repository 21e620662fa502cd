"""Layers over cells, with PyTorch's calling convention."""

from carousel.layers.clamp import Clamp, Clamps
from carousel.layers.convert import from_torch, from_torch_state, to_torch, to_torch_state
from carousel.layers.first_values import chrono
from carousel.layers.forest import Forest
from carousel.layers.grid import Grid
from carousel.layers.of_cell import CellLayer
from carousel.layers.recurrent import Recurrent, State
from carousel.layers.sequences import dropout
from carousel.layers.streaming import Streaming
from carousel.layers.tree import Tree

__all__ = [
    "CellLayer",
    "Clamp",
    "Clamps",
    "Forest",
    "Grid",
    "Recurrent",
    "State",
    "Streaming",
    "Tree",
    "chrono",
    "dropout",
    "from_torch",
    "from_torch_state",
    "to_torch",
    "to_torch_state",
]
