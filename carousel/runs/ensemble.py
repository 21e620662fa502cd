"""Several language models on one vocabulary as one: the mean of their probabilities, or of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from carousel.errors import InputError
from carousel.language.adaptation import STATIC, Told, adaptation, adapted, mean_model
from carousel.language.score import Score, score
from carousel.runs.language import LanguageRun
from carousel.text.encoded import EncodedText
from carousel.text.lines import Text


@dataclass(frozen=True)
class EnsembleScore(Score):
    """An ensemble's score. ``members``: scores of its runs, in order. ``of_mean``: the score of the mean of their weights."""

    members: tuple[Score, ...] = ()
    of_mean: Score | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        of_mean = {} if self.of_mean is None else {"of_mean": self.of_mean.as_dict()}
        return super().as_dict() | {"members": [member.as_dict() for member in self.members]} | of_mean


class Ensemble:
    """Trained language models that read a text side by side; a token's probability is the mean of theirs.

    Args:
        runs: two or more runs, or their folders.

    Raises:
        InputError: a folder holds no run of a language model, or vocabularies or ways of reading differ.
    """

    def __init__(self, runs: Sequence[LanguageRun | str | Path]):
        self.runs = [run if isinstance(run, LanguageRun) else LanguageRun(run) for run in runs]
        if not self.runs:
            raise InputError("an ensemble needs a run")
        first = self.runs[0]
        for other in self.runs[1:]:
            if other.vocabulary.tokenizer.to_str() != first.vocabulary.tokenizer.to_str():
                raise InputError(f"{other.folder} has another vocabulary than {first.folder}; an ensemble needs one")
            if other.reads_sentences != first.reads_sentences:
                raise InputError(f"{other.folder} reads otherwise than {first.folder}: one reads sentences, one a stream")

    def __repr__(self) -> str:
        return f"<Ensemble {', '.join(str(run.folder) for run in self.runs)}>"

    def score(self, text: Text | EncodedText, *, mean: bool = False, told: Told | None = None, **how: Any) -> EnsembleScore:
        """Return the cost of a text under all together, with the members' own beside it.

        Args:
            text: the text; or an encoded text from a run's ``encoded``.
            mean: also score a model with the mean of the runs' weights, which makes sense where the runs are stages of one
                training.
            told: called with the progress: activity, done, all.
            **how: fields of ``Adaptation``; each run adapts by itself.

        Raises:
            InputError: as ``LanguageRun.score``; ``mean`` of models whose shapes differ.
        """
        asked, first = adaptation(how), self.runs[0]
        end, sentences = first.vocabulary.end, first.reads_sentences
        models, tick = [run.model for run in self.runs], partial(told, STATIC) if told else None
        averaged = [mean_model(models)] if mean else []
        with nullcontext(text) if isinstance(text, EncodedText) else first.encoded(text) as corpus:
            statics = [score(model, corpus, end, sentences=sentences, tick=tick) for model in models + averaged]
            learned = [run.learned() for run in self.runs] if asked.dynamic else []
            given: dict[str, Any] = {"sentences": sentences, "told": told}
            *beside, together = adapted(models, corpus, end, asked, learned=learned, **given)
            of_mean = (
                [adapted(averaged, corpus, end, asked, learned=learned[:1], **given)[0]] if averaged and asked.asked else [{}]
            )
        members = [replace(one, adapted=ways) for one, ways in zip(statics, [*beside, *of_mean][: len(statics)], strict=True)]
        whole = together.pop(STATIC) if STATIC in together else statics[0]
        return EnsembleScore(
            *(whole.bits, whole.tokens, whole.characters, whole.unknown, together),
            members=tuple(members[: len(models)]),
            of_mean=members[-1] if mean else None,
        )
