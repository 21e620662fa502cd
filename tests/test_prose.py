"""A function's docstring begins with a verb; ruff's D401 knows few of the words that are none."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / "carousel"
ELSEWHERE = ("cells",)  # whose docstrings say which cell it is
NO_VERBS = """a all an another any as by every each for from how if in it its nothing of on one only our ours some someone that
the their these they this those two until what when where whether which who whose with without"""


def is_property(function):
    return any("property" in ast.unparse(d) for d in function.decorator_list)


def first_lines(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(node) and ast.get_docstring(node):
            yield ast.get_docstring(node).splitlines()[0]


def is_order(line):
    first = line.split()[0].strip(",.:;")
    return first.isalpha() and first.lower() not in NO_VERBS.split()


def test_a_functions_docstring_begins_with_a_verb():
    rooms = [p for p in ROOT.iterdir() if p.suffix == ".py" or (p.is_dir() and p.name not in ELSEWHERE)]
    lines = [
        (str(p), line) for room in rooms for p in ([room] if room.is_file() else room.rglob("*.py")) for line in first_lines(p)
    ]
    assert len(lines) > 400 and [x for x in lines if not is_order(x[1])] == []
