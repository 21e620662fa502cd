"""Sequences as arrays, in the run folder and in batches."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel import files
from carousel.errors import InputError
from carousel.kernels.alike import moved
from carousel.labelling.model import IGNORED
from carousel.labelling.names import Names
from carousel.labelling.reading import Labelled
from carousel.labelling.trees import NO_TOKEN
from carousel.layers import Forest, State
from carousel.training.by_size import FeedBySize
from carousel.training.processes import Share

NO_ID = -1  # of a node without a token


@dataclass(frozen=True)
class Sequences:
    """Sequences or trees one after the other.

    Attributes:
        x: of each step or node ids or numbers, (N, ·); −1 where a node has no token.
        ends: the index after each sequence's last step, (S,).
        y: labels, (N,), or (S,) of whole sequences; empty where they are unknown.
        parents: of each node the parent's number in its tree, −1 of a root, (N,); None for sequences.
        ranks: of each node its place among its parent's children, (N,); None for sequences.
    """

    x: np.ndarray
    ends: np.ndarray
    y: np.ndarray
    parents: np.ndarray | None = None
    ranks: np.ndarray | None = None

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
        found = cls(np.concatenate(x), ends.astype(np.int64), np.array(y, np.int32))
        if not given or given[0].parents is None:
            return found
        if names.tables:
            found.x[np.fromiter((token == NO_TOKEN for s in given for token in s.steps), bool, len(found.x))] = NO_ID
        parents, ranks = (np.concatenate([getattr(s, name) for s in given]) for name in ("parents", "ranks"))
        return replace(found, parents=parents, ranks=ranks)

    def row(self, number: int) -> Sequences:
        """Return one of them."""
        span = slice(self.begins[number], self.ends[number])
        y = self.y[span] if len(self.y) == len(self.x) else self.y[number : number + 1]  # else of wholes, or unknown
        parents, ranks = (None if a is None else a[span] for a in (self.parents, self.ranks))
        return Sequences(self.x[span], self.ends[number : number + 1] - self.begins[number], y, parents, ranks)

    def side_by_side(self, which: np.ndarray) -> tuple[Tensor, Any]:
        """Return a batch as models take it: sequences (longest, B, ·) and their lengths; nodes (N, ·) and their trees."""
        rows = [self.x[self.begins[k] : self.ends[k]] for k in which]
        if self.parents is not None:
            return joined(rows), self.trees(which)
        return padded(rows), torch.from_numpy(self.ends[which] - self.begins[which])

    def trees(self, which: np.ndarray) -> Forest:
        """Return a batch of trees, the nodes of one after those of the other."""
        assert self.parents is not None and self.ranks is not None
        spans = [slice(self.begins[k], self.ends[k]) for k in which]
        ranks = np.concatenate([self.ranks[s] for s in spans])
        table = np.full((len(ranks), int(ranks.max()) + 1), -1)
        at = 0
        for span in spans:
            nodes = np.flatnonzero(self.parents[span] >= 0)
            table[at + self.parents[span][nodes], self.ranks[span][nodes]] = at + nodes
            at += span.stop - span.start
        return Forest(table)

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file."""
        content = io.BytesIO()
        arrays = {"x": self.x, "ends": self.ends, "y": self.y, "parents": self.parents, "ranks": self.ranks}
        np.savez(content, allow_pickle=False, **{name: a for name, a in arrays.items() if a is not None})
        files.write(path, content.getvalue())

    @classmethod
    def open(cls, path: Path, names: Names, of_trees: bool = False) -> Sequences:
        """Read what ``save`` wrote. Raises InputError where it is missing, or not of these names, or not of trees as told."""
        try:
            files.check_regular(path)
            with np.load(path, allow_pickle=False) as archive:
                found = cls(*(archive[name] for name in ("x", "ends", "y", "parents", "ranks") if name in archive))
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error):
            raise InputError(f"{path} is missing or not whole; remove {path.parent}, and it is made anew") from None
        width = len(names.tables or names.columns)
        lengths = np.diff(found.ends, prepend=0)
        sound = found.x.shape == (int(found.ends[-1]) if found.ends.size else 0, width) and bool((lengths > 0).all())
        sound = sound and found.y.shape in ((len(found.x),), (len(found),)) and found.y.dtype.kind == "i"
        sound = sound and bool(((found.y >= 0) & (found.y < len(names.labels))).all())
        sound = sound and (found.parents is not None) == of_trees and found._are_trees(lengths)
        least = NO_ID if of_trees else 0
        ids = enumerate(names.tables)
        if not sound or any(found.x[:, k].max() > len(t) or found.x[:, k].min() < least for k, t in ids):
            raise InputError(f"{path} is not of this run; remove {path.parent}, and it is made anew")
        return found

    def _are_trees(self, lengths: np.ndarray) -> bool:
        """Return whether each parent is a node of the same tree, before its children, no two of which have one place.

        Without trees it is true as well.
        """
        if self.parents is None or self.ranks is None:
            return self.parents is self.ranks
        if any(a.shape != (len(self.x),) or a.dtype.kind != "i" for a in (self.parents, self.ranks)):
            return False
        numbers = np.arange(len(self.x)) - np.repeat(self.begins, lengths)
        above = bool(((self.parents >= 0) == (numbers > 0)).all() and (self.parents < np.maximum(numbers, 1)).all())
        within = bool(((self.ranks >= 0) & (self.ranks < np.repeat(lengths, lengths))).all())
        places = np.stack([np.where(numbers > 0, self.parents, -1) + np.repeat(self.begins, lengths), self.ranks])
        return above and within and len(np.unique(places[:, numbers > 0], axis=1).T) == int((numbers > 0).sum())


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


def joined(rows: Sequence[np.ndarray]) -> Tensor:
    """Return arrays (T, ·) one after the other; ids as int64."""
    found = np.concatenate(rows)
    return torch.from_numpy(found.astype(np.float32 if found.dtype.kind == "f" else np.int64))


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
        return moved(self.x, device), self.lengths, moved(self.y, device)


@dataclass(frozen=True)
class TreeBatch:
    """Trees one after the other, as ``TreeLabeller.forward`` takes them. ``targets`` counts the labels of *all* processes."""

    x: Tensor
    forest: Forest
    y: Tensor
    targets: int

    @property
    def own_targets(self) -> int:
        """The number of labels in these trees."""
        return len(self.y)

    def arguments(self, state: State | None, device: torch.device | str) -> tuple[Any, ...]:
        """Return the labeller's arguments; nothing is carried from batch to batch."""
        return moved(self.x, device), self.forest, moved(self.y, device)


class SequenceFeed(FeedBySize[SequenceBatch | TreeBatch]):
    """Sequences, or trees, in batches, those of about one length together; arguments and errors as ``FeedBySize``'s.

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

    def batch(self, chosen: np.ndarray, mine: np.ndarray) -> SequenceBatch | TreeBatch:
        """Return the batch of the sequences ``mine``, among those ``chosen`` for all processes."""
        x, y = self.sequences.x, self.sequences.y
        spans = [slice(self.begins[k], self.ends[k]) for k in mine]
        targets = len(chosen) if self.whole else int(self.lengths[chosen].sum())
        if self.sequences.parents is not None:
            labels = torch.from_numpy(y[mine] if self.whole else np.concatenate([y[s] for s in spans])).long()
            return TreeBatch(*self.sequences.side_by_side(mine), labels, targets)
        labels = torch.from_numpy(y[mine]).long() if self.whole else padded([y[s] for s in spans], IGNORED)
        return SequenceBatch(padded([x[s] for s in spans]), torch.from_numpy(self.lengths[mine]), labels, targets)
