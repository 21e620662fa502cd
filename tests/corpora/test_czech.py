"""The generated corpus is correct Czech, says truly what agrees, and keeps test combinations out of training."""

import json
from itertools import islice

import pytest

from carousel.corpora import czech, czech_words
from carousel.corpora.annotated import read_sentences
from carousel.corpora.czech_pairs import Translated, read_pairs
from carousel.corpora.writing import SPLITS, split_of
from carousel.errors import InputError

COUNT = 3000
ENDINGS = {  # of past participles, by the subject's gender and number in Czech
    ("m", "sg"): ("l",),
    ("f", "sg"): ("la",),
    ("n", "sg"): ("lo",),
    ("m", "pl"): ("li", "ly"),
    ("f", "pl"): ("ly",),
    ("n", "pl"): ("la",),
}
RELATIVES = {("m", "sg"): "který", ("f", "sg"): "která", ("n", "sg"): "které", ("f", "pl"): "které", ("n", "pl"): "která"}
GLAD = {("m", "sg"): "rád", ("f", "sg"): "ráda", ("n", "sg"): "rádo"}
GLAD |= {("m", "pl"): "rádi", ("f", "pl"): "rády", ("n", "pl"): "ráda"}


@pytest.fixture(scope="module")
def pairs():
    """Sentences of all splits, by split."""
    return {split: list(czech.sentences(COUNT, 5, split)) for split in SPLITS}


@pytest.mark.parametrize(
    ("noun", "english", "expected"),
    [
        ("boy", "I am a boy who likes to learn", "Jsem kluk, který se rád učí"),
        ("girl", "I am a girl who likes to learn", "Jsem dívka, která se ráda učí"),
        ("child", "I am a child who likes to learn", "Jsem dítě, které se rádo učí"),
        ("actor", "I am an actor who likes to learn", "Jsem herec, který se rád učí"),
    ],
)
def test_the_lecture_s_sentence(noun, english, expected):
    made = czech.lecture(noun)
    assert (made.text, made.translation) == (english, expected)
    assert [(t.right, t.kind) for t in made.targets][:2] == [(expected.split()[2], "relative"), (expected.split()[4], "rád")]
    assert made.labels["gender"][made.subject] == {"boy": "m", "girl": "f", "child": "n", "actor": "m"}[noun]
    assert made.labels["gender"][made.subject - 1] is None


def test_boy_and_girl_are_never_said_to_learn_in_training():
    assert {split_of(czech.SALT, n, "like learn") for n in ("boy", "girl")} == {"test"}


@pytest.mark.parametrize(
    ("paradigm", "forms"),
    [
        (czech_words.GETTING["found"], "našel našla našlo našli našly našla"),
        (czech_words.WAS, "byl byla bylo byli byly byla"),
        (czech_words.MOODS["ill"], "nemocný nemocná nemocné nemocní nemocné nemocná"),
        (czech_words.QUALITIES["tall"], "vysoký vysoká vysoké vysocí vysoké vysoká"),
        (czech_words.DETERMINERS["this", "these"], "tento tato toto tito tyto tato"),
        (czech_words.VERBS[0].present, "učí učí učí učí učí učí"),
    ],
)
def test_paradigms(paradigm, forms):
    assert list(paradigm.values()) == forms.split()


def test_genders_of_nouns():
    by_name = {n.english[0]: n for n in (*czech_words.PEOPLE, *czech_words.ANIMALS, *czech_words.THINGS)}
    for english, forms, classes in [
        ("boy", ("kluk", "kluci"), ("ms", "mp")),
        ("hat", ("klobouk", "klobouky"), ("ms", "fp")),
        ("kitten", ("kotě", "koťata"), ("ns", "np")),
        ("child", ("dítě", "děti"), ("ns", "fp")),
        ("wolf", ("vlk", "vlci"), ("ms", "mp")),
    ]:
        assert (by_name[english].czech, by_name[english].classes) == (forms, classes)


def test_what_agrees_with_the_subject_has_its_gender_and_number(pairs):
    seen = set()
    for pair in pairs["train"]:
        subject = pair.words[pair.subject].rstrip(".,")
        inanimate = subject in {n.english[1] for n in czech_words.THINGS}
        key = (pair.labels["gender"][-1], pair.labels["number"][-1])
        if subject == "children":
            key = ("f", "pl")  # ty děti
        for t in pair.targets:
            assert pair.czech[t.position].rstrip(".,") == t.right
            assert t.wrong != t.right
            assert {t.wrong, t.right} <= set(t.forms)
            if t.with_ != "subject":
                continue
            if t.kind == "participle":
                assert t.right.endswith(ENDINGS[key]), pair.translation
                assert key != ("m", "pl") or t.right.endswith("ly" if inanimate else "li"), pair.translation
            elif t.kind == "rád":
                assert t.right == GLAD[key], pair.translation
            elif t.kind == "relative" and t.right in ("který", "kteří", "která") and key in RELATIVES:
                assert t.right == RELATIVES[key], pair.translation
            seen.add((t.kind, key))
    assert len(seen) > 25


def test_commas_and_reflexive_words_stand_where_czech_wants_them(pairs):
    for pair in pairs["train"]:
        for k, word in enumerate(pair.czech):
            if word in ("protože", "když") or word.startswith(("který", "která", "které", "kteří", "kterou", "kterého")):
                assert pair.czech[k - 1].endswith(","), pair.translation
            if word in ("se", "si"):
                assert k > 0, pair.translation
                assert pair.czech[k - 1] not in ("a", "protože,"), pair.translation


def test_no_test_sentence_says_of_its_subject_what_training_says(pairs):
    said = {p for pair in pairs["train"] for p in pair.pairs}
    for split in ("valid", "test"):
        assert all((p.pairs and any(q not in said for q in p.pairs)) for p in pairs[split])
        assert all(any(split_of(czech.SALT, *q) == split for q in p.pairs) for p in pairs[split])
    assert all(split_of(czech.SALT, *q) == "train" for q in said)
    assert not {p.text for p in pairs["train"]} & {p.text for p in pairs["test"]}


def test_sentences_are_varied_and_not_too_long(pairs):
    made = pairs["train"]
    assert max(len(p.words) for p in made) < 30
    assert len({p.text for p in made}) > 0.9 * COUNT
    assert {p.words[-1][-1] == "." for p in made} == {True, False}
    assert {v for p in made for v in p.labels["tense"]} == {None, "past", "present", "future"}
    assert {v for p in made for v in p.labels["capital"]} == {None, True, False}
    assert max(t.distance for p in made for t in p.targets) >= 9


def test_the_same_seed_gives_the_same_sentences():
    a, b, c = (list(islice(czech.sentences(50, seed), 50)) for seed in (1, 1, 2))
    assert a == b
    assert a != c


def test_files_are_aligned_and_annotated(tmp_path):
    czech.write(tmp_path, 30, 5, 8, seed=3)
    for split, count in (("train", 30), ("valid", 5), ("test", 8)):
        english, other = ((tmp_path / f"{split}.{side}").read_text().splitlines() for side in ("en", "cs"))
        rows = read_pairs(tmp_path / f"{split}.jsonl")
        assert [r.text for r in rows] == english
        assert [r.translation for r in rows] == other
        assert len(rows) == count
        annotated = read_sentences(tmp_path / f"{split}.jsonl")  # the English side by itself, for probes
        assert [s.text for s in annotated] == english
        assert [s.subject for s in annotated] == [r.subject for r in rows]
    first = czech.lecture("boy")
    assert Translated.from_line(first.as_line()) == Translated(**{**vars(first), "pairs": ()})
    assert read_pairs(tmp_path / "test.jsonl")[0].translation == first.translation


def test_what_is_no_annotated_pair_is_refused(tmp_path):
    row = json.loads(czech.lecture("boy").as_line())
    elsewhere = {
        **row,
        "translation": {**row["translation"], "targets": [{**row["translation"]["targets"][0], "position": 99}]},
    }
    other = [{**row, **part} for part in ({"subject": 99}, {"subject": None}, {"labels": {"gender": ["m"]}}, {"labels": []})]
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row) + "\n\n")  # a blank line is none
    assert len(read_pairs(path)) == 1
    for text in ("nothing", "{}", *map(json.dumps, (elsewhere, *other))):
        path.write_text(text + "\n")
        with pytest.raises(InputError, match="line 1"):
            read_pairs(path)
