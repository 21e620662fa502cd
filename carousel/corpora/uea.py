"""Series of the UEA archive (Bagnall et al. 2018), as the packages sktime and aeon carry them: whole sequences with labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from carousel import files
from carousel.errors import InputError

PACKAGES = ("sktime", "aeon")
PARTS = ("train", "test")


@dataclass(frozen=True)
class Set:
    """A set of the archive, and what the columns of its tables are called.

    Attributes:
        name: in the archive.
        sequence: the column that numbers the sequences.
        label: the column of the labels.
        columns: of the numbers of a step.
        counts: of sequences by part, the set's usual split.
    """

    name: str
    sequence: str
    label: str
    columns: tuple[str, ...]
    counts: dict[str, int]


SETS = {
    # Kudo, Toyama and Shimbo 1999: nine men say two vowels.
    "japanese-vowels": Set(
        "JapaneseVowels", "utterance", "speaker", tuple(f"c{k}" for k in range(1, 13)), {"train": 270, "test": 370}
    ),
    # A student project: four people with a watch that measures acceleration and rotation.
    "basic-motions": Set(
        "BasicMotions", "recording", "motion", ("ax", "ay", "az", "gx", "gy", "gz"), {"train": 40, "test": 40}
    ),
}


def source(name: str) -> Path:
    """Return the folder of a set in an installed package, which is not imported. Raises InputError without."""
    for package in PACKAGES:
        spec = find_spec(package)
        for place in spec.submodule_search_locations or () if spec else ():
            folder = Path(place) / "datasets" / "data" / name
            if folder.is_dir():
                return folder
    raise InputError(f"{name} comes with sktime or aeon: pip install --no-deps sktime")


def sequences(path: Path) -> Iterator[tuple[list[list[str]], str]]:
    """Yield of a ``.ts`` file each sequence's numbers, (steps, columns) as text, and its label."""
    lines = files.read(path).splitlines()
    for line in lines[lines.index("@data") + 1 :]:
        *dimensions, label = line.split(":")
        yield [list(step) for step in zip(*(d.split(",") for d in dimensions), strict=True)], label


def write(name: str, folder: Path) -> dict[str, tuple[int, int]]:
    """Write ``train.csv`` and ``test.csv`` of a set: the sequence, its label, and the numbers of a step.

    Args:
        name: one of ``SETS``.
        folder: where; made where it is missing.

    Returns:
        By part, how many sequences and steps were written.

    Raises:
        InputError: no package that carries the set is installed.
    """
    of, written = SETS[name], {}
    place = source(of.name)
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        found = list(sequences(place / f"{of.name}_{part.upper()}.ts"))
        rows = [",".join([of.sequence, of.label, *of.columns])]
        rows += [f"{k},{label},{','.join(step)}" for k, (steps, label) in enumerate(found, 1) for step in steps]
        files.write(folder / f"{part}.csv", "\n".join(rows) + "\n")
        written[part] = len(found), len(rows) - 1
    return written
