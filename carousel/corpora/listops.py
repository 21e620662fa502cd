"""ListOps (Nangia and Bowman 2018): nested operations on lists of digits, whose value is a digit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from carousel import files
from carousel.corpora.writing import SPLITS
from carousel.errors import InputError


def median(values: list[int]) -> int:
    """Return the value in the middle; of an even number, the mean of the middle two, rounded down."""
    ordered, half = sorted(values), len(values) // 2
    return (ordered[half] + ordered[-half - 1]) // 2


END = "]"
OPERATIONS: dict[str, Callable[[list[int]], int]] = {
    "[MIN": min,
    "[MAX": max,
    "[MED": median,
    "[SM": lambda values: sum(values) % 10,
}
NESTED, MOST_ARGUMENTS, DEEPEST = 0.25, 5, 19  # as the authors have them
MOST_NESTED = 200  # of an expression that is read
LONGEST = {"train": 100, "valid": 100}  # tokens, as the authors train; a test expression may have any length
COUNTS = {"train": 90_000, "valid": 2_000, "test": 10_000}


@dataclass(frozen=True)
class Expression:
    """An operation on two to five arguments, each a digit or an expression.

    Attributes:
        operation: of OPERATIONS.
        arguments: in order.
        value: from 0 to 9.
        depth: operations from here to the innermost one, both counted.
        length: tokens, closing brackets counted.
    """

    operation: str
    arguments: tuple[int | Expression, ...]
    value: int
    depth: int
    length: int

    @classmethod
    def of(cls, operation: str, arguments: Iterable[int | Expression]) -> Expression:
        """Return the expression of an operation and its arguments."""
        given = tuple(arguments)
        inner = [a for a in given if isinstance(a, Expression)]
        value = OPERATIONS[operation]([a.value if isinstance(a, Expression) else a for a in given])
        length = 2 + len(given) - len(inner) + sum(a.length for a in inner)
        return cls(operation, given, value, 1 + max((a.depth for a in inner), default=0), length)

    def tokens(self) -> Iterator[str]:
        """Yield the tokens in order: ``[MAX``, ``2``, ``9``, ``]``."""
        yield self.operation
        for a in self.arguments:
            if isinstance(a, Expression):
                yield from a.tokens()
            else:
                yield str(a)
        yield END

    def __str__(self) -> str:
        """Return the binary tree in brackets, as the authors' files have it: ``( ( ( [MAX 2 ) 9 ) ] )``."""
        parts = " ) ".join(map(str, (*self.arguments, END)))
        return f"{'( ' * (len(self.arguments) + 1)}{self.operation} {parts} )"


def parsed(text: str) -> Expression:
    """Return the expression of a text such as ``[MAX 2 9 [MIN 4 7 ] 0 ]``.

    Raises:
        InputError: it is none.
    """
    tokens = text.replace("[", " [").replace(END, f" {END} ").split()
    outer: list[tuple[str, list[int | Expression]]] = []
    for at, token in enumerate(tokens, 1):
        if token in OPERATIONS:
            if len(outer) == MOST_NESTED:
                raise InputError(f"the expression has more than {MOST_NESTED} operations inside one another")
            outer.append((token, []))
        elif not outer:
            raise InputError(f"an expression begins with one of {', '.join(OPERATIONS)}, not with {token!r}")
        elif token.isdecimal() and len(token) == 1:
            outer[-1][1].append(int(token))
        elif token != END:
            raise InputError(f"{token!r} is neither a digit nor one of {', '.join(OPERATIONS)} nor {END}")
        elif not outer[-1][1]:
            raise InputError(f"{outer[-1][0]} {END} has no arguments")
        else:
            found = Expression.of(*outer.pop())
            if outer:
                outer[-1][1].append(found)
            elif at == len(tokens):
                return found
            else:
                raise InputError(f"the expression goes on with {tokens[at]!r} where it has ended")
    raise InputError("the expression leaves brackets open" if outer else "the expression is empty")


def expression(choose: random.Random, depth: int = 1) -> Expression:
    """Return an expression drawn by the authors' rules: an argument is an operation with probability 1/4.

    Args:
        choose: the generator.
        depth: operations around it, itself counted; all arguments of the 19th are digits.
    """
    count = choose.randint(2, MOST_ARGUMENTS)
    nests = depth < DEEPEST
    arguments = [
        expression(choose, depth + 1) if nests and choose.random() < NESTED else choose.randrange(10) for _ in range(count)
    ]
    return Expression.of(choose.choice([*OPERATIONS]), arguments)


def expressions(counts: dict[str, int], seed: int = 1) -> Iterator[tuple[str, Expression]]:
    """Yield different expressions, each with its part, until every part has its number of them.

    Args:
        counts: of expressions, by part.
        seed: of all draws.
    """
    choose, seen, left = random.Random(seed), set[str](), dict(counts)
    while any(left.values()):
        drawn = expression(choose)
        part = choose.choices([*left], [*left.values()])[0]  # so that all parts fill up together, and short ones are in each
        if drawn.length <= LONGEST.get(part, drawn.length) and (written := str(drawn)) not in seen:
            seen.add(written)
            left[part] -= 1
            yield part, drawn


def write(folder: Path, counts: dict[str, int], seed: int = 1) -> dict[str, tuple[int, int]]:
    """Write ``train.tsv``, ``valid.tsv`` and ``test.tsv`` as the authors' files are: a value, a tab, the tree in brackets.

    Args:
        folder: where; made where it is missing.
        counts: of expressions, by part.
        seed: of all draws.

    Returns:
        By part, how many expressions and tokens were written.
    """
    chosen: dict[str, list[Expression]] = {part: [] for part in SPLITS}
    for part, drawn in expressions({part: counts[part] for part in SPLITS}, seed):
        chosen[part].append(drawn)
    folder.mkdir(parents=True, exist_ok=True)
    for part, found in chosen.items():
        files.write(folder / f"{part}.tsv", "".join(f"{e.value}\t{e}\n" for e in found))
    return {part: (len(found), sum(e.length for e in found)) for part, found in chosen.items()}
