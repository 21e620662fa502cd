"""Named columns of a table: ``.csv``, ``.npz`` and, where pyarrow is installed, ``.parquet``, as NumPy arrays."""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from carousel import files
from carousel.errors import InputError

Columns = dict[str, np.ndarray]

SUFFIXES = (".csv", ".npz", ".parquet")
SEPARATORS = ",;\t"
MOST = float(np.finfo(np.float32).max)  # models read single precision
MISSING = {"", "na", "n/a", "nan", "null", "none"}  # among numbers, in any case of letters
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?inf", re.IGNORECASE)


def read(path: Path) -> Columns:
    """Return the columns of a table by their names, all of one length, in the file's order.

    A column is int64 where every value is a whole number, float64 where values are numbers or missing (NaN), else text, in
    which a missing value is empty and a time is written as ISO 8601. Of a ``.npz``, an array (T,) is a column, and an array
    ``x`` (T, n) the columns ``x.0`` to ``x.n-1``. Nothing is unpickled.

    Args:
        path: of a file whose name ends in ``.csv`` (a first line of names; separated by commas, semicolons or tabs), ``.npz``
            or ``.parquet``.

    Raises:
        InputError: the file is none of these or not whole, its columns are of different lengths or none, two have one name, or
            pyarrow is not installed.
        OSError: it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    files.check_regular(path)
    return _checked({".csv": _csv, ".npz": _npz, ".parquet": _parquet}[suffix](path), path)


def of_arrays(arrays: Mapping[str, Any], place: Path = Path("the columns")) -> Columns:
    """Return arrays, or lists, as ``read`` returns the columns of a file. Raises InputError as it does, naming ``place``."""
    return _checked(_plain_columns(((str(name), np.asarray(a)) for name, a in arrays.items()), place), place)


def _checked(named: Iterable[tuple[str, np.ndarray]], path: Path) -> Columns:
    found: Columns = {}
    for name, values in named:
        if name in found:
            raise InputError(f"{path} has two columns called {name!r}")
        found[name] = values
    lengths = {len(values): name for name, values in reversed(found.items())}
    if len(lengths) > 1:
        (few, short), *_, (many, long) = sorted(lengths.items())
        raise InputError(f"{path} has columns of different lengths: {short!r} has {few} values and {long!r} {many}")
    if not found or not next(iter(lengths)):
        raise InputError(f"{path} has no {'values' if found else 'columns'}")
    return found


def choose(columns: Columns, names: Iterable[str], path: Path) -> Columns:
    """Return the columns of these names, in this order. Raises InputError, naming ``path``, for one that is not there."""
    chosen: Columns = {}
    for name in names:
        if name not in columns:
            near = get_close_matches(name, columns, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {_listed(columns)}"
            raise InputError(f"{path} has no column {name!r}; {hint}")
        chosen[name] = columns[name]
    return chosen


def numbers(columns: Columns, names: Iterable[str], path: Path) -> np.ndarray:
    """Return columns of numbers side by side.

    Args:
        columns: of the table.
        names: of n of them.
        path: of the table, for errors.

    Returns:
        (T, n), float64, NaN where a value is missing.

    Raises:
        InputError: a column is not there, holds text, or a value that is infinite in single precision.
    """
    chosen = choose(columns, names, path)
    for name, values in chosen.items():
        if values.dtype.kind == "U":
            row, value = next((k, v) for k, v in enumerate(values, 1) if not _is_number(v))
            raise InputError(f"{path}: column {name!r} must hold numbers, and its value {row} is {str(value)!r}")
        if (beyond := np.abs(values) > MOST).any():
            row = int(beyond.argmax())
            raise InputError(f"{path}: column {name!r} holds {values[row]:g}, its value {row + 1}, and the most is {MOST:.3g}")
    rows = len(next(iter(columns.values())))
    return np.stack(list(chosen.values()), 1).astype(np.float64) if chosen else np.empty((rows, 0))


def means_numbers(values: np.ndarray) -> bool:
    """Return whether a column is meant to hold numbers: all values are, or, as where one is mistyped, more than half."""
    if values.dtype.kind != "U":
        return values.dtype.kind in "if"
    return 2 * sum(DECIMAL.fullmatch(v) is not None for v in values) > len(values)


def texts(columns: Columns, name: str, path: Path) -> list[str]:
    """Return the values of a column as text, whole numbers without a point. Raises InputError where it is not there."""
    return [str(value) for value in choose(columns, [name], path)[name].tolist()]


def _listed(columns: Columns, most: int = 12) -> str:
    return ", ".join(list(columns)[:most]) + (f" and {len(columns) - most} more" if len(columns) > most else "")


def _csv(path: Path) -> list[tuple[str, np.ndarray]]:
    text = files.read(path).removeprefix("\ufeff")
    first = text.split("\n", 1)[0]
    separator = max(SEPARATORS, key=first.count)
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        rows.extend((reader.line_num, row) for row in reader)
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None
    alone = bool(rows) and len(rows[0][1]) == 1
    while rows and not rows[-1][1]:
        rows.pop()
    # An empty line is a missing value where there is one column, else nothing.
    rows = [(line, row or [""]) for line, row in rows if row or alone]
    if not rows:
        raise InputError(f"{path} is empty")
    names = [name.strip() for name in rows[0][1]]
    if all(_is_number(name) for name in names):
        raise InputError(f"{path}: the first line must name the columns, and holds numbers")
    if "" in names:
        raise InputError(f"{path}: column {names.index('') + 1} has no name")
    for line, row in rows[1:]:
        if len(row) != len(names):
            there = f"{len(row)} value{'s' * (len(row) != 1)}"
            raise InputError(f"{path}, line {line} has {there}, and the first line names {len(names)} columns")
    return [(name, _typed([row[k].strip() for _, row in rows[1:]])) for k, name in enumerate(names)]


def _typed(values: Sequence[str]) -> np.ndarray:
    """Return texts as numbers, where all are numbers or missing."""
    if values and all(WHOLE.fullmatch(v) for v in values):
        return np.array([int(v) for v in values], np.int64)
    if all(_is_number(v) for v in values):
        return np.array([np.nan if v.lower() in MISSING else float(v) for v in values], np.float64)
    return np.array(values, np.str_)


def _is_number(value: str) -> bool:
    return value.lower() in MISSING or DECIMAL.fullmatch(value) is not None


def _npz(path: Path) -> list[tuple[str, np.ndarray]]:
    found: list[tuple[str, Any]] | None = None
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.lib.npyio.NpzFile):
            with archive:
                found = [(name, archive[name]) for name in archive.files]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        if not isinstance(error, ValueError) or zipfile.is_zipfile(path):  # NumPy takes all else for a pickle
            raise InputError(f"{path} is no archive of plain arrays: {' '.join(str(error).split())}") from None
    if found is None:
        raise InputError(f"{path} is no archive of arrays, such as np.savez writes")
    return _plain_columns(found, path)


def _plain_columns(arrays: Iterable[tuple[str, Any]], path: Path) -> list[tuple[str, np.ndarray]]:
    columns: list[tuple[str, np.ndarray]] = []
    for name, array in arrays:
        if not isinstance(array, np.ndarray):
            raise InputError(f"{path} holds {name!r}, which is no array")
        if array.ndim not in (1, 2):
            raise InputError(f"{path}: array {name!r} must be (T,) or (T, n), not {array.shape}")
        parts = [(name, array)] if array.ndim == 1 else [(f"{name}.{k}", array[:, k]) for k in range(array.shape[1])]
        columns += [(n, _plain(a, path, n)) for n, a in parts]
    return columns


def _parquet(path: Path) -> list[tuple[str, np.ndarray]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"{path} needs pyarrow: pip install 'carousel-rnn[series]'") from None
    try:
        table = parquet.ParquetFile(path).read()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is no whole Parquet file: {' '.join(str(error).split())}") from None
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pyarrow.types.is_nested(column.type):
            raise InputError(f"{path}: column {name!r} must hold numbers or texts, not {column.type}")
        if pyarrow.types.is_decimal(column.type):
            column = column.cast(pyarrow.float64())
        columns.append((str(name), _plain(column.to_numpy(), path, str(name))))
    return columns


def _plain(array: np.ndarray, path: Path, name: str) -> np.ndarray:
    """Return an array of numbers or texts as int64, float64 or text."""
    kind = array.dtype.kind
    if kind in "bi" or (kind == "u" and array.dtype.itemsize < 8):
        return array.astype(np.int64)
    if kind in "fu":
        return array.astype(np.float64)
    if kind == "U":
        return array
    if kind == "M":
        return np.where(np.isnat(array), "", np.datetime_as_string(array))
    if kind == "O" and all(v is None or isinstance(v, bool | int | float) for v in array):
        return np.array([np.nan if v is None else v for v in array], np.float64)
    if kind == "O" and all(v is None or _is_text(v) for v in array):
        return np.array(["" if v is None else str(v) for v in array], np.str_)
    raise InputError(f"{path}: column {name!r} must hold numbers or texts, not {array.dtype}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or hasattr(value, "isoformat")
