"""The configuration of a labeller's run."""

from __future__ import annotations

from dataclasses import dataclass, field

from carousel.errors import InputError
from carousel.labelling.model import Labeller, LabellerConfig
from carousel.labelling.trees import LABELLED, PLAIN
from carousel.training.config import ExampleTraining, RunConfig
from carousel.training.fields import Settings, setting


@dataclass(frozen=True)
class LabelsConfig(Settings):
    """The files of the sequences, and the places of labels in them; without ``valid``, a tenth of the sequences is held out.

    A file is a table (``.csv``, ``.npz`` or ``.parquet``), or else text with tags: one token a line, and an empty line between
    sentences. With ``trees`` a line of a text is a tree in brackets.
    """

    group = "Data"

    train: list[str] = field(default_factory=list)
    valid: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    trees: str = setting(
        "none",
        "Lines of text are trees: labelled, (2 (3 good) (1 film)); plain, a label and a tab before it, 5 ( + ( 2 3 ) ); none.",
        choices=("none", LABELLED, PLAIN),
    )
    tag_column: int = setting(0, "For text: the column of the tags, from 1; 0: the last.", least=0)
    least_count: int = setting(2, "For text: words that occur less often in the training files are unknown.", least=1)
    spelling: bool = setting(
        True, "For text: do not read a word's first and last letters and its shape.", option="--no-spelling"
    )
    sequence: str = setting("", "For tables: the column that names each row's sequence; without it, a file is one sequence.")
    label: str = setting("", "For tables: the column of the labels.")
    features: str = setting("", "For tables: the columns to read, separated by commas; by default all others.")

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        if self.sequence and self.sequence == self.label:
            raise InputError(f"`sequence` and `label` are two columns, not both {self.label!r}")
        for name in ("sequence", "label"):
            if getattr(self, name) in self.chosen() and getattr(self, name):
                raise InputError(f"column {getattr(self, name)!r} is the `{name}`, and cannot be among the `features`")

    @property
    def form(self) -> str:
        """The form of the trees, LABELLED or PLAIN; empty where there are none."""
        return "" if self.trees == "none" else self.trees

    def chosen(self) -> list[str]:
        """Return the names of the columns in ``features``; empty where it is."""
        return [name.strip() for name in self.features.split(",") if name.strip()]


@dataclass(frozen=True)
class LabelTraining(ExampleTraining):
    """The settings of training on batches of sequences."""

    feed: str = setting("sequences", choices=("sequences",))
    batch_size: int = setting(32, "Sequences of a batch.", least=1)
    length: int = setting(0, "Cut longer sequences into parts of so many steps, in training alone; 0: do not.", least=0)


@dataclass(frozen=True)
class LabellingConfig(RunConfig):
    """The configuration of a labeller's run; ``config.json``."""

    kind = Labeller.kind
    data: LabelsConfig = field(default_factory=LabelsConfig)
    model: LabellerConfig = field(default_factory=LabellerConfig)
    training: LabelTraining = field(default_factory=LabelTraining)

    def check(self) -> None:
        """Raise InputError for settings of which each may be, and not all together."""
        before = self.model.before
        if before and not self.data.form:
            raise InputError(
                f"a step of cell {self.model.cell} follows several, so it reads trees: say with `trees` which form they have"
            )
        if self.data.form == PLAIN and not self.model.whole:
            raise InputError("plain `trees` have one label each, so the model needs `whole`")
        if before and self.training.length:
            raise InputError("`length` parts sequences, and a tree stays whole; leave it out")
