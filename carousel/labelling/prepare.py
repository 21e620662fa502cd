"""Read the data files of a labeller, and write names and sequences into the run folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from carousel.errors import InputError
from carousel.labelling.config import LabellingConfig, LabelsConfig
from carousel.labelling.folder import PARTS, sequences_path
from carousel.labelling.names import FILE, Names
from carousel.labelling.reading import Labelled, is_table, read, shaped
from carousel.labelling.sequences import Sequences
from carousel.series import columns

HELD_OUT = 10  # where no validation data are given, one sequence in ten


def prepare(folder: Path, config: LabellingConfig) -> None:
    """Write the names and the sequences of a run, unless they are there already.

    Without ``valid``, a tenth of the sequences is held out: the last ones where steps have labels, every tenth where whole
    sequences have one, since tables are often in the order of their labels.

    Args:
        folder: the run folder.
        config: its configuration, which names the data files.

    Raises:
        InputError: a file cannot be used, or a label occurs only in held-out data. Written files are then removed, except the
            names of a run that has a checkpoint.
    """
    config.data.check()
    config.check()
    if not config.data.train:
        raise InputError(f"{folder / 'config.json'} names no file to train on")
    wanted = [part for part in PARTS if part == "valid" or getattr(config.data, part)]
    if (folder / FILE).exists() and all(sequences_path(folder, part).exists() for part in wanted):
        return
    begun = (folder / "checkpoint.safetensors").exists()
    try:
        _make(folder, config, begun)
    except InputError:
        if not begun:
            (folder / FILE).unlink(missing_ok=True)
        shutil.rmtree(folder / "data", ignore_errors=True)
        raise


def _make(folder: Path, config: LabellingConfig, begun: bool) -> None:
    data, whole = config.data, config.model.whole
    features = _features(data)
    parts: dict[str, list[Labelled]] = {}
    for part in PARTS:
        if paths := [Path(p) for p in getattr(data, part)]:
            parts[part] = [shaped(s, config.model) for s in read(paths, data, features)]
    if "valid" not in parts:
        parts["train"], parts["valid"] = _held_out(parts["train"], whole, data.train[0])
    names = Names.load(folder) if begun and (folder / FILE).exists() else _names(data, parts["train"], features)
    if len(names.labels) < 2:
        raise InputError(f"{data.train[0]} has one label, {names.labels[0]!r}, and nothing can be learnt from that")
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for part, sequences in parts.items():
        Sequences.of(sequences, names).save(sequences_path(folder, part))
    names.save(folder)


def _features(data: LabelsConfig) -> list[str]:
    """Return the columns to read; empty for text. Raises InputError for tables and text together, and for columns of text."""
    paths = [Path(p) for part in PARTS for p in getattr(data, part)]
    tables = [path for path in paths if is_table(path)]
    if tables and data.form:
        raise InputError(f"{tables[0]} is a table, and `trees` are lines of text; leave one of them out")
    if tables and len(tables) < len(paths):
        text = next(path for path in paths if path not in tables)
        raise InputError(f"{tables[0]} is a table and {text} is text; give files of one form")
    if not tables:
        for setting in ("label", "sequence", "features"):
            if name := getattr(data, setting):
                raise InputError(f"`{setting}` {name} is of a table, and {paths[0]} is text; leave it out")
        return []
    return data.chosen() or [name for name in columns.read(tables[0]) if name not in (data.label, data.sequence)]


def _names(data: LabelsConfig, train: list[Labelled], features: list[str]) -> Names:
    labels = [label for sequence in train for label in sequence.labels]
    if features:
        return Names(tuple(sorted({*labels})), columns=tuple(features))
    words = (word for sequence in train for word in sequence.steps)
    return Names.of_text(labels, words, data.least_count, data.spelling)


def _held_out(train: list[Labelled], whole: bool, path: str) -> tuple[list[Labelled], list[Labelled]]:
    if len(train) < HELD_OUT:
        raise InputError(f"{path} has {len(train)} sequences, too few to hold every tenth out; give `valid`, or more")
    if whole:
        return [s for k, s in enumerate(train, 1) if k % HELD_OUT], train[HELD_OUT - 1 :: HELD_OUT]
    at = len(train) - len(train) // HELD_OUT
    return train[:at], train[at:]
