"""Text files that cannot be used are refused in one line that says where and why."""

import re

import pytest

from carousel.errors import InputError
from carousel.text.lines import lines


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"good\nbad \xff here\n", r"not UTF-8: byte 0xff at offset 9 \(line 2\)"),
        (b"a\nb\0c\n", r"NUL byte at offset 3 \(line 2\)"),
        (b"short\n" + b"x" * 10_000_000, "line 2 is longer than 1 MiB"),
    ],
    ids=["empty", "not UTF-8", "NUL", "10 MB line"],
)
def test_what_cannot_be_text_is_refused_with_its_place(tmp_path, content, reason):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        list(lines(path))


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        list(lines(tmp_path / "none.txt"))
    with pytest.raises(InputError, match="is a folder"):
        list(lines(tmp_path))


def test_lines_of_several_files_without_their_ends(tmp_path):
    (tmp_path / "a").write_bytes("\ufeffeins\r\nzwei".encode())
    (tmp_path / "b").write_text("\ndrei\n")
    assert list(lines([tmp_path / "a", tmp_path / "b"])) == ["eins", "zwei", "", "drei"]


def test_the_message_names_the_file(tmp_path):
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "none.txt"))):
        list(lines(tmp_path / "none.txt"))
