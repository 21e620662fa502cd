"""The size of compiled C: bytes of code, constants and memory, from the sections of an object file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

ALLOCATED, WRITABLE, CODE, NO_BITS = 2, 1, 4, 8  # of ELF's sections: flags, and the type that has no bytes in the file


@dataclass(frozen=True)
class Footprint:
    """Bytes of an object file: ``code``, ``constants``, variables with first values (``data``) and without (``zeros``)."""

    code: int
    constants: int
    data: int
    zeros: int

    @property
    def flash(self) -> int:
        """Bytes of read-only memory."""
        return self.code + self.constants + self.data

    @property
    def memory(self) -> int:
        """Bytes of writable memory, without the stack."""
        return self.data + self.zeros


def footprint(path: Path) -> Footprint | None:
    """Return the sizes of an object file; None where it is no ELF file of a little-endian processor."""
    content = path.read_bytes()
    if content[:4] != b"\x7fELF" or content[5] != 1:
        return None
    wide = content[4] == 2
    begin, each, count = (
        (*struct.unpack_from("<Q", content, 0x28), *struct.unpack_from("<HH", content, 0x3A))
        if wide
        else (*struct.unpack_from("<I", content, 0x20), *struct.unpack_from("<HH", content, 0x2E))
    )
    sums = dict.fromkeys(("code", "constants", "data", "zeros"), 0)
    for k in range(count):
        layout, at = ("<IIQQQQ", begin + k * each) if wide else ("<IIIIII", begin + k * each)
        _, kind, flags, _, _, size = struct.unpack_from(layout, content, at)
        if flags & ALLOCATED:
            place = "zeros" if kind == NO_BITS else "data" if flags & WRITABLE else "code" if flags & CODE else "constants"
            sums[place] += size
    return Footprint(**sums)
