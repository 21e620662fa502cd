"""What a trained language model can be written as: one record a target, which the command and Python read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from carousel import files
from carousel.errors import InputError
from carousel.export.c99.weights import PRECISIONS
from carousel.language.model import LanguageModel
from carousel.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        name: as it stands after ``--to``.
        about: one line for the help.
        precisions: of the weights, the usual one first.
        write: takes a model, its vocabulary and a precision, and returns the files' contents by what follows the file's stem.
        next: takes the path of the file, and returns a command that tries it.
    """

    name: str
    about: str
    precisions: tuple[str, ...]
    write: Callable[[LanguageModel, Vocabulary, str], dict[str, bytes]]
    next: Callable[[Path], str]

    def check(self, precision: str) -> None:
        """Raise InputError where the weights cannot have this precision."""
        if precision not in self.precisions:
            raise InputError(f"`precision` of {self.name} must be {' or '.join(self.precisions)}, not {precision!r}")


def target(name: str | None, path: Path) -> Target:
    """Return a target by its name or, where that is None, by the end of a file's name. Raises InputError where none is."""
    name = path.suffix.removeprefix(".") if name is None else name
    if name not in TARGETS:
        raise InputError(f"`to` must be {' or '.join(TARGETS)}, not {name!r}")
    return TARGETS[name]


def write(model: LanguageModel, vocabulary: Vocabulary, path: Path, to: Target, precision: str) -> list[Path]:
    """Write all files of a target, each whole, and return their paths."""
    to.check(precision)
    contents = to.write(model, vocabulary, precision)
    paths = [path if end == path.suffix else path.with_suffix(end) for end in contents]
    for place, content in zip(paths, contents.values(), strict=True):
        files.write(place, content)
    return paths


def _c(model: LanguageModel, vocabulary: Vocabulary, precision: str) -> dict[str, bytes]:
    from carousel.export.c99.language import of_language

    return {".c": of_language(model, vocabulary, precision).encode()}


def _compiled(path: Path) -> str:
    name = path.with_suffix("").name
    return f'cc -O3 -DMAIN {path} -lm -o {name} && ./{name} -n 50 -t 0.8 "The"'


TARGETS = {t.name: t for t in (Target("c", "one C99 file that needs math.h alone", PRECISIONS, _c, _compiled),)}
