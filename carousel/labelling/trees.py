"""Trees in brackets, one a line: with a label at every node, or plain, with one label for the whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from carousel.errors import InputError

LABELLED, PLAIN = "labelled", "plain"
NO_TOKEN = ""  # of a node above others that has no token of its own
ROOT = -1  # in place of a parent's number


class Nodes:
    """The nodes of a tree, in the order in which they are written: a node, then those below it, from left to right.

    Attributes:
        tokens: of each node; NO_TOKEN where it has none.
        labels: of each node; of a plain tree, of the whole, or empty.
        parents: of each node its parent's number; ROOT of the first one.
    """

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.labels: list[str] = []
        self.parents: list[int] = []

    def add(self, parent: int, token: str = NO_TOKEN) -> int:
        """Add a node and return its number."""
        self.parents.append(parent)
        self.tokens.append(token)
        return len(self.tokens) - 1


def trees(given: Iterable[str], where: str, form: str, *, known: bool = True) -> Iterator[tuple[Nodes, str]]:
    """Yield the trees of lines, each as soon as it is read, with its place; empty lines are passed over.

    Args:
        given: lines.
        where: the name of the text in errors.
        form: LABELLED, ``(2 (3 good) (1 film))``: a label, a token, nodes below, of which token or nodes may be missing; as in
            the Stanford sentiment treebank. PLAIN, ``7<tab>( ( ( [MAX 2 ) 7 ) ] )``: a label, a tab, and tokens in brackets;
            as ListOps is published.
        known: whether plain trees have labels; if not, one may still stand there.

    Raises:
        InputError: a line is no tree of the form; the line's number is told.
    """
    for number, line in enumerate(given, 1):
        if line.strip():
            place = f"{where}, line {number}"
            yield (_labelled if form == LABELLED else _plain)(line, place, known), place


def _parts(line: str) -> list[str]:
    return line.replace("(", " ( ").replace(")", " ) ").split()


def _plain(line: str, place: str, known: bool) -> Nodes:
    label, tab, text = line.partition("\t")
    if not tab or (not known and "(" in label):
        label, text = "", line
    found, node, ended = Nodes(), ROOT, False
    if known and not label.strip():
        raise InputError(f"{place} has no label; a line is a label, a tab and a tree in brackets")
    found.labels = [label.strip()] if known else []
    for part in _parts(text):
        if ended:
            raise _more(part, place)
        if part == "(":
            node = found.add(node)
            continue
        if part != ")":
            found.add(node, part)
        else:
            if node == ROOT:
                raise _closes(place)
            if node == len(found.parents) - 1:
                raise InputError(f"{place} has empty brackets")
            node = found.parents[node]
        ended = node == ROOT
    return _whole(found, node, place)


def _labelled(line: str, place: str, known: bool) -> Nodes:
    found, node, ended, before = Nodes(), ROOT, False, ""
    for part in _parts(line):
        if ended:
            raise _more(part, place)
        if part == "(":
            if before == "(":
                raise InputError(f"{place} has a node without a label; a node is (label token), or (label nodes)")
            node = found.add(node)
            found.labels.append("")
        elif part == ")":
            if node == ROOT:
                raise _closes(place)
            if before == "(":
                raise InputError(f"{place} has empty brackets")
            if node == len(found.parents) - 1 and not found.tokens[node]:
                raise InputError(f"{place}: node ({found.labels[node]}) has neither a token nor nodes below it")
            node = found.parents[node]
            ended = node == ROOT
        elif node == ROOT:
            raise InputError(f"{place} begins with {part!r}; a labelled tree begins with a bracket: (label (label token) …)")
        elif before == "(":
            found.labels[node] = part
        elif found.tokens[node] or before == ")":
            raise InputError(f"{place}: node ({found.labels[node]} …) goes on with {part!r}; each node has its own brackets")
        else:
            found.tokens[node] = part
        before = part
    return _whole(found, node, place)


def _closes(place: str) -> InputError:
    return InputError(f"{place} closes a bracket that is not open")


def _more(part: str, place: str) -> InputError:
    if part == ")":
        return _closes(place)
    return InputError(f"{place} goes on with {part!r} where its tree has ended; a line is one tree")


def _whole(found: Nodes, node: int, place: str) -> Nodes:
    """Return a tree that is closed. Raises InputError for one that is not, or has no token."""
    if node != ROOT:
        still, at = 0, node
        while at != ROOT:
            still, at = still + 1, found.parents[at]
        raise InputError(f"{place} leaves {still} {'brackets' if still > 1 else 'bracket'} open")
    if not found.tokens:
        raise InputError(f"{place} has no tree")
    return found


def order_of_writing(parents: Sequence[int], ranks: Sequence[int]) -> list[int]:
    """Return the nodes of a tree as they are written: a node, then those below it, by their ranks."""
    below: list[list[int]] = [[] for _ in parents]
    for node in sorted(range(len(parents)), key=lambda k: ranks[k], reverse=True):
        if parents[node] != ROOT:
            below[parents[node]].append(node)
    waiting, order = [parents.index(ROOT)], list[int]()
    while waiting:
        order.append(waiting.pop())
        waiting += below[order[-1]]
    return order


def in_plain(tokens: Iterable[str], parents: Sequence[int]) -> str:
    """Return a plain tree as a line, without its label; the nodes stand in the order in which they are written."""
    parts, open_nodes = list[str](), list[int]()
    for node, (token, parent) in enumerate(zip(tokens, parents, strict=True)):
        while open_nodes and open_nodes[-1] != parent:
            open_nodes.pop()
            parts.append(")")
        parts.append(token or "(")
        if not token:
            open_nodes.append(node)
    return " ".join(parts + [")"] * len(open_nodes))


def written(tokens: Iterable[str], labels: Sequence[str], parents: Sequence[int]) -> str:
    """Return a labelled tree as a line; the nodes stand in the order in which they are written."""
    line, open_nodes = "", list[int]()
    for node, (token, label, parent) in enumerate(zip(tokens, labels, parents, strict=True)):
        while open_nodes and open_nodes[-1] != parent:
            open_nodes.pop()
            line += ")"
        line += (" " if line else "") + f"({label}" + (f" {token}" if token else "")
        open_nodes.append(node)
    return line + ")" * len(open_nodes)
