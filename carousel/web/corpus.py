"""The corpus that the page searches by a model's states."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

from torch import Tensor

from carousel.corpora.annotated import Sentence, read_sentences
from carousel.errors import InputError
from carousel.insight.memories import memories
from carousel.insight.search.indexed import Indexed
from carousel.insight.unit_probes import probe_unit
from carousel.runs.language import LanguageRun
from carousel.text.encoded import EncodedText
from carousel.text.lines import check_file

HELD_OUT = "valid"


class Corpus:
    """A text, whose states of a quantity and layer are indexed when they are asked for first.

    Args:
        run: a language model.
        path: of the text, or of annotated sentences (.jsonl); None for the run's held-out text.
        annotations: the path of annotations of the text, or None.
    """

    def __init__(self, run: LanguageRun, path: Path | None, annotations: Path | None):
        self.run, self.path, self.annotations = run, path, annotations
        self.name = path.name if path is not None else "the held-out text"
        self.lock = Lock()
        self.indexed: dict[tuple[str, int], Indexed] = {}
        self.values: dict[tuple[str, int], list[Tensor]] = {}  # after the words of annotated sentences

    @classmethod
    def of(cls, run: LanguageRun, path: Path | None, annotations: Path | None) -> Corpus | None:
        """Return the corpus of a page, or None where no file is given and the run has no held-out text."""
        there = path is not None or annotations is not None or EncodedText.exists(run.folder / "data", HELD_OUT)
        return cls(run, path, annotations) if there else None

    def check(self) -> None:
        """Raise InputError where a file that was given cannot be read, or the annotations are another text's."""
        if self.path is not None:
            check_file(self.path)
        if self.path is not None or self.annotations is not None:
            self.states()

    @property
    def is_annotated(self) -> bool:
        """True where the corpus has labels."""
        return self.annotations is not None or (self.path is not None and self.path.suffix == ".jsonl")

    @cached_property
    def sentences(self) -> Sequence[Sentence] | None:
        """The annotated sentences, where there are any."""
        if self.annotations is not None:
            return read_sentences(self.annotations)
        return read_sentences(self.path) if self.path is not None and self.path.suffix == ".jsonl" else None

    def states(self, name: str | None = None, layer: int = -1) -> Indexed:
        """Return the text with the states of a quantity and layer. Raises InputError as ``LanguageRun.indexed``."""
        units = self.run.layer.units()
        name = name or [s for s in self.run.layer.cell.states if s in units][-1]
        key = (name, range(self.run.layer.num_layers)[layer] if layer < self.run.layer.num_layers else layer)
        with self.lock:
            if key not in self.indexed:
                of_file = self.path if self.path is None or self.path.suffix != ".jsonl" else self.sentences
                given: dict[str, Any] = {"name": name, "layer": key[1], "annotations": self.sentences}
                self.indexed[key] = self.run.indexed(of_file, part=HELD_OUT, **given)
        return self.indexed[key]

    def probe(self, name: str, layer: int, unit: int) -> dict[str, Any]:
        """Return the properties that are read from a unit, as JSON. Raises InputError where the corpus has no annotations."""
        if self.sentences is None:
            raise InputError("a probe needs a corpus with labels: `corpus` sentences.jsonl, or `annotations`")
        with self.lock:
            if (name, layer) not in self.values:
                self.values[name, layer] = memories(self.run.model, self.run.vocabulary, self.sentences, name, layer)
        return {"probes": [p.as_dict() for p in probe_unit(self.values[name, layer], self.sentences, unit)]}

    def find(
        self, kind: str, *, name: str, layer: int, text: str, begin: int, end: int, unit: int, **how: Any
    ) -> dict[str, Any]:
        """Return what is found, as JSON.

        Args:
            kind: "like", "nearest" or "unit".
            name: the quantity.
            layer: its number.
            text: to read, for like and nearest.
            begin: the first word of the span.
            end: the word after its last.
            unit: for unit.
            **how: ``threshold`` and ``off``, for like.

        Raises:
            InputError: as ``Indexed``; or the states cannot be written.
        """
        try:
            corpus = self.states(name, layer)
        except OSError as error:
            raise InputError(f"the states of the corpus cannot be written into the run folder: {error.strerror}") from None
        if kind == "unit":
            high, low = corpus.unit(unit)
            return {"highest": [e.as_dict() for e in high], "lowest": [e.as_dict() for e in low]}
        if kind == "nearest":
            return {"nearest": [e.as_dict() for e in corpus.nearest(text, end - 1)]}
        return {"alike": corpus.like(text, (begin, end), **how).as_dict()}
