"""Python's own source with tags: each token's class and construct, by hand."""

from pathlib import Path

from carousel.corpora import python_source
from carousel.corpora.python_source import functions, part_of, write

SOURCE = '''"""A module."""
import os


class A:
    @property
    def f(self, x=1):
        # a comment
        for k in [x, os.path.join("é", k=f"{x} y")]:  # another
            self.y = g(k)[0]
        return {a: b for a in x}


def g(k):
    def inner():
        return k
    del k
'''


def read(tmp_path, source=SOURCE):
    (tmp_path / "m.py").write_text(source, encoding="utf-8")
    return list(functions(tmp_path / "m.py"))


def test_each_function_has_its_tokens_with_class_and_construct(tmp_path):
    f, g = ([(t.text, t.kind, t.construct) for t in function] for function in read(tmp_path))
    assert f[:5] == [
        ("def", "keyword", "FunctionDef"),
        ("f", "function", "FunctionDef"),
        ("(", "operator", "FunctionDef"),
        ("self", "parameter", "FunctionDef"),
        (",", "operator", "FunctionDef"),
    ]
    expected = """for:keyword:For k:assigned:For in:keyword:For [:operator:List x:variable:List ,:operator:List os:variable:Call
    .:operator:Call path:attribute:Call .:operator:Call join:method:Call (:operator:Call "":string:Call ,:operator:Call
    k:argument:Call =:operator:Call f"":string:Call ):operator:Call ]:operator:List ::operator:For <line>:layout:For
    <indent>:layout:For self:variable:Assign .:operator:Assign y:assigned-attribute:Assign =:operator:Assign g:call:Call
    (:operator:Call k:variable:Call ):operator:Call [:operator:Subscript 0:number:Subscript ]:operator:Subscript
    <line>:layout:Assign <dedent>:layout:FunctionDef return:keyword:Return {:operator:DictComp"""
    begin = next(k for k, t in enumerate(f) if t[0] == "for")
    assert [":".join(t) for t in f[begin:]][: len(expected.split())] == expected.split()
    assert g[0][0] == "def" and ("del", "keyword", "Delete") in g and ("k", "deleted", "Delete") in g
    assert ("inner", "function", "FunctionDef") in g  # within g, and no function of its own


def test_long_functions_are_left_out(tmp_path):
    assert not read(tmp_path, "def f():\n" + "    x = 1\n" * 60)


def test_whole_modules_are_in_one_part_and_held_out_labels_are_known(tmp_path):
    counts = {"train": 60, "valid": 10, "test": 10}
    written = write(tmp_path / "a", counts)
    assert written["train"][0] == 60 and 0 < written["valid"][0] <= 10 and 0 < written["test"][0] <= 10
    rows = {p: [line.split("\t") for line in (tmp_path / "a" / f"{p}.txt").read_text().splitlines() if line] for p in counts}
    assert all(len(row) == 3 and all(row) for row in rows["train"])
    for column in (1, 2):
        known = {row[column] for row in rows["train"]}
        assert all(row[column] in known for part in ("valid", "test") for row in rows[part])
    write(tmp_path / "b", counts)
    assert all((tmp_path / "a" / f"{p}.txt").read_bytes() == (tmp_path / "b" / f"{p}.txt").read_bytes() for p in counts)
    assert {part_of(str(p)) for p in python_source.modules()} == {"train", "valid", "test"}
    assert not any("test" in Path(p).parts for p in python_source.modules())


def test_a_function_of_several_modules_is_in_one_part(tmp_path, monkeypatch):
    """Here every module has the same functions, which are not to be learnt in one part and asked in another."""
    monkeypatch.setattr(python_source, "functions", lambda path: read(tmp_path))
    written = write(tmp_path / "a", {"train": 5, "valid": 5, "test": 5})
    assert sum(count for count, _ in written.values()) <= 2
