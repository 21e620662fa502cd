"""Hierarchical subsampling: several steps of a layer, or a block of an image's, are one step of the next layer."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carousel.equations import Cell
from carousel.errors import InputError
from carousel.layers import Grid, Recurrent, dropout
from carousel.layers.parameters import probability

Block = tuple[int, int]
Sizes = Sequence[Block]


def blocks_of(subsample: str, layers: int, *, grid: bool = False) -> list[Block]:
    """Return the block of each layer, from the bottom up, as settings write them: ``1,2``, for a grid ``2x2,3x4``.

    Args:
        subsample: what is written; layers that it leaves out have blocks of one step.
        layers: how many layers there are.
        grid: whether blocks have a height and a width.

    Raises:
        InputError: ``subsample`` has another form, or more blocks than there are layers.
    """
    parts = [part for part in subsample.replace(" ", "").split(",") if part]
    found = [re.fullmatch(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", part) for part in parts]
    if len(parts) > layers or not all(m and (m[2] is not None) == grid for m in found):
        wanted = "blocks such as 2x2,3x4" if grid else "steps such as 1,2"
        raise InputError(f"`subsample` must be {wanted}, at most {layers}, one a layer, not {subsample!r}")
    blocks = [(int(m[1]), int(m[2])) if grid else (1, int(m[1])) for m in found if m]
    return blocks + [(1, 1)] * (layers - len(blocks))


def joined(x: Tensor, sizes: Sizes, block: Block, fill: bool = False) -> tuple[Tensor, list[Block]]:
    """Join each block of an image's pixels into one pixel.

    Args:
        x: (height, width, B, numbers); a sequence is an image of one row.
        sizes: height and width of each image; pixels outside it count as zero, also in blocks that it does not fill.
        block: height and width of a block in pixels.
        fill: whether an image may be smaller than a block.

    Returns:
        The blocks, (rows, columns, B, height · width · numbers), and the numbers of rows and columns of blocks of each image.

    Raises:
        ValueError: an image is smaller than a block, and may not be.
    """
    (height, width, batch, numbers), (a, b) = x.shape, block
    after = [_after(k, size, block, fill) for k, size in enumerate(sizes)]
    if block == (1, 1):
        return x, after
    h, w = torch.tensor(sizes, device=x.device).T
    down, across = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    there = (down[:, None, None] < h) & (across[None, :, None] < w)
    x = torch.where(there.unsqueeze(-1), x, 0)
    rows, columns = -(-height // a), -(-width // b)
    x = nn.functional.pad(x, (0, 0, 0, 0, 0, columns * b - width, 0, rows * a - height))
    x = x.reshape(rows, a, columns, b, batch, numbers).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(rows, columns, batch, a * b * numbers), after


def _check(x: Tensor, sizes: Sizes) -> None:
    height, width, batch = x.shape[:3]
    if len(sizes) != batch:
        raise ValueError(f"there are {batch} inputs, and sizes of {len(sizes)}")
    for k, (h, w) in enumerate(sizes):
        if not (1 <= h <= height and 1 <= w <= width):
            if height == 1:
                raise ValueError(f"sequence {k} has {w} steps, but the input has {width}")
            raise ValueError(f"image {k} is {h} × {w}, but the input has {height} × {width}")


def _after(k: int, size: Block, block: Block, fill: bool) -> Block:
    """Return the rows and columns of blocks of the image number ``k``."""
    (h, w), (a, b) = size, block
    if (h < a or w < b) and not fill:
        if a == h == 1:
            raise ValueError(f"sequence {k} has {w} steps, fewer than the {b} that are one step of a layer")
        raise ValueError(f"image {k} is {h} × {w} there, smaller than a block of {a} × {b}")
    return -(-h // a), -(-w // b)


class Hierarchy(nn.Module):
    """Stacked layers, each of which reads blocks of the layer beneath; the base of hierarchies over sequences and over images.

    Args:
        input_size: numbers of a step of the input.
        blocks: for each layer, from the bottom up, height and width of the block, in steps of the layer beneath (of the input,
            for the first), that becomes one of its steps.
        between: units of a tanh layer that reads a block before the layer does, from the second layer on; 0: there is none.
        dropout: probability of zeroing a number on its way from a layer to the next one.
        layer: makes the layer for an input size.
        variational_dropout: whether one dropout mask is for all steps of a row.
        fill: whether zeros fill up the block of an input that is smaller than a block; if not, it is refused.

    Attributes:
        layers: from the bottom up.
        blocks: as given.
        output_size: numbers of a step of the output.
    """

    def __init__(
        self,
        input_size: int,
        blocks: Sequence[Block],
        between: int,
        dropout: float,
        layer: Any,
        variational_dropout: bool = False,
        fill: bool = False,
    ):
        super().__init__()
        if not blocks:
            raise ValueError("a hierarchy has at least one layer")
        for block in blocks:
            if min(block) < 1:
                raise ValueError(f"a block is at least 1 × 1, not {block[0]} × {block[1]}")
        self.blocks, self.fill = tuple(blocks), fill
        self.dropout, self.variational_dropout = probability("dropout", dropout), variational_dropout
        self.layers, self.squeezed = nn.ModuleList(), nn.ModuleList()
        size = input_size
        for number, block in enumerate(blocks):
            size *= math.prod(block)
            if number:
                self.squeezed.append(nn.Linear(size, between) if between else nn.Identity())
                size = between or size
            made = layer(size)
            self.layers.append(made)
            size = made.output_size * (made.directions if isinstance(made, Recurrent) else len(made.corners))
        self.output_size = size

    @property
    def factor(self) -> Block:
        """Height and width of the block of input pixels that one step of the output stands for."""
        return math.prod(a for a, _ in self.blocks), math.prod(b for _, b in self.blocks)

    def reduced(self, sizes: Sizes) -> list[Block]:
        """Return height and width of the output for images of these sizes. Raises ValueError for an image that is too small."""
        found = list(sizes)
        for block in self.blocks:
            found = [_after(k, size, block, self.fill) for k, size in enumerate(found)]
        return found

    def _up(self, x: Tensor, sizes: Sizes, layers: int | None = None) -> tuple[Tensor, list[Block]]:
        """Return the output of so many layers, by default of all, and its sizes. Raises ValueError for sizes ``x`` has not."""
        _check(x, sizes)
        found = list(sizes)
        for number, layer in enumerate(self.layers[:layers]):
            x, found = self.entering(number, x, found)
            x = self._read(layer, x, found)
        return x, found

    def entering(self, number: int, x: Tensor, sizes: Sizes) -> tuple[Tensor, list[Block]]:
        """Return what a layer reads of the output of the one beneath, and its sizes.

        Args:
            number: of the layer.
            x: the output of the layer beneath, or the input, (height, width, B, numbers).
            sizes: height and width of each.

        Raises:
            ValueError: an input is smaller than a block, and may not be.
        """
        x, found = joined(x, sizes, self.blocks[number], self.fill)
        if number:
            squeeze = self.squeezed[number - 1]
            x = squeeze(x) if isinstance(squeeze, nn.Identity) else torch.tanh(squeeze(x))
            x = dropout(x.flatten(0, 1), self.dropout, self.training, self.variational_dropout).unflatten(0, x.shape[:2])
        return x, found

    def _below(self, x: Tensor, layer: int) -> tuple[nn.Module, Tensor]:
        """Return a layer, and what it reads of an input of one size. Raises IndexError where there is no such layer."""
        number = range(len(self.layers))[layer]
        below, found = self._up(x, [(x.shape[0], x.shape[1])] * x.shape[2], number)
        return self.layers[number], self.entering(number, below, found)[0]

    def _read(self, layer: nn.Module, x: Tensor, sizes: list[Block]) -> Tensor:
        """Return a layer's output, (rows, columns, B, size), zero outside an image."""
        raise NotImplementedError


class SequenceHierarchy(Hierarchy):
    """Stacked recurrent layers; several steps of a layer, joined, are one step of the next (El Hihi and Bengio 1996).

    Args:
        cell: a cell, or its name.
        input_size: numbers of a step.
        hidden_size: units of the states of every layer.
        steps: for each layer, from the bottom up, how many steps of the layer beneath (of the input, for the first) become one
            of its steps.
        bidirectional: whether every layer reads in both directions.
        between: units of a tanh layer between two layers (Graves and Schmidhuber 2009); 0: there is none, and a layer reads the
            joined steps themselves.
        dropout: probability of zeroing a number on its way from a layer to the next one.
        variational_dropout: whether one dropout mask is for all steps of a sequence.
        fill: whether zeros fill up the block of a sequence that has fewer steps; if not, it is refused.
        options: further arguments of ``Recurrent``.

    Raises:
        ValueError: ``Recurrent`` refuses the arguments, ``steps`` is empty, or one of them is below 1.
    """

    def __init__(
        self,
        cell: str | Cell,
        input_size: int,
        hidden_size: int,
        steps: Sequence[int] = (1, 2),
        *,
        bidirectional: bool = True,
        between: int = 0,
        dropout: float = 0.0,
        variational_dropout: bool = False,
        fill: bool = False,
        **options: Any,
    ):
        def layer(size: int) -> Recurrent:
            return Recurrent(cell, size, hidden_size, bidirectional=bidirectional, **options)

        super().__init__(input_size, [(1, k) for k in steps], between, dropout, layer, variational_dropout, fill)

    def forward(self, x: Tensor, lengths: Tensor | Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Read sequences.

        Args:
            x: (T, B, input_size).
            lengths: steps of each sequence, (B,); by default all have T.

        Returns:
            Outputs (T′, B, output_size), zero after a sequence's end, and the number of steps of each, (B,).

        Raises:
            ValueError: a sequence has fewer steps than a layer takes as one, and may not.
        """
        steps, batch = x.shape[:2]
        given = [steps] * batch if lengths is None else [int(n) for n in lengths]
        output, sizes = self._up(x.unsqueeze(0), [(1, n) for n in given])
        return output.squeeze(0), torch.tensor([n for _, n in sizes])

    def recorded(self, x: Tensor, names: Sequence[str], layer: int = -1) -> dict[str, Tensor]:
        """Return quantities of a layer while it reads sequences of one length, (directions, T′, B, units) by name.

        Args:
            x: (T, B, input_size).
            names: of gates, states and other quantities of the cell.
            layer: which one, by default the last.

        Raises:
            ValueError: the cell has no quantity of that name.
            IndexError: there is no such layer.
        """
        reads, steps = self._below(x.unsqueeze(0), layer)
        return reads(steps.squeeze(0), record=names)[2]

    def _read(self, layer: nn.Module, x: Tensor, sizes: list[Block]) -> Tensor:
        flat, lengths = x.squeeze(0), torch.tensor([n for _, n in sizes])
        if bool((lengths == len(flat)).all()):
            return layer(flat)[0].unsqueeze(0)
        output, _ = layer(pack_padded_sequence(flat, lengths, enforce_sorted=False))
        return pad_packed_sequence(output, total_length=len(flat))[0].unsqueeze(0)


class GridHierarchy(Hierarchy):
    """Stacked grids; a block of steps of a grid, joined, is one step of the next (Graves and Schmidhuber 2009).

    Args:
        cell: a cell with ``before=("up", "left")``, or its name.
        input_size: numbers of a pixel.
        hidden_size: units of the states of every layer.
        blocks: for each layer, from the bottom up, height and width of the block, in steps of the layer beneath (in pixels, for
            the first), that becomes one of its steps.
        directions: number of scans, or the corners at which they begin, as for ``Grid``.
        between: units of a tanh layer between two layers; 0: there is none, and a layer reads the joined steps themselves.
        dropout: probability of zeroing a number on its way from a layer to the next one.
        options: further arguments of ``Grid``.

    Raises:
        ValueError: ``Grid`` refuses the arguments, ``blocks`` is empty, or a block is smaller than 1 × 1.
    """

    def __init__(
        self,
        cell: str | Cell,
        input_size: int,
        hidden_size: int,
        blocks: Sequence[Block] = ((2, 2), (2, 2)),
        *,
        directions: int | Sequence[str] = 4,
        between: int = 0,
        dropout: float = 0.0,
        **options: Any,
    ):
        def layer(size: int) -> Grid:
            grid = Grid(cell, size, hidden_size, directions=directions, **options)
            if len(grid.axes) != 2:
                raise ValueError(
                    f"a hierarchy reads images, and a step of cell {grid.cell.name} follows {', '.join(grid.axes)}"
                )
            return grid

        super().__init__(input_size, blocks, between, dropout, layer)

    def forward(self, x: Tensor, sizes: Tensor | Sizes | None = None) -> tuple[Tensor, Tensor]:
        """Read images.

        Args:
            x: (height, width, B, input_size).
            sizes: height and width of each image, (B, 2); by default all are as large as ``x``.

        Returns:
            Outputs (rows, columns, B, output_size), zero outside an image, and the rows and columns of each, (B, 2).

        Raises:
            ValueError: an image is smaller than a block.
        """
        height, width, batch = x.shape[:3]
        given = [(height, width)] * batch if sizes is None else [(int(h), int(w)) for h, w in sizes]
        output, found = self._up(x, given)
        return output, torch.tensor(found)

    def recorded(self, x: Tensor, names: Sequence[str], layer: int = -1) -> dict[str, Tensor]:
        """Return quantities of a layer while it reads images of one size, (directions, rows, columns, B, units) by name.

        Args:
            x: (height, width, B, input_size).
            names: of gates, states and other quantities of the cell.
            layer: which one, by default the last.

        Raises:
            ValueError: the cell has no quantity of that name.
            IndexError: there is no such layer.
        """
        reads, steps = self._below(x, layer)
        assert isinstance(reads, Grid)
        _, found = reads(steps, record=names)
        return {name: x.unflatten(-1, (len(reads.corners), -1)).movedim(-2, 0) for name, x in found.items()}

    def _read(self, layer: nn.Module, x: Tensor, sizes: list[Block]) -> Tensor:
        return layer(x, sizes)
