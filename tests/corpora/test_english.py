"""The corpus with agreement at a distance: right English, annotated as it should be, honestly split."""

import itertools

import pytest

from carousel.corpora import english
from carousel.corpora.annotated import read_sentences
from carousel.corpora.writing import SPLITS

MADE = list(english.sentences(3000, seed=3))
MALE, FEMALE = set(english.WORDS["men"]), set(english.WORDS["women"])


def noun_and_number(word):
    """Looked up in a list of all forms, not taken apart."""
    forms = {w: (w, "sg") for w in MALE | FEMALE} | {english.plural(w): (w, "pl") for w in MALE | FEMALE}
    return forms[word]


def test_the_same_seed_gives_the_same_sentences():
    again = list(english.sentences(50, seed=3))
    assert again == MADE[:50] and list(english.sentences(50, seed=4)) != again


def test_some_hundred_words_are_enough_for_thousands_of_sentences():
    words = {w for s in MADE for w in s.words}
    assert 150 < len(words) < 400 and len({s.text for s in MADE}) > 2500


def test_gender_and_number_are_the_subjects_from_its_noun_on():
    for s in MADE:
        noun, number = noun_and_number(s.words[s.subject])
        gender = None if number == "pl" else "m" if noun in MALE else "f"
        before, after = s.subject, len(s.words) - s.subject
        assert s.labels["number"] == (None,) * before + (number,) * after
        assert s.labels["gender"] == (None,) * before + (gender,) * after


def test_words_that_agree_do_and_the_wrong_ones_do_not():
    right = {
        ("m", "sg"): {"he", "his", "himself"},
        ("f", "sg"): {"she", "her", "herself"},
        (None, "pl"): {"they", "their", "themselves"},
    }
    plural_verbs = {"are", "were"} | {v.removesuffix("s") for v in english.WORDS["being"]}
    kinds = set()
    for s, t in ((made, target) for made in MADE for target in made.targets):
        assert s.words[t.position] == t.right != t.wrong
        assert t.distance == t.position - s.subject > 0
        number = s.labels["number"][t.position]
        if t.kind == "pronoun":
            forms = right[s.labels["gender"][t.position], number]
            assert t.right in forms and t.wrong not in forms
        else:
            assert (t.right in plural_verbs) is (number == "pl") is (t.wrong not in plural_verbs)
        kinds.add((t.kind, number, min(t.attractors, 2), t.distance > 9))
    assert len(kinds) == 2 * 2 * 3 * 2  # each of them occurs


def test_attractors_are_the_nouns_between_that_would_decide_otherwise():
    people = set(english.WORDS["people"])
    things = {w for name in ("things", "places") for w in english.WORDS[name]}
    forms = {}
    for noun in MALE | FEMALE | people | things:
        gender = "m" if noun in MALE else "f" if noun in FEMALE else None
        forms |= {noun: (gender, "sg"), english.plural(noun): (gender, "pl")}
    for s in MADE:
        for t in s.targets:
            gender, number = s.labels["gender"][s.subject], s.labels["number"][s.subject]
            between = [forms[w] for w in s.words[s.subject + 1 : t.position] if w in forms]
            expected = 0
            for g, n in between:
                # What this noun would ask for, were it the subject: they for plurals, he or she, else neither.
                pronoun = "they" if n == "pl" else g
                mine = "they" if number == "pl" else gender
                expected += n != number if t.kind == "verb" else pronoun != mine
            assert t.attractors == expected, (s.text, t)


def test_depth_counts_open_clauses_and_quotes_open_and_close():
    for s in MADE:
        depth = s.labels["depth"]
        assert depth[0] == depth[-1] == 0 and max(depth) <= 2
        assert all(b - a <= 1 for a, b in itertools.pairwise(depth))
        assert all(w in ("who", "that") for w, a, b in zip(s.words[1:], depth, depth[1:], strict=False) if b > a)
        marks = [k for k, w in enumerate(s.words) if w == '"']
        assert [k for k, q in enumerate(s.labels["quoted"]) if q] == (list(range(marks[0], marks[1] + 1)) if marks else [])


def test_no_subject_meets_a_predicate_in_two_splits():
    pairs = {
        split: {(noun_and_number(s.words[s.subject])[0], s.predicate) for s in english.sentences(4000, 1, split)}
        for split in SPLITS
    }
    for a, b in itertools.combinations(pairs.values(), 2):
        assert not a & b
    assert {n for n, _ in pairs["test"]} <= {n for n, _ in pairs["train"]}  # every noun is known, with other predicates


def test_an_unknown_split():
    with pytest.raises(ValueError, match="train, valid, test"):
        next(english.sentences(1, split="dev"))


def test_what_is_written_is_read_again(tmp_path):
    english.write(tmp_path / "corpus", 20, 4, 5, seed=2)
    for split, count in zip(SPLITS, (20, 4, 5), strict=True):
        made = list(english.sentences(count, 2, split))
        assert read_sentences(tmp_path / "corpus" / f"{split}.jsonl") == made
        assert (tmp_path / "corpus" / f"{split}.txt").read_text().splitlines() == [s.text for s in made]
