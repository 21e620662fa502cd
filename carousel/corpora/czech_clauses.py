"""The predicates of the generated corpus, in English and in Czech."""

from __future__ import annotations

import random
from dataclasses import dataclass

from carousel.corpora import czech_words as words
from carousel.corpora.czech_words import Paradigm, Verb

TO_BE = {"sg": ("is", "was"), "pl": ("are", "were")}

Item = str | tuple[Paradigm, str]  # Czech words, or a paradigm and its kind


@dataclass
class Clause:
    """A predicate, to be said of someone.

    ``english``: words by number, each with the tense that is known once it is read (None: as before). Czech: a reflexive word,
    which comes second; an auxiliary, which may come before the subject; and the rest.
    """

    predicate: str
    tense: str
    english: dict[str, str]
    clitic: str = ""
    auxiliary: tuple[Paradigm, str] | None = None
    rest: tuple[Item, ...] = ()


def likes(choose: random.Random, verbs: list[Verb]) -> Clause:
    return likes_to(choose.choice(verbs), choose.random() < 0.4)


def likes_to(v: Verb, past: bool) -> Clause:
    base, rad = v.english[0], (words.RAD, "rád")
    if past:
        english = dict.fromkeys(TO_BE, f"liked to {base}")
        return Clause(f"like {base}", "past", english, v.clitic, None, (rad, (v.past, "participle")))
    english = {"sg": f"likes to {base}", "pl": f"like to {base}"}
    return Clause(f"like {base}", "present", english, v.clitic, None, (rad, (v.present, "verb")))


def acts(choose: random.Random, verbs: list[Verb]) -> Clause:
    v = choose.choice(verbs)
    where = choose.choice([*words.PLACES, *words.SPANS]) if choose.random() < 0.6 else ("", "")
    if choose.random() < 0.35:
        english = f"will {v.english[0]} {where[0]}"
        rest: tuple[Item, ...] = (f"{v.infinitive} {where[1]}",)
        return Clause(v.english[0], "future", {"sg": english, "pl": english}, v.clitic, (words.WILL, "verb"), rest)
    english = f"{v.english[2]} {where[0]}"
    rest = ((v.past, "participle"), where[1])
    return Clause(v.english[0], "past", {"sg": english, "pl": english}, v.clitic, None, rest)


def gets(choose: random.Random) -> Clause:
    verb, paradigm = choose.choice(list(words.GETTING.items()))
    thing, many = choose.choice(words.THINGS), choose.random() < 0.3
    english = f"{verb} the {thing.english[many]}"
    rest = ((paradigm, "participle"), thing.czech[1] if many else thing.accusative)
    return Clause(verb, "past", {"sg": english, "pl": english}, rest=rest)


def falls(choose: random.Random, animate: bool = False) -> Clause:
    verb, paradigm = choose.choice(list((words.VANISHING if animate else words.FALLING).items()))
    return Clause(verb, "past", {"sg": verb, "pl": verb}, rest=((paradigm, "participle"),))


def being(choose: random.Random, adjectives: dict[str, Paradigm], tenses: str = "present past future") -> Clause:
    word, paradigm = choose.choice(list(adjectives.items()))
    tense = choose.choice(tenses.split())
    if tense == "future":
        english, auxiliary = dict.fromkeys(TO_BE, f"will be {word}"), (words.WILL, "verb")
    else:
        at = int(tense == "past")
        english = {n: f"{forms[at]} {word}" for n, forms in TO_BE.items()}
        auxiliary = ((words.IS, "verb"), (words.WAS, "participle"))[at]
    return Clause(word, tense, english, auxiliary=auxiliary, rest=((paradigm, "adjective"),))


def lives(choose: random.Random) -> Clause:
    where = choose.choice(words.PLACES)
    english = {"sg": f"lives {where[0]}", "pl": f"live {where[0]}"}
    return Clause("live", "present", english, rest=(f"bydlí {where[1]}",))


def predicate(choose: random.Random, kind: str) -> Clause:
    if kind == "thing":
        return being(choose, words.STATES) if choose.random() < 0.6 else falls(choose)
    if kind == "animal":
        ways = (likes, acts, acts)
        if choose.random() < 0.4:
            return being(choose, words.ANIMAL_MOODS) if choose.random() < 0.7 else falls(choose, animate=True)
        return choose.choice(ways)(choose, words.ANIMAL_VERBS)
    way = choose.choice(("likes", "acts", "acts", "gets", "gets", "is", "is"))
    if way in ("likes", "acts"):
        return (likes if way == "likes" else acts)(choose, words.VERBS)
    return gets(choose) if way == "gets" else being(choose, words.MOODS)


def about(choose: random.Random, kind: str) -> Clause:
    """Draw the predicate of a relative clause about a person."""
    return choose.choice(
        (
            lambda: likes(choose, words.VERBS),
            lambda: likes(choose, words.VERBS),
            lambda: lives(choose),
            lambda: gets(choose),
            lambda: being(choose, words.MOODS, "present past"),
        )
    )()
