"""Columns are what the file says, in every format alike; what is no table is refused in one line."""

import datetime
import re
import zipfile

import numpy as np
import pytest

from carousel.errors import InputError
from carousel.series.columns import choose, numbers, of_arrays, read, texts

CSV = "month,sales,price,shop\n2020-01,10,1.5,a\n2020-02,12,,b\n2020-03,9,2e1,a\n"


@pytest.fixture
def table(tmp_path):
    """``table(text)`` writes a CSV file."""

    def write(text, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_file(table, separator, end):
    found = read(table("\ufeff" + CSV.replace(",", separator).replace("\n", end) + end))
    assert list(found) == ["month", "sales", "price", "shop"]
    assert found["sales"].dtype == np.int64 and found["sales"].tolist() == [10, 12, 9]
    np.testing.assert_array_equal(found["price"], [1.5, np.nan, 20])
    assert found["month"].tolist() == ["2020-01", "2020-02", "2020-03"] and found["shop"].dtype.kind == "U"


def test_quotes_keep_separators_and_numbers_may_be_missing_in_several_ways(table):
    found = read(table('"a, b",c\n1,x\nNA,"y, z"\nnull,""\nNaN,\n-.5,\n'))
    np.testing.assert_array_equal(found["a, b"], [1, np.nan, np.nan, np.nan, -0.5])
    assert found["c"].tolist() == ["x", "y, z", "", "", ""]


def test_empty_lines(table):
    np.testing.assert_array_equal(read(table("a\n1\n\n3\n\n\n"))["a"], [1, np.nan, 3])  # one column: a value is missing
    assert read(table("a,b\n1,2\n\n3,4\n\n"))["b"].tolist() == [2, 4]


def test_what_only_looks_like_a_number_is_text(table):
    found = read(table("a,b,c\n1_000,٣,0x10\n2,3,4\n"))
    assert {v.dtype.kind for v in found.values()} == {"U"}
    assert read(table("a,b\n9999999999999999999,x\n"))["a"].dtype == np.float64  # beyond int64


def test_arrays_of_an_archive(tmp_path):
    path = tmp_path / "t.npz"
    days = np.array(["2020-01-01", "NaT"], "datetime64[D]")
    np.savez(path, x=np.arange(4, dtype=np.float32).reshape(2, 2), y=np.array([1, 2], np.uint8), day=days, on=[True, False])
    found = read(path)
    assert list(found) == ["x.0", "x.1", "y", "day", "on"]
    assert found["x.1"].tolist() == [1, 3] and found["x.1"].dtype == np.float64
    assert found["y"].dtype == found["on"].dtype == np.int64
    assert found["day"].tolist() == ["2020-01-01", ""]


def test_a_parquet_file(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: Parquet files are NOT tested")
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    content = {
        "n": [1, 2, 3],
        "gap": [1, None, 3],
        "x": [0.5, None, 2.0],
        "s": ["a", None, "c"],
        "on": [True, None, False],
        "day": [datetime.date(2020, 1, 1), None, datetime.date(2020, 1, 3)],
        "at": [datetime.datetime(2020, 1, 1, 12), None, datetime.datetime(2020, 1, 2)],
    }
    parquet.write_table(pyarrow.table(content), path)
    found = read(path)
    assert list(found) == list(content) and found["n"].dtype == np.int64
    np.testing.assert_array_equal(found["gap"], [1, np.nan, 3])
    np.testing.assert_array_equal(found["x"], [0.5, np.nan, 2])
    np.testing.assert_array_equal(found["on"], [1, np.nan, 0])
    assert found["s"].tolist() == ["a", "", "c"]
    assert found["day"].tolist() == ["2020-01-01", "", "2020-01-03"] and found["at"][0].startswith("2020-01-01T12:00")
    parquet.write_table(pyarrow.table({"a": [[1], [2]]}), path)
    with pytest.raises(InputError, match="column 'a' must hold numbers or texts, not list"):
        read(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="no whole Parquet file"):
        read(path)


def test_without_pyarrow_a_parquet_file_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"needs pyarrow: pip install 'carousel-rnn\[series\]'"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a,b\n1,2\n3\n", "line 3 has 1 value, and the first line names 2 columns"),
        ("a,b\n1,2,3\n", "line 2 has 3 values"),
        ("a,a\n1,2\n", "two columns called 'a'"),
        ("a,,b\n1,2,3\n", "column 2 has no name"),
        ("1,2\n3,4\n", "the first line must name the columns"),
        ("a,b\n", "has no values"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ('a,b\n1,"2\n', "line 2: unexpected end of data"),
        (b"a\n\xff\n", "is not UTF-8: byte 0xff at offset 2"),
    ],
)
def test_what_is_no_csv_table_is_refused(table, text, part):
    with pytest.raises(InputError, match=part) as error:
        read(table(text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"a": np.arange(3), "b": np.arange(2)}, "'b' has 2 values and 'a' 3"),
        ({"a": np.zeros((2, 2, 2))}, r"must be \(T,\) or \(T, n\), not \(2, 2, 2\)"),
        ({"a": np.array(1.0)}, r"not \(\)"),
        ({"a": np.array([{}], object)}, "no archive of plain arrays"),
        ({"a": np.array([1j])}, "must hold numbers or texts, not complex128"),
        ({}, "has no columns"),
        ({"x": np.ones((1, 2)), "x.1": np.ones(1)}, "two columns called 'x.1'"),
    ],
)
def test_what_is_no_table_of_arrays_is_refused(tmp_path, content, part):
    np.savez(tmp_path / "t.npz", **content)
    with pytest.raises(InputError, match=part):
        read(tmp_path / "t.npz")


def members(path):
    """An archive of something else."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("note.txt", "hello")
    return path


def test_other_files_are_refused(tmp_path, table):
    np.save(tmp_path / "one.npy", np.arange(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    for path, part in [
        (tmp_path / "one.npz", "no archive of arrays"),
        (table("a,b\n1,2\n", "text.npz"), "no archive of arrays, such as np.savez writes$"),
        (table(b"PK\x03\x04 half", "half.npz"), "no archive of plain arrays"),
        (table("text", "t.txt"), r"must end in \.csv, \.npz or \.parquet"),
        (tmp_path, r"must end in"),
        (members(tmp_path / "members.npz"), "holds 'note.txt', which is no array"),
    ]:
        with pytest.raises(InputError, match=part):
            read(path)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path / "folder.csv")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing.csv")


def test_columns_that_are_asked_for(table):
    path = table(CSV)
    found = read(path)
    assert list(choose(found, ["price", "sales"], path)) == ["price", "sales"]
    np.testing.assert_array_equal(numbers(found, ["sales", "price"], path), [[10, 1.5], [12, np.nan], [9, 20]])
    assert numbers(found, [], path).shape == (3, 0)
    assert texts(found, "sales", path) == ["10", "12", "9"] and texts(found, "shop", path) == ["a", "b", "a"]
    with pytest.raises(InputError, match="no column 'sale'; did you mean 'sales'"):
        choose(found, ["sale"], path)
    with pytest.raises(InputError, match="no column 'zzz'; it has month, sales, price, shop"):
        choose(found, ["zzz"], path)
    with pytest.raises(InputError, match="column 'month' must hold numbers, and its value 1 is '2020-01'"):
        numbers(found, ["month"], path)
    for large in ("inf", "-1e+39"):  # which single precision does not hold
        with pytest.raises(InputError, match=f"column 'a' holds {re.escape(large)}, its value 2, and the most is 3.4e"):
            numbers(read(table(f"a\n1\n{large}\n")), ["a"], path)


def test_arrays_stand_for_a_file():
    found = of_arrays({"n": [1, 2], "x": np.ones((2, 2)), "s": ["a", "b"]})
    assert list(found) == ["n", "x.0", "x.1", "s"] and found["n"].dtype == np.int64
    with pytest.raises(InputError, match="the columns has columns of different lengths"):
        of_arrays({"a": [1], "b": [1, 2]})
    with pytest.raises(InputError, match=r"must be \(T,\) or \(T, n\), not \(\)"):
        of_arrays({"a": 1})
