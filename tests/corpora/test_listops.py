"""ListOps against an evaluator of its own, and against lines of the published files."""

import random
import statistics
from collections import Counter

import pytest

from carousel.corpora.listops import COUNTS, DEEPEST, LONGEST, Expression, expression, parsed, write
from carousel.errors import InputError

PUBLISHED = """\
0	( ( ( ( ( [SM 6 ) 5 ) 9 ) 0 ) ] )
0	( ( ( ( ( [MIN 6 ) 3 ) 5 ) 0 ) ] )
2	( ( ( ( ( ( [SM ( ( ( ( ( [MIN ( ( ( ( ( ( [MIN 5 ) ( ( ( ( [SM 5 ) 4 ) 1 ) ] ) ) 0 ) 4 ) 9 ) ] ) ) 8 ) 7 ) 6 ) ] ) ) 1 ) \
1 ) 7 ) 3 ) ] )
"""


def value(tokens):
    """The value of tokens, by a stack; the median as NumPy and ``statistics`` have it, cut to a whole number."""
    stack = [[]]
    for token in tokens:
        if token.startswith("["):
            stack.append([token])
        elif token == "]":
            name, *digits = stack.pop()
            of = {"[MIN": min, "[MAX": max, "[MED": lambda v: int(statistics.median(v)), "[SM": lambda v: sum(v) % 10}
            stack[-1].append(of[name](digits))
        else:
            stack[-1].append(int(token))
    ((found,),) = stack
    return found


def read(tokens):
    """The expression of tokens, which an iterator gives."""
    token = next(tokens)
    if not token.startswith("["):
        return token if token == "]" else int(token)
    arguments = []
    while (one := read(tokens)) != "]":
        arguments.append(one)
    return Expression.of(token, arguments)


def unbracketed(line):
    return [part for part in line.split() if part not in "()"]


def test_the_published_lines_are_written_alike():
    for line in PUBLISHED.splitlines():
        label, tree = line.split("\t")
        found = read(iter(unbracketed(tree)))
        assert str(found) == tree and found.value == int(label)


@pytest.mark.parametrize(
    ("operation", "arguments", "expected"),
    [("[MED", (1, 2, 3, 4), 2), ("[MED", (9, 0, 5), 5), ("[MED", (3, 8), 5), ("[SM", (9, 9, 9), 7), ("[MAX", (0, 3), 3)],
)
def test_operations(operation, arguments, expected):
    assert Expression.of(operation, arguments).value == expected


def test_values_lengths_and_depths_are_those_of_the_tokens():
    choose = random.Random(1)
    for _ in range(500):
        found = expression(choose)
        tokens = [*found.tokens()]
        assert unbracketed(str(found)) == tokens and len(tokens) == found.length and value(tokens) == found.value
        open_ones = [sum(t[0] == "[" for t in tokens[:k]) - tokens[:k].count("]") for k in range(len(tokens))]
        assert max(open_ones) == found.depth
        assert str(found).count("(") == str(found).count(")") == len(tokens) - 1  # a binary tree


def test_they_are_drawn_by_the_authors_rules():
    """A quarter of the arguments is nested, counts and operations are equally frequent, and 19 operations are the deepest."""
    choose, levels = random.Random(3), {}

    def visit(e, depth):
        levels.setdefault(depth, []).append(e)
        for a in e.arguments:
            if isinstance(a, Expression):
                visit(a, depth + 1)

    for _ in range(10_000):
        visit(expression(choose), 1)
    assert max(levels) == DEEPEST == 19
    every = [e for k, some in levels.items() if k < DEEPEST for e in some]
    nested = [isinstance(a, Expression) for e in every for a in e.arguments]
    assert statistics.mean(nested) == pytest.approx(0.25, abs=0.01)
    for counted in (Counter(len(e.arguments) for e in every), Counter(e.operation for e in every)):
        assert len(counted) == 4 and all(n == pytest.approx(len(every) / 4, rel=0.05) for n in counted.values())
    digits = Counter(a for e in every for a in e.arguments if isinstance(a, int))
    assert sorted(digits) == [*range(10)] and all(n == pytest.approx(digits.total() / 10, rel=0.05) for n in digits.values())


def test_parts_have_their_numbers_and_nothing_in_common(tmp_path):
    counts = {"train": 300, "valid": 30, "test": 60}
    written = write(tmp_path / "a", counts)
    lines = {part: (tmp_path / "a" / f"{part}.tsv").read_text().splitlines() for part in counts}
    assert {part: n for part, (n, _) in written.items()} == counts == {part: len(x) for part, x in lines.items()}
    every = [line for some in lines.values() for line in some]
    assert len({*every}) == len(every)
    for part, some in lines.items():
        tokens = [unbracketed(line.split("\t")[1]) for line in some]
        assert sum(map(len, tokens)) == written[part][1]
        assert max(map(len, tokens)) <= LONGEST.get(part, 10_000)
        assert all(value(t) == int(line.split("\t")[0]) for t, line in zip(tokens, some, strict=True))
    short = {part: sum(len(line) < 40 for line in some) / len(some) for part, some in lines.items()}
    assert abs(short["train"] - short["valid"]) < 0.25  # the parts fill up together
    write(tmp_path / "b", counts)
    write(tmp_path / "c", counts, seed=2)
    assert (tmp_path / "b" / "train.tsv").read_bytes() == (tmp_path / "a" / "train.tsv").read_bytes()
    assert (tmp_path / "c" / "train.tsv").read_bytes() != (tmp_path / "a" / "train.tsv").read_bytes()
    assert COUNTS["train"] == 90_000


def test_an_expression_is_parsed_as_it_is_printed():
    choose = random.Random(3)
    for _ in range(50):
        drawn = expression(choose)
        assert parsed(" ".join(drawn.tokens())) == drawn
    assert str(parsed("[MAX 2 9[MIN 4 7]0]")) == str(parsed("[MAX 2 9 [MIN 4 7 ] 0 ]"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("3", "begins with one of"),
        ("[SUM 1 ]", "begins with one of"),
        ("[MAX ]", "no arguments"),
        ("[MAX 2", "leaves brackets open"),
        ("[MAX 2 ] 3", "goes on with '3'"),
        ("[MAX 12 ]", "'12' is neither"),
        ("[MAX \u00b2 ]", "is neither"),
        ("[MAX 1 " * 201, "more than 200"),
    ],
)
def test_what_is_no_expression_is_not_parsed(text, says):
    with pytest.raises(InputError, match=says):
        parsed(text)
