"""The effect of a held valve on agreement over many sentences, and the memory's forecast of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from carousel.corpora.annotated import Sentence
from carousel.corpora.czech_pairs import Agreeing, Translated
from carousel.corpora.czech_words import PEOPLE
from carousel.errors import InputError
from carousel.insight.memories import read_words
from carousel.insight.readings import of_sentences
from carousel.insight.translating import followed, watch_translation
from carousel.layers import Clamp
from carousel.text.vocabulary import Vocabulary
from carousel.translation.model import Translator
from carousel.translation.score import forms_written
from carousel.translation.translate import Interpreter

ROWS = 64  # sentences read at once
MOVED = (8, 16, 32, 64, 128)  # units that are patched in many sentences
DECIDES = ("gender", "number")  # of the subject, for the form of a word that agrees with it

Array = np.ndarray


@dataclass(frozen=True)
class Intervention:
    """Valve ``name`` held at ``value`` while one word is read: the subject's noun, or the word ``offset`` words after it (where
    a sentence has none, nothing is held). ``name`` None: nothing is held."""

    what: str
    name: str | None = None
    value: float = 0.0
    offset: int = 0


INTERVENTIONS = (
    Intervention("nothing held"),
    Intervention("i = 0 at the subject's noun", "i"),
    Intervention("i = 0 at the word before it", "i", offset=-1),
    Intervention("f = 0 at the word after it", "f", offset=1),
)


def outputs_under(interpreter: Interpreter, pairs: Sequence[Translated], intervention: Intervention) -> list[str]:
    """Return the translations of the sentences while a valve is held."""
    outputs = [""] * len(pairs)
    for chosen, clamp in _groups(interpreter.source, pairs, intervention):
        for k, best in zip(chosen, interpreter.together([pairs[k].text for k in chosen], clamp=clamp), strict=True):
            outputs[k] = best[0].text
    return outputs


@torch.no_grad()
def handed_over(model: Translator, source: Vocabulary, pairs: Sequence[Translated], intervention: Intervention) -> Array:
    """Return the states that the encoder hands to the decoder once a sentence has been read, (sentences, all units)."""
    model.eval()
    rows: list[Array] = [np.empty(0)] * len(pairs)
    for chosen, clamp in _groups(source, pairs, intervention):
        read = [torch.tensor(source.encode(pairs[k].text)) for k in chosen]
        lengths = torch.tensor([len(x) for x in read])
        packed = model.packed(pad_sequence(read, padding_value=source.end), lengths)
        _, hx = model.encoder(packed, clamp=clamp)
        states = torch.cat([s.transpose(0, 1).flatten(1) for s in (hx if isinstance(hx, tuple) else (hx,))], 1).numpy()
        for k, state in zip(chosen, states, strict=True):
            rows[k] = state
    return np.stack(rows)


@dataclass(frozen=True)
class Told:
    """The forecast of the ``of`` written words that agree with the subject: the share that was foretold to be right, the
    share that was right, and the share that stands in exactly the form foretold.
    """

    foretold: float
    right: float
    as_foretold: float
    of: int

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        return {k: round(v, 5) for k, v in vars(self).items()}


class Forecast:
    """A forecast of the form of each Czech word that agrees with the subject, before a word of Czech is written.

    A linear probe, fitted on the states that the encoder hands over while nothing is held, reads gender and number off the
    states that it hands over now; the form is the one that the corpus has for them.

    Args:
        model: a translator.
        source: the vocabulary that it reads.
        pairs: to learn from, others than the ones to foretell.

    Raises:
        InputError: the subjects of ``pairs`` have one gender and number, or none is told.
    """

    def __init__(self, model: Translator, source: Vocabulary, pairs: Sequence[Translated]):
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.model, self.source = model, source
        self.probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        subjects = [_subject(pair) for pair in pairs]
        if len(set(subjects)) < 2:
            raise InputError("the sentences to learn a forecast from all have subjects of one gender and number; give others")
        self.probe.fit(handed_over(model, source, pairs, INTERVENTIONS[0]), subjects)
        counts: dict[tuple[Any, ...], Counter[str]] = {}
        for pair in pairs:
            for t in _of_subject(pair):
                counts.setdefault((_word(t), _subject(pair)), Counter())[t.right.lower()] += 1
        self.forms = {key: each.most_common(1)[0][0] for key, each in counts.items()}

    def tell(self, pairs: Sequence[Translated], outputs: Sequence[str], intervention: Intervention) -> Told:
        """Return the forecast for sentences read with ``intervention``, beside their translations."""
        foretold, right, same, of = 0, 0, 0, 0
        for pair, output, read in zip(pairs, outputs, self.read(pairs, intervention), strict=True):
            for t, written in zip(pair.targets, forms_written(pair, output), strict=True):
                form = self.forms.get((_word(t), read))
                if t.with_ != "subject" or written is None or form is None:
                    continue
                foretold += form == t.right.lower()
                right += written.lower() == t.right.lower()
                same += written.lower() == form
                of += 1
        return Told(foretold / max(1, of), right / max(1, of), same / max(1, of), of)

    def read(self, pairs: Sequence[Translated], intervention: Intervention) -> list[str]:
        """Return gender and number of each sentence's subject as the probe reads them."""
        return [str(label) for label in self.probe.predict(handed_over(self.model, self.source, pairs, intervention))]


def _subject(pair: Translated) -> str:
    return " ".join(str(pair.labels.get(name, (None,))[-1]) for name in DECIDES)


def _of_subject(pair: Translated) -> Iterator[Agreeing]:
    return (t for t in pair.targets if t.with_ == "subject")


def _word(t: Agreeing) -> tuple[Any, ...]:
    return (t.kind, *(form.lower() for form in t.forms))


def _groups(
    source: Vocabulary, pairs: Sequence[Translated], intervention: Intervention
) -> Iterator[tuple[list[int], list[Clamp] | None]]:
    """Yield sentences that can be read side by side, since their clamps hold at the same steps, and these clamps."""
    groups: dict[tuple[int, int] | None, list[int]] = {}
    for k, pair in enumerate(pairs):
        groups.setdefault(_steps(source, pair, intervention.offset) if intervention.name else None, []).append(k)
    for steps, members in groups.items():
        clamp = (
            [Clamp(intervention.name, intervention.value, begin=steps[0], end=steps[1])]
            if intervention.name and steps
            else None
        )
        for begin in range(0, len(members), ROWS):
            yield members[begin : begin + ROWS], clamp


def _steps(source: Vocabulary, pair: Translated, offset: int) -> tuple[int, int] | None:
    """Return the steps at which the word is read."""
    at = pair.subject + offset
    if not 0 <= at < len(pair.words):
        return None
    _, ends = read_words(source, Sentence(pair.words, {}), after_end=False)
    return (ends[at - 1] + 1 if at else 0, ends[at] + 1)


def patched_share(
    run: tuple[Translator, Vocabulary, Vocabulary],
    given: Sequence[Translated],
    noun: str,
    name: str,
    layer: int,
    most: int,
    tick: Callable[[], object],
) -> tuple[dict[str, float], int]:
    """Put ``noun`` in the place of a person of the other gender, and patch the units of the memory that differ most with the
    other sentence's while it is read.

    Sentences with *he* or *she* in them, and pairs that are translated alike, are left out.

    Args:
        run: a translator, the vocabulary that it reads and the one that it writes.
        given: annotated pairs.
        noun: an English noun of ``czech_words.PEOPLE``.
        name: of the memory.
        layer: its number.
        most: sentences.
        tick: called for each.

    Returns:
        By number of units patched, the share of sentences whose translation becomes the other sentence's, word for word; and
        the number of sentences.
    """
    followed(run[0])
    nouns = {n.english[0]: n.gender for n in PEOPLE}
    became: Counter[str] = Counter()
    done = 0
    for pair in given:
        words = list(pair.words)
        subject = words[pair.subject].rstrip(",.")
        pronouns = {"he", "she", "it", "He", "She", "It"} & set(words)
        if nouns.get(subject, nouns[noun]) == nouns[noun] or pronouns or done == most:
            continue
        words[pair.subject] = words[pair.subject].replace(subject, noun)
        if pair.subject and words[pair.subject - 1] == "an":
            words[pair.subject - 1] = "a"
        try:
            readings = of_sentences(*run, " ".join(words), pair.text)
        except InputError:  # both are translated alike
            continue
        word = next((k for k, (a, b) in enumerate(readings.words) if noun in a and a != b), None)
        if word is None:
            continue
        done += 1
        tick()
        i, j = readings.places[word]
        order = np.argsort(-np.abs(readings.a[name][layer, i] - readings.b[name][layer, j]), kind="stable")
        for count in (n for n in MOVED if n < len(order)):
            clamps = [readings.clamp(name, layer, word, order[:count].tolist())]
            became[str(count)] += watch_translation(*run, pair.text, clamps=clamps).translation == readings.answers[0]
    return {count: n / max(1, done) for count, n in became.items()}, done
