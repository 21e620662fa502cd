"""Files with labels are read as they stand, and one line says where they cannot be."""

import numpy as np
import pytest

from carousel.errors import InputError
from carousel.labelling.config import LabelsConfig
from carousel.labelling.names import Names, spelling
from carousel.labelling.reading import read, sentences

OF = {"sequence": "name", "label": "kind"}


def one(path, content, **data):
    path.write_text(content)
    return read([path], LabelsConfig([str(path)], **data))


def test_the_tag_is_in_the_last_column_or_in_another(tmp_path):
    content = "-DOCSTART- -X- O\n\nPeter NNP B-PER\nsleeps VBZ O\n\n\nNo DT O\n"
    found = one(tmp_path / "a.txt", content)
    assert [(f.steps, f.labels) for f in found] == [(["Peter", "sleeps"], ["B-PER", "O"]), (["No"], ["O"])]
    assert found[1].place.endswith("a.txt, line 7")
    assert one(tmp_path / "a.txt", content, tag_column=2)[0].labels == ["NNP", "VBZ"]


def test_tabs_part_columns_where_there_are_some(tmp_path):
    (found,) = one(tmp_path / "a.txt", "New York\tcity\n#\tO\n")
    assert found.steps == ["New York", "#"] and found.labels == ["city", "O"]


def test_tokens_without_tags_are_read_where_none_are_wanted():
    (found,) = sentences(["a", "b B-X"], "here", known=False)
    assert found.steps == ["a", "b"] and found.labels == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n\n", "has no tokens, only empty lines"),
        ("a X\nb\n", "line 2 has 1 column, and the first line has 2"),
        ("a\nb\n", "line 1 has a token without a tag"),
        ("a\tX\nb\t\n", "line 2 has an empty tag"),
        ("a\tX\n\tY\n", "line 2 has an empty token"),
    ],
)
def test_text_that_cannot_be_is_refused(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        one(tmp_path / "a.txt", content)


def test_a_column_of_tags_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="line 1 has no column 4"):
        one(tmp_path / "a.txt", "a X Y\n", tag_column=4)


def test_rows_of_a_table_that_have_one_name_are_a_sequence(tmp_path):
    content = "name,kind,a,b\nx,1,0.5,2\ny,2,1,3\nx,1,2,4\n"
    found = one(tmp_path / "a.csv", content, **OF)
    assert [f.name for f in found] == ["x", "y"] and [f.labels for f in found] == [["1", "1"], ["2"]]
    np.testing.assert_array_equal(found[0].steps, [[0.5, 2], [2, 4]])
    (whole,) = one(tmp_path / "a.csv", content, label="kind", features="b")
    np.testing.assert_array_equal(whole.steps, [[2], [3], [4]])


def test_arrays_of_an_archive_are_columns(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(6.0).reshape(3, 2), kind=np.array(["u", "v", "u"]), name=np.array([1, 1, 2]))
    first, second = read([path], LabelsConfig(**OF))
    np.testing.assert_array_equal(first.steps, [[0, 1], [2, 3]])
    assert (first.labels, second.labels) == (["u", "v"], ["u"])


@pytest.mark.parametrize(
    ("content", "data", "words"),
    [
        ("name,kind,a\nx,1,2\n", {}, "name the column of its labels, `label`"),
        ("name,kind,a\nx,1,2\n", {"label": "king"}, "has no column 'king'; did you mean 'kind'"),
        ("name,kind,a\nx,1,2\nx,1,\n", OF, "column 'a' has no value in row 2"),
        ("name,kind,a\nx,u,2\nx,,3\n", OF, "column 'kind' has no label in row 2"),
        ("name,kind,a\nx,1,2,3\n", OF, "line 2 has 4 values"),
        ("name,kind,a\nx,1,big\n", OF, "must hold numbers"),
        ("name,kind\nx,1\n", OF, "no column to read"),
    ],
)
def test_tables_that_cannot_be_are_refused(tmp_path, content, data, words):
    with pytest.raises(InputError, match=words):
        one(tmp_path / "a.csv", content, **data)


def test_columns_have_one_part_each():
    with pytest.raises(InputError, match="two columns, not both"):
        LabelsConfig(sequence="a", label="a").check()
    with pytest.raises(InputError, match="cannot be among the `features`"):
        LabelsConfig(label="a", features="b, a").check()


def test_a_word_has_ends_and_a_shape():
    assert spelling("Prague") == ("Prague", "Pra", "gue", "Aa")
    assert spelling("part_12") == ("part_12", "par", "_12", "a_0")


def test_rare_words_are_unknown_and_known_by_their_spelling(tmp_path):
    names = Names.of_text(["A", "B"], ["cats", "cats", "dogs", "bits", "bits"], 2, True)
    known, unknown = names.steps(["cats", "bats"])
    assert known.all() and unknown[0] == 0 and unknown[2] == known[2]  # the same ending
    assert Names.of_text(["A"], ["a"], 1, False).steps(["a"]).shape == (1, 1)
    names.save(tmp_path)
    assert Names.load(tmp_path) == names
    columns = Names(("A", "B"), columns=("x", "y"))
    columns.save(tmp_path)
    assert Names.load(tmp_path) == columns


@pytest.mark.parametrize("content", ['{"labels": []}', '{"labels": ["a"]}', '{"labels": ["a", "a"], "columns": ["x"]}', "[]"])
def test_names_that_are_none_are_refused(tmp_path, content):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(InputError, match=r"labels\.json"):
        Names.load(tmp_path)
