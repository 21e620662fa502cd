"""Examples as arrays: inputs with their sizes, and transcriptions as labels; read from .npz files and checked."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from carousel import files
from carousel.errors import InputError
from carousel.transcription.model import COLUMNS, GRID, SERIES


@dataclass(frozen=True)
class Inputs:
    """The inputs of examples, padded to one size.

    Attributes:
        data: sequences (N, T, size), or images (N, height, width, numbers of a pixel).
        sizes: steps of each sequence, (N,), or height and width of each image, (N, 2); numbers beyond them are padding.
    """

    data: np.ndarray
    sizes: np.ndarray

    @property
    def size(self) -> int:
        """The count of numbers of a step."""
        return int(self.data.shape[-1])

    def __len__(self) -> int:
        return len(self.data)

    def row(self, k: int) -> np.ndarray:
        """Return an input without its padding, (T, size) or (height, width, numbers of a pixel)."""
        return self.data[k][tuple(slice(int(n)) for n in np.atleast_1d(self.sizes[k]))]

    def rows(self, chosen: Sequence[int] | np.ndarray | slice) -> Inputs:
        """Return some of them."""
        return Inputs(self.data[chosen], self.sizes[chosen])

    def rearranged(self, reads: str, size: int) -> Inputs:
        """Return images as another transcriber reads them, "columns" for "grid" or the reverse; all else as it is.

        Args:
            reads: whether a step is a column or a pixel.
            size: the count of numbers of a step there.

        Raises:
            InputError: images of several heights would be read by columns.
        """
        images = self.sizes.ndim == 2
        if images == (reads == GRID):
            return self
        if images:
            data = self.data[:, : self.sizes[:, 0].max()]
            return inputs_of({"inputs": data, "lengths": self.sizes}, reads, "inputs")
        data = self.data.reshape(*self.data.shape[:2], -1, size).transpose(0, 2, 1, 3)
        heights = np.full_like(self.sizes, data.shape[1])
        return Inputs(np.ascontiguousarray(data), np.stack([heights, self.sizes], 1))


@dataclass(frozen=True)
class Examples:
    """Inputs and their transcriptions; ``targets``: the labels of each, from 1, (N, longest), 0 beyond the end."""

    inputs: Inputs
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def lengths(self) -> np.ndarray:
        """The number of labels of each example, (N,)."""
        return (self.targets > 0).sum(1)

    def ids(self, k: int) -> list[int]:
        """Return an example's labels, from 1."""
        return [int(n) for n in self.targets[k] if n > 0]

    def rows(self, chosen: Sequence[int] | np.ndarray | slice) -> Examples:
        """Return some of them."""
        return Examples(self.inputs.rows(chosen), self.targets[chosen])

    def save(self, path: Path) -> None:
        """Write an .npz file."""
        with files.replacing(path) as file:
            np.savez_compressed(file, inputs=self.inputs.data, sizes=self.inputs.sizes, targets=self.targets)

    @classmethod
    def load(cls, path: Path, labels: int, size: int) -> Examples:
        """Read a file of ``save``, of a run with so many labels, and so many numbers a step.

        Raises:
            InputError: it is missing, damaged, or not of that run.
        """
        arrays = read_arrays(path, ("inputs", "sizes", "targets"))
        found = cls(Inputs(arrays["inputs"], arrays["sizes"]), arrays["targets"])
        if not found._sound() or found.inputs.size != size or found.targets.max(initial=0) > labels:
            raise InputError(f"{path} does not hold examples of this run; remove the folder {path.parent}, and it is made anew")
        return found

    def _sound(self) -> bool:
        """Return whether shapes and values fit each other; CTC would read what lies beyond."""
        data, sizes, targets = self.inputs.data, self.inputs.sizes, self.targets
        if data.dtype.kind not in "fiu" or {sizes.dtype.kind, targets.dtype.kind} - {"i", "u"} or targets.ndim != 2:
            return False
        if not len(data) == len(sizes) == len(targets) > 0 or data.ndim != sizes.reshape(len(sizes), -1).shape[1] + 2:
            return False
        most = data.shape[1:-1] if sizes.ndim > 1 else data.shape[1]
        return bool(((sizes >= 1) & (sizes <= most)).all() and (targets >= 0).all() and (targets > 0).any(1).all())


def read_arrays(path: Path, needed: Sequence[str], others: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return arrays of an .npz file by name.

    Args:
        path: of the file.
        needed: names that it must have.
        others: names that it may have.

    Raises:
        InputError: the file is missing, is no .npz file, holds objects, or lacks an array.
    """
    try:
        files.check_regular(path)
    except FileNotFoundError:
        raise InputError(f"cannot read {path}: no such file") from None
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise InputError(f"{path} is one array; an .npz file has arrays by name: {', '.join(needed)}")
        with loaded as archive:
            missing = [name for name in needed if name not in archive]
            if missing:
                raise InputError(f"{path} has no array {missing[0]!r}; it needs {', '.join(needed)}")
            return {name: archive[name] for name in (*needed, *others) if name in archive}
    except InputError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError, KeyError) as error:
        if isinstance(error, ValueError) and not zipfile.is_zipfile(path):  # NumPy takes it for a pickle
            raise InputError(f"{path} is no .npz file, such as np.savez writes") from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is no .npz file of plain arrays: {reason}") from None


def inputs_of(arrays: Mapping[str, np.ndarray], reads: str, where: str) -> Inputs:
    """Return inputs as a transcriber reads them.

    Args:
        arrays: ``inputs``: series (N, T, size), or images (N, height, width) or (N, height, width, numbers of a pixel);
            optionally ``lengths``: steps or widths (N,), or heights and widths (N, 2).
        reads: "series", "columns" or "grid", for steps that are rows of numbers, columns of an image, or pixels.
        where: the name of the arrays in errors.

    Raises:
        InputError: the arrays do not fit each other, or hold other values than finite numbers.
    """
    data = np.asarray(arrays["inputs"])
    if data.dtype.kind not in "buif":
        raise InputError(f"{where}: inputs must be numbers, not {data.dtype}")
    wanted = {SERIES: (3,), COLUMNS: (3, 4), GRID: (3, 4)}[reads]
    if data.ndim not in wanted or 0 in data.shape:
        shape = "(N, steps, numbers)" if reads == SERIES else "(N, height, width) or (N, height, width, numbers)"
        raise InputError(f"{where}: inputs have shape {data.shape}, expected {shape}, none of them 0")
    if data.dtype.kind == "f":
        data = data.astype(np.float32, copy=False)
    if reads != SERIES and data.ndim == 3:
        data = data[..., None]
    sizes = _sizes(arrays.get("lengths"), data, reads, where)
    if reads == COLUMNS:
        count, height, width, numbers = data.shape
        if (sizes[:, 0] != height).any():
            raise InputError(f"{where}: images that are read by columns have one height, and here they differ")
        data, sizes = data.transpose(0, 2, 1, 3).reshape(count, width, height * numbers), sizes[:, 1]
    if data.dtype.kind == "f":
        for k in range(len(data)):
            if not np.isfinite(Inputs(data, sizes).row(k)).all():
                raise InputError(f"{where}: input {k} is not finite")
    return Inputs(np.ascontiguousarray(data), sizes)


def _sizes(given: np.ndarray | None, data: np.ndarray, reads: str, where: str) -> np.ndarray:
    """Return steps of each series, (N,), or height and width of each image, (N, 2)."""
    most = np.array(data.shape[1:2] if reads == SERIES else data.shape[1:3])
    if given is None:
        sizes = np.tile(most, (len(data), 1))
    elif given.dtype.kind not in "ui" or given.shape not in ((len(data),), (len(data), len(most))):
        raise InputError(f"{where}: lengths are {len(data)} whole numbers, one for each input, not {given.dtype} {given.shape}")
    else:
        one = given.astype(np.int64).reshape(len(data), -1)
        sizes = one if one.shape[1] == len(most) else np.concatenate([np.full_like(one, most[0]), one], 1)
    wrong = np.flatnonzero(((sizes < 1) | (sizes > most)).any(1))
    if len(wrong):
        size, limits = " × ".join(map(str, sizes[wrong[0]])), " × ".join(map(str, most))
        raise InputError(f"{where}: input {wrong[0]} is said to be {size} long, and the array has 1 to {limits}")
    return sizes[:, 0] if reads == SERIES else sizes


def texts_of(targets: np.ndarray, count: int, where: str) -> list[list[str]]:
    """Return transcriptions as lists of labels.

    Args:
        targets: strings (N,), each character a label, or integers (N, longest), each a label, negative beyond the end.
        count: number of inputs.
        where: the name of the array in errors.

    Raises:
        InputError: the array has another form, or a transcription is empty.
    """
    if targets.dtype.kind == "U" and targets.ndim == 1:
        found = [list(str(t)) for t in targets]
    elif targets.dtype.kind in "ui" and targets.ndim == 2:
        found = [[str(n) for n in row[: int(np.argmax([*(row < 0), True]))]] for row in targets]
    else:
        wanted = "strings (N,) or whole numbers (N, longest)"
        raise InputError(f"{where}: targets are {targets.dtype} of shape {targets.shape}, expected {wanted}")
    if len(found) != count:
        raise InputError(f"{where}: there are {count} inputs and {len(found)} targets")
    for k, labels in enumerate(found):
        if not labels:
            raise InputError(f"{where}: the transcription of example {k} is empty")
    return found


def encoded(texts: Sequence[Sequence[str]], labels: Sequence[str], where: str) -> np.ndarray:
    """Return labels as numbers from 1, (N, longest), 0 beyond the end. Raises InputError for a label that is not known."""
    number = {label: k for k, label in enumerate(labels, 1)}
    found = np.zeros((len(texts), max(map(len, texts))), np.int32)
    for k, text in enumerate(texts):
        for at, label in enumerate(text):
            if label not in number:
                raise InputError(f"{where}: label {label!r} of example {k} is in no example to train on")
            found[k, at] = number[label]
    return found


def check_fits(examples: Examples, steps: Sequence[int], where: str) -> None:
    """Raise InputError where a transcription has too few steps for its labels and the blanks between equal ones.

    Args:
        examples: inputs and transcriptions.
        steps: number of steps of each input after subsampling.
        where: the name of the examples in errors.
    """
    for k, there in enumerate(steps):
        ids = examples.ids(k)
        need = len(ids) + sum(a == b for a, b in pairwise(ids))
        if need > there:
            raise InputError(
                f"{where}: the transcription of example {k} needs {need} steps, and its input has {there} after subsampling"
            )
