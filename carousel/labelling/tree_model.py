"""Labellers of trees: layers of a cell whose steps follow several give each node, or the root, a label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from carousel.equations import Cell
from carousel.labelling.model import LEAF, Labeller, LabellerConfig
from carousel.layers import Forest, Tree
from carousel.training.precise import precise


class TreeLayers(nn.Module):
    """Stacked layers over the same trees, each from the leaves to the roots.

    Args:
        cell: a cell whose steps follow several.
        input_size: numbers of a node's input.
        hidden_size: units of the states of every layer.
        layers: how many.
        dropout: probability of zeroing a number on its way from a layer to the next one.
        options: further arguments of ``Tree``.

    Raises:
        ValueError: ``Tree`` refuses the arguments.
    """

    directions = 1

    def __init__(
        self, cell: Cell, input_size: int, hidden_size: int, layers: int, dropout: float, **options: float | str | None
    ):
        super().__init__()
        self.layers, self.dropout = nn.ModuleList(), nn.Dropout(dropout)
        self.cell, self.output_size = cell, input_size
        for _ in range(layers):
            layer = Tree(cell, self.output_size, hidden_size, **options)
            self.layers.append(layer)
            self.output_size = layer.output_size

    def __repr__(self) -> str:
        return f"{self.layers[0]!r}" + (f" × {len(self.layers)}" if len(self.layers) > 1 else "")

    def forward(
        self, x: Tensor, forest: Forest, record: Sequence[str] = (), layer: int = -1
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Read trees.

        Args:
            x: of each node its input, (nodes, input_size).
            forest: the trees.
            record: names of gates, states and other quantities of a layer to give back.
            layer: which one, by default the last.

        Returns:
            Of each node its output, (nodes, output_size), and what is recorded, (nodes, units) by name.
        """
        inputs = {LEAF: forest.leaves.to(x)} if LEAF in self.cell.inputs else {}
        watched, recorded = range(len(self.layers))[layer], dict[str, Tensor]()
        for number, each in enumerate(self.layers):
            x = self.dropout(x) if number else x
            if record and number == watched:
                x, recorded = each(x, forest, record=record, **inputs)
            else:
                x = each(x, forest, **inputs)
        return x, recorded


class TreeLabeller(Labeller):
    """A labeller of trees: an embedding of the nodes' tokens, layers over the trees, an output layer.

    A node without a token has zeros as its input (Tai, Socher and Manning 2015). With ``whole`` the root's output is
    classified. Arguments and errors are those of ``Labeller``.
    """

    def _layers(self, size: int) -> TreeLayers:
        config = self.config
        options = {"proj_size": config.projection, "recurrent_init": config.recurrent_init, "forget_bias": config.forget_bias}
        return TreeLayers(config.own_cell(), size, config.hidden, config.layers, config.dropout, **options)

    def scores(self, x: Tensor, forest: Forest) -> Tensor:
        """Return the labels' scores, (nodes, labels), or with ``whole`` (trees, labels).

        Args:
            x: numbers (nodes, n), or ids (nodes, tables), −1 for nodes without a token.
            forest: the trees.
        """
        h, _ = self.recurrent(self._drop(self._embedded(x)), forest)
        return self.output(self._drop(h[forest.roots.to(h.device)] if self.config.whole else h))

    @torch.no_grad()
    def at_nodes(
        self, x: Tensor, forest: Forest, record: Sequence[str] = (), layer: int = -1
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the probabilities of the labels at every node, also with ``whole``, (nodes, labels), and what is recorded.

        Args:
            x: as ``scores`` takes it.
            forest: the trees.
            record: names of quantities of a layer.
            layer: which one, by default the last.

        Raises:
            ValueError: the cell has no quantity of that name.
            IndexError: there is no such layer.
        """
        h, recorded = self.recurrent(self._drop(self._embedded(x)), forest, record, layer)
        return precise(self.output(self._drop(h))).softmax(-1), recorded

    def _embedded(self, x: Tensor) -> Tensor:
        if not self.embeddings:
            return super()._embedded(x)
        return super()._embedded(x.clamp(min=0)) * (x[..., :1] >= 0)


def labeller(labels: int, inputs: int | Sequence[int], config: LabellerConfig) -> Labeller:
    """Return a labeller of sequences, or of trees where a step of the cell follows several. Arguments are ``Labeller``'s."""
    return (TreeLabeller if config.before else Labeller)(labels, inputs, config)
