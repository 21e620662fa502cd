"""Lines go in, and as many lines come out."""

import pytest
import torch

from carousel.text.vocabulary import Vocabulary
from carousel.translation.translate import Interpreter


@pytest.fixture
def words(make):
    """A translator of words, neither of which means anything."""
    vocabulary = Vocabulary.train("word", ["a b c d"])
    return make(vocabulary.size, vocabulary.size), vocabulary


def test_blank_lines_stay_empty_in_any_vocabulary(make):
    for kind in ("word", "char", "bpe"):
        vocabulary = Vocabulary.train(kind, ["a b  c d"])
        model = make(vocabulary.size, vocabulary.size)
        found = list(Interpreter(model, vocabulary, vocabulary, beam=2).lines(["", "   ", "\t", "a b"], rows=3))
        assert [best[0].text for best in found[:3]] == [""] * 3
        assert found[3][0].source == tuple(w for w, _ in vocabulary.pieces("a b"))


def test_a_translation_is_one_line_even_where_byte_pairs_write_a_line_end(make):
    vocabulary = Vocabulary.train("bpe", ["a b c d"])
    model = make(vocabulary.size, vocabulary.size)
    with torch.no_grad():
        for end in "\n\r":
            model.output.bias[vocabulary.encode(end)[0]] = 80.0
    ((best, *_),) = Interpreter(model, vocabulary, vocabulary, beam=2).together(["a b"])
    assert {"\n", "\r"} & set(best.pieces)
    assert len((best.text + "x").splitlines()) == 1


def test_lines_that_are_too_long_are_told_by_number(words):
    model, vocabulary = words
    told = []
    interpreter = Interpreter(model, vocabulary, vocabulary, beam=1, longest=3, told=lambda *what: told.append(what))
    found = list(interpreter.lines(["a", "a b c d", "a b", "a b c"], rows=2))
    assert told == [(2, 5), (4, 4)]
    assert found[1][0].source == ("a", "b", "<eos>")
    assert len(interpreter.together(["a b c d"], [17])) == 1
    assert told[2:] == [(17, 5)]
