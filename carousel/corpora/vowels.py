"""JapaneseVowels (Kudo, Toyama and Shimbo 1999), as the package sktime carries them: nine men say two vowels."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from carousel import files
from carousel.errors import InputError

NAME = "JapaneseVowels"
PARTS = ("train", "test")
COUNTS = {"train": 270, "test": 370}  # utterances, the set's usual split


def source() -> Path:
    """Return the folder of the data in the installed sktime, which is not imported. Raises InputError without."""
    spec = find_spec("sktime")
    for place in spec.submodule_search_locations or () if spec else ():
        folder = Path(place) / "datasets" / "data" / NAME
        if folder.is_dir():
            return folder
    raise InputError(f"{NAME} comes with sktime: pip install --no-deps sktime")


def utterances(path: Path) -> Iterator[tuple[list[list[str]], str]]:
    """Yield of a ``.ts`` file each utterance's twelve coefficients, (steps, 12) as text, and its speaker."""
    lines = files.read(path).splitlines()
    for line in lines[lines.index("@data") + 1 :]:
        *dimensions, speaker = line.split(":")
        yield [list(step) for step in zip(*(d.split(",") for d in dimensions), strict=True)], speaker


def write(folder: Path) -> dict[str, tuple[int, int]]:
    """Write ``train.csv`` and ``test.csv``: utterance, speaker, and twelve coefficients a step.

    Args:
        folder: where; made where it is missing.

    Returns:
        By part, how many utterances and steps were written.

    Raises:
        InputError: sktime is not installed.
    """
    place, written = source(), {}
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        found = list(utterances(place / f"{NAME}_{part.upper()}.ts"))
        rows = [f"utterance,speaker,{','.join(f'c{k}' for k in range(1, 13))}"]
        rows += [f"{k},{speaker},{','.join(step)}" for k, (steps, speaker) in enumerate(found, 1) for step in steps]
        files.write(folder / f"{part}.csv", "\n".join(rows) + "\n")
        written[part] = len(found), len(rows) - 1
    return written
