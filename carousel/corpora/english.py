"""English sentences in which the subject decides words much later: the standing example for valves, pairs and probes.

``the boy who the old teachers near the lake admire lost his hat .`` The subject's gender decides pronouns and possessives, its
number verbs as well, across clauses whose nouns are of the other number or gender. All words and sentences are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from carousel.corpora.annotated import Sentence, Target, as_line
from carousel.corpora.writing import Writer, source_of_chance, split_of, write_splits

_LISTS = """
men: boy man king uncle father brother waiter prince monk actor husband nephew grandfather widower landlord
women: girl woman queen aunt mother sister waitress princess nun actress wife niece grandmother widow landlady
people: teacher farmer doctor sailor painter baker soldier tailor dancer neighbour friend child student judge guard
things: hat house book coat horse letter garden window bag key boat lamp shoe map ring chair cup cart bell
places: lake river church bridge forest market tower mill station harbour
adjectives: old young tall small poor rich quiet proud clever tired
moods: happy sad late angry ill hungry busy afraid free alone famous
transitive: lost found sold painted forgot bought cleaned hid carried broke washed missed kept
reflexive: washed hurt dressed praised blamed hid
seeing: admires knows likes follows sees loves
being: waits sings sleeps works laughs walks
"""
WORDS = {name: words.split() for name, words in (line.split(": ") for line in _LISTS.strip().splitlines())}
IRREGULAR = {"man": "men", "woman": "women", "child": "children", "wife": "wives", "landlady": "landladies"}
PRONOUNS = {
    "subject": {("m", "sg"): "he", ("f", "sg"): "she", (None, "pl"): "they"},
    "possessive": {("m", "sg"): "his", ("f", "sg"): "her", (None, "pl"): "their"},
    "self": {("m", "sg"): "himself", ("f", "sg"): "herself", (None, "pl"): "themselves"},
}


def plural(noun: str) -> str:
    """Return the plural of one of our nouns."""
    return IRREGULAR.get(noun) or noun + ("es" if noun.endswith(("s", "ch")) else "s")


@dataclass
class _Writer(Writer):
    """A sentence with the words that agree with its subject."""

    targets: list[Target] = field(default_factory=list)
    nouns: list[tuple[int, str | None, str]] = field(default_factory=list)  # position, gender, number

    def noun(self, noun: str, gender: str | None, number: str) -> None:
        self.nouns.append((len(self.words), gender, number))
        self.say(plural(noun) if number == "pl" else noun)

    def agree(self, right: str, wrong: str, kind: str) -> None:
        between = [n for n in self.nouns if n[0] > self.subject]
        # Plurals agree with they, their and themselves, of whatever gender.
        by_gender = kind == "pronoun" and self.known["number"] == "sg"
        others = sum(
            number != self.known["number"] or (by_gender and gender != self.known["gender"]) for _, gender, number in between
        )
        self.targets.append(Target(len(self.words), right, wrong, kind, len(self.words) - self.subject, others))
        self.say(right)

    def pronoun(self, case: str) -> None:
        forms = PRONOUNS[case]
        right = forms[self.known["gender"], self.known["number"] or "sg"]
        wrong = self.choose.choice([f for f in forms.values() if f != right])
        self.agree(right, wrong, "pronoun")

    def verb(self, forms: tuple[str, str]) -> None:
        one, many = forms
        self.agree(*((one, many) if self.known["number"] == "sg" else (many, one)), "verb")


def _begin(w: _Writer) -> str:
    """Say the subject and all that stands before its predicate; return its noun."""
    choose = w.choose
    gender, number = choose.choice("mf"), choose.choice(("sg", "sg", "pl"))
    noun = choose.choice(WORDS["men"] if gender == "m" else WORDS["women"])
    w.say("the")
    if choose.random() < 0.3:
        w.say(choose.choice(WORDS["adjectives"]))
    # The subject is known once its noun is read.
    w.known |= {"gender": gender if number == "sg" else None, "number": number}
    w.subject = len(w.words)
    w.say(plural(noun) if number == "pl" else noun)
    for more in choose.choice(((), (_place,), (_clause,), (_clause,), (_place, _clause))):
        more(w)
    return noun


def _someone(w: _Writer) -> str:
    """Say another person, or several; return the number."""
    choose = w.choose
    gender, nouns = choose.choice((("m", WORDS["men"]), ("f", WORDS["women"]), (None, WORDS["people"])))
    number = choose.choice(("sg", "pl"))
    w.say("the")
    if choose.random() < 0.3:
        w.say(choose.choice(WORDS["adjectives"]))
    w.noun(choose.choice(nouns), gender, number)
    return number


def _place(w: _Writer) -> None:
    w.say(f"{w.choose.choice(('near', 'behind', 'at'))} the")
    w.noun(w.choose.choice(WORDS["places"]), None, w.choose.choice(("sg", "pl")))


def _clause(w: _Writer) -> None:
    """Say a relative clause: who the teachers admire; who the man that the girls know sees; who saw the farmers."""
    choose = w.choose
    w.known["depth"] += 1
    w.say(choose.choice(("who", "that")))
    if choose.random() < 0.35:
        w.say(choose.choice(WORDS["transitive"]))
        w.say("the")
        w.noun(choose.choice(WORDS["things"]), None, choose.choice(("sg", "pl")))
    else:
        number = _someone(w)
        if choose.random() < 0.25:
            _place(w)
        if w.known["depth"] < 2 and choose.random() < 0.2:
            _clause(w)
        verb = choose.choice(WORDS["seeing"])
        w.say(verb if number == "sg" else verb.removesuffix("s"))
    w.known["depth"] -= 1


def _lost(w: _Writer) -> str:
    verb = w.choose.choice(WORDS["transitive"])
    w.say(verb)
    w.pronoun("possessive")
    w.say(w.choose.choice(WORDS["things"]))
    return verb


def _is(w: _Writer) -> str:
    mood = w.choose.choice(WORDS["moods"])
    w.verb(w.choose.choice((("is", "are"), ("was", "were"))))
    w.say(mood)
    if w.choose.random() < 0.5:
        w.say("because")
        w.pronoun("subject")
        w.say(f"{w.choose.choice(WORDS['transitive'])} the {w.choose.choice(WORDS['things'])}")
    return mood


def _waits(w: _Writer) -> str:
    verb = w.choose.choice(WORDS["being"])
    w.verb((verb, verb.removesuffix("s")))
    w.say("near")
    w.pronoun("possessive")
    w.say(w.choose.choice(WORDS["things"]))
    return verb


def _says(w: _Writer) -> str:
    verb = w.choose.choice(WORDS["transitive"])
    w.say("said that")
    w.pronoun("subject")
    w.say(f"{verb} the {w.choose.choice(WORDS['things'])}")
    return f"said {verb}"


def _speaks(w: _Writer) -> str:
    verb = w.choose.choice(WORDS["transitive"])
    w.say("said ,")
    w.known["quoted"] = True
    w.say(f'" we {verb} the')
    w.noun(w.choose.choice(WORDS["things"]), None, "sg")
    w.say('"')
    w.known["quoted"] = False
    w.say(", and")
    w.pronoun("subject")
    w.say("left")
    return f"spoke {verb}"


def _self(w: _Writer) -> str:
    verb = w.choose.choice(WORDS["reflexive"])
    w.say(verb)
    w.pronoun("self")
    return f"self {verb}"


PREDICATES: tuple[Callable[[_Writer], str], ...] = (_lost, _lost, _is, _is, _waits, _says, _speaks, _self)


def sentences(count: int, seed: int = 1, split: str = "train") -> Iterator[Sentence]:
    """Yield sentences of a split.

    Args:
        count: number of sentences.
        seed: the same seed gives the same sentences.
        split: "train", "valid" or "test".

    Raises:
        ValueError: there is no such split.
    """
    choose = source_of_chance(seed, split)
    made = 0
    while made < count:
        w = _Writer(choose, {"gender": None, "number": None, "depth": 0, "quoted": False})
        noun = _begin(w)
        predicate = choose.choice(PREDICATES)(w)
        w.say(".")
        if split_of(noun, predicate) == split:
            made += 1
            labels = {name: tuple(values) for name, values in w.labels.items()}
            yield Sentence(tuple(w.words), labels, tuple(w.targets), w.subject, predicate)


def write(folder: Path, train: int = 20000, valid: int = 1000, test: int = 2000, seed: int = 1) -> None:
    """Write train.txt, valid.txt and test.txt, a sentence a line, and beside each its labels and targets as JSON lines."""
    lines = {"txt": lambda s: s.text, "jsonl": as_line}
    write_splits(folder, (train, valid, test), lambda count, split: sentences(count, seed, split), lines)
