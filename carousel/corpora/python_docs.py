"""English text that every Python carries: the language reference's topics, as pydoc shows them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from carousel import files
from carousel.errors import InputError

PARTS = {"test": range(0, 1), "valid": range(1, 2), "train": range(2, 10)}  # of ten, by a hash of the topic's name


def write_topics(folder: Path) -> dict[str, Path]:
    """Write ``train.txt``, ``valid.txt`` and ``test.txt``, whole topics each; gives their paths.

    A topic's part follows from its name alone, so that it stays when Python's documentation grows. Some topics repeat
    others at length: a paragraph is kept once, in the test part before all others and in training last, so that nothing
    held out has been seen. Raises InputError where this Python has no ``pydoc_data``.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError("this Python comes without pydoc_data; give a text file to carousel train instead") from None
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    paths = {}
    for part, tenths in PARTS.items():
        kept = []
        for topic in sorted(t for t in topics if hashlib.sha256(t.encode()).digest()[2] % 10 in tenths):
            paragraphs = [p.strip("\n") for p in topics[topic].split("\n\n")]
            # The same paragraph may be set in by other amounts.
            fresh = [p for p in paragraphs if " ".join(p.split()) not in seen]
            seen |= {" ".join(p.split()) for p in paragraphs}
            kept += fresh
        paths[part] = folder / f"{part}.txt"
        files.write(paths[part], "\n\n".join(kept) + "\n")
    return paths
