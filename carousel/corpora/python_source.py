"""Python's own standard library as text with tags: each token's class, and the construct that encloses it."""

from __future__ import annotations

import ast
import hashlib
import io
import keyword
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from carousel import files
from carousel.corpora.writing import SPLITS
from carousel.errors import InputError

COUNTS = {"train": 4000, "valid": 500, "test": 1000}  # functions
LONGEST = 200  # tokens of a function that is kept
LEFT_OUT = ("test", "tests", "idlelib", "site-packages", "dist-packages", "lib2to3", "__phello__")
SKIPPED = (tokenize.ENCODING, tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
LAYOUT = {tokenize.NEWLINE: "<line>", tokenize.INDENT: "<indent>", tokenize.DEDENT: "<dedent>"}
LEAVES = (ast.Name, ast.Constant, ast.JoinedStr, ast.Attribute, ast.arg, ast.keyword, ast.alias, ast.arguments, ast.Starred)
Position = tuple[int, int]


@dataclass(frozen=True)
class Token:
    """A token: its text without blanks, its class, and the node of the syntax tree that encloses it most closely."""

    text: str
    kind: str
    construct: str


def functions(path: Path) -> Iterator[list[Token]]:
    """Yield the functions and methods of a module, decorators left out, each in no other one, of at most 200 tokens.

    Raises:
        SyntaxError: the file is no Python of this version.
        UnicodeDecodeError: it is no text.
    """
    source = path.read_bytes().decode("utf-8")
    tree = ast.parse(source)
    tokens = [t for t in _joined(tokenize.generate_tokens(io.StringIO(source).readline)) if t.type not in SKIPPED]
    at = 0
    for function in _outermost(tree):
        begin, stop = _span(source.splitlines(), function)
        while at < len(tokens) and (tokens[at].start < begin or tokens[at].type in LAYOUT):
            at += 1
        end = at
        while end < len(tokens) and tokens[end].start < stop:
            end += 1
        own, at = tokens[at:end], end
        if 0 < len(own) <= LONGEST:
            yield list(_labelled(own, function, source.splitlines()))


def _outermost(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        else:
            yield from _outermost(node)


def _span(lines: list[str], node: ast.AST) -> tuple[Position, Position]:
    """Return where a node begins and ends, in characters; the tree counts bytes."""
    begin, stop = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]  # of statements
    return _in_characters(lines, begin), _in_characters(lines, stop)


def _in_characters(lines: list[str], position: Position) -> Position:
    row, column = position
    line = lines[row - 1] if row <= len(lines) else ""
    return row, column if line.isascii() else len(line.encode()[:column].decode(errors="ignore"))


def _joined(tokens: Iterator[tokenize.TokenInfo]) -> Iterator[tokenize.TokenInfo]:
    """Yield tokens; a formatted string is one, as before Python 3.12."""
    start, end = getattr(tokenize, "FSTRING_START", -1), getattr(tokenize, "FSTRING_END", -1)
    depth, first = 0, None
    for token in tokens:
        if token.type == start:
            first = first if depth else token
            depth += 1
        elif token.type == end:
            depth -= 1
            if not depth and first is not None:
                yield tokenize.TokenInfo(tokenize.STRING, first.string + token.string, first.start, token.end, first.line)
        elif not depth:
            yield token


def _labelled(tokens: list[tokenize.TokenInfo], function: ast.AST, lines: list[str]) -> Iterator[Token]:
    nodes = [(_span(lines, n), n) for n in _walk(function) if hasattr(n, "lineno") and not isinstance(n, LEAVES)]
    statements = [(span, n) for span, n in nodes if isinstance(n, ast.stmt)]
    roles = _roles(function, lines)
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type in LAYOUT:  # they stand between statements: of the one that goes on around them
            at = before.end if before and token.type == tokenize.NEWLINE else token.start  # a comment may be between
            inside: list[ast.AST] = [n for (b, e), n in statements if b < at <= e]
            yield Token(LAYOUT[token.type], "layout", _name(inside[-1] if inside else function))
            continue
        inside = [n for (b, e), n in nodes if b <= token.start < e]
        yield Token(_text(token), _kind(token, before, roles), _name(inside[-1] if inside else function))


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and those under it, outer ones first; a formatted string is one token, so nothing in it."""
    level = [node]
    while level:
        yield from level
        level = [under for n in level if not isinstance(n, ast.JoinedStr) for under in ast.iter_child_nodes(n)]


def _name(node: ast.AST) -> str:
    return type(node).__name__.removeprefix("Async")


def _text(token: tokenize.TokenInfo) -> str:
    """Return a token's text without blanks; of a string its prefix and its quotes."""
    if token.type != tokenize.STRING:
        return "".join(token.string.split())
    prefix = token.string[: min(k for k, c in enumerate(token.string) if c in "\"'")]
    quote = token.string[len(prefix)]
    return prefix + quote * 2


def _roles(function: ast.AST, lines: list[str]) -> dict[Position, str]:
    """Return by their places the roles of names: called, a parameter, set, deleted, an attribute that is called or read."""
    roles: dict[Position, str] = {}
    called = {id(node.func) for node in _walk(function) if isinstance(node, ast.Call)}
    for node in _walk(function):
        if isinstance(node, ast.Name):
            role = (
                "call" if id(node) in called else {"Load": "variable", "Store": "assigned", "Del": "deleted"}[_name(node.ctx)]
            )
            roles[_span(lines, node)[0]] = role
        elif isinstance(node, ast.Attribute):
            row, column = _span(lines, node)[1]
            of = {"Load": "attribute", "Store": "assigned-attribute", "Del": "deleted"}[_name(node.ctx)]
            roles[row, column - len(node.attr)] = "method" if id(node) in called else of
        elif isinstance(node, ast.arg):
            roles[_span(lines, node)[0]] = "parameter"
        elif isinstance(node, ast.keyword) and node.arg:
            roles[_span(lines, node)[0]] = "argument"
        elif isinstance(node, ast.alias):
            roles[_span(lines, node)[0]] = "import"
    return roles


def _kind(token: tokenize.TokenInfo, before: tokenize.TokenInfo | None, roles: dict[Position, str]) -> str:
    """Return a token's class: of a name, its role."""
    if token.type == tokenize.STRING:
        return "string"
    if token.type == tokenize.NUMBER:
        return "number"
    if token.type != tokenize.NAME:
        return "operator"
    if keyword.iskeyword(token.string):
        return "keyword"
    if before and before.string in ("def", "class"):
        return {"def": "function", "class": "class"}[before.string]
    return roles.get(token.start, "name")


def modules() -> list[Path]:
    """Return the modules of the standard library, without its tests. Raises InputError where its source is not there."""
    root = Path(sysconfig.get_path("stdlib"))
    found = [p for p in sorted(root.rglob("*.py")) if not {*p.relative_to(root).parts[:-1]} & {*LEFT_OUT}]
    if not found:
        raise InputError(f"this Python comes without the source of its library in {root}; give text with tags of your own")
    return found


def part_of(module: str) -> str:
    """Return the part that a module is in, by a hash of its name: a tenth is for testing, a tenth for validation."""
    return {0: "test", 1: "valid"}.get(hashlib.sha256(module.encode()).digest()[2] % 10, "train")


def write(folder: Path, counts: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Write ``train.txt``, ``valid.txt`` and ``test.txt``, whole modules each: a token, its class and its construct a line.

    Held-out functions with a label that training has not are left out.

    Args:
        folder: where; made where it is missing.
        counts: functions of each part, at most.

    Returns:
        By part, how many functions and tokens were written.
    """
    chosen: dict[str, list[list[Token]]] = {part: [] for part in SPLITS}
    root, seen = Path(sysconfig.get_path("stdlib")), set()
    # In the order of a hash, so that few functions are of many modules.
    for path in sorted(modules(), key=lambda p: hashlib.sha256(str(p.relative_to(root)).encode()).digest()):
        part = part_of(str(path.relative_to(root)))
        if len(chosen[part]) >= counts[part]:
            continue
        try:
            found = list(functions(path))
        except (SyntaxError, UnicodeDecodeError):  # some are examples of what cannot be read
            continue
        for function in found:
            said = " ".join(token.text for token in function)
            if said not in seen:  # the same function may stand in several modules
                seen.add(said)
                chosen[part].append(function)
    written = {}
    kept = {part: chosen[part][: counts[part]] for part in SPLITS}
    labels = [{getattr(token, name) for function in kept["train"] for token in function} for name in ("kind", "construct")]
    folder.mkdir(parents=True, exist_ok=True)
    for part in SPLITS:
        known = [f for f in kept[part] if all(t.kind in labels[0] and t.construct in labels[1] for t in f)]
        lines = ("".join(f"{t.text}\t{t.kind}\t{t.construct}\n" for t in function) for function in known)
        files.write(folder / f"{part}.txt", "\n".join(lines))
        written[part] = len(known), sum(map(len, known))
    return written
