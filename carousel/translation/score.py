"""The quality of translations: BLEU and chrF against references, and whether words agree that must."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from carousel.corpora.czech_pairs import Translated
from carousel.errors import InputError
from carousel.text.lines import lines
from carousel.translation.translate import Interpreter

MARKS = ".,"


@dataclass(frozen=True)
class Scores:
    """BLEU and chrF of a whole text, cased and detokenised, with ``sacrebleu``'s signatures; ``exact``: the share of sentences
    that are equal to the reference, letter by letter.
    """

    bleu: float
    chrf: float
    exact: float
    lines: int
    signatures: tuple[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        bleu, chrf = self.signatures
        return {
            "bleu": round(self.bleu, 3),
            "chrf": round(self.chrf, 3),
            "exact": round(self.exact, 5),
            "lines": self.lines,
            "signatures": {"bleu": bleu, "chrf": chrf},
        }


def score(outputs: Sequence[str], references: Sequence[str]) -> Scores:
    """Score translations against one reference each."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    bleu, chrf = BLEU(), CHRF()
    points = [m.corpus_score(list(outputs), [list(references)]).score for m in (bleu, chrf)]
    exact = sum(a.strip() == b.strip() for a, b in zip(outputs, references, strict=True)) / max(1, len(outputs))
    signatures = str(bleu.get_signature()), str(chrf.get_signature())
    return Scores(points[0], points[1], exact, len(outputs), signatures)


def read_aligned(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """Read the lines of two files. Raises InputError where one has more."""
    sides = list(lines(source)), list(lines(target))
    if len(sides[0]) != len(sides[1]):
        raise InputError(
            f"{source} has {len(sides[0])} lines and {target} {len(sides[1])}; they must be each other's translations"
        )
    return sides


def translate_all(
    interpreter: Interpreter, sources: Sequence[str], rows: int = 64, tick: Callable[[int, int], None] | None = None
) -> list[str]:
    """Return the best translation of each line; lines of about one length go together.

    Args:
        interpreter: that translates.
        sources: the lines.
        rows: lines at once.
        tick: told of lines done, of how many.
    """
    order = sorted(range(len(sources)), key=lambda k: len(sources[k]))
    translations = [""] * len(sources)
    for begin in range(0, len(order), rows):
        chosen = order[begin : begin + rows]
        for k, best in zip(chosen, interpreter.together([sources[k] for k in chosen], [k + 1 for k in chosen]), strict=True):
            translations[k] = best[0].text
        if tick:
            tick(begin + len(chosen), len(order))
    return translations


@dataclass(frozen=True)
class Agreed:
    """Counts of the words that agree: how many stand at their place in the right form, how many there in another form of
    theirs, and of how many neither is there (another word was written, or words were left out)."""

    right: int
    wrong: int
    missing: int

    @property
    def share(self) -> float:
        """The share of right ones, of all."""
        return self.right / max(1, self.right + self.wrong + self.missing)

    @property
    def share_there(self) -> float:
        """The share of right words, of the words that are there."""
        return self.right / max(1, self.right + self.wrong)

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        shares = {"share": round(self.share, 5), "of_those_there": round(self.share_there, 5)}
        return {"right": self.right, "wrong": self.wrong, "missing": self.missing, **shares}


def agreement(pairs: Sequence[Translated], outputs: Sequence[str]) -> dict[str, Agreed]:
    """Count in translations of the generated corpus whether each Czech word that agrees has its form.

    Counts are of "all", of the words that agree with the "subject" or with "another" noun, and by kind.
    """
    counts: dict[str, list[int]] = {}
    for pair, output in zip(pairs, outputs, strict=True):
        for t, form in zip(pair.targets, forms_written(pair, output), strict=True):
            which = 2 if form is None else int(form.lower() != t.right.lower())
            for key in ("all", t.with_, t.kind):
                counts.setdefault(key, [0, 0, 0])[which] += 1
    return {key: Agreed(*n) for key, n in sorted(counts.items())}


def forms_written(pair: Translated, output: str) -> list[str | None]:
    """Return for each word of the reference that agrees the word that a translation has in its place; None where another word
    stands there, or none. Translation and reference are laid side by side as ``difflib`` does, in whatever forms their words
    are."""
    words = [w.rstrip(MARKS) for w in output.split()]
    lemma = {form.lower(): t.forms[0].lower() for t in pair.targets for form in t.forms}
    wanted = [w.rstrip(MARKS) for w in pair.czech]
    here, there = ([lemma.get(w.lower(), w.lower()) for w in each] for each in (wanted, words))
    blocks = SequenceMatcher(None, here, there, autojunk=False).get_matching_blocks()
    stands = {b.a + k: words[b.b + k] for b in blocks for k in range(b.size)}
    return [stands.get(t.position) for t in pair.targets]
