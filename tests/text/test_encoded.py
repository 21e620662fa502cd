"""An encoded text is what was written, or it is refused."""

import json

import pytest

from carousel.errors import InputError
from carousel.text.encoded import EncodedText
from carousel.text.vocabulary import Vocabulary

LINES = ["the cat sat on the mat", "a dog", "the dog sat"] * 50


@pytest.fixture
def folder(tmp_path):
    """A text that was encoded as ``train``."""
    EncodedText.encode(LINES, Vocabulary.train("word", LINES), tmp_path, "train")
    return tmp_path


@pytest.mark.parametrize("suffix", ["words", "ends"])
@pytest.mark.parametrize("bit", [0, 3, 7, 12])
def test_a_flipped_bit_is_refused(folder, suffix, bit):
    path = folder / f"train.{suffix}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 + bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"train\.\* is not this run's encoded text"):
        EncodedText.open(folder, "train")


@pytest.mark.parametrize("key", ["words", "lines", "characters", "unknown", "checksum"])
def test_a_changed_count_is_refused(folder, key):
    path = folder / "train.json"
    facts = json.loads(path.read_text())
    facts[key] += 1
    path.write_text(json.dumps(facts))
    with pytest.raises(InputError, match="is not this run's encoded text"):
        EncodedText.open(folder, "train")


@pytest.mark.parametrize("dtype", ["O", "<f8", ">u2", 2])
def test_another_type_is_refused(folder, dtype):
    path = folder / "train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dtype": dtype}))
    with pytest.raises(InputError, match="does not tell its sizes"):
        EncodedText.open(folder, "train")


def test_a_text_of_0_1_0_has_no_checksum_and_is_opened(folder):
    path = folder / "train.json"
    facts = json.loads(path.read_text())
    del facts["checksum"]
    path.write_text(json.dumps(facts))
    assert len(EncodedText.open(folder, "train")) == facts["words"]
    content = bytearray((folder / "train.ends").read_bytes())
    content[9] ^= 1  # its ends must rise all the same
    (folder / "train.ends").write_bytes(content)
    with pytest.raises(InputError, match="has changed since it was written"):
        EncodedText.open(folder, "train")


def test_tokens_that_the_vocabulary_lacks_are_refused(folder):
    assert EncodedText.open(folder, "train", 9)
    with pytest.raises(InputError, match="has token 8, and the vocabulary only 8"):
        EncodedText.open(folder, "train", 8)
