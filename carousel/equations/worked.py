"""A function of equations worked out by hand, from the tree that Python's parser makes of its text; nothing of it is run.

Assignments, operators and calls of the table's functions are all that is understood. All else is refused with its line, and so
is what would take long to work out.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from carousel.equations.before import Predecessors, together
from carousel.equations.errors import EquationError
from carousel.equations.functions import FUNCTIONS, identity
from carousel.equations.noise import dropout, zoneout
from carousel.equations.notation import BINARY, COMPARED, LARGEST, LARGEST_POWER
from carousel.equations.notes import Expr
from carousel.equations.terms import Concatenation, Namespace, Term, Weight, concat
from carousel.equations.units import OVER_UNITS

MOST, DEEPEST = 1_500, 100  # nodes of a function's tree; nodes within one another
WIDEST, HIGHEST = 20_000, 200  # of a quantity, written out to the input and the states: nodes, and nodes within one another

LOOP = "a loop: write its rounds one after the other"
CHOICE = "an if: where(condition, x, y) chooses"
IMPORT = "an import: only the functions of carousel are known"
REFUSED: dict[type, str] = {
    **{ast.If: CHOICE, ast.IfExp: CHOICE, ast.For: LOOP, ast.While: LOOP, ast.ListComp: LOOP, ast.GeneratorExp: LOOP},
    **{ast.FunctionDef: "a function in a function: write its equations in the cell", ast.Lambda: "a lambda"},
    **{ast.Expr: "an expression whose value nothing keeps: x = …", ast.BoolOp: "and, or: where(…) takes one condition"},
    **{ast.List: "a list: give each quantity a name", ast.NamedExpr: "an assignment within an expression"},
    **{ast.Dict: "a dictionary", ast.Tuple: "several values here", ast.Set: "a set", ast.Pass: "pass", ast.Slice: "a slice"},
    **{ast.ClassDef: "a class", ast.With: "with", ast.Try: "try", ast.Raise: "raise", ast.Delete: "del", ast.Assert: "assert"},
    **{ast.Global: "global", ast.Nonlocal: "nonlocal", ast.Import: IMPORT, ast.ImportFrom: IMPORT},
    **{ast.Starred: "a *", ast.JoinedStr: "a text", ast.Assign: "a name for that", ast.AnnAssign: "a name without a value"},
}


@cache
def table() -> Mapping[str, Callable[..., Any]]:
    """Return the functions that equations may call, by name."""
    found: dict[str, Callable[..., Any]] = {f.name: f for f in FUNCTIONS.values()}
    found |= {f.name: f for f in OVER_UNITS.values() if not f.of_heads} | {"abs": found["absolute"]}
    return found | {f.__name__: f for f in (identity, concat, together, zoneout, dropout)}


def refused(node: ast.AST) -> EquationError:
    """Return the error for a node that equations cannot hold."""
    kind = REFUSED.get(type(node), f"what Python calls {type(node).__name__}")
    return at(f"equations cannot hold {kind}", node)


def at(reason: str, node: ast.AST) -> EquationError:
    """Return an error with the line of a node."""
    return EquationError(reason, line=getattr(node, "lineno", None))


class Workings:
    """Works expressions and functions out.

    Attributes:
        names: what has been set so far, by name: numbers, and terms.
        line: of the node that is being worked out.
    """

    def __init__(self, names: Mapping[str, Any]):
        self.names, self.line, self.depth = dict(names), 1, 0
        self.local: set[str] = set()  # names that the function sets somewhere
        self.sizes: dict[Expr, tuple[int, int]] = {}  # of expressions, as WIDEST and HIGHEST bound them

    def run(self, function: ast.FunctionDef, values: list[Any]) -> tuple[Any, dict[str, Any]]:
        """Work the function out: return its result and its local variables at the end."""
        nodes = sum(isinstance(n, ast.expr | ast.stmt) for n in ast.walk(function))
        if nodes > MOST:
            raise EquationError(f"the function has {nodes:,} parts, and a cell at most {MOST:,}")
        constants = dict(self.names)
        self.local = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        arguments = [a.arg for a in function.args.args]
        self.names = {n: v for n, v in constants.items() if n not in self.local} | dict(zip(arguments, values, strict=True))
        body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
        for k, node in enumerate(body):
            self.line = node.lineno
            if isinstance(node, ast.Return):
                if k < len(body) - 1:
                    self.line = body[k + 1].lineno
                    raise EquationError("return is the last line of a cell")
                result = None if node.value is None else self.value_or_tuple(node.value)
                return result, {n: v for n, v in self.names.items() if n in self.local or n in arguments}
            self.assign(node)
        self.line = function.end_lineno or function.lineno
        raise EquationError("the new values of the states are never returned: return m, h")

    def assign(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign):
            value = self.value_or_tuple(node.value)
            for target in node.targets:
                self.set(target, value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self.set(node.target, self.value(node.value))
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            left = self.found(node.target.id, node.target)
            self.set(node.target, self.combined(node, type(node.op), left, self.value(node.value)))
        else:
            raise refused(node)

    def set(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            if isinstance(value, tuple):
                raise at(f"{target.id} is given several values", target)
            self.names[target.id] = value
        elif isinstance(target, ast.Tuple) and isinstance(value, tuple) and len(target.elts) == len(value):
            for each, part in zip(target.elts, value, strict=True):
                self.set(each, part)
        else:
            raise at("an equation sets a name, i = …, or as many names as there are values, i, f = …, …", target)

    def value_or_tuple(self, node: ast.expr) -> Any:
        return tuple(map(self.value, node.elts)) if isinstance(node, ast.Tuple) else self.value(node)

    def value(self, node: ast.expr) -> Any:
        """Return the value of an expression: a term, a number, or a place that parameters come from."""
        self.line, self.depth = node.lineno, self.depth + 1
        if self.depth > DEEPEST:
            raise at(f"more than {DEEPEST} operations stand within one another: give some of them a name", node)
        found = self._value(node)
        self.line, self.depth = node.lineno, self.depth - 1
        if isinstance(found, Term):
            most, within = self.size(found, found.expr)
            if most > WIDEST or within > HIGHEST:
                raise at("written out to the input and the states, this is too long", node)
        return found

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return self.number(node, node.value)
        if isinstance(node, ast.Name):
            return self.found(node.id, node)
        if isinstance(node, ast.BinOp):
            left, right = self.value(node.left), self.value(node.right)
            return self.combined(node, type(node.op), left, right)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = self.operand(self.value(node.operand))
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.Compare):
            if len(node.ops) > 1 or type(node.ops[0]) not in COMPARED:
                raise at("a condition compares two values by <, <=, >, >= or ==", node)
            left, right = self.value(node.left), self.value(node.comparators[0])
            return self.combined(node, type(node.ops[0]), left, right)
        if isinstance(node, ast.Attribute):
            return self.part(node, self.value(node.value), node.attr)
        if isinstance(node, ast.Subscript):
            return self.part(node, self.value(node.value), self.letters(node.slice))
        if isinstance(node, ast.Call):
            return self.called(node)
        raise refused(node)

    def number(self, node: ast.AST, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise at("… has to be filled in" if value is ... else f"{str(value)[:40]!r} is no number", node)
        if not abs(value) <= LARGEST:
            raise at("a number is too large", node)
        return value

    def found(self, name: str, node: ast.AST) -> Any:
        if name in self.names:
            return self.names[name]
        if name in self.local:
            raise at(f"{name} is used before it is set", node)
        if name in table():
            return table()[name]
        raise NameError(name=name)  # which the trace explains as it does where functions are run

    def operand(self, value: Any) -> Any:
        """Return a value that operators take. Raises EquationError for others."""
        if isinstance(value, Namespace):
            raise value.refusal()
        if not isinstance(value, Term | int | float):
            name = getattr(value, "__name__", "this")
            raise EquationError(f"{name} is a function: {name}(x)")
        return value

    def combined(self, node: ast.AST, kind: type, left: Any, right: Any) -> Any:
        a, b = self.operand(left), self.operand(right)
        self.line = getattr(node, "lineno", self.line)
        if kind is ast.MatMult:
            if not isinstance(a, Term):
                raise EquationError("only a dense weight multiplies with @: W.ab @ x")
            return a @ b
        combine = {**BINARY, **COMPARED}.get(kind)
        if combine is None:
            raise EquationError("an operator that equations do not have: they have + − * / ** % @ and comparisons")
        numbers = isinstance(a, int | float) and isinstance(b, int | float)
        if combine is operator.pow and isinstance(b, int | float) and not abs(b) <= LARGEST_POWER:
            raise EquationError("an exponent is too large")
        if not numbers:
            return combine(a, b)
        if kind in COMPARED:
            raise EquationError("a condition of two numbers is always the same")
        try:
            found = combine(float(a), float(b)) if combine is operator.pow else combine(a, b)
        except (ArithmeticError, ValueError) as error:
            raise EquationError(str(error)) from None
        if isinstance(found, complex):
            raise EquationError("the root of a negative number")
        self.number(node, found)
        return a**b if combine is operator.pow and isinstance(a, int) and isinstance(b, int) and b >= 0 else found

    def part(self, node: ast.AST, value: Any, letters: str) -> Any:
        """Return a parameter of a namespace, a state at a predecessor, or a weight transposed."""
        if not letters.isidentifier() or letters.startswith("_"):
            raise at(f"a parameter's letters are letters and digits, not {letters[:40]!r}", node)
        if isinstance(value, Namespace | Predecessors):
            return value[letters]
        if isinstance(value, Weight) and letters == "T":
            return value.T
        if letters == "ago":
            raise at("a value of some steps ago is called: h.ago(2)", node)
        raise at(f"nothing here has a part called {letters}; parameters are parts of W, w and b", node)

    def letters(self, node: ast.expr) -> str:
        parts = node.elts if isinstance(node, ast.Tuple) else [node]
        if not parts or not all(isinstance(p, ast.Constant) and isinstance(p.value, str) for p in parts):
            raise at('in brackets stand letters: W["i", "f"]', node)
        return "".join(p.value for p in parts)  # type: ignore[attr-defined]  # all are constants

    def called(self, node: ast.Call) -> Any:
        function = self.ago(node) if isinstance(node.func, ast.Attribute) else self.value(node.func)
        if isinstance(function, Term | Namespace | int | float):
            raise at("this is no function, and cannot be called; a product is written with *", node)
        given = [self.value(x) for x in node.args]
        named = {k.arg or "**": self.flag(k.value) for k in node.keywords}
        self.line = node.lineno
        return function(*given, **named)

    def ago(self, node: ast.Call) -> Callable[..., Any]:
        attribute = node.func
        assert isinstance(attribute, ast.Attribute)
        owner = self.value(attribute.value)
        if attribute.attr != "ago" or not isinstance(owner, Term) or isinstance(owner, Concatenation):
            raise at("only functions are called, and a value of some steps ago, h.ago(2)", node)
        return owner.ago

    def flag(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return node.value
        return self.value(node)

    def size(self, term: Term, expr: Expr) -> tuple[int, int]:
        """Return how many nodes an expression has, written out, and how many of them within one another."""
        if expr not in self.sizes:
            product = term.notes.products.get(expr)
            parts = expr.args if product is None else (product.operand, *product.beside)
            sizes = [self.size(term, x) for x in parts]
            self.sizes[expr] = 1 + sum(n for n, _ in sizes), 1 + max((n for _, n in sizes), default=0)
        return self.sizes[expr]
