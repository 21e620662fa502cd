"""Sequences as arrays, in the run folder and in batches."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel import files
from carousel.errors import InputError
from carousel.labelling.model import IGNORED
from carousel.labelling.names import Names
from carousel.labelling.reading import Labelled
from carousel.layers import State
from carousel.training.by_size import FeedBySize
from carousel.training.processes import Share


@dataclass(frozen=True)
class Sequences:
    """Sequences one after the other: the steps ``x``, (N, ·), ids or numbers; where each sequence ends, (S,); the labels ``y``,
    (N,), or (S,) of whole sequences."""

    x: np.ndarray
    ends: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def begins(self) -> np.ndarray:
        """The index of each sequence's first step, (S,)."""
        return np.concatenate([[0], self.ends[:-1]])

    @classmethod
    def of(cls, given: Sequence[Labelled], names: Names) -> Sequences:
        """Return sequences as arrays. Raises InputError for labels that are not among the names."""
        for sequence in given:
            if (label := names.unknown(sequence.labels)) is not None:
                raise InputError(
                    f"{sequence.place}: label {label!r} does not occur in the training data, which have {listed(names.labels)}"
                )
        x = [names.steps(s.steps) if names.tables else s.steps for s in given]  # type: ignore[arg-type]  # tokens of a text
        ends = np.cumsum([len(steps) for steps in x])
        y = [n for sequence in given for n in names.numbers(sequence.labels)]
        return cls(np.concatenate(x), ends.astype(np.int64), np.array(y, np.int32))

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file."""
        content = io.BytesIO()
        np.savez(content, x=self.x, ends=self.ends, y=self.y)
        files.write(path, content.getvalue())

    @classmethod
    def open(cls, path: Path, names: Names) -> Sequences:
        """Read what ``save`` wrote. Raises InputError where it is missing, or not of these names."""
        try:
            files.check_regular(path)
            with np.load(path, allow_pickle=False) as archive:
                found = cls(archive["x"], archive["ends"], archive["y"])
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error):
            raise InputError(f"{path} is missing or not whole; remove {path.parent}, and it is made anew") from None
        width = len(names.tables or names.columns)
        lengths = np.diff(found.ends, prepend=0)
        sound = found.x.shape == (int(found.ends[-1]) if found.ends.size else 0, width) and bool((lengths > 0).all())
        sound = sound and found.y.shape in ((len(found.x),), (len(found),)) and found.y.dtype.kind == "i"
        sound = sound and bool(((found.y >= 0) & (found.y < len(names.labels))).all())
        if not sound or (names.tables and any(found.x[:, k].max() > len(t) for k, t in enumerate(names.tables))):
            raise InputError(f"{path} is not of this run; remove {path.parent}, and it is made anew")
        return found


def listed(labels: Sequence[str], most: int = 8) -> str:
    """Return labels in words, the first ones."""
    return ", ".join(labels[:most]) + (f" and {len(labels) - most} more" if len(labels) > most else "")


def padded(rows: Sequence[np.ndarray], value: int = 0) -> Tensor:
    """Return arrays (T, ·) side by side, (longest, B, ·), ``value`` beyond their ends; ids and labels as int64."""
    dtype = np.float32 if rows[0].dtype.kind == "f" else np.int64
    found = np.full((max(map(len, rows)), len(rows), *rows[0].shape[1:]), value, dtype)
    for k, row in enumerate(rows):
        found[: len(row), k] = row
    return torch.from_numpy(found)


@dataclass(frozen=True)
class SequenceBatch:
    """Sequences side by side, as ``Labeller.forward`` takes them. ``targets`` counts the labels of *all* processes."""

    x: Tensor
    lengths: Tensor
    y: Tensor
    targets: int

    @property
    def own_targets(self) -> int:
        """The number of labels in these rows."""
        return int((self.y != IGNORED).sum())

    def arguments(self, state: State | None, device: torch.device | str) -> tuple[Any, ...]:
        """Return the labeller's arguments; nothing is carried from batch to batch."""
        return self.x.to(device), self.lengths, self.y.to(device)


class SequenceFeed(FeedBySize[SequenceBatch]):
    """Sequences in batches, those of about one length together; arguments and errors as ``FeedBySize``'s.

    Args:
        length: at which longer sequences are parted, where each step has a label; 0: nowhere.
    """

    def __init__(self, sequences: Sequences, rows: int, length: int, share: Share, seed: int | None):
        self.sequences, self.whole = sequences, len(sequences.y) != len(sequences.x)
        begins, ends = sequences.begins, sequences.ends
        if length and not self.whole:
            parts = [np.arange(b, e, length) for b, e in zip(begins, ends, strict=True)]
            begins = np.concatenate(parts)
            ends = np.concatenate([np.append(p[1:], e) for p, e in zip(parts, ends, strict=True)])
        self.begins, self.ends, self.lengths = begins, ends, ends - begins
        super().__init__(self.lengths, rows, share, seed, "sequences", blur=0.15)

    def batch(self, chosen: np.ndarray, mine: np.ndarray) -> SequenceBatch:
        """Return the batch of the sequences ``mine``, among those ``chosen`` for all processes."""
        x, y = self.sequences.x, self.sequences.y
        spans = [slice(self.begins[k], self.ends[k]) for k in mine]
        labels = torch.from_numpy(y[mine]).long() if self.whole else padded([y[s] for s in spans], IGNORED)
        targets = len(chosen) if self.whole else int(self.lengths[chosen].sum())
        return SequenceBatch(padded([x[s] for s in spans]), torch.from_numpy(self.lengths[mine]), labels, targets)
