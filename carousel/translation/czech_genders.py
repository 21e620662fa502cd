"""Gender in free Czech text, as far as a rule can tell: *man, boy, woman, girl* and the words beside their translations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ENGLISH = {"man": "m", "boy": "m", "woman": "f", "girl": "f"}
OTHERS = {"men", "boys", "women", "girls", "lady", "guy", "gentleman", "child", "person", "male", "female"}
CZECH = {
    "m": ("muž", "chlapec", "kluk", "chlapeček", "chlap", "hoch", "klučina"),
    "f": ("žena", "dívka", "holčička", "holka", "děvčátko", "slečna"),
}
GENDER_OF = {noun: gender for gender, nouns in CZECH.items() for noun in nouns}
HARD = {"ý": "m", "á": "f", "é": "n"}  # nominative endings of hard adjectives; soft ones are alike in all genders
RELATIVE = {"který": "m", "která": "f", "které": "n", "jenž": "m", "jež": "f"}
PASSIVE = re.compile(r".+(?:en|ěn|an)(ý|á)")  # oblečený: a participle after its noun; those in -é are hardly ever its own
REACH = 4  # words after the noun in which such a participle is looked for


@dataclass(frozen=True)
class Genders:
    """Counts of sentences that name one man, boy, woman or girl and nobody else by such a word: how many translations name one
    of the ``same`` gender, of the ``other``, or ``none`` of the nouns that we know (in the nominative); and of the
    adjectives, relative pronouns and participles beside these nouns, how many agree."""

    sentences: int
    same: int
    other: int
    none: int
    right: int
    wrong: int

    def as_dict(self) -> dict[str, Any]:
        """Return the values that JSON shows."""
        return vars(self) | {"share": round(self.right / max(1, self.right + self.wrong), 4)}


def genders(sources: Sequence[str], outputs: Sequence[str]) -> Genders:
    """Count genders in English sentences and their Czech translations."""
    counts = dict.fromkeys(("sentences", "same", "other", "none", "right", "wrong"), 0)
    for source, output in zip(sources, outputs, strict=True):
        words = re.findall(r"\w+", source.lower())
        named = [w for w in words if w in ENGLISH]
        if len(named) != 1 or OTHERS & set(words):
            continue
        counts["sentences"] += 1
        tokens = re.findall(r"\w+", output.lower())
        places = [k for k, token in enumerate(tokens) if token in GENDER_OF]
        translated = {GENDER_OF[tokens[k]] for k in places}
        counts["same" if ENGLISH[named[0]] in translated else "other" if translated else "none"] += 1
        for k in places:
            for gender in _beside(tokens, k):
                counts["right" if gender == GENDER_OF[tokens[k]] else "wrong"] += 1
    return Genders(**counts)


def _beside(tokens: Sequence[str], k: int) -> list[str]:
    """Return the genders that the words beside a noun have by their form."""
    genders = []
    before = k - 1
    while before >= 0 and tokens[before][-1] in "ýáéí" and len(tokens[before]) > 3:
        if tokens[before][-1] in HARD:
            genders.append(HARD[tokens[before][-1]])
        before -= 1
    after = tokens[k + 1 : k + 1 + REACH]
    if after and after[0] in RELATIVE:
        genders.append(RELATIVE[after[0]])
    for token in after:
        if token in GENDER_OF:
            break
        if match := PASSIVE.fullmatch(token):
            genders.append(HARD[match.group(1)])
            break
    return genders
