"""Sequences and trees with labels from files: text with a tag beside each token, trees in brackets, the columns of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from carousel.errors import InputError
from carousel.labelling.config import LabelsConfig
from carousel.labelling.model import LabellerConfig
from carousel.labelling.trees import NO_TOKEN, trees
from carousel.layers import Forest
from carousel.series import columns
from carousel.text.lines import check_file, lines

BEGIN = "-DOCSTART-"  # of a document, in CoNLL 2003: no token


@dataclass(frozen=True)
class Labelled:
    """A sequence with labels, or a tree.

    Attributes:
        steps: tokens, or numbers (T, n). Of a tree the nodes' tokens, empty where a node has none.
        labels: one for each step, or one for the whole; empty where they are unknown.
        place: its name in errors.
        name: its name in the table; empty for text.
        parents: of a tree, the number of each node's parent, −1 of the root, (T,); None for a sequence.
        ranks: of a tree, the place of each node among its parent's children, from 0, (T,).
    """

    steps: Sequence[str] | np.ndarray
    labels: Sequence[str]
    place: str
    name: str = ""
    parents: np.ndarray | None = None
    ranks: np.ndarray | None = None


def is_table(path: Path) -> bool:
    """Return whether a file is a table, by its name."""
    return path.suffix.lower() in columns.SUFFIXES


def read(paths: Iterable[Path], data: LabelsConfig, features: Sequence[str] = (), *, known: bool = True) -> list[Labelled]:
    """Return the sequences of files, in order.

    Args:
        paths: of the files, all tables or all text.
        data: names the columns of the labels, sequences and features.
        features: for tables, the columns to read; by default ``data.features``.
        known: whether the files have labels; if not, labels are not read.

    Raises:
        InputError: a file is not of its form, ragged or empty, a label or a number is missing.
    """
    found: list[Labelled] = []
    for path in paths:
        check_file(path)
        if is_table(path):
            found += _of_table(path, data, features, known)
        elif data.form:
            found += in_brackets(lines(path), str(path), data.form, known=known)
        else:
            found += sentences(lines(path), str(path), data.tag_column, known=known)
        if not found:
            raise InputError(f"{path} has no tokens, only empty lines")
    return found


def in_brackets(given: Iterable[str], where: str, form: str, *, known: bool = True) -> Iterator[Labelled]:
    """Yield the trees of lines; arguments and errors are those of ``trees.trees``."""
    for nodes, place in trees(given, where, form, known=known):
        parents = np.array(nodes.parents, np.int32)
        yield Labelled(nodes.tokens, nodes.labels if known else [], place, "", parents, ranks_of(parents))


def of_children(given: Any, place: str) -> Labelled:
    """Return the tree of its nodes' tokens and children. Raises InputError for what is no tree, or no such pair."""
    if not isinstance(given, tuple) or len(given) != 2:
        raise InputError(f"{place} must be a line in brackets, or a pair: the tokens of its nodes, and the children of each")
    found = checked(given[0], place, None)
    try:
        forest = Forest(given[1])
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}: {error}") from None
    if len(forest) != len(found):
        raise InputError(f"{place} has {len(found)} tokens, and the children of {len(forest)} nodes")
    if len(forest.roots) != 1:
        raise InputError(f"{place} has {len(forest.roots)} nodes that are nobody's children, and a tree has one root")
    return Labelled(found, [], place, "", forest.parent, forest.place)


def ranks_of(parents: np.ndarray) -> np.ndarray:
    """Return the place of each node among its parent's children, where those stand in order."""
    order = np.argsort(parents, kind="stable")
    first = np.searchsorted(parents[order], parents)
    ranks = np.empty_like(parents)
    ranks[order] = np.arange(len(parents)) - first[order]
    return ranks


def sentences(given: Iterable[str], where: str, column: int = 0, *, known: bool = True) -> Iterator[Labelled]:
    """Yield the sentences of text with tags, each as soon as it ends.

    Columns are separated by tabs where a line has one, else by blanks; the first column is the token's.

    Args:
        given: lines.
        where: the name of the text in errors.
        column: the column of the tags, from 1; 0: the last.
        known: whether the text has tags; if not, only the first column is read.

    Raises:
        InputError: a line has no tag, or another number of columns than the first line.
    """
    rows: list[list[str]] = []
    width = begin = 0
    for number, line in enumerate(given, 1):
        row = line.split("\t") if "\t" in line else line.split()
        if not row or row[0] == BEGIN or not any(row):
            if rows:
                yield _sentence(rows, column, known, f"{where}, line {begin}")
            rows = []
            continue
        width = width or len(row)
        if known and width < max(2, column):
            missing = f"no column {column}" if column > 1 else "a token without a tag"
            raise InputError(f"{where}, line {number} has {missing}; a line is a token and its tag, the tag in the last column")
        if known and len(row) != width:
            there = f"{len(row)} column{'s' * (len(row) != 1)}"
            raise InputError(f"{where}, line {number} has {there}, and the first line has {width}")
        if not row[0] or (known and not row[column - 1]):
            raise InputError(f"{where}, line {number} has an empty {'token' if not row[0] else 'tag'}")
        begin = begin if rows else number
        rows.append(row)
    if rows:
        yield _sentence(rows, column, known, f"{where}, line {begin}")


def _sentence(rows: list[list[str]], column: int, known: bool, place: str) -> Labelled:
    return Labelled([row[0] for row in rows], [row[column - 1] for row in rows] if known else [], place)


def _of_table(path: Path, data: LabelsConfig, features: Sequence[str], known: bool) -> list[Labelled]:
    table = columns.read(path)
    if known and not data.label:
        raise InputError(f"{path} is a table: name the column of its labels, `label`")
    labels = columns.texts(table, data.label, path) if known else []
    of = columns.texts(table, data.sequence, path) if data.sequence else []
    names = list(features or data.chosen()) or [n for n in table if n not in (data.label, data.sequence)]
    if not names:
        raise InputError(f"{path} has no column to read beside {data.label!r}")
    values = columns.numbers(table, names, path).astype(np.float32)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"{path}: column {names[column]!r} has no value in row {row + 1}; fill it in, or leave the row out")
    if known and "" in labels:
        raise InputError(f"{path}: column {data.label!r} has no label in row {labels.index('') + 1}")
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(of or [""] * len(values)):
        groups.setdefault(name, []).append(row)
    found = []
    for name, which in groups.items():
        place = f"{path}, sequence {name!r}" if data.sequence else str(path)
        found.append(Labelled(values[which], [labels[k] for k in which] if known else [], place, name))
    return found


def shaped(sequence: Labelled, model: LabellerConfig) -> Labelled:
    """Return a sequence or tree as a model reads it.

    A model of a cell whose steps follow one reads a tree as a sequence: the nodes with tokens, as they are written. With
    ``whole`` the label is that of the root, or of all steps.

    Raises:
        InputError: a node has more children than a step of the cell follows; the steps of a sequence that is to have one label
            have several.
    """
    if sequence.parents is None:
        return one_label(sequence) if model.whole else sequence
    labels = sequence.labels[:1] if model.whole else sequence.labels  # the root is the first node
    if model.before:
        check_children(sequence, model)
        return replace(sequence, labels=labels)
    there = [k for k, token in enumerate(sequence.steps) if token != NO_TOKEN]
    labels = labels if model.whole or not labels else [labels[k] for k in there]
    return Labelled([sequence.steps[k] for k in there], labels, sequence.place, sequence.name)


def check_children(tree: Labelled, model: LabellerConfig) -> None:
    """Raise InputError for a tree that has a node with more children than a step of the model's cell follows."""
    before, most = model.before, int(tree.ranks.max()) + 1 if tree.ranks is not None else 0
    if not isinstance(before, str) and most > len(before):
        raise InputError(
            f"{tree.place}: a node has {most} children, and a step of cell {model.cell} follows {len(before)}; "
            f"tree-lstm-{most} follows so many, child-sum-lstm any number"
        )


def one_label(sequence: Labelled) -> Labelled:
    """Return a sequence with its steps' label as the label of the whole. Raises InputError where the steps' labels differ."""
    different = dict.fromkeys(sequence.labels)
    if len(different) > 1:
        first, second, *_ = different
        raise InputError(f"{sequence.place}: a whole sequence has one label, and this one has {first!r} and {second!r}")
    return Labelled(sequence.steps, list(different), sequence.place, sequence.name)


def checked(steps: Any, place: str, numbers: int | None) -> Sequence[str] | np.ndarray:
    """Return the steps of a sequence from Python: tokens, or an array (steps, ``numbers``). Raises InputError for others."""
    if numbers is None:
        if isinstance(steps, str) or not len(steps) or not all(isinstance(token, str) for token in steps):
            raise InputError(f"{place} must be a list of tokens, at least one, each a string")
        return list(steps)
    array = np.asarray(steps, np.float32)
    if array.ndim != 2 or array.shape[1] != numbers or not len(array):
        raise InputError(f"{place} must be an array (steps, {numbers}), not {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{place} holds a value that is no finite number")
    return array
