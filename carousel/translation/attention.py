"""Where a decoder looks in the sentence it translates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from carousel.errors import InputError
from carousel.training.precise import precise

KINDS = ("dot", "general", "additive")


class Attention(nn.Module):
    """Scores of every source position for every target step, and the mean of the source's values that they weigh.

    "dot" and "general" are Luong et al. 2015, qᵀk and qᵀWk; "additive" is Bahdanau et al. 2015, vᵀ tanh(Uq + Wk). All are asked
    after the decoder's step, as Luong's are.

    Raises InputError where "dot" has vectors of two sizes.
    """

    def __init__(self, kind: str, query_size: int, value_size: int):
        super().__init__()
        if kind == "dot" and query_size != value_size:
            raise InputError(
                f"attention dot needs an encoder and a decoder of one size, not {value_size} and {query_size}; take general"
            )
        self.kind = kind
        self.key = nn.Linear(value_size, query_size, bias=False) if kind != "dot" else None
        self.query = nn.Linear(query_size, query_size) if kind == "additive" else None
        self.score = nn.Linear(query_size, 1, bias=False) if kind == "additive" else None

    def keys(self, values: Tensor) -> Tensor:
        """Return the keys that queries are compared with, (B, S, query_size); the same at every step."""
        return values if self.key is None else self.key(values)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """Return contexts (B, T, value_size) and weights (B, T, S) for queries (B, T, query_size).

        Positions of ``padding`` (B, S) get no weight.
        """
        if self.query is None or self.score is None:
            scores = queries @ keys.transpose(1, 2)
        else:
            scores = self.score(torch.tanh(self.query(queries).unsqueeze(2) + keys.unsqueeze(1))).squeeze(-1)
        weights = precise(scores).masked_fill(padding.unsqueeze(1), -torch.inf).softmax(-1)
        return weights.to(values.dtype) @ values, weights
