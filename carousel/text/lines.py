"""Lines of text files, checked: bytes that cannot be text are refused with their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from carousel import files
from carousel.errors import InputError

Text = str | Path | Iterable[str]  # a text itself, the path of its file, or its lines
LONGEST_LINE = 1 << 20  # bytes; a longer line is hardly a sentence, and would not be read piecewise


def check_file(path: Path) -> None:
    """Raise InputError unless ``path`` is a readable file with something in it."""
    try:
        files.check_regular(path)
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path} is empty; give a file with text in it")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def lines(paths: Path | list[Path]) -> Iterator[str]:
    """Yield the lines of UTF-8 text files, without their ends, in constant memory.

    Raises:
        InputError: a file is missing, empty or a folder; bytes that are not UTF-8, or NUL (with the byte offset);
            a line longer than 1 MiB (with its number).
    """
    for path in [paths] if isinstance(paths, Path) else paths:
        check_file(path)
        offset = number = 0
        with path.open("rb") as file:
            while raw := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    raise InputError(f"{path}, line {number} is longer than 1 MiB; break the text into lines or sentences")
                if b"\0" in raw:
                    at = offset + raw.index(b"\0")
                    raise InputError(f"{path} has a NUL byte at offset {at} (line {number}); is it a text file?")
                try:
                    line = raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    at = offset + error.start
                    raise InputError(
                        f"{path} is not UTF-8: byte 0x{raw[error.start]:02x} at offset {at} (line {number}); convert it"
                    ) from None
                offset += len(raw)
                yield line.rstrip("\r\n").removeprefix("\ufeff") if number == 1 else line.rstrip("\r\n")


def lines_of(text: Text) -> Iterator[str]:
    """Return the lines of a text in any form in which it may be given.

    Raises:
        InputError: as ``lines`` for a path; the text is empty, or the name of a file where a Path is meant.
    """
    if isinstance(text, Path):
        return lines(text)
    if isinstance(text, str) and _is_file(text):
        raise InputError(f"{text!r} is the name of a file; Path({text!r}) reads the file")
    given = text.removesuffix("\n").split("\n") if isinstance(text, str) else text
    found = [line.rstrip("\r\n") for line in given]
    if not any(found):
        raise InputError("the text is empty")
    return iter(found)


def _is_file(text: str) -> bool:
    try:
        return "\n" not in text and Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or a NUL
        return False
