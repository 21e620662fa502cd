"""Trees for layers: the children of each node, checked, and the nodes in levels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.layers.levelled import Levels


class Forest:
    """One tree or several, by the children of each node.

    Args:
        children: for each node the numbers of its children in order; −1 or None marks a missing child, such as the left
            child of a node with only a right child. Or an integer array, (nodes, most children), with −1 for none.

    ``Forest.joined([a, b])`` is a batch: the nodes of ``a``, then those of ``b``.

    Raises:
        ValueError: a child is no node, has two parents, or is its own ancestor.
        TypeError: ``children`` is neither a list of lists nor an array of whole numbers.
    """

    def __init__(self, children: Sequence[Sequence[int | None]] | Tensor | np.ndarray):
        parents, places, child, self.nodes = _pairs(children)
        self.parent, self.place = np.full(self.nodes, -1), np.zeros(self.nodes, dtype=np.int64)
        if len(wrong := child[(child < 0) | (child >= self.nodes)]):
            k = int(np.flatnonzero((child < 0) | (child >= self.nodes))[0])
            raise ValueError(f"node {parents[k]} has the child {wrong[0]}, but the nodes are 0 to {self.nodes - 1}")
        times = np.bincount(child, minlength=self.nodes)
        if times.max(initial=0) > 1:
            twice = int(times.argmax())
            raise ValueError(
                f"node {twice} is the child of {' and of '.join(f'node {p}' for p in parents[child == twice])}: "
                "in a tree a node has one parent"
            )
        self.parent[child], self.place[child] = parents, places
        self.most = int(places.max(initial=-1)) + 1  # children of a node, counted with those that are missing before them
        self._levels = self._by_height()
        self._known: dict[tuple[int, bool, torch.device], Levels] = {}

    @classmethod
    def joined(cls, forests: Iterable[Forest]) -> Forest:
        """Return a batch: all nodes of the first, then of the second, and so on; a root stays one."""
        every = list(forests)
        if not every:
            raise ValueError("a batch of trees needs at least one")
        table = np.full((sum(f.nodes for f in every), max(1, *(f.most for f in every))), -1)
        at = 0
        for f in every:
            child = np.flatnonzero(f.parent >= 0)
            table[at + f.parent[child], f.place[child]] = at + child
            at += f.nodes
        return cls(table)

    def __len__(self) -> int:
        return self.nodes

    def __repr__(self) -> str:
        return f"Forest of {self.nodes} nodes in {len(self.roots)} trees, {len(self._levels)} levels"

    @property
    def roots(self) -> Tensor:
        """The nodes that are nobody's children, in order: the root of each tree."""
        return torch.from_numpy(np.flatnonzero(self.parent < 0))

    @property
    def leaves(self) -> Tensor:
        """A mask of the nodes without children, (nodes,)."""
        found = np.ones(self.nodes, dtype=bool)
        found[self.parent[self.parent >= 0]] = False
        return torch.from_numpy(found)

    def _by_height(self) -> list[np.ndarray]:
        """Return the nodes of each height, leaves first. Raises ValueError for a node that is its own ancestor."""
        waiting = np.bincount(self.parent[self.parent >= 0], minlength=self.nodes)
        ready, found = np.flatnonzero(waiting == 0), []
        while len(ready):
            found.append(ready)
            above = self.parent[ready][self.parent[ready] >= 0]
            np.subtract.at(waiting, above, 1)
            above = np.unique(above)
            ready = above[waiting[above] == 0]
        if sum(map(len, found)) < self.nodes:
            node = int(np.flatnonzero(waiting > 0)[0])
            for _ in range(self.nodes):  # whoever is above it long enough is in the circle
                node = int(self.parent[node]) if self.parent[node] >= 0 else node
            raise ValueError(f"node {node} is its own ancestor: a tree has no circles")
        return found

    def levels(self, places: int, of_set: bool, device: torch.device) -> Levels:
        """Return the nodes in levels, for a cell whose steps follow ``places`` others, or a set of them."""
        key = places, of_set, device
        if key not in self._known:
            order = np.concatenate(self._levels)
            at = np.empty(self.nodes, dtype=np.int64)
            at[order] = np.arange(self.nodes)
            follows = np.full((1 if of_set else places, self.nodes), -1)
            child = np.flatnonzero(self.parent >= 0)
            follows[0 if of_set else self.place[child], at[child]] = at[self.parent[child]]
            rows, sizes = torch.from_numpy(order).to(device), tuple(map(len, self._levels))
            self._known[key] = Levels(rows, sizes, torch.from_numpy(follows).to(device))
        return self._known[key]


def _pairs(children: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return the parent, the place and the number of each child that is there, and the number of nodes."""
    if isinstance(children, Tensor | np.ndarray):
        table = np.asarray(children.cpu() if isinstance(children, Tensor) else children)
        if table.ndim != 2 or table.dtype.kind not in "iu":
            raise TypeError(f"children are whole numbers, (nodes, most children), not {table.dtype} of shape {table.shape}")
        table = table.astype(np.int64)
        parents, places = np.nonzero(table != -1)
        return parents, places, table[parents, places], len(table)
    try:
        each = [(p, k, -1 if c is None else c) for p, row in enumerate(children) for k, c in enumerate(row)]
    except TypeError:
        raise TypeError("children are a list for each node, of its children's numbers") from None
    for parent, _, child in each:
        if isinstance(child, bool) or not isinstance(child, int | np.integer):
            raise TypeError(f"node {parent} has the child {child!r}, which is no whole number")
    found = np.array([x for x in each if x[2] != -1], dtype=np.int64).reshape(-1, 3).T
    return found[0], found[1], found[2], len(children)
