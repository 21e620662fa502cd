"""Pairs of files become vocabularies and numbers; what cannot be paired is refused, what can be left out is counted."""

import json
import shutil

import pytest

from carousel.errors import InputError
from carousel.text.encoded import EncodedText
from carousel.translation.config import PairsConfig, TranslationConfig
from carousel.translation.folder import load_vocabularies
from carousel.translation.prepare import prepare


@pytest.fixture
def pair(tmp_path):
    """``pair(source, target, **options)`` writes two files, prepares a run in "run" and gives counts and folder."""

    def made(source, target, **options):
        paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
        for path, text in zip(paths, (source, target), strict=True):
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        names = {"train": [str(p) for p in paths], "valid": [str(p) for p in paths]}
        config = TranslationConfig(PairsConfig(**({"vocabulary": "word"} | names | options)))
        return prepare(folder, config), folder

    return made


def test_empty_and_long_lines_are_counted_and_left_out(pair):
    source = "one two\n\nthree\n" + "long " * 10_000 + "\nfour\n"
    counts, folder = pair(source, "eins zwei\nzwei\n\ndrei\nvier\n")
    assert counts["train"] == {"pairs": 2, "empty": 2, "long": 1}
    assert counts == json.loads((folder / "data" / "left-out.json").read_text())
    assert prepare(folder, TranslationConfig(PairsConfig(["x", "y"]))) == counts  # nothing is done twice


@pytest.mark.parametrize("content", ["{", "[]", "3", '{"train": {"pairs": 1}}', '{"train": 3}'])
def test_a_count_that_is_not_whole_is_made_again(pair, content):
    counts, folder = pair("a b\n\n", "x y\nz\n")
    (folder / "data" / "left-out.json").write_text(content)
    assert pair("a b\n\n", "x y\nz\n")[0] == counts
    assert json.loads((folder / "data" / "left-out.json").read_text()) == counts


def test_the_vocabulary_of_a_run_with_a_checkpoint_is_kept(pair, tmp_path):
    _, folder = pair("a b\n", "x y\n")
    (folder / "checkpoint.safetensors").touch()
    before = (folder / "vocab.json").read_bytes()
    shutil.rmtree(folder / "data")
    with pytest.raises(InputError, match="2 lines"):  # the texts have changed, or are gone
        pair("a\nb\n", "x\n")
    assert (folder / "vocab.json").read_bytes() == before
    pair("c d\n", "x y\n")
    assert (folder / "vocab.json").read_bytes() == before


def test_one_vocabulary_or_two(pair):
    _, folder = pair("a b c\n", "x y\n", shared=False)
    source, target = load_vocabularies(folder, PairsConfig(vocabulary="word", shared=False))
    assert (source.size, target.size) == (5, 4)
    assert EncodedText.open(folder / "data", "train.target").ids.tolist() == target.encode("x y")


def test_a_shared_vocabulary_has_the_words_of_both(pair):
    _, folder = pair("a b c\n", "x y\n")
    one, other = load_vocabularies(folder, PairsConfig(vocabulary="word"))
    assert one is other
    assert one.size == 7


def test_without_validation_the_last_tenth_is_held_out(pair):
    lines = "".join(f"w{k}\n" for k in range(25))
    counts, folder = pair(lines, lines, valid=[])
    assert (counts["train"]["pairs"], counts["valid"]["pairs"]) == (23, 2)
    source, _ = load_vocabularies(folder, PairsConfig(vocabulary="word"))
    assert source.unknown in source.encode("w24")  # unseen, so not in the vocabulary
    assert EncodedText.open(folder / "data", "train.source").ids.tolist() == [
        n for k in range(23) for n in source.encode(f"w{k}")
    ]


@pytest.mark.parametrize(
    ("source", "target", "part"),
    [
        ("a\nb\n", "x\n", "a.txt has 2 lines and .*b.txt 1"),
        (b"a\xff\n", "x\n", "not UTF-8: byte 0xff at offset 1"),
        ("a\n", b"x\0\n", "NUL byte"),
        ("a\n", "", "is empty"),
        ("\n\n", "x\ny\n", "vocabulary of 2|no pair of the train texts is left: 2 have an empty side"),
    ],
)
def test_what_cannot_be_used_is_refused_and_leaves_nothing(pair, tmp_path, source, target, part):
    with pytest.raises(InputError, match=part):
        pair(source, target)
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    "options", [{"train": ["a"]}, {"train": ["a", "b"], "valid": ["c"]}, {"vocabulary": "x"}, {"longest": 1}]
)
def test_a_configuration_that_cannot_be_is_refused(options):
    with pytest.raises(InputError):
        PairsConfig(**({"train": ["a", "b"]} | options)).check()
