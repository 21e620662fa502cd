"""English text that every Python carries: the language reference's topics, as pydoc shows them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from carousel import files
from carousel.errors import InputError

PARTS = {"test": range(0, 1), "valid": range(1, 2), "train": range(2, 10)}  # of ten, by a hash of the topic's name


def write_topics(folder: Path) -> dict[str, Path]:
    """Write ``train.txt``, ``valid.txt`` and ``test.txt``, whole topics each; gives their paths.

    A topic's part follows from its name alone, so that it stays when Python's documentation grows. Raises InputError
    where this Python has no ``pydoc_data``.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError("this Python comes without pydoc_data; give a text file to carousel train instead") from None
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for part, tenths in PARTS.items():
        chosen = [t for t in sorted(topics) if hashlib.sha256(t.encode()).digest()[0] % 10 in tenths]
        paths[part] = folder / f"{part}.txt"
        files.write(paths[part], "\n\n".join(topics[t].strip("\n") for t in chosen) + "\n")
    return paths
