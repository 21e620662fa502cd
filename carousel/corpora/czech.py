"""English sentences and their Czech translations in which the subject's gender and number decide forms much later.

*The girls who live near the lake were tired* is *Dívky, které bydlí u jezera, byly unavené*; with *boys*,
*Kluci, kteří bydlí u jezera, byli unavení*. All words and sentences are ours. Every row says what agrees, where,
and what else might have stood there.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from carousel.corpora import czech_clauses as clauses
from carousel.corpora import czech_words as lexicon
from carousel.corpora.czech_clauses import Clause, Item
from carousel.corpora.czech_pairs import Agreeing, Translated
from carousel.corpora.czech_words import Noun
from carousel.corpora.writing import Writer, source_of_chance, split_of, write_splits

PROPERTIES = ("gender", "number", "capital", "tense")
SALT = 84  # of the split; with it *boy* and *girl* are never seen with *learn* in training


@dataclass
class Phrase:
    """A noun with its number, ready to be said."""

    noun: Noun
    number: str
    english: tuple[str, ...] = ()  # before the noun
    czech: tuple[Item, ...] = ()
    name: str = ""  # of the subject, as the splits know it

    @property
    def class_(self) -> str:
        return self.noun.classes[self.number == "pl"]


@dataclass
class _Writer(Writer):
    """Both sentences as they grow."""

    czech: list[str] = field(default_factory=list)
    targets: list[Agreeing] = field(default_factory=list)
    czech_subject: int = 0
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def verb(self, text: str, tense: str) -> None:
        self.known["tense"] = tense
        self.say(text)

    def write(self, *items: Item, class_: str, with_: str = "subject") -> None:
        """Add Czech words; the ones that agree, in this class."""
        for item in items:
            if isinstance(item, str):
                self.czech += item.split()
                continue
            paradigm, kind = item
            right = paradigm[class_]
            others = [f for f in dict.fromkeys(paradigm.values()) if f != right]
            if others:
                forms = tuple(dict.fromkeys(paradigm.values()))
                self.targets.append(Agreeing(len(self.czech), right, self.choose.choice(others), forms, kind, 0, with_))
            self.czech.append(right)

    def comma(self) -> None:
        if not self.czech[-1].endswith(","):
            self.czech[-1] += ","

    def finish(self, stop: str, predicate: str) -> Translated:
        self.words[-1] += stop
        self.czech[-1] += stop
        self.words[0] = self.words[0][0].upper() + self.words[0][1:]
        self.czech[0] = _capital(self.czech[0])
        targets = []
        for t in self.targets:
            if t.position == 0:
                t = Agreeing(0, _capital(t.right), _capital(t.wrong), tuple(map(_capital, t.forms)), t.kind, 0, t.with_)
            targets.append(Agreeing(**{**vars(t), "distance": t.position - self.czech_subject}))
        labels = {p: tuple(v) for p, v in self.labels.items()}
        return Translated(
            tuple(self.words), labels, self.subject, predicate, tuple(self.czech), tuple(targets), tuple(self.pairs)
        )


def _capital(word: str) -> str:
    return word[0].upper() + word[1:]


# Who it is said of ------------------------------------------------------------------------------------------------------


def _phrase(choose: random.Random, kind: str, plain: bool = False) -> Phrase:
    """Draw a phrase of a kind; ``plain``: without determiner and adjective of its own."""
    nouns = {"person": lexicon.PEOPLE, "animal": lexicon.ANIMALS, "thing": lexicon.THINGS}[kind]
    noun, number = choose.choice(nouns), choose.choice(("sg", "sg", "pl"))
    english: list[str] = ["the"]
    czech: list[Item] = []
    if not plain and choose.random() < 0.3:
        words, paradigm = choose.choice(list(lexicon.DETERMINERS.items()))
        english, czech = [words[number == "pl"]], [(paradigm, "determiner")]
    if not plain and choose.random() < 0.25:
        qualities = {"person": lexicon.QUALITIES, "animal": lexicon.ANIMAL_QUALITIES, "thing": lexicon.STATES}[kind]
        word, paradigm = choose.choice(list(qualities.items()))
        english.append(word)
        czech.append((paradigm, "adjective"))
    return Phrase(noun, number, tuple(english), tuple(czech), noun.english[0])


def _named(choose: random.Random) -> Phrase:
    """Draw one name or two; of two, one man makes both masculine."""
    one = choose.choice(lexicon.NAMES)
    if choose.random() < 0.65:
        return Phrase(one, "sg", name=one.english[0])
    two = choose.choice([n for n in lexicon.NAMES if n != one])
    leading = one if one.gender == "m" else two
    last = Noun(two.english, two.czech, ("", leading.classes[1]), "name", True, "they")
    return Phrase(last, "pl", (one.english[0], "and"), (one.czech[0], "a"), f"{one.english[0]} and {two.english[0]}")


def _subject(w: _Writer, p: Phrase) -> None:
    w.say(" ".join(p.english))
    noun = p.noun
    # The subject is known once its noun is read. Two names are masculine where one of them is.
    gender = (noun.classes[1] if noun.kind == "name" else noun.classes[0])[0]
    w.known |= {"gender": gender, "number": p.number, "capital": noun.kind == "name"}
    w.subject = len(w.words)
    w.say(noun.english[p.number == "pl"])
    w.write(*p.czech, class_=p.class_)
    w.czech_subject = len(w.czech)
    w.write(noun.czech[p.number == "pl"], class_=p.class_)


def _other(w: _Writer, p: Phrase) -> None:
    """Say another noun, in the nominative, in both languages."""
    w.say(" ".join(p.english))
    w.say(p.noun.english[p.number == "pl"])
    w.write(*p.czech, p.noun.czech[p.number == "pl"], class_=p.class_, with_="another")


def _relative(w: _Writer, p: Phrase, clause: Clause | None = None) -> None:
    """Say a relative clause: who likes to learn; whom the girls know; whom the man who lives in Prague knows."""
    choose, kind, noun = w.choose, p.noun.kind, p.noun
    word = "that" if kind in ("thing", "animal") else choose.choice(("who", "who", "that") if kind == "person" else ("who",))
    w.say(word)
    w.comma()
    if clause is None and (kind in ("thing", "animal") or choose.random() < 0.4):
        _whom(w, p)
        return
    _who(w, p, clause or clauses.about(choose, kind))
    if noun.kind != "thing" and choose.random() < 0.12:
        more = clauses.about(choose, kind)
        w.pairs.append((p.name, more.predicate))
        w.say("and")
        w.write("a", class_=p.class_)
        _say_clause(w, more, p, joined=True)


def _who(w: _Writer, p: Phrase, clause: Clause) -> None:
    w.pairs.append((p.name, clause.predicate))
    w.write((lexicon.WHO, "relative"), class_=p.class_)
    _say_clause(w, clause, p)


def _whom(w: _Writer, p: Phrase) -> None:
    """Say a clause of which the noun is the object: … the girls know; … Petr bought."""
    choose, kind = w.choose, p.noun.kind
    whom = dict(lexicon.WHOM)
    if not p.noun.animate:
        whom["ms"] = "který"
    w.write((whom, "relative"), class_=p.class_)
    who = _named(choose) if choose.random() < 0.3 else _phrase(choose, "person", plain=choose.random() < 0.6)
    if kind in ("person", "name") and choose.random() < 0.5:
        (one, many), paradigm = choose.choice(list(lexicon.KNOWING.items()))
        verb, tense, part = one if who.number == "sg" else many, "present", "verb"
    else:
        verbs = lexicon.ENCOUNTERS if kind in ("person", "name") else lexicon.GETTING
        verb, paradigm = choose.choice(list(verbs.items()))
        tense, part = "past", "participle"
    w.write((paradigm, part), class_=who.class_, with_="another")
    _other(w, who)
    if who.noun.kind != "name" and choose.random() < 0.15:
        w.say("who")
        w.comma()
        w.write((lexicon.WHO, "relative"), class_=who.class_, with_="another")
        lives = clauses.lives(choose)
        w.verb(lives.english[who.number], "present")
        w.write(*lives.rest, class_=who.class_)
        w.comma()
    w.verb(verb, tense)


def _say_clause(w: _Writer, clause: Clause, p: Phrase, joined: bool = False, said: bool = False) -> None:
    """Say a clause after its subject.

    ``joined``: after "a", which leaves the second place to the next word; ``said``: reflexive word and auxiliary stand before
    the subject.
    """
    first, *rest = clause.english[p.number].split()
    w.verb(first, clause.tense)
    w.say(" ".join(rest))
    items: list[Item] = [] if said or clause.auxiliary is None else [clause.auxiliary]
    items += clause.rest
    if clause.clitic and not said:
        items.insert(1 if joined else 0, clause.clitic)
    w.write(*items, class_=p.class_)


def _ending(w: _Writer, p: Phrase, tense: str) -> None:
    """Say one thing more in the same tense: … and laughed; … because she was tired."""
    choose, kind = w.choose, p.noun.kind
    if choose.random() < 0.5 or kind == "thing" or tense != "past":
        more = clauses.predicate(choose, kind)
        while more.tense != tense:
            more = clauses.predicate(choose, kind)
        w.say("and")
        w.write("a", class_=p.class_)
        joined = True
    else:
        english, czech = choose.choice((("because", "protože"), ("when", "když")))
        more = clauses.being(choose, lexicon.ANIMAL_MOODS if kind == "animal" else lexicon.MOODS, "past")
        w.comma()
        w.say(english)
        w.say(p.noun.pronoun if p.number == "sg" else "they")
        w.write(czech, class_=p.class_)
        joined = False
    w.pairs.append((p.name, more.predicate))
    _say_clause(w, more, p, joined=joined)


# Whole sentences --------------------------------------------------------------------------------------------------------


def _told(w: _Writer) -> str:
    """Say a sentence like *The boy who lives near the forest sang*; return its predicate."""
    choose = w.choose
    kind = choose.choice(("person", "person", "person", "person", "name", "animal", "thing"))
    p = _named(choose) if kind == "name" else _phrase(choose, kind)
    clause = clauses.predicate(choose, kind)
    said = clause.tense in lexicon.OPENINGS and not clause.predicate.startswith("like ") and choose.random() < 0.2
    w.pairs.append((p.name, clause.predicate))
    if said:
        english, czech = choose.choice(lexicon.OPENINGS[clause.tense])
        w.verb(english, clause.tense)
        items: list[Item] = [czech, clause.clitic]
        w.write(*items, *([clause.auxiliary] if clause.auxiliary else []), class_=p.class_)
    _subject(w, p)
    extras = 0
    if kind == "person" and choose.random() < 0.2:
        english, czech = choose.choice(lexicon.ORIGINS)
        w.say(english)
        w.write(czech, class_=p.class_)
        extras += 1
    if choose.random() < 0.45:
        if kind == "name":
            w.words[-1] += ","
        _relative(w, p)
        w.comma()
        if kind == "name":
            w.words[-1] += ","
        extras += 1
    _say_clause(w, clause, p, said=said)
    if extras < 2 and choose.random() < 0.3:
        _ending(w, p, clause.tense)
    return clause.predicate


_PERSONS = {  # English and Czech beginnings, by number: present and past
    "sg": (("I am", "jsem", "I was", "jsem"), ("you are", "jsi", "you were", "jsi")),
    "pl": (("we are", "jsme", "we were", "jsme"), ("you are", "jste", "you were", "jste")),
}


def _said_of_oneself(w: _Writer) -> str:
    """Say a sentence like *I am a boy who likes to learn* or *They were girls who liked to sing*; return its predicate."""
    choose = w.choose
    p = _phrase(choose, "person", plain=True)
    clause = clauses.about(choose, "person") if choose.random() < 0.35 else clauses.likes(choose, lexicon.VERBS)
    p.english = ()
    if choose.random() < 0.25:
        word, paradigm = choose.choice(list(lexicon.QUALITIES.items()))
        p.english, p.czech = (word,), ((paradigm, "adjective"),)
    english, auxiliary, were, past_auxiliary = choose.choice(_PERSONS[p.number])
    way = choose.random()
    if way < 0.35:  # he is a boy; they are boys: je to kluk, jsou to kluci
        third = p.noun.pronoun if p.number == "sg" else "they"
        to_be = clauses.TO_BE[p.number][0]
        w.verb(f"{third} {to_be}", "present")
        w.write("je to" if p.number == "sg" else "jsou to", class_=p.class_)
    elif way < 0.8 or p.noun.gender == "n" or clause.tense != "past":
        w.verb(english, "present")
        w.write(auxiliary, class_=p.class_)
    else:
        w.verb(were, "past")
        w.write((lexicon.WAS, "participle"), past_auxiliary, class_=p.class_)
    if p.number == "sg":
        first = (*p.english, p.noun.english[0])[0]
        p.english = ("an" if first[0] in "aeiou" else "a", *p.english)
    _subject(w, p)
    _relative(w, p, clause)
    return clause.predicate


def lecture(english: str) -> Translated:
    """Return the lecture's sentence with a noun of ours: *I am a boy who likes to learn*, *Jsem kluk, který se rád učí*.

    Raises:
        KeyError: we lack the noun.
    """
    noun = {n.english[0]: n for n in lexicon.PEOPLE}[english]
    learn = next(v for v in lexicon.VERBS if v.english[0] == "learn")
    w = _Writer(random.Random(0), dict.fromkeys(PROPERTIES))
    p = Phrase(noun, "sg", ("an" if english[0] in "aeiou" else "a",), name=english)
    w.verb("I am", "present")
    w.write("jsem", class_=p.class_)
    _subject(w, p)
    w.say("who")
    w.comma()
    clause = clauses.likes_to(learn, past=False)
    _who(w, p, clause)
    return w.finish("", clause.predicate)


def sentences(count: int, seed: int = 1, split: str = "train") -> Iterator[Translated]:
    """Yield pairs of sentences of a split.

    The predicates of a training sentence are always of its subject's training split; a test sentence's main predicate is always
    of the test split, so that no training sentence joins that predicate with that subject.

    Args:
        count: number of pairs.
        seed: the same seed gives the same pairs.
        split: "train", "valid" or "test".

    Raises:
        ValueError: there is no such split.
    """
    choose = source_of_chance(seed, split)
    made = 0
    while made < count:
        w = _Writer(choose, dict.fromkeys(PROPERTIES))
        predicate = (_said_of_oneself if choose.random() < 0.15 else _told)(w)
        stop = "." if choose.random() < 0.8 else ""
        splits = [split_of(SALT, *pair) for pair in w.pairs]
        main = next(s for (_, said), s in zip(w.pairs, splits, strict=True) if said == predicate)
        if main == split and (split != "train" or set(splits) == {"train"}):
            made += 1
            yield w.finish(stop, predicate)


def write(folder: Path, train: int = 60000, valid: int = 1000, test: int = 2000, seed: int = 1) -> None:
    """Write train.en, train.cs and so on, a sentence a line, and train.jsonl with labels and the words that agree.

    The test begins with the lecture's sentence, with *boy* and with *girl*; in training neither is ever said to learn.

    Args:
        folder: written into.
        train: sentences to train on.
        valid: sentences for validation.
        test: sentences for the end.
        seed: the same seed gives the same files.
    """

    def of_split(count: int, split: str) -> Iterable[Translated]:
        first = [lecture("boy"), lecture("girl")][:count] if split == "test" else []
        return [*first, *sentences(count - len(first), seed, split)]

    lines = {"en": lambda s: s.text, "cs": lambda s: s.translation, "jsonl": Translated.as_line}
    write_splits(folder, (train, valid, test), of_split, lines)
