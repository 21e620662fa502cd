"""Annotated sentences on disk."""

import json

import pytest

from carousel.corpora.annotated import read_sentences
from carousel.errors import InputError

TARGET = (
    '{"words": ["a"], "labels": {}, "targets": [{"position": %s, "right": %s, "wrong": "c", "kind": "verb", "distance": 1, '
    '"attractors": 0}]}'
)


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
