"""Words, characters and byte pairs: numbers and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.errors import InputError
from carousel.text.vocabulary import Vocabulary

TEXT = ["the cat sat on the mat", "the dog <unk> the cat", "", "on and on"]
printable = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=30)


@given(printable)
@settings(deadline=None, max_examples=50)
def test_byte_pairs_know_every_text(line):
    v = Vocabulary.train("bpe", TEXT, 300)
    assert v.decode(v.encode(line)) == line + "\n"


@given(st.text(st.sampled_from("the catsondgm")))
@settings(deadline=None, max_examples=50)
def test_characters_that_were_seen_come_back(line):
    v = Vocabulary.train("char", TEXT)
    assert v.decode(v.encode(line)) == line + "\n"


def test_words_come_back_but_for_white_space():
    v = Vocabulary.train("word", TEXT)
    assert v.decode(v.encode("the  cat\tsat")) == "the cat sat\n"


def test_unk_in_a_text_is_the_unknown_word_and_numbers_have_no_gap():
    v = Vocabulary.train("word", TEXT)
    assert v.encode("the zebra <unk>")[1:] == [v.unknown, v.unknown, v.end]
    assert sorted(v.tokenizer.get_vocab().values()) == list(range(v.size))


def test_eos_in_a_text_of_byte_pairs_is_five_characters():
    v = Vocabulary.train("bpe", TEXT, 300)
    assert v.encode("<eos>").count(v.end) == 1


def test_size_keeps_the_most_frequent():
    v = Vocabulary.train("word", TEXT, 4)
    assert set(v.tokenizer.get_vocab()) == {"<unk>", "<eos>", "the", "on"}


def test_one_word_is_no_vocabulary():
    with pytest.raises(InputError, match="vocabulary of 1 word"):
        Vocabulary.train("word", ["no no no", "no"])


def test_pieces_show_unknown_words_as_they_stand():
    v = Vocabulary.train("word", TEXT)
    assert v.pieces("the zebra") == [("the", v.encode("the")[0]), ("zebra", v.unknown), ("<eos>", v.end)]


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_saved_and_loaded_it_is_the_same(kind, tmp_path):
    v = Vocabulary.train(kind, TEXT, 300)
    v.save(tmp_path / "vocab.json")
    assert Vocabulary.load(tmp_path / "vocab.json", kind).encode(TEXT[0]) == v.encode(TEXT[0])


def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(InputError, match="is not a vocabulary"):
        Vocabulary.load(tmp_path / "vocab.json", "word")
