"""A labeller with its run folder: it is trained, labels sequences and is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from carousel import files
from carousel.cells import finding
from carousel.equations import Cell
from carousel.errors import InputError
from carousel.labelling.config import LabellingConfig, LabelsConfig, LabelTraining
from carousel.labelling.figure import draw
from carousel.labelling.folder import PARTS, load_labeller, sequences_path
from carousel.labelling.model import Labeller, LabellerConfig
from carousel.labelling.prepare import prepare
from carousel.labelling.reading import Labelled, checked, one_label, read
from carousel.labelling.score import LabelScore, score
from carousel.labelling.sequences import Sequences, padded
from carousel.labelling.task import ROWS, LabellingTask
from carousel.runs.training import Files, check_empty, extended, made, owned, proceed
from carousel.text.lines import check_file
from carousel.training.processes import Processes
from carousel.training.trainer import Observer, Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (LabelsConfig, LabellerConfig, LabelTraining)
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Labels:
    """The labels of a sequence, one for each step or one for the whole, and the probability of each."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]


class LabellerRun:
    """A trained labeller, its names and its configuration, as a run folder holds them.

    A sequence is a list of tokens, or an array (steps, numbers) of the columns that ``names.columns`` lists.

    Args:
        folder: as ``carousel label train`` leaves it. Nothing that it holds is executed.

    Raises:
        InputError: a ValueError of one line; the folder is none, not whole, or another kind of run.

    Attributes:
        model: ``carousel.labelling.model.Labeller``, an nn.Module.
        names: the labels in order, and what the inputs' numbers stand for.
        config: all that the run was asked to be.
        folder: where it lies.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.model, self.names, self.config = load_labeller(self.folder)

    def __repr__(self) -> str:
        sizes = f"{len(self.labels)} labels, {self.model.count():,} parameters"
        return f"<LabellerRun {self.folder}: {self.model.recurrent!r}, {sizes}>"

    @classmethod
    def train(
        cls,
        data: Files,
        out: str | Path,
        *,
        cell: str | Cell = LabellerConfig.cell,
        valid: Files = (),
        test: Files = (),
        observer: Observer | None = None,
        **settings: Any,
    ) -> Self:
        """Train a labeller as ``carousel label train`` does; return the run with its best weights.

        Ctrl-C saves and raises KeyboardInterrupt; ``resume`` goes on, bit for bit.

        Args:
            data: the path of a file, or paths.
            out: the run's folder; it is made, and must be empty where it is there.
            cell: a cell, or what ``--cell`` takes.
            valid: held-out files; without them, a tenth of the sequences is held out.
            test: files for the end.
            observer: told of steps, validations and the end, as dictionaries.
            **settings: fields of ``LabelsConfig``, ``LabellerConfig`` and ``LabelTraining``: ``bidirectional=True, crf=True``.

        Raises:
            InputError: a ValueError of one line; a setting, file or folder cannot be used. ValueError: there is no such cell.
            TypeError: there is no such setting, or its value is of another type.
            TrainingError: the loss is no longer finite, or a file cannot be written.
        """
        place, processes = Path(out), Processes()
        config = configured({"train": data, "valid": valid, "test": test}, cell, settings)
        if processes.first:
            check_empty(place)
        with owned(place, processes):
            return cls._finished(prepared(place, config, processes, fresh=True, observer=observer))

    @classmethod
    def resume(cls, folder: str | Path, *, epochs: int | None = None, observer: Observer | None = None) -> Self:
        """Go on with a run that was stopped, or for longer; return the run with its best weights.

        Args:
            folder: of the run.
            epochs: in all, where there are to be more than the run was asked for.
            observer: told of steps, validations and the end, as dictionaries.

        Raises:
            InputError: a ValueError of one line; the folder is no run, or was asked for more epochs.
            TrainingError: the loss is no longer finite, or a file cannot be written.
        """
        place, processes = Path(folder), Processes()
        config = extended(place, LabellingConfig.load(place), epochs)
        with owned(place, processes):
            return cls._finished(prepared(place, config, processes, fresh=False, observer=observer))

    @classmethod
    def _finished(cls, trainer: Trainer) -> Self:
        if proceed(trainer)["event"] == "interrupted":
            raise KeyboardInterrupt
        return cls(trainer.folder)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in order."""
        return self.names.labels

    def predict(self, sequences: Iterable[Sequence[str] | np.ndarray], tick: Tick | None = None) -> list[Labels]:
        """Return the labels of sequences.

        Args:
            sequences: lists of tokens, or arrays (steps, numbers).
            tick: told how many are done, of all.

        Raises:
            InputError: sequences that the model cannot read.
        """
        numbers = None if self.names.tables else len(self.names.columns)
        given = [checked(steps, f"sequence {k}", numbers) for k, steps in enumerate(sequences, 1)]
        order = sorted(range(len(given)), key=lambda k: len(given[k]))
        found: dict[int, Labels] = {}
        for begin in range(0, len(order), ROWS):
            chosen = order[begin : begin + ROWS]
            found |= zip(chosen, self._labels([self._array(given[k]) for k in chosen]), strict=True)
            if tick:
                tick(len(found), len(given))
        return [found[k] for k in range(len(given))]

    def read(self, paths: Files, *, known: bool = True) -> list[Labelled]:
        """Return the sequences of files, which have the form of those that the run was trained on.

        Args:
            paths: of a file, or paths.
            known: whether they have labels.

        Raises:
            InputError: they are of another form, or lack a column.
        """
        features = self.names.columns
        found = read([Path(p) for p in _several(paths)], self.config.data, features, known=known)
        for sequence in found:
            if isinstance(sequence.steps, np.ndarray) != bool(features):
                wanted = "a table" if features else "text"
                raise InputError(f"{sequence.place} cannot be read by {self.folder}, which was trained on {wanted}")
        return [one_label(s) for s in found] if known and self.config.model.whole else found

    def score(self, data: str | Path | Sequence[Labelled] = "test", tick: Tick | None = None) -> LabelScore:
        """Return how well labels are found.

        Args:
            data: a file, sequences with their labels, or a part of the run's own: "train", "valid" or "test".
            tick: told how many sequences are done, of all.

        Raises:
            InputError: there are none, or a label occurs that the run has never seen.
        """
        if isinstance(data, str | Path) and str(data) in PARTS:
            return self._score_part(str(data), tick)
        given = self.read(data) if isinstance(data, str | Path) else data
        Sequences.of(given, self.names)  # refuses labels
        found = self.predict([s.steps for s in given], tick)
        return score([s.labels for s in given], [f.labels for f in found], self.labels)

    def _score_part(self, part: str, tick: Tick | None) -> LabelScore:
        path = sequences_path(self.folder, part)
        if not path.exists():
            raise InputError(f"{self.folder} has no {part} data; give a file")
        kept = Sequences.open(path, self.names)
        spans = [slice(b, e) for b, e in zip(kept.begins, kept.ends, strict=True)]
        right = [[n] for n in kept.y.tolist()] if self.config.model.whole else [kept.y[s].tolist() for s in spans]
        found: list[Labels] = []
        for begin in range(0, len(spans), ROWS):
            found += self._labels([kept.x[s] for s in spans[begin : begin + ROWS]])
            if tick:
                tick(len(found), len(spans))
        return score([[self.labels[n] for n in row] for row in right], [f.labels for f in found], self.labels)

    def figure(self, found: LabelScore) -> Figure:
        """Return the figure of a score: the confusion table."""
        return draw(found, self.folder.name)

    def _array(self, steps: Sequence[str] | np.ndarray) -> np.ndarray:
        return steps if isinstance(steps, np.ndarray) else self.names.steps(steps)

    def _labels(self, rows: Sequence[np.ndarray]) -> Iterator[Labels]:
        self.model.eval()
        lengths = torch.tensor([len(row) for row in rows])
        best, chances = self.model.found(padded(rows).to(self.model.device), lengths)
        likely = chances.gather(-1, best.unsqueeze(-1)).squeeze(-1)
        for k, n in enumerate(lengths.tolist()):
            which = slice(k, k + 1) if self.config.model.whole else (slice(n), k)
            labels = tuple(self.labels[j] for j in best[which].tolist())
            yield Labels(labels, tuple(round(p, 6) for p in likely[which].tolist()))


def configured(texts: Mapping[str, Files], cell: str | Cell, settings: Mapping[str, Any]) -> LabellingConfig:
    """Return a run's configuration. Paths are kept absolute: the run can be continued from anywhere.

    Args:
        texts: files by "train", "valid", "test".
        cell: a cell, or a reference to one.
        settings: fields of the configurations.

    Raises:
        InputError: a model that cannot be built, or files that cannot be read.
        TypeError: a setting that is not there.
        ValueError: a cell that is not there.
    """
    known = {f.name for kind in KINDS for f in fields(kind) if f.name not in ("cell", "cell_data", *PARTS)}
    for name in set(settings) - known:
        near = get_close_matches(name, known, n=1)
        raise TypeError(f"train has no setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    paths = {name: [str(Path(p).absolute()) for p in _several(some)] for name, some in texts.items()}
    data, network = made(LabelsConfig, {**settings, **paths}), made(LabellerConfig, settings)
    for path in (p for some in paths.values() for p in some):
        check_file(Path(path))
    found = cell if isinstance(cell, Cell) else finding.find(cell)
    network = network.keeping(found, lambda c: Labeller(2, [2], c))
    Labeller(2, [2], network)
    return LabellingConfig(data, network, made(LabelTraining, settings))


def prepared(
    folder: Path, config: LabellingConfig, processes: Processes, *, fresh: bool, observer: Observer | None = None
) -> Trainer:
    """Prepare the data of a run and return its trainer. Data that are refused leave nothing where the run is ``fresh``.

    Args:
        folder: of the run, owned.
        config: of the run.
        processes: those that share the run.
        fresh: whether the run begins here.
        observer: told of steps, validations and the end.
    """
    with files.undoing(folder if fresh and processes.first else None):
        if processes.first:
            if fresh:
                check_empty(folder)  # once more: nobody else can come in between now
                config.save(folder)
            prepare(folder, config)
        processes.wait()
        return Trainer(folder, config, processes, LabellingTask, observer if processes.first else None)


def _several(given: Files) -> Iterable[str | Path]:
    return [given] if isinstance(given, str | Path) else given
