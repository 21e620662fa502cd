"""``Tree``: a layer over trees of any shape, from the leaves to the roots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from carousel.equations import Cell
from carousel.equations.before import names
from carousel.layers.clamp import Clamps
from carousel.layers.forest import Forest
from carousel.layers.levelled import Levelled, outside_graphs
from carousel.layers.parameters import tensor


class Tree(Levelled):
    """A cell over trees: the predecessors of a node's step are its children's steps.

    Args:
        cell: a cell with ``before=``, or the name of one: "tree-lstm", "child-sum-lstm", "recursive". With names, ``("left",
            "right")``, a node has at most as many children, in that order; with one name, ``"child"``, any number in no order.
        input_size: size of a node's input.
        hidden_size: units of the states.
        options: as those of ``Recurrent``: ``bias``, ``proj_size``, ``recurrent_init``, ``forget_bias``, ``heads``, ``init``,
            ``input_sizes``, ``device``, ``dtype``.

    Parameters have the names in the equations: ``W.ie``, ``b.f``.

    Raises:
        ValueError: for sizes or options that the cell does not have, and a cell whose steps follow one.
        TypeError: for options of another type.
    """

    def __init__(self, cell: str | Cell, input_size: int, hidden_size: int, **options: Any):
        super().__init__(cell, input_size, hidden_size, **options)

    @outside_graphs
    def forward(
        self,
        input: Tensor,
        children: Forest | Sequence[Sequence[int | None]] | Tensor,
        *,
        record: Sequence[str] | None = None,
        clamp: Clamps | None = None,
        **inputs: Tensor,
    ) -> Any:
        """Run from the leaves to the roots.

        Args:
            input: the input of each node, (nodes, input_size).
            children: the children of each node: a :class:`Forest`, or the argument of one; for a batch ``Forest.joined``.
            record: names of gates, states and other quantities of ``cell.names`` to return for every node; a quantity of
                each child of a set, such as its forget gate, is in the child's row.
            clamp: gates or states to hold at a value at all nodes, ``{"f": 0.0}`` or ``{"f": {3: 0.0}}``.
            inputs: the cell's further inputs by name: vectors, (nodes, size), or one number a node, (nodes,).

        Returns:
            The output of every node, (nodes, output size); ``output[forest.roots]`` has the roots' outputs. With ``record``
            also a dictionary from name to (nodes, size).

        Raises:
            ValueError: for shapes or names that do not fit, or children that make no tree.
            TypeError: for an input that is no tensor.
        """
        forest = children if isinstance(children, Forest) else Forest(children)
        cell, x = self.cell, tensor("input", input)
        if x.dim() != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"input has shape {tuple(x.shape)}, expected (nodes, {self.input_size})")
        if len(x) != len(forest):
            raise ValueError(f"the input has {len(x)} nodes, and the trees have {len(forest)}")
        if not len(x):
            raise ValueError("input must have at least one node")
        places, of_set = len(names(cell.before)), isinstance(cell.before, str)
        if forest.most > places and not of_set:
            raise ValueError(
                f"a node has {forest.most} children, but a step of cell {cell.name} follows {places}: {', '.join(cell.before)}"
            )
        taken, given = self._recorded(record), self._further(inputs, (len(x),))
        output, recorded = self._run(forest.levels(places, of_set, x.device), x, given, taken, clamp)
        return output if record is None else (output, recorded)
