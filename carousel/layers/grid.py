"""``Grid``: a layer over images, or volumes, whose steps follow their neighbours along each dimension."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from carousel import cells
from carousel.equations import Cell
from carousel.equations.before import names
from carousel.layers.clamp import Clamps
from carousel.layers.levelled import Levelled, Levels, outside_graphs
from carousel.layers.parameters import flag, tensor, whole_number

# Of each predecessor that a step may have, in the order of the dimensions, the two sides from which a scan may come.
SIDES = {"front": ("front", "back"), "up": ("top", "bottom"), "left": ("left", "right")}
GRIDS = {2: ("up", "left"), 3: ("front", "up", "left")}  # what a step follows, by the number of dimensions
Lengths = tuple[int, ...]  # of each dimension


class Grid(Levelled):
    """A cell over images: a step's predecessors are its neighbours above and to the left; in a volume also in front.

    Args:
        cell: a cell with ``before=("up", "left")``, or the name of one: "mdlstm", "stable-mdlstm", "grid-lstm". One with
            ``before=("front", "up", "left")``, such as "mdlstm-3", reads volumes: all that is of a height and a width here is
            then of a depth, a height and a width, and scans begin in up to 8 corners, "front top left" to "back bottom right".
        input_size: number of values of a pixel.
        hidden_size: units of the states.
        directions: the number of scans, 1 to 4, or the corners where they begin: "top left", "top right", "bottom left",
            "bottom right", in the order in which a number takes them. Each scan has parameters of its own. "Above" and "to the
            left" are seen from the scan's corner: a scan from the bottom right comes from below and from the right.
        block: height and width in pixels of the blocks that are steps; pixels missing from an image's last blocks are zero.
        batch_first: images are (B, height, width, input_size) rather than (height, width, B, input_size).
        options: as those of ``Recurrent``: ``bias``, ``proj_size``, ``recurrent_init``, ``forget_bias``, ``heads``, ``init``,
            ``input_sizes``, ``device``, ``dtype``.

    Parameters have the names in the equations and the corner: ``W.ie_tl``, ``b.f_br``.

    Raises:
        ValueError: for sizes or options that the cell does not have, and a cell whose steps follow others.
        TypeError: for options of another type.
    """

    def __init__(
        self,
        cell: str | Cell,
        input_size: int,
        hidden_size: int,
        *,
        directions: int | Sequence[str] = 1,
        block: Sequence[int] | None = None,
        batch_first: bool = False,
        **options: Any,
    ):
        known = cells.get(cell)
        self.axes = _axes(known)
        self.corners, self.block = _corners(directions, self.axes), _block(block, len(self.axes))
        super().__init__(known, input_size, hidden_size, [mark(c) for c in self.corners], **options)
        self.batch_first = flag("batch_first", batch_first)

    @property
    def _step_size(self) -> int:
        return self.input_size * prod(self.block)

    def extra_repr(self) -> str:
        """Return the text of the layer's representation: the cell, the sizes, the scans."""
        parts = [super().extra_repr()]
        parts += [f"directions={self.corners}"] if len(self.corners) > 1 else []
        return ", ".join(parts + ([f"block={self.block}"] if max(self.block) > 1 else []))

    @outside_graphs
    def forward(
        self,
        input: Tensor,
        sizes: Tensor | Sequence[Sequence[int]] | None = None,
        *,
        record: Sequence[str] | None = None,
        clamp: Clamps | None = None,
        **inputs: Tensor,
    ) -> Any:
        """Run over images.

        Args:
            input: (height, width, B, input_size), or (B, height, width, input_size) with ``batch_first``, or one image,
                (height, width, input_size).
            sizes: height and width in pixels of each image of the batch, (B, 2), where they differ; pixels beside an image
                are not read.
            record: names of gates, states and other quantities of ``cell.names`` to return for every step.
            clamp: gates or states to hold at a value at all steps, ``{"f": 0.0}`` or ``{"f": {3: 0.0}}``.
            inputs: the cell's further inputs of each step by name, laid out as the output: vectors, or one number a step.

        Returns:
            The outputs of every step, (rows of blocks, columns of blocks, B, directions · output size), laid out as the input,
            with several scans one after the other; zero beside an image. With ``record`` also a dictionary from each name to
            its values, laid out as the outputs.

        Raises:
            ValueError: for shapes or names that do not fit.
            TypeError: for an input that is no tensor.
        """
        x, count = tensor("input", input), len(self.axes)
        if x.dim() not in (count + 1, count + 2) or x.shape[-1] != self.input_size:
            space = ", ".join(_dimensions(count))
            wanted = f"(B, {space}, {self.input_size})" if self.batch_first else f"({space}, B, {self.input_size})"
            raise ValueError(f"input has shape {tuple(x.shape)}, expected {wanted} or ({space}, {self.input_size})")
        single = x.dim() == count + 1
        x = self._inside(x, single)
        each = _sizes(sizes, tuple(x.shape[:count]), x.shape[count])
        blocks, steps = self._blocks(x, each)
        taken, outer = self._recorded(record), self._outside(blocks, single).shape[:-1]
        given = {n: self._inside(v, single) for n, v in self._further(inputs, tuple(outer)).items()}
        data = blocks.reshape(-1, blocks.shape[-1])
        flat = {n: v.reshape(-1, v.shape[-1]) for n, v in given.items()}
        outputs: list[Tensor] = []
        recorded: dict[str, list[Tensor]] = {name: [] for name in taken}
        for corner in self.corners:
            levels = self.levels(tuple(blocks.shape[:count]), steps, corner, x.device)
            output, seen = self._run(levels, data, flat, taken, clamp, mark(corner))
            outputs.append(output)
            for name in taken:
                recorded[name].append(seen[name])

        def laid_out(found: list[Tensor]) -> Tensor:
            joined = torch.cat(found, dim=1) if len(found) > 1 else found[0]
            return self._outside(joined.view(*blocks.shape[:-1], -1), single)

        output = laid_out(outputs)
        return output if record is None else (output, {name: laid_out(found) for name, found in recorded.items()})

    def levels(self, lengths: Lengths, each: tuple[Lengths, ...], corner: str, device: torch.device) -> Levels:
        """Return the steps of a scan in levels, the diagonals.

        Args:
            lengths: of the batch, in blocks.
            each: of each image.
            corner: at which the scan begins.
            device: of the tensors.
        """
        back = tuple(side != SIDES[axis][0] for side, axis in zip(corner.split(), self.axes, strict=True))
        places = tuple(self.axes.index(name) for name in names(self.cell.before))
        return _levels(lengths, each, back, places, device)

    def _inside(self, x: Tensor, single: bool) -> Tensor:
        """Return what is laid out as the input as (height, width, B, numbers)."""
        return x.unsqueeze(-2) if single else x.movedim(0, -2) if self.batch_first else x

    def _outside(self, x: Tensor, single: bool) -> Tensor:
        return x.squeeze(-2) if single else x.movedim(-2, 0) if self.batch_first else x

    def _blocks(self, x: Tensor, each: tuple[Lengths, ...]) -> tuple[Tensor, tuple[Lengths, ...]]:
        """Return the input of each step, (rows, columns, B, numbers), and rows and columns of each image. Raises ValueError."""
        count = len(self.axes)
        for k, lengths in enumerate(each):
            if any(n < a for n, a in zip(lengths, self.block, strict=True)):
                raise ValueError(f"image {k} is {_by(lengths)} pixels, smaller than a block of {_by(self.block)}")
        if max(self.block) == 1:
            return x, each
        shape: list[int] = []
        padding: list[int] = []
        for axis, (length, a) in enumerate(zip(x.shape, self.block, strict=False)):
            ends = torch.tensor([lengths[axis] for lengths in each], device=x.device)
            place = torch.arange(length, device=x.device).view(-1, *[1] * (count - axis))
            x = torch.where((place < ends).unsqueeze(-1), x, 0)
            shape += [-(-length // a), a]
            padding = [0, -length % a, *padding]  # PyTorch pads the last dimension first
        x = nn.functional.pad(x, [0, 0, 0, 0, *padding]).view(*shape, x.shape[count], -1)
        x = x.permute(*range(0, 2 * count, 2), 2 * count, *range(1, 2 * count, 2), 2 * count + 1)
        blocks = tuple(tuple(-(-n // a) for n, a in zip(lengths, self.block, strict=True)) for lengths in each)
        return x.flatten(count + 1), blocks


def mark(corner: str) -> str:
    """Return what the names of the parameters of a scan end in: "_tl" of the one from the top left."""
    return "_" + "".join(side[0] for side in corner.split())


@lru_cache(maxsize=64)
def _levels(
    lengths: Lengths, each: tuple[Lengths, ...], back: tuple[bool, ...], places: tuple[int, ...], device: torch.device
) -> Levels:
    """Return the steps of a scan in levels, the diagonals.

    Args:
        lengths: of the batch.
        each: of each image.
        back: of each dimension, whether the scan comes from its end.
        places: of each predecessor of the cell its dimension.
        device: of the tensors.
    """
    batch, ends = len(each), torch.tensor(each).T
    # As the scan sees them, from its own corner.
    *steps, b = torch.meshgrid(*map(torch.arange, (*lengths, batch)), indexing="ij")
    there = torch.stack([k < end[b] for k, end in zip(steps, ends, strict=True)]).all(0)
    steps, b = [k[there] for k in steps], b[there]
    level = torch.stack(steps).sum(0)
    sort = level.argsort(stable=True)  # images of the batch side by side
    steps, b = [k[sort] for k in steps], b[sort]
    at = torch.full((*(n + 1 for n in lengths), batch), -1)
    at[(*steps, b)] = torch.arange(len(b))
    follows = [at[(*(k + (axis == place) for axis, k in enumerate(steps)), b)] for place in places]
    order = torch.zeros_like(b)
    for k, end, length, turned in zip(steps, ends, lengths, back, strict=True):
        order = order * length + (end[b] - 1 - k if turned else k)
    return Levels((order * batch + b).to(device), tuple(torch.bincount(level).tolist()), torch.stack(follows).to(device))


def _axes(cell: Cell) -> tuple[str, ...]:
    """Return the predecessors of a cell in the order of the dimensions. Raises ValueError for those of no grid."""
    before = names(cell.before) or GRIDS[2]  # which a chain is not, as is told elsewhere
    found = GRIDS.get(len(before), ())
    if isinstance(cell.before, str) or set(before) != set(found):
        known = " or ".join(" and ".join(axes) for axes in GRIDS.values())
        raise ValueError(f"a step of a grid follows {known}, and one of cell {cell.name} {' and '.join(before)}")
    return found


def _corners(directions: int | Sequence[str], axes: tuple[str, ...]) -> tuple[str, ...]:
    known = tuple(map(" ".join, product(*(SIDES[axis] for axis in axes))))
    if isinstance(directions, str):
        directions = (directions,)
    if isinstance(directions, Sequence):
        if not directions or len(set(directions)) < len(directions) or not all(d in known for d in directions):
            raise ValueError(f"directions are some of {', '.join(known)}, each once, not {directions!r}")
        return tuple(directions)
    count = whole_number("directions", directions, 1)
    if count > len(known):
        raise ValueError(f"an image is scanned from 1 to {len(known)} corners, not {count}")
    return known[:count]


def _block(block: Any, count: int) -> Lengths:
    if block is None:
        return (1,) * count
    if not isinstance(block, Sequence) or len(block) != count:
        wanted = "a height and a width, such as (3, 4)" if count == 2 else "a depth, a height and a width, such as (2, 3, 4)"
        raise TypeError(f"block is {wanted}, not {block!r}")
    return tuple(whole_number(f"the {what} of a block", n, 1) for what, n in zip(_dimensions(count), block, strict=True))


def _sizes(sizes: Any, lengths: Lengths, batch: int) -> tuple[Lengths, ...]:
    """Return the lengths of each image, checked."""
    if min(*lengths, batch) < 1:
        raise ValueError("input must have at least one pixel and one image")
    if sizes is None:
        return (lengths,) * batch
    given = sizes.tolist() if isinstance(sizes, Tensor) else [list(each) for each in sizes]
    dimensions = _dimensions(len(lengths))
    if len(given) != batch or not all(isinstance(x, list) and len(x) == len(lengths) for x in given):
        raise ValueError(f"sizes are {' and '.join(dimensions)} of each of {batch} images")
    found = tuple(
        tuple(whole_number(f"the {what} of an image", n, 1) for what, n in zip(dimensions, x, strict=True)) for x in given
    )
    for k, x in enumerate(found):
        if any(n > most for n, most in zip(x, lengths, strict=True)):
            raise ValueError(f"image {k} is {_by(x)} pixels, but the input has {_by(lengths)}")
    return found


def _dimensions(count: int) -> tuple[str, ...]:
    return ("depth", "height", "width")[-count:]


def _by(lengths: Sequence[int]) -> str:
    return " × ".join(map(str, lengths))
