"""``Grid``: a layer over images, whose steps follow the one above and the one to the left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from carousel.equations import Cell
from carousel.equations.before import names
from carousel.layers.clamp import Clamps
from carousel.layers.levelled import Levelled, Levels, outside_graphs
from carousel.layers.parameters import flag, tensor, whole_number

# The corners at which scans begin, in the order in which a number of directions takes them, and the marks of parameters.
CORNERS = {"top left": "_tl", "top right": "_tr", "bottom left": "_bl", "bottom right": "_br"}


class Grid(Levelled):
    """A cell over images: a pixel's step follows those of its neighbours above and to the left.

    Args:
        cell: a cell with ``before=("up", "left")``, or the name of one: "mdlstm", "stable-mdlstm".
        input_size: number of values of a pixel.
        hidden_size: units of the states.
        directions: the number of scans, 1 to 4, or the corners where they begin: "top left", "top right", "bottom left",
            "bottom right", in the order in which a number takes them. Each scan has parameters of its own. "Above" and "to the
            left" are seen from the scan's corner: a scan from the bottom right comes from below and from the right.
        block: height and width in pixels of the blocks that are steps; pixels missing from an image's last blocks are zero.
        batch_first: images are (B, height, width, input_size) rather than (height, width, B, input_size).
        options: as those of ``Recurrent``: ``bias``, ``proj_size``, ``recurrent_init``, ``forget_bias``, ``heads``, ``init``,
            ``input_sizes``, ``device``, ``dtype``.

    Parameters carry the slide's names and the corner: ``W.ie_tl``, ``b.f_br``.

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
        block: tuple[int, int] = (1, 1),
        batch_first: bool = False,
        **options: Any,
    ):
        self.corners, self.block = _corners(directions), _block(block)
        super().__init__(cell, input_size, hidden_size, [CORNERS[c] for c in self.corners], **options)
        self.batch_first, before = flag("batch_first", batch_first), names(self.cell.before)
        if isinstance(self.cell.before, str) or set(before) != {"up", "left"}:
            raise ValueError(f"a step of a grid follows up and left, and one of cell {self.cell.name} {' and '.join(before)}")

    @property
    def _step_size(self) -> int:
        return self.input_size * self.block[0] * self.block[1]

    def extra_repr(self) -> str:
        """Return the text of the layer's representation: the cell, the sizes, the scans."""
        parts = [super().extra_repr()]
        parts += [f"directions={self.corners}"] if len(self.corners) > 1 else []
        return ", ".join(parts + ([f"block={self.block}"] if self.block != (1, 1) else []))

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
            record: names of gates, states and other quantities of ``cell.names`` to give back for every step.
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
        x = tensor("input", input)
        if x.dim() not in (3, 4) or x.shape[-1] != self.input_size:
            wanted = f"(B, height, width, {self.input_size})" if self.batch_first else f"(height, width, B, {self.input_size})"
            raise ValueError(f"input has shape {tuple(x.shape)}, expected {wanted} or (height, width, {self.input_size})")
        single = x.dim() == 3
        x = self._inside(x, single)
        height, width, batch = x.shape[:3]
        each = _sizes(sizes, height, width, batch)
        blocks, steps = self._blocks(x, each)
        rows, columns = blocks.shape[:2]
        taken, outer = self._recorded(record), self._outside(blocks, single).shape[:-1]
        given = {n: self._inside(v, single) for n, v in self._further(inputs, tuple(outer)).items()}
        data = blocks.reshape(-1, blocks.shape[-1])
        flat = {n: v.reshape(-1, v.shape[-1]) for n, v in given.items()}
        outputs: list[Tensor] = []
        recorded: dict[str, list[Tensor]] = {name: [] for name in taken}
        for corner in self.corners:
            levels = self.levels(rows, columns, steps, corner, x.device)
            output, seen = self._run(levels, data, flat, taken, clamp, CORNERS[corner])
            outputs.append(output)
            for name in taken:
                recorded[name].append(seen[name])

        def laid_out(found: list[Tensor]) -> Tensor:
            joined = torch.cat(found, dim=1) if len(found) > 1 else found[0]
            return self._outside(joined.view(rows, columns, batch, -1), single)

        output = laid_out(outputs)
        return output if record is None else (output, {name: laid_out(found) for name, found in recorded.items()})

    def levels(self, rows: int, columns: int, each: tuple[tuple[int, int], ...], corner: str, device: torch.device) -> Levels:
        """Return the steps of a scan in levels, the diagonals.

        Args:
            rows: of the batch, in blocks.
            columns: the same.
            each: rows and columns of each image.
            corner: at which the scan begins.
            device: of the tensors.
        """
        return _levels(rows, columns, each, corner, names(self.cell.before), device)

    def _inside(self, x: Tensor, single: bool) -> Tensor:
        """Return what is laid out as the input as (height, width, B, numbers)."""
        return x.unsqueeze(2) if single else x.permute(1, 2, 0, 3) if self.batch_first else x

    def _outside(self, x: Tensor, single: bool) -> Tensor:
        return x.squeeze(2) if single else x.permute(2, 0, 1, 3) if self.batch_first else x

    def _blocks(self, x: Tensor, each: tuple[tuple[int, int], ...]) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
        """Return the input of each step, (rows, columns, B, numbers), and rows and columns of each image. Raises ValueError."""
        (height, width, batch, _), (a, b) = x.shape, self.block
        for k, (h, w) in enumerate(each):
            if h < a or w < b:
                raise ValueError(f"image {k} is {h} × {w} pixels, smaller than a block of {a} × {b}")
        if (a, b) == (1, 1):
            return x, each
        h, w = torch.tensor(each, device=x.device).T
        down, across = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
        there = (down[:, None, None] < h) & (across[None, :, None] < w)
        x = torch.where(there.unsqueeze(-1), x, 0)
        rows, columns = -(-height // a), -(-width // b)
        x = nn.functional.pad(x, (0, 0, 0, 0, 0, columns * b - width, 0, rows * a - height))
        x = x.view(rows, a, columns, b, batch, -1).permute(0, 2, 4, 1, 3, 5).reshape(rows, columns, batch, -1)
        return x, tuple((-(-h // a), -(-w // b)) for h, w in each)


@lru_cache(maxsize=64)
def _levels(
    rows: int, columns: int, each: tuple[tuple[int, int], ...], corner: str, before: tuple[str, ...], device: torch.device
) -> Levels:
    """Return the steps of a scan in levels, the diagonals.

    Args:
        rows: of the batch.
        columns: of the batch.
        each: rows and columns of each image.
        corner: at which the scan begins.
        before: the names of the predecessors in the cell's order.
        device: of the tensors.
    """
    batch = len(each)
    height, width = torch.tensor(each).T
    # As the scan sees them, from its own corner.
    i, j, b = torch.meshgrid(torch.arange(rows), torch.arange(columns), torch.arange(batch), indexing="ij")
    there = (i < height[b]) & (j < width[b])
    i, j, b = i[there], j[there], b[there]
    sort = ((i + j) * rows + i).argsort(stable=True)  # images of the batch side by side
    i, j, b = i[sort], j[sort], b[sort]
    at = torch.full((rows + 1, columns + 1, batch), -1)
    at[i, j, b] = torch.arange(len(i))
    follows = {"up": at[i + 1, j, b], "left": at[i, j + 1, b]}
    row = i if corner.startswith("top") else height[b] - 1 - i
    column = j if corner.endswith("left") else width[b] - 1 - j
    order = (row * columns + column) * batch + b
    sizes = tuple(torch.bincount(i + j).tolist())
    return Levels(order.to(device), sizes, torch.stack([follows[n] for n in before]).to(device))


def _corners(directions: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(directions, str):
        directions = (directions,)
    if isinstance(directions, Sequence):
        if not directions or len(set(directions)) < len(directions) or not all(d in CORNERS for d in directions):
            raise ValueError(f"directions are some of {', '.join(CORNERS)}, each once, not {directions!r}")
        return tuple(directions)
    count = whole_number("directions", directions, 1)
    if count > len(CORNERS):
        raise ValueError(f"an image is scanned from 1 to {len(CORNERS)} corners, not {count}")
    return tuple(CORNERS)[:count]


def _block(block: Any) -> tuple[int, int]:
    if not isinstance(block, Sequence) or len(block) != 2:
        raise TypeError(f"block is a height and a width, such as (3, 4), not {block!r}")
    return whole_number("the height of a block", block[0], 1), whole_number("the width of a block", block[1], 1)


def _sizes(sizes: Any, height: int, width: int, batch: int) -> tuple[tuple[int, int], ...]:
    """Return height and width of each image, checked."""
    if min(height, width, batch) < 1:
        raise ValueError("input must have at least one pixel and one image")
    if sizes is None:
        return ((height, width),) * batch
    given = sizes.tolist() if isinstance(sizes, Tensor) else [list(each) for each in sizes]
    if len(given) != batch or not all(isinstance(x, list) and len(x) == 2 for x in given):
        raise ValueError(f"sizes are height and width of each of {batch} images")
    found = tuple((whole_number("the height of an image", h, 1), whole_number("the width of an image", w, 1)) for h, w in given)
    for k, (h, w) in enumerate(found):
        if h > height or w > width:
            raise ValueError(f"image {k} is {h} × {w} pixels, but the input has {height} × {width}")
    return found
