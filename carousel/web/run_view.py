"""One run as the page sees it: its facts, its values while it reads, how its gradients flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carousel.errors import InputError
from carousel.export.html import page
from carousel.export.javascript.file import Script, of_language
from carousel.export.javascript.translator import of_translator
from carousel.insight.watch import Watched, read, spans
from carousel.language.softmax import FullSoftmax
from carousel.layers import Clamp
from carousel.page.facts import CHARACTERS, MAP_WORDS, facts
from carousel.page.files import one_file
from carousel.runs.language import LanguageRun
from carousel.runs.loading import load
from carousel.runs.translator import TranslatorRun
from carousel.runs.trials import Trials
from carousel.text.vocabulary import Vocabulary
from carousel.training.kept import named
from carousel.web.corpus import Corpus

Facts = Mapping[str, Any]


def open_run_view(
    folder: Path, corpus: Path | None = None, annotations: Path | None = None, known: Facts | None = None
) -> RunView:
    """Return the view of a run, of either kind.

    Args:
        folder: of the run, maybe with its weights: ``RUN@400``.
        corpus: the text that a language model's page searches; the run's held-out text by default.
        annotations: of the corpus.
        known: facts of the same run with other weights, which are the same.

    Raises:
        InputError: the folder is no whole run, or a translator's, which has no corpus to search.
    """
    run = load(folder)
    if isinstance(run, Trials):
        raise InputError(f"{folder} holds trials, whose networks are not kept, so there is nothing to look into")
    if not isinstance(run, LanguageRun | TranslatorRun):
        raise InputError(
            f"{folder} holds the run of a {run.config.kind}; the page looks into language models and translators, of which "
            "several may stand side by side, and into labellers and transcribers, each alone"
        )
    if isinstance(run, LanguageRun):
        return LanguageRunView(run, Corpus.of(run, corpus, annotations), known)
    if corpus is not None or annotations is not None:
        raise InputError(f"{folder} holds a translator, whose page searches no corpus")
    return TranslatorRunView(run, known)


class RunView:
    """A run folder, read once; its methods may run at the same time."""

    told: tuple[str, ...]  # the questions that a page as one file cannot answer by itself

    def __init__(self, run: Any, vocabularies: Sequence[Vocabulary], known: Facts | None, **more: Any):
        self.run, self.vocabulary = run, vocabularies[0]
        name = named(run.folder, run.which)
        found = known or {**facts(run.model, self.vocabulary, run=name, example=run.example()), **more}
        self.facts = {**found, "run": name}
        self.spelling = [v.tokenizer.to_str() for v in vocabularies]
        self.epochs = run.config.training.epochs

    def check_corpus(self) -> None:
        """Raise InputError where a corpus was given that cannot be read."""

    def watch(self, text: str, clamps: Sequence[Clamp], predictions: int) -> dict[str, Any]:
        """Read a text with the model. Raises InputError for a text that is empty or too long, or an impossible clamp."""
        self._check(text)
        watched = self._watch(text, clamps, predictions)
        if not all(np.isfinite(x).all() for x in watched.values.values()):
            raise InputError("the model's values are not finite; was it trained to the end, or is a clamp too large?")
        return watched.as_dict() | {"spans": self._spans(text)}

    def _watch(self, text: str, clamps: Sequence[Clamp], predictions: int) -> Watched:
        raise NotImplementedError

    def values(self, text: str) -> Mapping[str, np.ndarray]:
        """Return the values, (layers, words, units) by name, that a text without clamps has, for clamps to take.

        Raises:
            InputError: as ``watch``, or the run reads both ways: it has two values where a clamp holds one.
        """
        if self.facts["directions"] > 1:
            raise InputError("values are taken from one reading into another where the run reads in one direction")
        self._check(text)
        return self._watch(text, [], 1).values

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
        most = self.facts["limits"]["words"]
        if count > most:
            raise InputError(f"the text has {count:,} words of the vocabulary; give at most {most:,}")

    def gradients(self, text: str, word: int | None, clamps: Sequence[Clamp]) -> dict[str, Any]:
        """Return how the error of a word, by default the last, flows back. Raises InputError where the page does not show
        it."""
        raise InputError("the gradient flow is shown for language models")

    def connectivity(self, text: str, name: str, clamps: Sequence[Clamp]) -> dict[str, Any]:
        """Return how strongly each word depends on each word before it. Raises InputError as ``gradients``."""
        raise InputError("the gradient flow is shown for language models")

    def patch(self, a: str, b: str, name: str | None, layer: int | None) -> dict[str, Any]:
        """Return which units at which word carry the difference between two texts. Raises InputError where there is none."""
        self._check(a)
        self._check(b)
        layers = range(self.facts["layers"])
        if layer is not None and layer not in layers:
            raise InputError(f"there is no layer {layer}; layers are 0 to {layers[-1]}")
        return self.run.patch(a, b, name=name, layer=-1 if layer is None else layer).as_dict()

    def find(self, kind: str, **asked: Any) -> dict[str, Any]:
        """Return what is found in the corpus. Raises InputError where the page has none to search."""
        raise InputError("the page searches the corpora of language models that still have one")

    def probe(self, name: str, layer: int, unit: int) -> dict[str, Any]:
        """Return the properties of words that are read from a unit. Raises InputError where there is no corpus."""
        raise InputError("the page probes units of language models that have a corpus")

    def script(self) -> Script | None:
        """Return the model as JavaScript; None where it cannot run in a browser."""
        return None

    def page(self, about: Facts, hash: str, answers: Mapping[str, Any], name: str) -> str:
        """Return the page as one HTML file that shows what is seen.

        Args:
            about: facts of all runs.
            hash: what is seen, as in the page's address.
            answers: to questions that the model inside does not answer; without one the page is a still picture of them.
            name: of the model, as the page has it.
        """
        script = self.script()
        if script is None:
            return one_file({"api/run": about, **answers}, hash)
        return page(about, script, hash=hash, answers=answers, model=name)


class LanguageRunView(RunView):
    """A language model: it reads a text, and tells its guesses of the next word."""

    def __init__(self, run: LanguageRun, corpus: Corpus | None = None, known: Facts | None = None):
        self.corpus = corpus
        self.alive = isinstance(run.model.output, FullSoftmax)  # no other output layer runs in a browser
        self.told = ("api/gradients",) if self.alive else ("api/gradients", "api/watch")
        about = {"corpus": corpus and corpus.name, "annotated": corpus is not None and corpus.is_annotated}
        super().__init__(run, [run.vocabulary], known, **about)

    def check_corpus(self) -> None:
        """Raise InputError where a corpus was given that cannot be read."""
        if self.corpus is not None:
            self.corpus.check()

    def find(self, kind: str, **asked: Any) -> dict[str, Any]:
        """Return what ``Corpus.find`` finds."""
        if self.corpus is None:
            return super().find(kind)
        if kind != "unit":
            self._check(asked["text"])
        return self.corpus.find(kind, **asked)

    def probe(self, name: str, layer: int, unit: int) -> dict[str, Any]:
        """Return the properties that ``Corpus.probe`` reads."""
        if self.corpus is None:
            return super().probe(name, layer, unit)
        layers = self.run.layer.num_layers
        if layer >= layers:
            raise InputError(f"there is no layer {layer}; layers are 0 to {layers - 1}")
        return self.corpus.probe(name, layer, unit)

    def _watch(self, text: str, clamps: Sequence[Clamp], predictions: int) -> Watched:
        return self.run.watch(text, clamp=clamps, predictions=predictions)

    def gradients(self, text: str, word: int | None, clamps: Sequence[Clamp]) -> dict[str, Any]:
        """Return how the error of a text's word flows back."""
        self._check(text)
        return self.run.gradient_flow(text, word=word, clamp=clamps)

    def connectivity(self, text: str, name: str, clamps: Sequence[Clamp]) -> dict[str, Any]:
        """Return how strongly each word depends on each word before it."""
        self._check(text)
        count = len(read(self.vocabulary, text)[0])
        if count > MAP_WORDS:
            raise InputError(f"the map of words is for texts of at most {MAP_WORDS} words; this one has {count}")
        return self.run.connectivity(text, names=[name], clamp=clamps).as_dict()

    def script(self) -> Script | None:
        """Return the model as JavaScript; None where it cannot run in a browser."""
        return of_language(self.run.model, self.run.vocabulary, "int8") if self.alive else None


class TranslatorRunView(RunView):
    """A translator: it reads a sentence and writes it in the other language."""

    told = ()

    def __init__(self, run: TranslatorRun, known: Facts | None = None):
        super().__init__(run, [run.source, run.target], known)

    def _watch(self, text: str, clamps: Sequence[Clamp], predictions: int) -> Watched:
        return self.run.watch(text, clamp=clamps, predictions=predictions)

    def _spans(self, text: str) -> list[tuple[int, int] | None]:
        return super()._spans(text)[1:]  # nothing is read before the sentence

    def script(self) -> Script:
        """Return the translator as JavaScript."""
        return of_translator(self.run.model, self.run.source, self.run.target, "int8")
