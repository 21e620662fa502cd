"""The files of a transcriber's run folder: its examples, labels and model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from carousel import files
from carousel.errors import InputError
from carousel.training.kept import load_model
from carousel.transcription.config import TranscriptionConfig
from carousel.transcription.model import Transcriber

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Alphabet:
    """The labels of a run, in order, and ``size``, how many numbers a step of its inputs has; ``labels.json`` in its folder."""

    labels: tuple[str, ...]
    size: int

    def text(self, ids: list[int] | tuple[int, ...]) -> str:
        """Return ids, which begin with 1, as text, with blanks between labels if any has several characters."""
        gap = "" if all(len(label) == 1 for label in self.labels) else " "
        return gap.join(self.labels[k - 1] for k in ids)

    def save(self, folder: Path) -> None:
        """Write ``labels.json``."""
        content = {"labels": list(self.labels), "size": self.size}
        files.write(folder / "labels.json", json.dumps(content, ensure_ascii=False, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Alphabet:
        """Read ``labels.json``. Raises InputError where it is missing or damaged."""
        path = folder / "labels.json"
        try:
            found = files.read_object(path)
        except FileNotFoundError:
            raise InputError(f"{path} is missing; the run folder is not complete") from None
        labels, size = found.get("labels"), found.get("size")
        sound = isinstance(labels, list) and labels and all(isinstance(x, str) and x for x in labels)
        if not isinstance(labels, list) or not sound or type(size) is not int or size < 1 or len({*labels}) < len(labels):
            raise InputError(f"{path} does not hold labels of a transcriber")
        return cls(tuple(labels), size)


def examples_path(folder: Path, part: str) -> Path:
    """Return the path of a part's examples."""
    return folder / "data" / f"{part}.npz"


def load_transcriber(folder: Path, which: str | None = None) -> tuple[Transcriber, Alphabet, TranscriptionConfig]:
    """Return the model of a run, its labels and configuration.

    Args:
        folder: of the run.
        which: weights, as ``carousel.training.kept.path_of`` has them; by default the best.

    Raises:
        InputError: a file is missing or damaged.
    """
    config = TranscriptionConfig.load(folder)
    alphabet = Alphabet.load(folder)
    model = Transcriber(len(alphabet.labels), alphabet.size, config.model)
    load_model(model, folder, which)
    return model, alphabet, config
