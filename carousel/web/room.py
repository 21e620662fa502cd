"""One run as the page sees it: what it is, what happens when it reads, how its gradients flow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carousel.errors import InputError
from carousel.insight.fading import of_text
from carousel.insight.watch import read, watch, watched_names
from carousel.language.corpus import Corpus
from carousel.language.folder import load_run
from carousel.language.generate import generate
from carousel.layers import Clamp
from carousel.web.drawing import draw

WORDS, CHARACTERS, BYTES, NUMBERS, PREDICTIONS = 500, 20_000, 256 * 1024, 2_000_000, 50


class Room:
    """A run folder, read once; its methods may run at the same time.

    Raises InputError where the folder is no whole run.
    """

    def __init__(self, folder: Path):
        self.model, self.vocabulary, self.config = load_run(folder)
        self.layer = self.model.recurrent
        self.cell = self.layer.cell
        units = self.layer.units()
        self.units = {name: units[name] for name in watched_names(self.layer)}
        # Fewer words of a large model: the page is sent a number for every unit and word.
        self.words = max(2, min(WORDS, NUMBERS // (sum(self.units.values()) * self.layer.num_layers)))
        self.name = folder.resolve().name
        self.svg = draw(self.cell)
        self.example = self._example(folder)

    def about(self) -> dict[str, Any]:
        """What the page shows before anything is read."""
        cell = self.cell
        return {
            "run": self.name,
            "cell": cell.name,
            "doc": cell.doc,
            "source": cell.source,
            "equations": cell.text.splitlines(),
            "valves": [g for g in cell.gates if g in self.units],
            "states": [s for s in cell.states if s in self.units],
            "names": list(self.units),
            "units": self.units,
            "layers": self.layer.num_layers,
            "parameters": self.model.count(),
            "vocabulary": {
                "kind": self.vocabulary.kind,
                "size": self.vocabulary.size,
                "unknown": self.vocabulary.unknown is not None,
            },
            "svg": self.svg,
            "limits": {"words": self.words, "characters": CHARACTERS, "bytes": BYTES, "predictions": PREDICTIONS},
            "example": self.example,
        }

    def watch(self, text: str, clamps: Sequence[Clamp], predictions: int) -> dict[str, Any]:
        """A text as the model reads it. Raises InputError for a text that is empty or too long, or an impossible clamp."""
        self._check(text)
        found = watch(self.model, self.vocabulary, text, clamps=clamps, predictions=predictions)
        if not all(np.isfinite(x).all() for x in found.values.values()):
            raise InputError("the model's values are not finite; was it trained to the end, or is a clamp too large?")
        return found.as_dict()

    def gradients(self, text: str) -> dict[str, Any]:
        """How the error of a text's last word flows back."""
        self._check(text)
        return of_text(self.model, self.vocabulary, text)

    def _check(self, text: str) -> None:
        if len(text) > CHARACTERS:
            raise InputError(f"the text has {len(text):,} characters; give at most {CHARACTERS:,}")
        words = len(read(self.vocabulary, text)[0]) - 1
        if words > self.words:
            raise InputError(f"the text has {words:,} words of the vocabulary; give at most {self.words:,}")

    def _example(self, folder: Path) -> str:
        """A line that the run was tested on; where the folder holds none, one that the model writes."""
        for name in ("valid", "train"):
            if Corpus.exists(folder / "data", name):
                corpus = Corpus.open(folder / "data", name)
                begin = 0
                for end in corpus.ends[:500].tolist():
                    line = corpus.words[begin : end - 1].tolist()
                    begin = end
                    if 6 <= len(line) <= 20 and self.vocabulary.unknown not in line:
                        return self.vocabulary.decode(line)
        return "".join(generate(self.model, self.vocabulary, count=12, temperature=0.7, seed=1)).strip().partition("\n")[0]
