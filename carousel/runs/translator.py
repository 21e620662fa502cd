"""A translator with its run folder: it translates, is scored, and shows what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from carousel.corpora.annotated import Sentence, read_sentences
from carousel.errors import InputError
from carousel.insight.patching import Patching, patching
from carousel.insight.readings import of_sentences
from carousel.insight.translating import Translated, watch_translation
from carousel.layers import Clamps
from carousel.text.encoded import example
from carousel.training.kept import named, placed
from carousel.translation.folder import SIDES, load_translator
from carousel.translation.translate import Interpreter, Translation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from carousel.insight.walkthrough import Walkthrough
    from carousel.translation.score import Scores

Tick = Callable[[int, int], None]
Others: TypeAlias = "Sequence[TranslatorRun | str | Path]"


class TranslatorRun:
    """A trained translator, its vocabularies and its configuration, as a run folder holds them.

    Args:
        folder: as ``carousel translate train`` leaves it, or ``RUN@400``, ``RUN@last`` as for ``carousel.load``. Nothing
            that it holds is executed.

    Raises:
        InputError: a ValueError of one line; the folder is none, not whole, or another kind of run.

    Attributes:
        model: ``carousel.translation.model.Translator``, an nn.Module.
        source: the vocabulary of what is read.
        target: the vocabulary of what is written.
        config: all that the run was asked to be.
        folder: where it lies.
        which: weights, if not the best: the number of a step, or "last".
    """

    def __init__(self, folder: str | Path):
        self.folder, self.which = placed(folder)
        self.model, self.source, self.target, self.config = load_translator(self.folder, self.which)

    def __repr__(self) -> str:
        sizes = f"{self.source.size:,} and {self.target.size:,} tokens, {self.model.count():,} parameters"
        return f"<TranslatorRun {self.folder}: {self.model.encoder!r}, {sizes}>"

    def interpreter(self, *, others: Others = (), **how: Any) -> Interpreter:
        """Return what translates many lines in the same way.

        Args:
            others: runs, or their folders, that translate with this one, as an ensemble: the probability of a token is the
                mean of the runs' probabilities.
            **how: further arguments of ``Interpreter``.

        Raises:
            InputError: another run has other vocabularies.
        """
        beside = [other if isinstance(other, TranslatorRun) else TranslatorRun(other) for other in others]
        for other in beside:
            self._check_vocabularies(other)
        return Interpreter(self.model, self.source, self.target, others=[other.model for other in beside], **how)

    def _check_vocabularies(self, other: TranslatorRun) -> None:
        """Raise InputError where another run has other vocabularies."""
        for own, its, side in ((self.source, other.source, "source"), (self.target, other.target, "target")):
            if own.tokenizer.to_str() != its.tokenizer.to_str():
                raise InputError(
                    f"{other.folder} has another vocabulary of the {side} than {self.folder}; an ensemble needs one"
                )

    def translate(
        self, line: str, *, beam: int = 5, alpha: float = 1.0, attention: bool = False, clamp: Clamps | None = None
    ) -> Translation:
        """Return the best translation of a line.

        Args:
            line: a sentence.
            beam: hypotheses side by side; 1 is greedy.
            alpha: translations are ranked by log p / length to this power.
            attention: whether the translation tells where attention looked.
            clamp: valves of the encoder to hold.
        """
        return self.interpreter(beam=beam, alpha=alpha, attention=attention).together([line], clamp=clamp)[0][0]

    def example(self) -> str:
        """Return an example sentence: a line that the model was validated or trained on, or else nothing."""
        names = [f"{name}.{SIDES[0]}" for name in ("valid", "train")]
        return example(self.folder / "data", names, self.source) or ""

    def export(self, path: str | Path, to: str | None = None, precision: str | None = None) -> list[Path]:
        """Write the translator as a file that translates greedily without Carousel, and return the paths of all files.

        Args:
            path: the file.
            to: the kind of file: ``c`` (one C99 file), ``js`` (a JavaScript module) or ``html`` (the page of ``carousel serve``
                in one file); None takes it from the suffix of the path.
            precision: of the dense weights: float32, bfloat16 or int8; None: int8 in a page, else float32.

        Raises:
            InputError: no target or precision has that name, or weights are not finite.
        """
        from carousel.export import targets

        path, origin = Path(path), targets.Origin(named(self.folder, self.which), self.example)
        kind = targets.target(to, path)
        return targets.write_translator(self.model, self.source, self.target, path, kind, precision, origin)

    def hypotheses(self, line: str, best: int = 5, *, beam: int = 5, alpha: float = 1.0) -> list[Translation]:
        """Return the ``best`` translations of a line, best first; the beam is at least as wide."""
        return self.interpreter(beam=max(beam, best), best=best, alpha=alpha).together([line])[0]

    def translate_all(
        self,
        lines: Iterable[str],
        *,
        beam: int = 5,
        alpha: float = 1.0,
        rows: int = 64,
        others: Others = (),
        tick: Tick | None = None,
    ) -> list[str]:
        """Return the best translation of each line, ``rows`` lines at a time; ``tick`` is told how many are done, of all.
        ``others``: runs that translate with this one, as those of :meth:`interpreter`."""
        from carousel.translation.score import translate_all  # sacrebleu loads slowly

        return translate_all(self.interpreter(beam=beam, alpha=alpha, others=others), list(lines), rows, tick)

    def score(
        self,
        lines: Sequence[str],
        references: Sequence[str],
        *,
        beam: int = 5,
        alpha: float = 1.0,
        rows: int = 64,
        others: Others = (),
    ) -> Scores:
        """Return BLEU and chrF of lines' translations, against a reference each. ``others``: runs that translate with this one,
        as those of :meth:`interpreter`. Raises ValueError for unequal numbers."""
        from carousel.translation.score import score

        if len(lines) != len(references):
            raise ValueError(f"{len(lines)} lines cannot be scored by {len(references)} references")
        return score(self.translate_all(lines, beam=beam, alpha=alpha, rows=rows, others=others), references)

    def watch(self, sentence: str, *, clamp: Clamps | None = None, predictions: int = 8) -> Translated:
        """Translate a sentence and return all that happens while it is read and written.

        Args:
            sentence: one line.
            clamp: valves to hold; steps are counted through, from the sentence's first token on.
            predictions: how many of the likeliest next tokens for each step of the decoder.
        """
        return watch_translation(self.model, self.source, self.target, sentence, clamps=clamp, predictions=predictions)

    def figure(self, found: Translated | Patching, names: Sequence[str] | None = None, layer: int = -1) -> Figure:
        """Return a figure of what ``watch`` or ``patch`` found.

        Args:
            found: what they returned.
            names: the valves and states that are shown; by default all.
            layer: that is shown; the last by default.
        """
        from carousel.insight import figures  # matplotlib loads slowly

        return figures.of(found, names, layer)

    def patch(
        self,
        a: str,
        b: str,
        *,
        name: str | None = None,
        layer: int = -1,
        word: int | None = None,
        most: int = 32,
        size: int | None = None,
        tick: Tick | None = None,
    ) -> Patching:
        """Put what the translator remembers of sentence ``a`` into its reading of ``b``; return which units at which word
        carry the difference between the translations. Arguments as those of ``LanguageRun.patch``."""
        given = of_sentences(self.model, self.source, self.target, a, b)
        chosen, number = name or self.model.encoder.cell.states[-1], range(self.model.encoder.num_layers)[layer]
        return patching(given, chosen, number, word=word, most=most, size=size, tick=tick)

    def walkthrough(
        self,
        a: str,
        b: str,
        sentences: Path | Sequence[Sentence] = (),
        *,
        layer: int = -1,
        tick: Callable[[], object] | None = None,
    ) -> Walkthrough:
        """Translate two sentences that differ in a word, and return the effects of the difference on the way.

        Args:
            a: the first sentence.
            b: the second sentence.
            sentences: annotated, from which probes of the memory learn; or the Path of a file of them.
            layer: that is followed.
            tick: called for each probe that is made.
        """
        from carousel.insight.walkthrough import walk  # scikit-learn loads slowly

        given = read_sentences(sentences) if isinstance(sentences, Path) else sentences
        layer %= self.model.encoder.num_layers
        return walk(self.model, self.source, self.target, a, b, given, layer=layer, tick=tick)
