"""A labeller with its run folder: it is trained, labels sequences and is scored."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from carousel.equations import Cell
from carousel.errors import InputError
from carousel.labelling import tree_figure
from carousel.labelling.config import LabellingConfig, LabelsConfig, LabelTraining
from carousel.labelling.figure import draw
from carousel.labelling.folder import PARTS, load_labeller, sequences_path
from carousel.labelling.model import LabellerConfig
from carousel.labelling.prepare import prepare
from carousel.labelling.reading import Labelled, checked, in_brackets, of_children, read, shaped
from carousel.labelling.score import LabelScore, score
from carousel.labelling.sequences import Sequences
from carousel.labelling.task import ROWS, LabellingTask
from carousel.labelling.tree_figure import TreeView
from carousel.labelling.tree_model import TreeLabeller, labeller
from carousel.labelling.trees import ROOT, order_of_writing
from carousel.runs import making
from carousel.runs.making import Files, absolute, extended, finished, made, of_cell, refuse_unknown, several
from carousel.text.lines import check_file
from carousel.training.kept import placed
from carousel.training.processes import Processes
from carousel.training.trainer import Observer, Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (LabelsConfig, LabellerConfig, LabelTraining)
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Labels:
    """The labels of a sequence or tree, one for each step or node or one for the whole, and the probability of each."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]


class LabellerRun:
    """A trained labeller, its names and its configuration, as a run folder holds them.

    A sequence is a list of tokens, or an array (steps, numbers) of the columns that ``names.columns`` lists. A tree is a line
    in brackets, or its nodes' tokens and children: ``(["", "a", "b"], [[1, 2], [], []])``.

    Args:
        folder: as ``carousel label train`` leaves it, or ``RUN@400``, ``RUN@last`` as for ``carousel.load``. Nothing
            that it holds is executed.

    Raises:
        InputError: a ValueError of one line; the folder is none, not whole, or another kind of run.

    Attributes:
        model: ``carousel.labelling.model.Labeller``, an nn.Module.
        names: the labels in order, and what the inputs' numbers stand for.
        config: all that the run was asked to be.
        folder: where it lies.
        which: weights, if not the best: the number of a step, or "last".
    """

    def __init__(self, folder: str | Path):
        self.folder, self.which = placed(folder)
        self.model, self.names, self.config = load_labeller(self.folder, self.which)

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
            InputError: a ValueError of one line; a setting, cell, file or folder cannot be used.
            TypeError: there is no such setting, or its value is of another type.
            TrainingError: the loss is no longer finite, or a file cannot be written.
        """
        place = Path(out)
        config = configured({"train": data, "valid": valid, "test": test}, cell, settings)
        return cls(finished(place, lambda p: prepared(place, config, p, fresh=True, observer=observer), fresh=True))

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
        place = Path(folder)
        config = extended(place, LabellingConfig.load(place), epochs)
        return cls(finished(place, lambda p: prepared(place, config, p, fresh=False, observer=observer), fresh=False))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in order."""
        return self.names.labels

    def predict(self, sequences: Iterable[Any] | Sequences, tick: Tick | None = None) -> list[Labels]:
        """Return the labels of sequences or trees.

        Args:
            sequences: lists of tokens, arrays (steps, numbers), or what ``read`` returns. Of a run that was trained on trees:
                lines in brackets, or pairs of the nodes' tokens (empty where there is none) and the numbers of each node's
                children, as ``carousel.Forest`` takes them. The labels of nodes are in the order of the nodes. Or
                what ``sequences`` returns.
            tick: told how many are done, of all.

        Raises:
            InputError: sequences that the model cannot read, nodes that make no tree.
        """
        if isinstance(sequences, Sequences):
            return self._found(sequences, tick)
        given = [self._given(s, k) for k, s in enumerate(sequences, 1)]
        return self._found(Sequences.of(given, self.names), tick) if given else []

    def view(self, tree: Any, name: str = "", layer: int = -1) -> TreeView:
        """Return a tree as the model reads it: the label at each node, and the values of a gate or state.

        Args:
            tree: as ``predict`` takes it, or one of the run's own: ``run.sequences("test").row(7)``.
            name: of a gate, a state or another quantity of the cell.
            layer: whose quantity it is; by default the last.

        Raises:
            InputError: the run reads no trees, this is none, or the cell has no such quantity or layer.
        """
        if not isinstance(self.model, TreeLabeller):
            raise InputError(f"{self.folder} reads sequences; a tree is shown by a run of a cell such as tree-lstm")
        if isinstance(tree, Sequences):
            kept, tokens = tree, self.names.words(tree.x)
        else:
            given = self._given(tree, 1)
            kept, tokens = Sequences.of([given], self.names), list(given.steps)
        x, forest = kept.side_by_side(np.array([0]))
        self.model.eval()
        with self._told(layer):
            chances, recorded = self.model.at_nodes(x.to(self.model.device), forest, [name] if name else [], layer)
        order = order_of_writing(forest.parent.tolist(), forest.place.tolist())
        at = {node: k for k, node in enumerate(order)} | {ROOT: ROOT}
        likely, best = chances.cpu()[order].max(-1)
        return TreeView(
            tuple(tokens[k] for k in order),
            np.array([at[p] for p in forest.parent[order].tolist()]),
            tuple(self.labels[k] for k in best.tolist()),
            likely.numpy(),
            name,
            recorded[name].float().cpu()[order].numpy() if name else None,
            tuple(self.labels[k] for k in (kept.y[order] if len(kept.y) == len(order) else kept.y).tolist()),
            tuple(bool(k != 0) for k in kept.x[order, 0]),
        )

    def memory(self, sequence: Any, name: str = "h", layer: int = -1) -> np.ndarray:
        """Return a quantity of a layer at every step while the model reads a sequence, (directions, steps, units).

        Args:
            sequence: as ``predict`` takes it, or one of the run's own: ``run.sequences("test").row(7)``.
            name: of a gate, a state or another quantity of the cell.
            layer: whose quantity it is; by default the last.

        Raises:
            InputError: the run reads trees, this is no sequence, or the cell has no such quantity or layer.
        """
        if isinstance(self.model, TreeLabeller):
            raise InputError(f"{self.folder} reads trees; `view` has the values at their nodes")
        kept = sequence if isinstance(sequence, Sequences) else Sequences.of([self._given(sequence, 1)], self.names)
        x, _ = kept.side_by_side(np.array([0]))
        self.model.eval()
        with self._told(layer):
            found = self.model.recorded(x.to(self.model.device), [name], layer)[name]
        return found[:, :, 0].float().cpu().numpy()

    @contextmanager
    def _told(self, layer: int) -> Iterator[None]:
        """Say in one line that there is no such quantity or layer."""
        try:
            yield
        except ValueError as error:
            raise InputError(str(error)) from None
        except IndexError:
            raise InputError(f"there is no layer {layer}; layers are 0 to {self.config.model.layers - 1}") from None

    def tree_figure(self, view: TreeView, unit: int | None = None) -> Figure:
        """Return the figure of a tree: the label at each node, coloured by its probability or by a unit of ``view.name``.

        Raises:
            InputError: there is no such unit, or the tree has too many leaves to be drawn.
        """
        return tree_figure.draw(view, unit)

    def _given(self, given: Any, number: int) -> Labelled:
        """Return a sequence or tree from Python, without labels. Raises InputError for what the model cannot read."""
        place, form = f"sequence {number}", self.config.data.form
        if isinstance(given, Labelled):
            return replace(given, labels=[])
        if not form or (isinstance(given, list) and not self.config.model.before):
            steps = checked(given, place, None if self.names.tables else len(self.names.columns))
            return Labelled(steps, [], place)
        if not isinstance(given, str):
            return shaped(of_children(given, f"tree {number}"), self.config.model)
        for tree in in_brackets([given], f"tree {number}", form, known=False):
            return shaped(tree, self.config.model)
        raise InputError(f"tree {number} is an empty line")

    def _found(self, given: Sequences, tick: Tick | None) -> list[Labels]:
        order = np.argsort(given.ends - given.begins, kind="stable")
        found: dict[int, Labels] = {}
        for begin in range(0, len(order), ROWS):
            chosen = order[begin : begin + ROWS]
            found |= zip(chosen.tolist(), self._labels(given, chosen), strict=True)
            if tick:
                tick(len(found), len(given))
        return [found[k] for k in range(len(given))]

    def read(self, paths: Files, *, known: bool = True) -> list[Labelled]:
        """Return the sequences or trees of files, which have the form of those that the run was trained on.

        Args:
            paths: of a file, or paths.
            known: whether they have labels.

        Raises:
            InputError: they are of another form, or lack a column.
        """
        features = self.names.columns
        found = read([Path(p) for p in several(paths)], self.config.data, features, known=known)
        for sequence in found:
            if isinstance(sequence.steps, np.ndarray) != bool(features):
                wanted = "a table" if features else "text"
                raise InputError(f"{sequence.place} cannot be read by {self.folder}, which was trained on {wanted}")
        return [shaped(s, self.config.model) for s in found]

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
        found = self._found(Sequences.of(given, self.names), tick)
        return score([s.labels for s in given], [f.labels for f in found], self.labels)

    def sequences(self, part: str = "test") -> Sequences:
        """Return the sequences or trees of a part of the run's own data, "train", "valid" or "test".

        Raises:
            InputError: the run has no such part.
        """
        path = sequences_path(self.folder, part)
        if part not in PARTS or not path.exists():
            raise InputError(f"{self.folder} has no {part} data; give a file")
        return Sequences.open(path, self.names, bool(self.config.model.before))

    def _score_part(self, part: str, tick: Tick | None) -> LabelScore:
        kept = self.sequences(part)
        spans = [slice(b, e) for b, e in zip(kept.begins, kept.ends, strict=True)]
        right = [[n] for n in kept.y.tolist()] if self.config.model.whole else [kept.y[s].tolist() for s in spans]
        found = self._found(kept, tick)
        return score([[self.labels[n] for n in row] for row in right], [f.labels for f in found], self.labels)

    def figure(self, found: LabelScore) -> Figure:
        """Return the figure of a score: the confusion table."""
        return draw(found, self.folder.name)

    def _labels(self, given: Sequences, chosen: np.ndarray) -> Iterator[Labels]:
        self.model.eval()
        x, arranged = given.side_by_side(chosen)
        best, chances = self.model.found(x.to(self.model.device), arranged)
        likely = chances.gather(-1, best.unsqueeze(-1)).squeeze(-1)
        lengths, at = given.ends[chosen] - given.begins[chosen], 0
        for k, n in enumerate(lengths.tolist()):
            node, at = slice(at, at + n), at + n
            which = slice(k, k + 1) if self.config.model.whole else node if given.parents is not None else (slice(n), k)
            labels = tuple(self.labels[j] for j in best[which].tolist())
            yield Labels(labels, tuple(round(p, 6) for p in likely[which].tolist()))


def configured(texts: Mapping[str, Files], cell: str | Cell, settings: Mapping[str, Any]) -> LabellingConfig:
    """Return a run's configuration. Paths are kept absolute: the run can be continued from anywhere.

    Args:
        texts: files by "train", "valid", "test".
        cell: a cell, or a reference to one.
        settings: fields of the configurations.

    Raises:
        InputError: a cell that is not there, a model that cannot be built, or files that cannot be read.
        TypeError: a setting that is not there.
    """
    refuse_unknown(settings, KINDS, PARTS)
    paths = {name: absolute(some) for name, some in texts.items()}
    data, network = made(LabelsConfig, {**settings, **paths}), made(LabellerConfig, settings)
    for path in (p for some in paths.values() for p in some):
        check_file(Path(path))
    network = of_cell(network, cell, lambda c: labeller(2, [2], c))
    config = LabellingConfig(data, network, made(LabelTraining, settings))
    config.check()
    return config


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
    how = functools.partial(prepare, folder, config)
    return making.prepared(folder, config, processes, LabellingTask, how, fresh=fresh, observer=observer)
