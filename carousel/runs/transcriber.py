"""A transcriber with its run folder: it reads inputs, is scored, and shows where it sees each label."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from carousel.equations import Cell
from carousel.errors import InputError
from carousel.runs import making
from carousel.runs.making import extended, finished, made, of_cell, refuse_unknown
from carousel.training.kept import placed
from carousel.training.processes import Processes
from carousel.training.trainer import Observer, Trainer
from carousel.transcription.config import DIGITS, ExamplesConfig, TranscriptionConfig, TranscriptionTraining
from carousel.transcription.decoding import Found, aligned, beam_search, greedy, together
from carousel.transcription.examples import Examples, Inputs, encoded, inputs_of, read_arrays, texts_of
from carousel.transcription.folder import PARTS, examples_path, load_transcriber
from carousel.transcription.language import Foreteller
from carousel.transcription.model import COLUMNS, GRID, Transcriber, TranscriberConfig
from carousel.transcription.prepare import check_size, prepare, steps_after
from carousel.transcription.score import LabelErrors, errors
from carousel.transcription.spikes import Spikes, draw
from carousel.transcription.task import ROWS, TranscriptionTask, laid_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (ExamplesConfig, TranscriberConfig, TranscriptionTraining)
Tick = Callable[[int, int], None]
MOST_REMEMBERED = 20_000  # prefixes of a language model


@dataclass(frozen=True)
class Transcription:
    """A transcription that was found.

    Attributes:
        text: the labels as one text.
        labels: each a text.
        log_probability: in nats, of all paths that were followed; of the best path where the search was greedy; of several
            runs the mean, each over all its paths.
        score: the search ranked it by this number.
    """

    text: str
    labels: tuple[str, ...]
    log_probability: float
    score: float

    def as_dict(self) -> dict[str, Any]:
        """Return all of it by name."""
        return asdict(self)


@dataclass(frozen=True)
class Search:
    """The settings of a search for transcriptions.

    Args:
        beam: prefixes that are followed side by side; 1 takes the best path.
        foreteller: a language model, if any.
        alpha: the weight of its log-probability.
        beta: is added to the score for each label.
        others: runs that read the inputs as well.
    """

    beam: int = 1
    foreteller: Foreteller | None = None
    alpha: float = 1.0
    beta: float = 0.0
    others: tuple[TranscriberRun, ...] = ()

    def of(self, *logs: np.ndarray) -> list[Found]:
        """Return the transcriptions of an input, best first; ``logs``: log-probabilities (T, labels + 1) of each run."""
        found = [self._of_one(own) for own in logs]
        return found[0] if len(found) == 1 else together(logs, found)

    def _of_one(self, logs: np.ndarray) -> list[Found]:
        if self.beam == 1 and self.foreteller is None:
            chance = float(logs.max(1).sum())
            return [Found(greedy(logs), chance, chance)]
        if self.foreteller is not None and len(self.foreteller.known) > MOST_REMEMBERED:
            self.foreteller.forget()
        return beam_search(logs, self.beam, foreteller=self.foreteller, alpha=self.alpha, beta=self.beta)


class TranscriberRun:
    """A trained transcriber, its labels and its configuration, as a run folder holds them.

    Inputs are given as arrays: one series (steps, numbers) or image (height, width), several of them (N, …) with ``lengths``
    where they differ, or the Path of an .npz file with ``inputs`` and ``lengths``.

    Args:
        folder: as ``carousel transcribe train`` leaves it, or ``RUN@400``, ``RUN@last`` as for ``carousel.load``. Nothing
            that it holds is executed.

    Raises:
        InputError: a ValueError of one line; the folder is none, not whole, or another kind of run.

    Attributes:
        model: ``carousel.transcription.model.Transcriber``, an nn.Module.
        labels: the labels in order, each a text.
        config: all that the run was asked to be.
        folder: where it lies.
        which: weights, if not the best: the number of a step, or "last".
    """

    def __init__(self, folder: str | Path):
        self.folder, self.which = placed(folder)
        self.model, self.alphabet, self.config = load_transcriber(self.folder, self.which)

    @classmethod
    def train(
        cls,
        data: str | Path,
        out: str | Path,
        *,
        cell: str | Cell = "",
        valid: str | Path = "",
        test: str | Path = "",
        observer: Observer | None = None,
        **settings: Any,
    ) -> Self:
        """Train a transcriber, as ``carousel transcribe train`` does; return the run with its best weights.

        Ctrl-C saves and raises KeyboardInterrupt; ``resume`` goes on, bit for bit.

        Args:
            data: the path of an .npz file, or "digits".
            out: the run's folder; it is made, and must be empty where it is there.
            cell: a cell, or what ``--cell`` takes; by default that of ``reads``.
            valid: an .npz file of held-out examples; without it, the last tenth is held out.
            test: an .npz file for the end.
            observer: told of steps, validations and the end, as dictionaries.
            **settings: fields of ``ExamplesConfig``, ``TranscriberConfig`` and ``TranscriptionTraining``.

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
        """Go on with a run that was stopped, or for longer; arguments as those of ``carousel.resume``."""
        place = Path(folder)
        config = extended(place, TranscriptionConfig.load(place), epochs)
        return cls(finished(place, lambda p: prepared(place, config, p, fresh=False, observer=observer), fresh=False))

    def __repr__(self) -> str:
        sizes = f"{len(self.labels)} labels, {self.model.count():,} parameters"
        return f"<TranscriberRun {self.folder}: {self.model.hierarchy.layers[0]!r}, {sizes}>"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in order."""
        return self.alphabet.labels

    def search(
        self,
        beam: int = 1,
        language: str | Path | Foreteller | None = None,
        alpha: float = 1.0,
        beta: float = 0.0,
        others: Sequence[TranscriberRun | str | Path] = (),
    ) -> Search:
        """Return a way to find transcriptions, for many inputs.

        Args:
            beam: prefixes side by side; 1 without a language model: the best path.
            language: the run folder of a language model over the labels, one transcription a line.
            alpha: weight of the language model's log-probability.
            beta: bonus of each label.
            others: runs, or their folders, that read with this one, as an ensemble. Each finds transcriptions by a beam of its
                own; of all these, the best is that with the highest mean of the runs' log-probabilities.

        Raises:
            InputError: a beam below 1, a language model that lacks a label, a run with other labels or inputs, or ``alpha`` or
                ``beta`` where it would count for nothing.
        """
        if beam < 1:
            raise InputError(f"a beam is at least 1 wide, not {beam}")
        if language is None and alpha != 1:
            raise InputError("`alpha` weighs a language model, and none is given")
        if language is None and beam == 1 and beta:
            raise InputError("`beta` ranks the transcriptions of a beam, and the best path is one; give a `beam` of 2 or more")
        beside = tuple(other if isinstance(other, TranscriberRun) else TranscriberRun(other) for other in others)
        for other in beside:
            _check_same_inputs(self, other)
        foreteller = Foreteller.of_run(language, self.labels) if isinstance(language, str | Path) else language
        return Search(beam, foreteller, alpha, beta, beside)

    def read(self, inputs: np.ndarray | Path | str, lengths: np.ndarray | None = None, **how: Any) -> list[Transcription]:
        """Return the transcription of each input.

        Args:
            inputs: as the class says.
            lengths: of each input, where they differ.
            **how: as ``search`` takes it: ``beam=10, language="runs/lines"``.

        Raises:
            InputError: inputs that the model cannot read.
        """
        return [best[0] for best in self.several(self.inputs(inputs, lengths), self.search(**how))]

    def several(self, inputs: Inputs, search: Search, tick: Tick | None = None) -> Iterator[list[Transcription]]:
        """Yield for each input its transcriptions, best first; ``tick`` is told how many are done, of all."""
        for k, logs in enumerate(self._all_logs(inputs, search)):
            found = search.of(*logs)
            yield [
                Transcription(self.alphabet.text(f.ids), tuple(self.labels[n - 1] for n in f.ids), f.log_probability, f.score)
                for f in found
            ]
            if tick:
                tick(k + 1, len(inputs))

    def inputs(self, given: np.ndarray | Path | str, lengths: np.ndarray | None = None) -> Inputs:
        """Return inputs as the model reads them. Raises InputError for others."""
        if isinstance(given, str | Path):
            where = str(given)
            arrays = read_arrays(Path(given), ("inputs",), ("lengths",))
        else:
            where, arrays = "inputs", {"inputs": np.asarray(given)}
            arrays |= {} if lengths is None else {"lengths": np.asarray(lengths)}
        if arrays["inputs"].ndim == 2:
            arrays["inputs"] = arrays["inputs"][None]
        return self._checked(inputs_of(arrays, self.config.model.reads, where), where)

    def _checked(self, inputs: Inputs, where: str) -> Inputs:
        check_size(inputs, self.alphabet.size, where)
        steps_after(self.model, inputs, where)
        return inputs

    def examples(self, data: str | Path = "test") -> Examples:
        """Return a part of the run's own data, "train", "valid" or "test", or the examples of an .npz file.

        Raises:
            InputError: there are none, or the model cannot read them.
        """
        if data in PARTS:
            path = examples_path(self.folder, str(data))
            if not path.exists():
                raise InputError(f"{self.folder} has no {data} data; give an .npz file")
            return Examples.load(path, len(self.labels), self.alphabet.size)
        arrays, where = read_arrays(Path(data), ("inputs", "targets"), ("lengths",)), str(data)
        inputs = self._checked(inputs_of(arrays, self.config.model.reads, where), where)
        texts = texts_of(arrays["targets"], len(inputs), where)
        return Examples(inputs, encoded(texts, self.labels, where))

    def score(self, data: str | Path | Examples = "test", *, tick: Tick | None = None, **how: Any) -> LabelErrors:
        """Return the label errors on examples.

        Args:
            data: as ``examples`` takes it, or what it returned.
            tick: told how many are done, of all.
            **how: as ``search`` takes it.
        """
        given = data if isinstance(data, Examples) else self.examples(data)
        search = self.search(**how)

        def pairs() -> Iterator[tuple[tuple[int, ...], list[int]]]:
            for k, logs in enumerate(self._all_logs(given.inputs, search)):
                yield search.of(*logs)[0].ids, given.ids(k)
                if tick:
                    tick(k + 1, len(given))

        return errors(pairs())

    def _all_logs(self, inputs: Inputs, search: Search) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield for each input the log-probabilities of this run and of those that the search has read beside it."""
        beside = ((run, inputs.rearranged(run.config.model.reads, run.alphabet.size)) for run in search.others)
        each = [self.logs(inputs), *(run.logs(run._checked(own, "inputs")) for run, own in beside)]
        return zip(*each, strict=True)

    @torch.no_grad()
    def logs(self, inputs: Inputs) -> Iterator[np.ndarray]:
        """Yield for each input the log-probabilities of its steps, (T′, labels + 1), the blank's first."""
        self.model.eval()
        for begin in range(0, len(inputs), ROWS):
            x, sizes = laid_out(inputs.rows(slice(begin, begin + ROWS)))
            logs, steps = self.model.logs(x.to(self.model.device), sizes)
            for k, n in enumerate(steps.tolist()):
                yield logs[:n, k].cpu().numpy()

    def spikes(self, inputs: Inputs, ids: list[int] | None = None, **how: Any) -> Spikes:
        """Return where the model sees each label of one input.

        Args:
            inputs: one, as ``inputs`` or ``examples(…).inputs`` gives them.
            ids: the labels that were meant, from 1, where they are known.
            **how: as ``search`` takes it.
        """
        search = self.search(**how)
        ((logs, *others),) = self._all_logs(inputs.rows(slice(1)), search)
        found = search.of(logs, *others)[0].ids
        row = inputs.row(0)
        picture = row.mean(-1) if self.config.model.reads == GRID else row.T
        meant = None if ids is None else self.alphabet.text(ids)
        factor = self.model.hierarchy.factor[1]
        return Spikes(picture, logs, found, aligned(logs, found), self.labels, factor, self.alphabet.text(found), meant)

    @torch.no_grad()
    def memory(self, inputs: Inputs, name: str = "h", layer: int = -1) -> np.ndarray:
        """Return a quantity of a layer at every step while it reads one input.

        Args:
            inputs: one, as ``inputs`` or ``examples(…).inputs`` gives them.
            name: of a gate, a state or another quantity of the cell.
            layer: whose quantity it is; by default the last.

        Returns:
            Of a sequence (directions, T′, units); of a grid (directions, rows, columns, units), in the order of its corners.

        Raises:
            InputError: the cell has no such quantity, or the model no such layer.
        """
        self.model.eval()
        x, _ = laid_out(inputs.rows(slice(1)))
        x = (x.to(self.model.device) - self.model.mean) / self.model.deviation
        try:
            found = self.model.hierarchy.recorded(x, [name], layer)[name]
        except ValueError as error:
            raise InputError(str(error)) from None
        except IndexError:
            raise InputError(f"there is no layer {layer}; layers are 0 to {self.config.model.layers - 1}") from None
        return found.select(-2, 0).float().cpu().numpy()

    def figure(self, found: Spikes) -> Figure:
        """Return the figure of what ``spikes`` found: the input, and the probability of each label over its steps."""
        return draw(found)


def _check_same_inputs(run: TranscriberRun, other: TranscriberRun) -> None:
    """Raise InputError unless two runs have the same labels and can read the same inputs, images by columns or as a grid."""
    ours, theirs = ((each.config.model.reads, each.alphabet.size) for each in (run, other))
    sizes = dict((ours, theirs))
    images = sizes.keys() == {COLUMNS, GRID}  # a column has some pixels
    what = ""
    if run.labels != other.labels:
        what = f"other labels than {run.folder}"
    elif not images and ours[0] != theirs[0]:
        what = f"other inputs than {run.folder} ({theirs[0]}, not {ours[0]})"
    elif sizes[COLUMNS] % sizes[GRID] if images else ours[1] != theirs[1]:
        what = f"inputs of another size than {run.folder} ({theirs[1]}, not {ours[1]})"
    if what:
        raise InputError(f"{other.folder} has {what}; an ensemble needs the same")


def configured(data: Mapping[str, str | Path], cell: str | Cell, settings: Mapping[str, Any]) -> TranscriptionConfig:
    """Return a run's configuration. Paths are kept absolute: the run can be continued from anywhere.

    Args:
        data: by "train", "valid" and "test" the path of an .npz file, or nothing; "digits" to train on.
        cell: a cell, or a reference to one.
        settings: fields of the configurations.

    Raises:
        InputError: a value that cannot be, or a cell that is not there.
        TypeError: there is no such setting, or its value is of another type.
    """
    refuse_unknown(settings, KINDS, PARTS)
    paths = {part: str(p) if str(p) in ("", DIGITS) else str(Path(p).absolute()) for part, p in data.items()}
    named = {} if isinstance(cell, Cell) else {"cell": cell}
    examples, network = made(ExamplesConfig, {**settings, **paths}), made(TranscriberConfig, {**settings, **named})
    network = of_cell(network, cell if isinstance(cell, Cell) else network.cell, lambda c: Transcriber(1, 1, c))
    return TranscriptionConfig(examples, network, made(TranscriptionTraining, settings))


def prepared(
    folder: Path, config: TranscriptionConfig, processes: Processes, *, fresh: bool, observer: Observer | None = None
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
    return making.prepared(folder, config, processes, TranscriptionTask, how, fresh=fresh, observer=observer)
