"""A tree as a labeller reads it: the label that it finds at each node, a unit's value there, and the figure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.errors import InputError
from carousel.plotting import Figure as make

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LEAVES = 150  # side by side in a figure
LEAF, LEVEL = 0.34, 0.42  # inches
SIGNED, SHARE = "PuOr", "Greens"  # as in all figures: what has a sign; shares


@dataclass(frozen=True)
class TreeView:
    """A tree as a labeller reads it; its nodes stand in the order in which they are written, from the root on.

    Attributes:
        tokens: of each node, empty where it has none.
        parents: of each node its parent's number, −1 of the root, (nodes,).
        labels: the label that the output layer finds at each node; of a model that was trained with ``whole``, it has learnt to
            at the root alone.
        probabilities: of those labels, (nodes,).
        name: of a gate or state of a layer; empty where none was asked for.
        values: its units at each node, (nodes, units); of a set's children, such as a forget gate, in the child's row.
        right: the right label of each node, or with ``whole`` of the root alone; empty where they are unknown.
        known: whether the model knows the token of each node; a node without one is known.
    """

    tokens: tuple[str, ...]
    parents: np.ndarray
    labels: tuple[str, ...]
    probabilities: np.ndarray
    name: str = ""
    values: np.ndarray | None = None
    right: tuple[str, ...] = ()
    known: tuple[bool, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def depths(self) -> list[int]:
        """The depth of each node; the root's is 0."""
        found: list[int] = []
        for parent in self.parents.tolist():
            found.append(found[parent] + 1 if parent >= 0 else 0)
        return found

    @cached_property
    def heights(self) -> list[int]:
        """The height of each node, which is its level in the layers; a leaf's is 0."""
        found = [0] * len(self)
        for node in range(len(self) - 1, 0, -1):  # children stand after their parents
            parent = int(self.parents[node])
            found[parent] = max(found[parent], found[node] + 1)
        return found

    @cached_property
    def ends(self) -> list[int]:
        """The number after each node's last descendant; a node and its descendants have successive numbers."""
        found = list(range(1, len(self) + 1))
        for node in range(len(self) - 1, 0, -1):
            parent = int(self.parents[node])
            found[parent] = max(found[parent], found[node])
        return found

    def unit(self, number: int) -> np.ndarray:
        """Return the values of a unit, (nodes,). Raises InputError where there is none of that number."""
        units = 0 if self.values is None else self.values.shape[1]
        if self.values is None or not 0 <= number < units:
            raise InputError(f"there is no unit {number} of {self.name or 'nothing'}; units are 0 to {units - 1}")
        return self.values[:, number]

    def as_dict(self, unit: int | None = None) -> dict[str, Any]:
        """Return the values that JSON shows."""
        rows: list[dict[str, Any]] = [
            {"token": token, "parent": int(parent), "label": label, "probability": round(float(p), 6)}
            for token, parent, label, p in zip(self.tokens, self.parents, self.labels, self.probabilities, strict=True)
        ]
        for row, value in zip(rows, self.unit(unit), strict=True) if unit is not None else ():
            row[f"{self.name}[{unit}]"] = round(float(value), 6)
        return {"nodes": rows}


def draw(view: TreeView, unit: int | None = None) -> Figure:
    """Draw a tree, the label that is found at each node in it, coloured by its probability or by a unit.

    Args:
        view: of the tree.
        unit: number of a unit of ``view.name``; None: nodes have the colours of their labels' probabilities.

    Raises:
        InputError: there is no such unit, or the tree is too wide.
    """
    across, down = _placed(view)
    leaves = int(across.max()) + 1
    if leaves > MOST_LEAVES:
        raise InputError(f"the tree has {leaves} leaves, more than the {MOST_LEAVES} that a figure shows side by side")
    size = max(4.8, LEAF * leaves + 1.4), max(2.4, LEVEL * (int(down.max()) + 1) + 1.3)
    figure = make(figsize=size, layout="constrained")
    axes = figure.subplots()
    for node, parent in enumerate(view.parents.tolist()):
        if parent >= 0:
            axes.plot(across[[node, parent]], -down[[node, parent]], color="#bbb", linewidth=1, zorder=1)
    if unit is None:
        colours, least, most, name = view.probabilities, 0.0, 1.0, "probability of the label"
    else:
        colours, name = view.unit(unit), f"{view.name}, unit {unit}"
        most = float(np.abs(colours).max()) or 1.0
        least = -most
    how: dict[str, Any] = {"c": colours, "cmap": SHARE if unit is None else SIGNED, "vmin": least, "vmax": most}
    dots: Any = axes.scatter(across, -down, s=190, edgecolors="#888", linewidths=0.6, zorder=2, **how)
    for node, (label, token) in enumerate(zip(view.labels, view.tokens, strict=True)):
        dark = sum(dots.to_rgba(colours[node])[:3]) < 1.5
        at = across[node], -down[node]
        axes.annotate(label, at, ha="center", va="center", fontsize=8 if len(label) < 3 else 6, color="w" if dark else "k")
        if token:
            shown = token.replace("$", r"\$")
            axes.annotate(
                shown, at, xytext=(0, -9), textcoords="offset points", ha="center", va="top", fontsize=8, weight="bold"
            )
    axes.set_xlim(-0.8, leaves - 0.2)
    axes.set_ylim(-float(down.max()) - 0.8, 0.5)
    axes.axis("off")
    axes.set_title("in each node: the label found there", loc="left", fontsize=9)
    figure.colorbar(dots, ax=axes, shrink=0.8, label=name, aspect=30)
    return figure


def _placed(view: TreeView) -> tuple[np.ndarray, np.ndarray]:
    """Return of each node its place from left to right, and its depth.

    Leaves stand side by side, other nodes above the middle of their children.
    """
    across, leaves = np.full(len(view), -1.0), 0
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    above = {*view.parents.tolist()}
    for node in range(len(view)):
        if node not in above:
            across[node], leaves = leaves, leaves + 1
    for node in range(len(view) - 1, -1, -1):
        if node in above:
            across[node] = (across[first[node]] + across[last[node]]) / 2
        parent = int(view.parents[node])
        first[parent] = node
        last.setdefault(parent, node)
    return across, np.array(view.depths, float)
