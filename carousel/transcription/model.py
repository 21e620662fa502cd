"""Transcribers: layers of any cell read an input, and give each label and a blank a probability at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss, log_softmax

from carousel.equations import Cell
from carousel.errors import InputError
from carousel.hierarchy import Block, GridHierarchy, SequenceHierarchy, blocks_of
from carousel.layers import dropout
from carousel.training.config import NetworkConfig
from carousel.training.fields import LARGEST_SIZE, MOST_LAYERS, setting
from carousel.training.precise import precise
from carousel.training.task import Trainable

SERIES, COLUMNS, GRID = READS = ("series", "columns", "grid")
USUAL = {SERIES: "lstm-v2", COLUMNS: "lstm-v2", GRID: "mdlstm"}  # cells
BLANK = 0  # the output that is no label; ids of labels begin with 1
OF_SEQUENCES = ("rates", "weight_noise", "weight_dropout", "variational_dropout")  # settings that a grid lacks


@dataclass(frozen=True)
class TranscriberConfig(NetworkConfig):
    """The settings of a transcriber's model. Dropout is between layers and on the outputs.

    ``subsample`` has for each layer, from the bottom up, how many steps of the layer beneath become one of its steps.
    """

    embedding: int | None = setting(None)
    tied: bool = setting(False)
    cell: str = setting("", "A cell of carousel cells, or your own: file.py:name; by default lstm-v2, for a grid mdlstm.")
    hidden: int = setting(64, "Units of a layer.", least=1, most=LARGEST_SIZE)
    layers: int = setting(2, "Recurrent layers.", least=1, most=MOST_LAYERS)
    reads: str = setting(
        COLUMNS,
        "series: steps of numbers; columns: an image's columns, one by one; grid: an image, scanned from its corners.",
        choices=READS,
    )
    subsample: str = setting(
        "", "Steps of the layer beneath that become one of each layer, from the bottom up: 1,2; for a grid 2x2,2x2."
    )
    between: int = setting(0, "Units of a tanh layer between two layers; 0: none.", least=0, most=LARGEST_SIZE)
    one_way: bool = setting(False, "Read sequences in one direction only.")
    corners: int = setting(4, "Corners from which a grid is scanned.", least=1, most=4)
    input_noise: float = setting(0.0, "Standard deviation of noise on the inputs, scaled to 1, in training.", least=0)

    def __post_init__(self) -> None:
        if not self.cell:
            object.__setattr__(self, "cell", USUAL.get(self.reads, USUAL[SERIES]))

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        self.blocks()
        for name in OF_SEQUENCES if self.reads == GRID else ():
            if getattr(self, name):
                raise InputError(f"`{name}` is for sequences; a grid has none")

    def blocks(self) -> list[Block]:
        """Return the block of each layer, from the bottom up. Raises InputError where ``subsample`` has another form."""
        return blocks_of(self.subsample, self.layers, grid=self.reads == GRID)

    def own_cell(self) -> Cell:
        """Return the cell for the layers; of a grid, one whose steps follow several.

        Raises:
            InputError: the stored cell is damaged.
            ValueError: no cell has this name, or the cell has further inputs.
        """
        if self.reads != GRID:
            return super().own_cell()
        cell = self.known_cell()
        if cell.inputs:
            raise ValueError(f"cell {cell.name} takes {', '.join(cell.inputs)} beside its input, and nothing here feeds that")
        return cell


class Transcriber(Trainable):
    """Recurrent layers, an output layer, and the loss of CTC (Graves, Fernández, Gomez and Schmidhuber 2006).

    A *hierarchy* of layers reads the input; several steps of a layer may be one step of the next. The columns of a grid's
    output are summed to the steps of a sequence (Graves and Schmidhuber 2009). A softmax gives each step the probabilities of
    the labels and of the blank, which is output 0. The loss is −log of the probability of the transcription: the sum over all
    paths that become it when repeated outputs are merged and blanks removed.

    The model scales inputs to a mean of 0 and a standard deviation of 1 over the training data.

    Args:
        labels: number of labels.
        size: how many numbers a step has; a step is a row of numbers, a column of an image, or a pixel.
        config: the model's settings.

    Raises:
        InputError: the configuration cannot be.
    """

    kind = "transcriber"
    mean: Tensor
    deviation: Tensor

    def __init__(self, labels: int, size: int, config: TranscriberConfig):
        super().__init__()
        self.config, self.labels, self.input_size = config, labels, size
        config.check()
        common: dict[str, Any] = {"proj_size": config.projection, "recurrent_init": config.recurrent_init}
        common |= {"forget_bias": config.forget_bias, "between": config.between, "dropout": config.dropout}
        try:
            if config.reads == GRID:
                common["directions"] = config.corners
                self.hierarchy: GridHierarchy | SequenceHierarchy = GridHierarchy(
                    config.own_cell(), size, config.hidden, config.blocks(), **common
                )
            else:
                common |= {"bidirectional": not config.one_way, **config.layer_options()}
                steps = [b for _, b in config.blocks()]
                self.hierarchy = SequenceHierarchy(config.own_cell(), size, config.hidden, steps, **common)
        except ValueError as error:
            raise InputError(str(error)) from None
        self.output = nn.Linear(self.hierarchy.output_size, labels + 1)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))

    def forward(self, x: Tensor, sizes: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, None]:
        """Return the loss of the right transcriptions.

        Args:
            x: sequences (T, B, size), or for a grid images (height, width, B, size).
            sizes: steps of each sequence, (B,), or height and width of each image, (B, 2).
            targets: labels, from 1, (B, longest); 0 beyond a transcription's end.
            lengths: number of labels of each transcription, (B,).

        Returns:
            −Σ log p(transcription) in nats, summed over the batch; and None, since no state is carried to the next batch.
        """
        logs, steps = self.logs(x, sizes)
        return ctc_loss(logs, targets, steps, lengths, blank=BLANK, reduction="sum"), None

    def logs(self, x: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities (T′, B, labels + 1), the blank's first, and the number of steps of each output, (B,).

        Args:
            x: sequences (T, B, size), or for a grid images (height, width, B, size).
            sizes: steps of each sequence, (B,), or height and width of each image, (B, 2).

        Raises:
            ValueError: an input is smaller than a block.
        """
        x = (x - self.mean) / self.deviation
        if self.training and self.config.input_noise:
            x = x + self.config.input_noise * torch.randn_like(x)
        h, after = self.hierarchy(x, sizes)
        if self.config.reads == GRID:
            h, after = h.sum(0), after[:, 1]
        h = dropout(h, self.config.dropout, self.training, self.config.variational_dropout)
        return log_softmax(precise(self.output(h)), -1), after
