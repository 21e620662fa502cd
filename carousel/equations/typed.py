"""A cell typed as text: a file of Python with one cell in it, of which nothing is ever run."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from carousel.equations.cell import Cell
from carousel.equations.defining import Said
from carousel.equations.errors import EquationError
from carousel.equations.running import Written
from carousel.equations.worked import Workings, at, refused, table

LONGEST = 8_000  # characters of a text
FILE = "cell.py"
HOMES = ("carousel", "carousel.equations")  # of the functions: they are known, imported or not
KINDS = {"name": str, "input_size": str, "heads": int, "inputs": dict, "constants": dict, "masks": dict, "matrices": dict}

Functions = Mapping[str, Callable[..., Any]]


class TypedCell(Cell):
    """A cell that was read from text; it is pickled and copied as that text."""

    def __init__(self, text: str, functions: Functions, **facts: Any):
        super().__init__(**facts)
        self.source, self.functions = text, functions

    def __reduce__(self) -> tuple[Any, ...]:
        return typed, (self.source, self.functions)


def typed(text: str, functions: Functions | None = None, filename: str = FILE) -> TypedCell:
    """Return the cell whose definition stands in a text, as in a file of Python: ``@cell`` above a function of equations.

    Nothing of the text is run. The same text in a file makes the same cell.

    Args:
        text: the definition; imports from carousel and numbers with a name may stand before it.
        functions: functions that ``constants``, ``masks`` and ``matrices`` may name.
        filename: for errors.

    Raises:
        EquationError: with the line, for whatever is no cell.
    """
    return TypedCell(text, functions or {}, **_Reader(text, functions or {}).facts(filename))


class _Reader:
    """Reads one text: all that stands around the equations."""

    def __init__(self, text: str, functions: Functions):
        self.text, self.functions = text, functions
        self.name = ""  # of the cell, as soon as it is known
        self.workings = Workings({})

    def facts(self, filename: str) -> dict[str, Any]:
        """Return the arguments of a cell, its trace among them."""
        try:
            function = self.function()
            self.name = function.name
            said, arguments = self.said(function), self.arguments(function)
        except EquationError as error:
            raise EquationError(error.reason, filename, error.line or 1, self.name or "the text") from None
        written = Written(
            arguments=arguments,
            rates=any(map(_asks_rates, ast.walk(function))),
            run=lambda values: self.workings.run(function, values),
            line_of=lambda error: getattr(error, "line", None) or self.workings.line,
            filename=filename,
            first=function.lineno,
            last=function.end_lineno or function.lineno,
        )
        return said.facts(written, function.name, inspect.cleandoc(ast.get_docstring(function, clean=False) or ""))

    def function(self) -> ast.FunctionDef:
        """Return the one function of the text, after all that may stand before it."""
        if len(self.text) > LONGEST:
            raise EquationError(f"the text has {len(self.text):,} characters, and a cell at most {LONGEST:,}")
        try:
            body = ast.parse(self.text).body
        except SyntaxError as error:
            line = min(error.lineno or 1, self.text.count("\n") + 1)
            raise EquationError(f"this is not Python: {error.msg}", line=line) from None
        except (ValueError, RecursionError, MemoryError):
            raise EquationError("this is not Python") from None
        found: ast.FunctionDef | None = None
        for node in body:
            if isinstance(node, ast.FunctionDef):
                if found is not None:
                    raise at("there is a cell above already, and this is a second function", node)
                found = node
            elif isinstance(node, ast.ImportFrom) and node.module in HOMES and not node.level:
                _check_imported(node)
            elif found is None and isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.workings.names[node.targets[0].id] = self.constant(node)
            elif not _is_text(node):
                raise refused(node)
        if found is None:
            raise EquationError("there is no cell: write @cell, and below it def name(e, h, W, b):")
        return found

    def constant(self, node: ast.Assign) -> float:
        """Return the number that gets a name before the function."""
        try:
            value = self.workings.value(node.value)
        except NameError:
            value = None
        if len(node.targets) > 1 or not isinstance(value, int | float):
            raise at("before the function only numbers have names", node)
        return value

    def said(self, function: ast.FunctionDef) -> Said:
        """Return the arguments of ``@cell``."""
        if len(function.decorator_list) != 1:
            raise at("@cell stands above the function, and nothing else", function)
        node = function.decorator_list[0]
        call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
        if not (isinstance(call.func, ast.Name) and call.func.id == "cell" and not call.args):
            raise at("above the function stands @cell, or @cell(name=…)", node)
        given = {k.arg or "**": self.argument(k) for k in call.keywords}
        if unknown := set(given) - set(Said.__dataclass_fields__):
            raise at(f"@cell takes {', '.join(Said.__dataclass_fields__)}, not {min(unknown)}", node)
        made = Said(**given)
        try:
            made.check()
        except TypeError as error:
            raise at(str(error), node) from None
        return made

    def argument(self, keyword: ast.keyword) -> Any:
        """Return an argument of ``@cell``: text, a number, a known function, or a tuple or dictionary of these."""
        name = keyword.arg or "**"

        def read(node: ast.expr) -> Any:
            if isinstance(node, ast.Constant) and isinstance(node.value, str | int | None):
                return node.value
            if isinstance(node, ast.Tuple | ast.List):
                return tuple(map(read, node.elts))
            if isinstance(node, ast.Dict) and None not in node.keys:
                return {read(k): read(v) for k, v in zip(node.keys, node.values, strict=True) if k is not None}
            if isinstance(node, ast.Name) and node.id in self.functions:
                return self.functions[node.id]
            if name in ("constants", "masks", "matrices"):
                known = f"only {', '.join(self.functions)} are known" if self.functions else "none is known"
                raise at(f"{name}: a function of Python's would have to be run, and {known}", node)
            raise at(f"{name} is text, a number, or a tuple or dictionary of them", node)

        value = read(keyword.value)
        if not isinstance(value, KINDS.get(name, object)) or (name == "same" and not isinstance(value, tuple)):
            raise at(f"this is no {name} that @cell takes", keyword)
        return value

    def arguments(self, function: ast.FunctionDef) -> list[str]:
        """Return the names of the function's arguments."""
        given = function.args
        if given.vararg or given.kwarg or given.kwonlyargs or given.posonlyargs or given.defaults:
            raise at("a cell's arguments are names alone: e, its states, W, w, b", function)
        names = [a.arg for a in given.args]
        if twice := [n for k, n in enumerate(names) if n in names[:k]]:
            raise at(f"the argument {twice[0]} is there twice", function)
        return names


def _check_imported(node: ast.ImportFrom) -> None:
    for alias in node.names:
        if alias.asname or alias.name not in (*table(), "cell", "*"):
            raise at(f"nothing that equations may call is called {alias.asname or alias.name}", node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _asks_rates(node: ast.AST) -> bool:
    """Return whether a node asks for a part of ``p``: ``p.h`` or ``p["h"]``; ``p.ago(2)`` is of a state."""
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == "p" and node.attr != "ago"
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "p"
