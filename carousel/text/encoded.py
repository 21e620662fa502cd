"""A text as token ids in a memory-mapped file, so that it may be larger than memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from pathlib import Path

import numpy as np

from carousel import files
from carousel.errors import InputError
from carousel.text.vocabulary import Vocabulary

LINES_AT_ONCE = 4096
IDS_AT_ONCE = 1 << 20
DTYPES = ("<u2", "<u4")
FILE_KEYS = {"tokens": "words"}  # of Facts


@dataclass(frozen=True)
class Facts:
    """Counts of a text that was encoded. The file's key for ``tokens``, ``<eos>`` among them, is "words".

    ``checksum``: of token ids, ends and counts; None: Carousel 0.1.0 wrote none.
    """

    tokens: int
    lines: int
    characters: int  # newlines included
    unknown: int
    dtype: str
    checksum: int | None = None

    def sealed(self, ids: int, ends: int) -> int:
        """Return the checksum of the counts, begun with the checksums of the token ids and of the ends."""
        return zlib.crc32(json.dumps([ids, ends, *list(asdict(replace(self, checksum=None)).values())]).encode())


class EncodedText:
    """An encoded text: the token ``ids`` of all lines, (tokens,), where each line ``ends``, (lines,), and ``facts``."""

    def __init__(self, ids: np.ndarray, ends: np.ndarray, facts: Facts):
        self.ids, self.ends, self.facts = ids, ends, facts

    def __len__(self) -> int:
        return len(self.ids)

    def counts(self, size: int) -> np.ndarray:
        """Return how often each token of a vocabulary of that size occurs, (size,); memory stays constant."""
        total = np.zeros(size, dtype=np.int64)
        for first in range(0, len(self.ids), IDS_AT_ONCE):
            total += np.bincount(self.ids[first : first + IDS_AT_ONCE], minlength=size)
        return total

    @classmethod
    def encode(
        cls,
        lines: Iterable[str],
        vocabulary: Vocabulary,
        folder: Path,
        name: str,
        tick: Callable[[int], None] | None = None,
    ) -> EncodedText:
        """Encode lines of text into ``folder/name.*`` and open them. ``tick`` is told how many characters were read.

        Memory stays constant. Nothing counts as encoded until ``name.json`` stands, which is written last.
        """
        folder.mkdir(parents=True, exist_ok=True)
        dtype = np.dtype("<u2" if vocabulary.size <= 1 << 16 else "<u4")
        tokens = number = characters = unknown = sum_ids = sum_ends = 0
        source = iter(lines)
        with files.replacing(folder / f"{name}.words") as out, files.replacing(folder / f"{name}.ends") as ends_out:
            while batch := list(islice(source, LINES_AT_ONCE)):
                encoded = vocabulary.encode_many(batch)
                flat = np.fromiter((n for line in encoded for n in line), dtype)
                ends = tokens + np.cumsum([len(line) for line in encoded], dtype="<i8")
                out.write(flat.tobytes())
                ends_out.write(ends.tobytes())
                sum_ids, sum_ends = zlib.crc32(flat.tobytes(), sum_ids), zlib.crc32(ends.tobytes(), sum_ends)
                tokens, number = tokens + len(flat), number + len(batch)
                read = sum(len(line) + 1 for line in batch)
                characters += read
                unknown += int((flat == vocabulary.unknown).sum()) if vocabulary.unknown is not None else 0
                if tick:
                    tick(read)
        facts = Facts(tokens, number, characters, unknown, dtype.str)
        facts = replace(facts, checksum=facts.sealed(sum_ids, sum_ends))
        content = {FILE_KEYS.get(k, k): v for k, v in asdict(facts).items()}
        files.write(folder / f"{name}.json", json.dumps(content, indent=1))
        return cls.open(folder, name)

    @classmethod
    def open(cls, folder: Path, name: str, size: int | None = None) -> EncodedText:
        """Open a text that ``encode`` wrote, and read it once, to see that it is unchanged.

        Args:
            folder: of its files.
            name: that their names begin with.
            size: of the vocabulary; by default token ids are not held against one.

        Raises:
            InputError: the text is missing, cut short or changed, or has token ids that the vocabulary has not.
        """
        facts = _facts(folder / f"{name}.json")
        ids = _mapped(folder / f"{name}.words", facts.dtype, facts.tokens)
        ends = _mapped(folder / f"{name}.ends", "<i8", facts.lines)
        sum_ids = sum_ends = largest = last = 0
        for first in range(0, len(ids), IDS_AT_ONCE):
            piece = ids[first : first + IDS_AT_ONCE]
            sum_ids, largest = zlib.crc32(piece.tobytes(), sum_ids), max(largest, int(piece.max()))
        rising = True
        for first in range(0, len(ends), IDS_AT_ONCE):
            piece = ends[first : first + IDS_AT_ONCE]
            sum_ends, rising = zlib.crc32(piece.tobytes(), sum_ends), rising and bool((np.diff(piece, prepend=last) > 0).all())
            last = int(piece[-1])
        changed = facts.checksum is not None and facts.checksum != facts.sealed(sum_ids, sum_ends)
        if changed or not rising or last != len(ids):  # 0.1.0 left no checksum, but ends rise up to the last token
            raise _spoilt(folder / name, "its content has changed since it was written")
        if size is not None and largest >= size:
            raise _spoilt(folder / name, f"it has token {largest}, and the vocabulary only {size}")
        return cls(ids, ends, facts)

    @staticmethod
    def exists(folder: Path, name: str) -> bool:
        """Return whether ``encode`` has finished there."""
        return (folder / f"{name}.json").exists()


def example(folder: Path, names: Sequence[str], vocabulary: Vocabulary) -> str | None:
    """Return a line of moderate length without unknown words, from the first encoded text that begins with some."""
    for name in names:
        if EncodedText.exists(folder, name):
            text, begin = EncodedText.open(folder, name, vocabulary.size), 0
            for end in text.ends[:500].tolist():
                line = text.ids[begin : end - 1].tolist()
                begin = end
                if 6 <= len(line) <= 20 and vocabulary.unknown not in line:
                    return vocabulary.decode(line)
    return None


def _spoilt(path: Path, why: str) -> InputError:
    return InputError(f"{path}.* is not this run's encoded text: {why}; remove {path.parent}, and the run encodes it anew")


def _facts(path: Path) -> Facts:
    try:
        content = files.read_object(path)
    except (InputError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _spoilt(path.with_suffix(""), str(reason)) from None
    keys = {FILE_KEYS.get(f.name, f.name): f.name for f in fields(Facts)}
    counts = [content.get(k) for k in keys if k not in ("dtype", "checksum")]
    sound = all(type(n) is int and 0 <= n < 1 << 62 for n in counts) and content.get("dtype") in DTYPES
    if not sound or not content.keys() <= keys.keys():
        raise _spoilt(path.with_suffix(""), f"{path.name} does not tell its sizes")
    return Facts(**{keys[k]: v for k, v in content.items()})


def _mapped(path: Path, dtype: str, length: int) -> np.ndarray:
    try:
        files.check_regular(path)
        if path.stat().st_size != length * np.dtype(dtype).itemsize:
            raise _spoilt(path.with_suffix(""), f"{path.name} has another size than was written")
        return np.memmap(path, dtype, "r", shape=(length,)) if length else np.zeros(0, dtype)
    except OSError as error:
        raise _spoilt(path.with_suffix(""), f"{path.name}: {error.strerror}") from None
