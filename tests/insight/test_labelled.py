"""Labelled sentences on disk, and the memories after their words."""

import json

import pytest
import torch

from carousel.errors import InputError
from carousel.insight.labelled import Sentence, memories, read_sentences
from carousel.language.model import LanguageModel, ModelConfig
from carousel.language.vocabulary import Vocabulary

TEXTS = ["the boy lost his hat .", "the girl lost", "the old men saw the boy who lost the hat ."]
TARGET = (
    '{"words": ["a"], "labels": {}, "targets": [{"position": %s, "right": %s, "wrong": "c", "kind": "verb", "distance": 1, '
    '"attractors": 0}]}'
)
GIVEN = [Sentence(tuple(t.split()), {}) for t in TEXTS]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2"),
        ('{"labels": {}}', "it has no 'words'"),
        ('{"words": ["a"]}', "it has no 'labels'"),
        ('{"words": [], "labels": {}}', "not all words"),
        ('{"words": ["a b"], "labels": {}}', "not all words"),
        ('{"words": ["\\ud800"], "labels": {}}', "surrogates"),
        ('{"words": ["a"], "labels": []}', "line 2"),
        ("[" * 100_000, "line 2"),
        ('{"words": ["a", 3], "labels": {}}', "not all words"),
        ('{"words": ["a", "b"], "labels": {"x": [1]}}', "2 words but 1 labels of 'x'"),
        ('{"words": ["a"], "labels": {"x": [[1]]}}', "a label of 'x' is neither"),
        ('{"words": ["a"], "labels": {}, "subject": 4}', "beyond its words"),
        ('{"words": ["a"], "labels": {}, "targets": [{"position": 0}]}', "missing"),
        (TARGET % ("0", '"a b"'), "right kinds"),
        (TARGET % ("0.0", '"b"'), "right kinds"),
        (TARGET % ("0", "5"), "right kinds"),
        ("[1]", "line 2"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path, line, says):
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps({"words": ["a"], "labels": {}}) + "\n" + line)
    with pytest.raises(InputError) as error:
        read_sentences(path)
    assert says in str(error.value) and "line 2" in str(error.value) and "\n" not in str(error.value)


def test_an_empty_file(tmp_path):
    (tmp_path / "s.jsonl").write_text("\n\n")
    with pytest.raises(InputError, match="holds no sentence"):
        read_sentences(tmp_path / "s.jsonl")


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_memories_are_those_after_each_word(kind):
    vocabulary = Vocabulary.train(kind, TEXTS, 290 if kind == "bpe" else None)
    torch.manual_seed(1)
    model = LanguageModel(vocabulary.size, ModelConfig("lstm-v2", 5, 5, 2, dropout=0.5))
    found = memories(model, vocabulary, GIVEN, "h", layer=0)
    for s, values in zip(GIVEN, found, strict=True):
        assert values.shape == (len(s.words), 5)
        for k in range(len(s.words)):
            numbers = [vocabulary.end, *vocabulary.encode(" ".join(s.words[: k + 1]))[:-1]]
            _, states = model.recurrent(model.embedding(torch.tensor(numbers).unsqueeze(1)))
            assert torch.allclose(states[1][0, 0], values[k], atol=1e-6)


def test_what_the_cell_does_not_have(model, vocabulary):
    with pytest.raises(InputError, match="nothing called 'q'"):
        memories(model, vocabulary, GIVEN, "q")
