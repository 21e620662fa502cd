"""Language models with weights of fewer bits, as exported files hold them."""

from __future__ import annotations

from copy import copy, deepcopy

import torch

from carousel.language.model import LanguageModel
from carousel.layers.precision import PRECISIONS, checked, rounded, rounded_layer


@torch.no_grad()
def rounded_model(model: LanguageModel, precision: str) -> LanguageModel:
    """Return a copy of a model with the dense weights of layers, embedding and output layer rounded to a precision.

    For float32 it is the model itself. Raises InputError for an unknown precision.
    """
    if PRECISIONS[checked(precision)] is None:
        return model
    layers = rounded_layer(model.recurrent, precision)
    found = copy(model)
    found._modules = {name: layers if name == "recurrent" else deepcopy(m) for name, m in model._modules.items()}
    for module in (found.embedding, found.output):
        for weight in module.parameters():
            if weight.dim() == 2:
                weight.copy_(rounded(weight, precision))
    return found
