"""Files are written whole or not at all; a folder has one owner; an unreadable file is told in one line."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from carousel.errors import InputError

try:
    import fcntl
except ImportError:  # on Windows, where the file of an owner that died is removed by the next
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"  # in an owned folder: who owns it
PATIENCE = 0.3  # seconds for an owner that is just leaving
_owned: set[Path] = set()

# Errors of the place that was given, and not of the disk.
BAD_PLACES = {
    errno.EACCES,
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
    errno.EROFS,
}


def check(path: Path) -> None:
    """Raise InputError where no file of that name can be written."""
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder")
    if path.exists() and not path.is_file():
        raise InputError(f"cannot write {path}: it is a pipe or a device")


def check_regular(path: Path) -> None:
    """Raise InputError unless ``path`` is a file that can be read again and again; FileNotFoundError where it is missing."""
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # a NUL in a name that a file holds
        raise InputError(f"cannot read {path}: {error}") from None
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder; give a file")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is a pipe or a device; write its text to a file, and give that")


def read(path: Path) -> str:
    """Read a whole text file, UTF-8. Raises InputError for a folder, a device and bytes that are no text; OSError as Python."""
    check_regular(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset {error.start}") from None


def parse(text: str, path: Path) -> Any:
    """Parse JSON. Raises InputError, naming ``path``, for a text that is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object. Raises InputError as ``read`` and ``parse`` do, and for another value."""
    value = parse(read(path), path)
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold an object, not {type(value).__name__}")
    return value


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the place of ``path`` only once it is complete and on the disk.

    Where writing fails or is interrupted, ``path`` is as it was and nothing is left beside it.
    """
    if not path.name:
        raise InputError(f"cannot write {path}: it is a folder")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"cannot write {path}: it is a pipe or a device")  # which would be gone, and a file in its place
    temporary = path.with_name(f".{path.name}.tmp")  # one name: the rest of a killed write is overwritten
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(OSError):  # it is missing where it could not be opened
            temporary.unlink(missing_ok=True)


def write(path: Path, content: bytes | str) -> None:
    """Write a whole file; text is UTF-8."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Make a folder where it is missing, and let no other process write in it meanwhile.

    The owner is whoever holds the lock on ``.lock``, which the system takes back at any death; within a process, owning may be
    nested. The file goes with its owner, and so do folders that were made for it and in which nothing was put.

    Raises:
        InputError: another process owns the folder (its number, and since when), or it is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder; choose another")
    try:
        str(folder).encode()
    except UnicodeEncodeError:  # safetensors cannot read there the file that it has written
        raise InputError(f"cannot write to {folder}: its name is not UTF-8") from None
    key = Path(os.path.realpath(folder))
    if key in _owned:
        yield
        return
    made = _make(folder)
    path = key / LOCK
    try:
        with _lock(path, folder):
            _owned.add(key)
            try:
                yield
            finally:
                _owned.discard(key)
                path.unlink(missing_ok=True)  # before the lock goes: whoever waits sees that it has no name, and makes another
    finally:
        _remove(made)


@contextmanager
def _lock(path: Path, folder: Path) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=PATIENCE, poll_interval=0.05)
    except Timeout:
        raise InputError(f"{folder} is in use by {_holder(path)}; wait until that ends, or stop it") from None
    try:
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        path.write_text(f"{os.getpid()} {now}\n")
        yield
    finally:
        lock.release()


def owner(folder: Path) -> str | None:
    """Return who owns a folder, in words; None for nobody. The owner is not disturbed."""
    path = folder / LOCK
    if Path(os.path.realpath(folder)) in _owned:
        return _holder(path)
    try:
        with path.open("rb") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # refused while the owner has it for itself
                return None  # of one that died
    except BlockingIOError:
        return _holder(path)
    except OSError:
        return None  # no such file
    return _holder(path)


def _holder(path: Path) -> str:
    try:
        number, since = path.read_text().strip().split(" ", 1)
        return f"process {int(number)} since {since}"
    except (OSError, ValueError):
        return "another process"


def _make(folder: Path) -> list[Path]:
    """Make a folder and its parents; return the missing ones, the uppermost first. Where one cannot be made, none is."""
    missing = [p for p in reversed(folder.parents) if not p.exists()]
    try:
        if not folder.exists():
            missing.append(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        _remove(missing)
        raise
    return missing


def _remove(folders: list[Path]) -> None:
    """Remove folders in which nothing was put, the last first."""
    for folder in reversed(folders):
        with suppress(OSError):  # there is something in it, or it was not made
            folder.rmdir()


@contextmanager
def undoing(folder: Path | None, errors: tuple[type[Exception], ...] = (InputError, OSError)) -> Iterator[None]:
    """Leave nothing in ``folder`` that was not there before where one of the ``errors`` is raised; None: do nothing."""
    before = set(folder.iterdir()) if folder is not None and folder.is_dir() else set()
    try:
        yield
    except errors:
        for path in set(folder.iterdir()) - before if folder is not None and folder.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


def is_empty(folder: Path) -> bool:
    """Return whether a folder holds nothing but its owner's name; also where there is no folder."""
    return not folder.exists() or (folder.is_dir() and all(p.name == LOCK for p in folder.iterdir()))
