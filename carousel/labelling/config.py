"""The configuration of a labeller's run."""

from __future__ import annotations

from dataclasses import dataclass, field

from carousel.errors import InputError
from carousel.labelling.model import Labeller, LabellerConfig
from carousel.training.config import ExampleTraining, RunConfig
from carousel.training.fields import Settings, setting


@dataclass(frozen=True)
class LabelsConfig(Settings):
    """The files of the sequences, and where their labels stand; ``valid`` empty: a tenth of the sequences.

    A file is a table, ``.csv``, ``.npz`` or ``.parquet``, or else text with tags: one token a line, an empty line between
    sentences.
    """

    group = "Data"

    train: list[str] = field(default_factory=list)
    valid: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    tag_column: int = setting(0, "Of text: the column of the tags, from 1; 0: the last.", least=0)
    least_count: int = setting(2, "Of text: a word that comes less often in the training files is unknown.", least=1)
    spelling: bool = setting(
        True, "Of text: words are known by themselves alone, not also by their ends and shape.", option="--no-spelling"
    )
    sequence: str = setting("", "Of a table: the column that names the sequence; without it, a file is one sequence.")
    label: str = setting("", "Of a table: the column of the labels.")
    features: str = setting("", "Of a table: the columns that are read, separated by commas; without it, all others.")

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        if self.sequence and self.sequence == self.label:
            raise InputError(f"`sequence` and `label` are two columns, not both {self.label!r}")
        for name in ("sequence", "label"):
            if getattr(self, name) in self.chosen() and getattr(self, name):
                raise InputError(f"column {getattr(self, name)!r} is the `{name}`, and cannot be among the `features`")

    def chosen(self) -> list[str]:
        """Return the names of the columns that are read, where they were chosen."""
        return [name.strip() for name in self.features.split(",") if name.strip()]


@dataclass(frozen=True)
class LabelTraining(ExampleTraining):
    """The settings of training where a row is a sequence. ``length``: longer sequences are parted there in training."""

    feed: str = setting("sequences", choices=("sequences",))
    batch_size: int = setting(32, "Sequences of a batch.", least=1)
    length: int = setting(0, "Steps at which longer sequences are parted in training; 0: nowhere.", least=0)


@dataclass(frozen=True)
class LabellingConfig(RunConfig):
    """The configuration of a labeller's run; ``config.json``."""

    kind = Labeller.kind
    data: LabelsConfig = field(default_factory=LabelsConfig)
    model: LabellerConfig = field(default_factory=LabellerConfig)
    training: LabelTraining = field(default_factory=LabelTraining)
