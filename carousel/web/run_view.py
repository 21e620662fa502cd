"""One run as the page sees it: its facts, its values while it reads, how its gradients flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carousel.drawing.svg import draw
from carousel.errors import InputError
from carousel.insight.translating import followed
from carousel.insight.watch import Watched, read, spans, watched_names
from carousel.layers import Clamp, Recurrent
from carousel.runs.language import LanguageRun
from carousel.runs.loading import load
from carousel.runs.translator import TranslatorRun
from carousel.runs.trials import Trials
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary
from carousel.translation.folder import SIDES

WORDS, CHARACTERS, BYTES, NUMBERS, PREDICTIONS = 500, 20_000, 256 * 1024, 2_000_000, 50


def open_run_view(folder: Path) -> RunView:
    """Return the view of a run, of either kind.

    Raises:
        InputError: the folder is no whole run.
    """
    run = load(folder)
    if isinstance(run, Trials):
        raise InputError(f"{folder} holds trials, whose networks are not kept, so there is nothing to look into")
    return TranslatorRunView(run) if isinstance(run, TranslatorRun) else LanguageRunView(run)


class RunView:
    """A run folder, read once; its methods may run at the same time."""

    task: str

    def __init__(self, run: LanguageRun | TranslatorRun, layer: Recurrent, vocabulary: Vocabulary):
        self.layer, self.count, self.vocabulary = layer, run.model.count(), vocabulary
        self.cell = layer.cell
        units = layer.units()
        self.units = {name: units[name] for name in watched_names(layer)}
        # Fewer words of a large model: the page is sent a number for every unit and word.
        self.most_words = max(2, min(WORDS, NUMBERS // (sum(self.units.values()) * layer.num_layers)))
        self.name = run.folder.resolve().name
        self.svg = draw(self.cell)
        self.example = ""

    def about(self) -> dict[str, Any]:
        """Return the facts that the page shows before anything is read."""
        cell = self.cell
        return {
            "run": self.name,
            "task": self.task,
            "cell": cell.name,
            "doc": cell.doc,
            "source": cell.citation,
            "equations": cell.text.splitlines(),
            "valves": [g for g in cell.gates if g in self.units],
            "states": [s for s in cell.states if s in self.units],
            "names": list(self.units),
            "units": self.units,
            "layers": self.layer.num_layers,
            "parameters": self.count,
            "vocabulary": {
                "kind": self.vocabulary.kind,
                "size": self.vocabulary.size,
                "unknown": self.vocabulary.unknown is not None,
            },
            "svg": self.svg,
            "limits": {"words": self.most_words, "characters": CHARACTERS, "bytes": BYTES, "predictions": PREDICTIONS},
            "example": self.example,
        }

    def watch(self, text: str, clamps: Sequence[Clamp], predictions: int) -> dict[str, Any]:
        """Read a text with the model. Raises InputError for a text that is empty or too long, or an impossible clamp."""
        self._check(text)
        watched = self._watch(text, clamps, predictions)
        if not all(np.isfinite(x).all() for x in watched.values.values()):
            raise InputError("the model's values are not finite; was it trained to the end, or is a clamp too large?")
        return watched.as_dict() | {"spans": self._spans(text)}

    def _watch(self, text: str, clamps: Sequence[Clamp], predictions: int) -> Watched:
        raise NotImplementedError

    def _spans(self, text: str) -> list[tuple[int, int] | None]:
        """Return where the words stand in the text."""
        return spans(self.vocabulary, text)

    def _check(self, text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError("the text holds half a character, which no text file could") from None
        if len(text) > CHARACTERS:
            raise InputError(f"the text has {len(text):,} characters; give at most {CHARACTERS:,}")
        count = len(read(self.vocabulary, text)[0]) - 1
        if count > self.most_words:
            raise InputError(f"the text has {count:,} words of the vocabulary; give at most {self.most_words:,}")

    def gradients(self, text: str) -> dict[str, Any]:
        """Return how the error of a text's last word flows back. Raises InputError where the page does not show it."""
        raise InputError("the gradient flow is shown for language models")


class LanguageRunView(RunView):
    """A language model: it reads a text, and tells its guesses of the next word."""

    task = "read"

    def __init__(self, run: LanguageRun):
        self.run = run
        super().__init__(run, run.layer, run.vocabulary)
        written = next(_lines(run.folder, "", run.vocabulary), None)
        self.example = written or run.generate(count=12, temperature=0.7, seed=1).strip().partition("\n")[0]

    def _watch(self, text: str, clamps: Sequence[Clamp], predictions: int) -> Watched:
        return self.run.watch(text, clamp=clamps, predictions=predictions)

    def gradients(self, text: str) -> dict[str, Any]:
        """Return how the error of a text's last word flows back."""
        self._check(text)
        return self.run.gradient_flow(text)


class TranslatorRunView(RunView):
    """A translator: it reads a sentence and writes it in the other language."""

    task = "translate"

    def __init__(self, run: TranslatorRun):
        self.run = run
        followed(run.model)
        super().__init__(run, run.model.encoder, run.source)
        self.example = next(_lines(run.folder, f".{SIDES[0]}", run.source), "")

    def _watch(self, text: str, clamps: Sequence[Clamp], predictions: int) -> Watched:
        return self.run.watch(text, clamp=clamps, predictions=predictions)

    def _spans(self, text: str) -> list[tuple[int, int] | None]:
        return super()._spans(text)[1:]  # nothing is read before the sentence


def _lines(folder: Path, side: str, vocabulary: Vocabulary) -> Iterator[str]:
    """Yield lines of moderate length of the text that the run was tested or trained on."""
    for name in ("valid", "train"):
        if EncodedText.exists(folder / "data", name + side):
            corpus = EncodedText.open(folder / "data", name + side, vocabulary.size)
            begin = 0
            for end in corpus.ends[:500].tolist():
                line = corpus.ids[begin : end - 1].tolist()
                begin = end
                if 6 <= len(line) <= 20 and vocabulary.unknown not in line:
                    yield vocabulary.decode(line)
