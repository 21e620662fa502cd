"""Layers over cells, with PyTorch's calling convention."""

from carousel.layers.convert import from_torch, from_torch_state, to_torch, to_torch_state
from carousel.layers.recurrent import Recurrent, State, dropout

__all__ = ["Recurrent", "State", "dropout", "from_torch", "from_torch_state", "to_torch", "to_torch_state"]
