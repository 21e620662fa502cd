"""A language model with its run folder: it scores, writes, and shows what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Unpack

from carousel.corpora.annotated import Sentence, read_sentences
from carousel.errors import InputError
from carousel.insight import gradient_decay
from carousel.insight.agreement import Agreement, Shut, agreement, near_subject, shut_valves
from carousel.insight.connectivity import Connectivity, connectivity
from carousel.insight.gradient_decay import GradientDecay
from carousel.insight.memories import memories
from carousel.insight.pairs import Pair, compare
from carousel.insight.patching import Patching, patching
from carousel.insight.probes import Probe, probe
from carousel.insight.readings import of_texts
from carousel.insight.search.indexed import Indexed
from carousel.insight.search.indexing import encoded, indexed
from carousel.insight.unit_probes import UnitProbe, probe_unit
from carousel.insight.watch import Watched, watch
from carousel.language.adaptation import STATIC, Told, adaptation, adapted
from carousel.language.folder import load_run
from carousel.language.generate import Choosing, generate
from carousel.language.precision import rounded_model
from carousel.language.score import Score, Surprisal, score, surprisals
from carousel.layers import Clamps, Recurrent
from carousel.layers.clamp import listed
from carousel.text.encoded import EncodedText, example
from carousel.text.lines import Text, lines_of
from carousel.training.kept import named, placed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATES = "states"  # in the run folder: texts with their states
Sentences = Path | Sequence[Sentence]  # annotated: a file of ``carousel agreement corpus``, or what was read from one
Tick = Callable[[int, int], None]


class LanguageRun:
    """A trained language model, its vocabulary and its configuration, as a run folder holds them.

    A text is given as a string, as the Path of a file, or as an iterable of lines. A clamp is as a layer's (``Clamp``): step 0
    reads the end of line before the text, step k the text's k-th token.

    Args:
        folder: as ``carousel train`` leaves it, or ``RUN@400``, ``RUN@last`` as for ``carousel.load``. Nothing
            that it holds is executed.

    Raises:
        InputError: a ValueError of one line; the folder is none, not whole, or another kind of run.

    Attributes:
        model: ``carousel.language.model.LanguageModel``, an nn.Module.
        vocabulary: text to token ids and back.
        config: all that the run was asked to be.
        folder: where it lies.
        which: weights, if not the best: the number of a step, or "last".
    """

    def __init__(self, folder: str | Path):
        self.folder, self.which = placed(folder)
        self.model, self.vocabulary, self.config = load_run(self.folder, self.which)

    def __repr__(self) -> str:
        parameters = f"{self.model.count():,} parameters"
        return f"<LanguageRun {self.folder}: {self.layer!r}, {self.vocabulary.size:,} tokens, {parameters}>"

    @property
    def layer(self) -> Recurrent:
        """The recurrent layers."""
        return self.model.recurrent

    def rounded(self, precision: str) -> LanguageRun:
        """Return the run with dense weights rounded to float32, bfloat16 or int8, as an exported file has them."""
        found = copy(self)
        found.model = rounded_model(self.model, precision)
        return found

    # Scores and text

    def score(self, text: Text | EncodedText, *, tick: Tick | None = None, told: Told | None = None, **how: Any) -> Score:
        """Return the cost of a text: perplexity, bits per character, unknown words.

        The text is read as the model was trained: in one piece, or each sentence on its own. ``run.score(text, dynamic=True,
        cache=2000)`` is the same score, whose ``adapted`` has the scores of the adapting model by name.

        Args:
            text: the text; or an encoded text from ``encoded``.
            tick: called with the batches of the static score that are done, and all of them.
            told: called with all progress: activity, done, all.
            **how: fields of ``Adaptation``.

        Raises:
            InputError: a value of ``how`` is impossible, the training text is missing, or dynamic evaluation leaves the finite
                numbers.
        """
        asked = adaptation(how)
        with nullcontext(text) if isinstance(text, EncodedText) else self.encoded(text) as corpus:
            end, sentences = self.vocabulary.end, self.reads_sentences
            found = score(self.model, corpus, end, sentences=sentences, tick=tick or (partial(told, STATIC) if told else None))
            if not asked.asked:
                return found
            learned = [self.learned()] if asked.dynamic else []
            beside = adapted([self.model], corpus, end, asked, sentences=sentences, learned=learned, told=told)
        return replace(found, adapted=beside[0])

    @property
    def reads_sentences(self) -> bool:
        """Return whether the model reads each sentence on its own."""
        return self.config.training.feed == "sentences"

    def learned(self) -> EncodedText:
        """Return the encoded training text. Raises InputError where it is no longer in the folder."""
        if not EncodedText.exists(self.folder / "data", "train"):
            raise InputError(f"{self.folder} has its training text no more; dynamic evaluation measures the gradient there")
        return EncodedText.open(self.folder / "data", "train", self.vocabulary.size)

    @contextmanager
    def encoded(self, text: Text, tick: Callable[[int], None] | None = None) -> Iterator[EncodedText]:
        """Give a text as token ids in a file, as long as the context lasts. ``tick`` is told of characters."""
        with TemporaryDirectory() as folder:
            yield EncodedText.encode(lines_of(text), self.vocabulary, Path(folder), "text", tick)

    def surprisals(self, text: Text) -> Iterator[list[Surprisal]]:
        """Yield for each line its tokens: text, surprisal in bits, and whether the vocabulary has it."""
        return surprisals(self.model, self.vocabulary, lines_of(text))

    def generate(self, prompt: str = "", count: int = 100, **how: Unpack[Choosing]) -> str:
        """Return ``count`` tokens of text that go on from the prompt; arguments as those of ``pieces``."""
        return "".join(self.pieces(prompt, count, **how))

    def pieces(self, prompt: str = "", count: int = 100, **how: Unpack[Choosing]) -> Iterator[str]:
        """Return an iterator over text that goes on from the prompt, piece by piece as it comes.

        Args:
            prompt: to go on from; it is not repeated.
            count: tokens to write.
            **how: ``temperature`` (1.0; below it safer, above it wilder, 0 always the likeliest), ``top_k`` (choose among the k
                likeliest), ``top_p`` (choose among the likeliest that have this probability together), ``seed`` (same seed,
                same text), ``stop_at_end`` (the end of a line ends the text), ``clamp`` (valves to hold).
        """
        return generate(self.model, self.vocabulary, prompt, count=count, **how)

    def unknown(self, text: str) -> list[str]:
        """Return the words of a text that the vocabulary does not have."""
        return [word for word, token in self.vocabulary.pieces(text) if token == self.vocabulary.unknown]

    def example(self) -> str:
        """Return an example text: a line that the model was validated or trained on, or else one that it writes."""
        found = example(self.folder / "data", ("valid", "train"), self.vocabulary)
        return found or self.generate(count=12, temperature=0.7, seed=1).strip().partition("\n")[0]

    def export(self, path: str | Path, to: str | None = None, precision: str | None = None) -> list[Path]:
        """Write the model as a file that runs without Carousel, and return the paths of all files that it wrote.

        Args:
            path: of the file.
            to: the kind of file: ``c`` (one C99 file), ``js`` (a JavaScript module), ``wasm`` (WebAssembly and a module),
                ``html`` (the page of ``carousel serve`` in one file), ``onnx``, ``c-bare`` (C without a library); None takes
                it from the suffix of the path.
            precision: of the weights: float32, bfloat16 or int8, and float16 for ONNX; None: int8 in a page, else float32. All
                sums have at least the bits of float32.

        Raises:
            InputError: no target or precision has that name, the output layer is adaptive (but ``onnx`` takes it), weights are
                not finite, or WebAssembly's compiler or the package ``onnx`` is missing.
        """
        from carousel.export import targets

        path, origin = Path(path), targets.Origin(named(self.folder, self.which), self.example)
        return targets.write(self.model, self.vocabulary, path, targets.target(to, path), precision, origin)

    # Looking inside

    def watch(self, text: str, *, clamp: Clamps | None = None, predictions: int = 8, chances: bool = False) -> Watched:
        """Read a text and return all that happens: every gate and state at every token, surprisals, the likeliest next tokens.

        Args:
            text: to read.
            clamp: valves to hold.
            predictions: how many of the likeliest next tokens.
            chances: give the probabilities of all tokens as well.
        """
        return watch(self.model, self.vocabulary, text, clamps=clamp, predictions=predictions, chances=chances)

    def compare(self, a: str, b: str | None = None, *, clamp: Clamps | None = None, clamp_b: Clamps | None = None) -> Pair:
        """Read two texts and return where memory and predictions part.

        Args:
            a: the first text.
            b: the second; the same by default, with ``clamp_b``.
            clamp: valves to hold in both.
            clamp_b: valves to hold in the second instead.
        """
        return compare(self.model, self.vocabulary, a, a if b is None else b, clamps=clamp, clamps_b=clamp_b)

    def patch(
        self,
        a: str,
        b: str,
        *,
        name: str | None = None,
        layer: int = -1,
        answers: tuple[str, str] | None = None,
        at: int | None = None,
        word: int | None = None,
        most: int = 32,
        size: int | None = None,
        clamp: Clamps | None = None,
        tick: Tick | None = None,
    ) -> Patching:
        """Put what the model remembers of text ``a`` into its reading of ``b``; return which units at which word carry the
        difference between its predictions.

        Args:
            a: the text whose values are put in.
            b: the text that is patched.
            name: the state or valve whose units are told apart; the memory by default.
            layer: of it; the last by default.
            answers: next words of ``a`` and ``b`` that are compared, as ``carousel.insight.readings.of_texts`` takes them.
            at: the number of the word in ``b`` after which they are foretold.
            word: as ``carousel.insight.patching.patching`` takes it, and so are ``most`` and ``size``.
            most: units to find.
            size: of the groups of units.
            clamp: valves to hold in both.
            tick: told of progress.
        """
        given = of_texts(self.model, self.vocabulary, a, b, answers=answers, at=at, clamps=clamp)
        chosen, number = name or self.layer.cell.states[-1], range(self.layer.num_layers)[layer]
        return patching(given, chosen, number, word=word, most=most, size=size, tick=tick)

    def gradients(
        self,
        text: Text | None = None,
        *,
        steps: int = 200,
        rows: int = 16,
        jacobian: bool = False,
        tick: Tick | None = None,
    ) -> GradientDecay:
        """Return how fast the error of a last step fades on its way back.

        Args:
            text: to read; by default the text on which the run was validated.
            steps: of each sequence, at most.
            rows: sequences.
            jacobian: give the largest singular value of ∂x_t/∂x_k as well.
            tick: told of progress.
        """
        if text is None:
            corpus: Any = nullcontext(EncodedText.open(self.folder / "data", "valid", self.vocabulary.size))
        else:
            corpus = self.encoded(text)
        with corpus as found:
            return gradient_decay.of_corpus(
                self.model, self.vocabulary, found, steps=steps, rows=rows, jacobian=jacobian, tick=tick
            )

    def gradient_flow(self, text: str, *, word: int | None = None, clamp: Clamps | None = None) -> dict[str, Any]:
        """Return how the error of a text's word flows back: by state at each word before, and by parameter the share that
        passes through each word.

        Args:
            text: to read.
            word: the number of the word whose error it is, 1 the text's first; by default the last.
            clamp: valves to hold.
        """
        return gradient_decay.of_text(self.model, self.vocabulary, text, word=word, clamps=clamp)

    def connectivity(
        self,
        text: str,
        *,
        names: Sequence[str] | None = None,
        ends: Sequence[int] | None = None,
        clamp: Clamps | None = None,
        tick: Tick | None = None,
    ) -> Connectivity:
        """Return how strongly each word's log-odds depend on each word before it.

        Args:
            text: to read.
            names: quantities of the cell, and "input", by which they are derived; by default input and states.
            ends: the numbers of the words that are followed back, 1 the text's first; by default all.
            clamp: valves to hold.
            tick: told of progress.
        """
        return connectivity(self.model, self.vocabulary, text, names=names, ends=ends, clamps=clamp, tick=tick)

    def probe(
        self,
        sentences: Sentences,
        property: str,
        *,
        name: str | None = None,
        layer: int = -1,
        held_out: float = 0.3,
        seed: int = 1,
        tick: Callable[[], object] | None = None,
    ) -> Probe:
        """Return how well a property of each word is read from the memory, beside controls.

        Args:
            sentences: annotated, or the Path of a file of them.
            property: one of their labels.
            name: the quantity that is read; the memory by default.
            layer: of the quantity; the last by default.
            held_out: share of the sentences kept for the score.
            seed: of that choice, of the control task and of first weights.
            tick: called ``carousel.insight.probes.TICKS`` times.
        """
        given = read(sentences)
        how: dict[str, Any] = {"name": name, "layer": layer, "held_out": held_out, "seed": seed, "tick": tick}
        return probe(self.model, self.vocabulary, given, property, **how)

    def probe_unit(
        self,
        sentences: Sentences,
        unit: int,
        *,
        name: str | None = None,
        layer: int = -1,
        held_out: float = 0.3,
        seed: int = 1,
    ) -> list[UnitProbe]:
        """Return how well each property of words is read from one unit alone, beside controls; arguments as those of ``probe``.

        Args:
            sentences: annotated, or the Path of a file of them.
            unit: its number.
            name: the quantity; the memory by default.
            layer: of the quantity; the last by default.
            held_out: share of the sentences kept for the score.
            seed: of that choice and of the control task.
        """
        given, chosen = read(sentences), name or self.layer.cell.states[-1]
        values = memories(self.model, self.vocabulary, given, chosen, layer)
        return probe_unit(values, given, unit, held_out=held_out, seed=seed)

    def indexed(
        self,
        text: Text | Sequence[Sentence] | None = None,
        *,
        part: str = "valid",
        name: str | None = None,
        layer: int = -1,
        annotations: Sentences | None = None,
        tick: Tick | None = None,
    ) -> Indexed:
        """Return a text with the states after each of its tokens, to search in.

        The states are written into the run folder, under ``states``, once for each text, quantity and layer; an interrupted
        call goes on where it stopped.

        Args:
            text: to search in; annotated sentences bring their annotations along. By default the run's own text.
            part: of the run's own text: train, valid or test.
            name: the quantity; the memory by default.
            layer: of the quantity; the last by default.
            annotations: of each line that is not empty; or the Path of a file of them.
            tick: told of the tokens that are read, and of all.
        """
        states = self.folder / STATES / (self.which or "")
        if text is None:
            if not EncodedText.exists(self.folder / "data", part):
                raise InputError(f"{self.folder} has no text {part!r} of its own; give a text to search in")
            corpus, place = EncodedText.open(self.folder / "data", part, self.vocabulary.size), states / part
        else:
            if not isinstance(text, str | Path):
                text = [*text]
                if text and isinstance(text[0], Sentence):
                    annotations, text = annotations or text, [s.text for s in text]
            corpus, place = encoded(text, self.vocabulary, states)
        beside = None if annotations is None else read(annotations)
        how: dict[str, Any] = {"name": name, "layer": layer, "annotations": beside, "tick": tick}
        return indexed(self.model, self.vocabulary, corpus, place, **how)

    def agreement(
        self, sentences: Sentences, *, clamp: Clamps | None = None, at: int | None = None, words: int = 1
    ) -> Agreement:
        """Return how often the right form is likelier than a wrong one, by distance and by nouns between.

        Args:
            sentences: annotated, or the Path of a file of them.
            clamp: valves to hold.
            at: clamp from so many words after the subject's noun on (0: the noun); None: as the clamps say.
            words: with ``at``, for so many words.
        """
        held = listed(clamp)
        placed = held if at is None else near_subject(held, at, words)
        return agreement(self.model, self.vocabulary, read(sentences), clamps=placed)

    def shut_valves(self, sentences: Sentences, *, tick: Callable[[int, int], object] | None = None) -> list[Shut]:
        """Return agreement with each valve shut in turn, before, at and after the subject, for one to three words."""
        return shut_valves(self.model, self.vocabulary, read(sentences), tick=tick)

    def figure(
        self,
        found: Watched | Pair | Patching | Connectivity | GradientDecay | Probe | Sequence[GradientDecay] | Sequence[Probe],
        names: Sequence[str] | None = None,
        layer: int = -1,
    ) -> Figure:
        """Return a figure of a reading, a comparison, patches, gradients or probes.

        Args:
            found: the result of ``watch``, ``compare``, ``patch``, ``connectivity``, ``gradients`` or ``probe``; of the last
                two also several.
            names: the valves and states that are shown; by default all.
            layer: that is shown; the last by default.
        """
        from carousel.insight import figures  # matplotlib loads slowly

        return figures.of(found, names, layer)


def read(sentences: Sentences) -> Sequence[Sentence]:
    """Return annotated sentences, from their file where a path is given."""
    return read_sentences(sentences) if isinstance(sentences, Path) else sentences
