"""A cell as the text that one would type: from its equations, for cells that no function states line by line."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping
from typing import Any

import sympy
from sympy.printing.precedence import PRECEDENCE

from carousel.equations.cell import Cell
from carousel.equations.errors import EquationError
from carousel.equations.noise import NOISE
from carousel.equations.notation import Notation
from carousel.equations.notes import Expr, rebuild
from carousel.equations.printing import shown, step
from carousel.equations.terms import HOLDS
from carousel.equations.trace import STEP


def retyped(cell: Cell, functions: Mapping[str, Callable[..., Any]]) -> str:
    """Return the definition of a cell as text, which ``typed`` reads back.

    Args:
        cell: any cell.
        functions: those that its constants, masks and matrices may be, by name.

    Raises:
        EquationError: the cell has a function that is not among these.
    """
    trace = cell.trace
    printer = _Python(cell)
    lines = [f"{printer.names[s]} = {printer.text(expr)}" for s, expr in shown(trace)]
    spaces = [s for s in HOLDS if any(p.name.startswith(f"{s}.") for p in trace.parameters)]
    states = [s.name for s in trace.declared]
    arguments = ["e", *cell.inputs, *states, *spaces]
    doc = [f'"""{cell.doc}', *(["", cell.citation] if cell.citation else [])]
    doc = [f'{doc[0]}"""'] if len(doc) == 1 else [*doc, '"""']
    returned = [printer.names[s.after] for s in trace.declared if s.name != STEP]
    name = cell.name.replace("-", "_")
    said = _said(cell, functions, name)
    body = [*(doc if cell.doc else []), *lines, f"return {', '.join(returned)}"]
    return "\n".join([f"@cell{said}", f"def {name}({', '.join(arguments)}):", *(f"    {x}" if x else "" for x in body), ""])


def _said(cell: Cell, functions: Mapping[str, Callable[..., Any]], name: str) -> str:
    """Return the arguments of ``@cell``."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise EquationError(f"no function can be called {name}")
    known = {id(f): n for n, f in functions.items()}
    parts = []
    for what, given in (("constants", cell.constants), ("masks", cell.masks), ("matrices", cell.matrices)):
        if unknown := [k for k, f in given.items() if id(f) not in known]:
            raise EquationError(f"{what}: the function of {unknown[0]} has no name")
        if given:
            named = ", ".join(f'"{k}": {known[id(f)]}' for k, f in given.items())
            parts.append(f"{what}={{{named}}}")
    trace = cell.trace
    parts += [f'input_size="{trace.input_like}"'] if trace.input_like else []
    parts += [f"same={trace.same!r}"] if trace.same else []
    parts += [f"inputs={dict(cell.inputs)!r}"] if cell.inputs else []
    parts += [f"before={trace.before!r}"] if trace.before else []
    parts += [f"heads={cell.heads}"] if cell.heads > 1 else []
    return f"({', '.join(parts)})".replace("'", '"') if parts else ""


_IDENTITY: Any = type("identity", (sympy.Function,), {})


class _Python(Notation):
    """Names a state's new value as the state, unless its last one is read later."""

    numbered = False  # uses of noise

    def __init__(self, cell: Cell):
        super().__init__(cell.trace)
        self.names: dict[Expr, str] = {}
        lines = shown(self.trace)
        reads = [self.symbols(expr) for _, expr in lines]
        befores = {s.after: s.before for s in self.trace.declared}
        taken = {str(s)[:-2] for s, _ in lines} | {"e", STEP, *HOLDS, *cell.inputs}
        for k, (s, _) in enumerate(lines):
            own, before = str(s)[:-2], befores.get(s)
            later = before is not None and any(before in found for found in reads[k + 1 :])
            again = any(last == s for last in self.names) or (before is not None and self.trace.before)
            self.names[s] = next(n for n in (f"{own}_new", f"new_{own}") if n not in taken) if later or again else own

    def symbols(self, expr: Expr) -> set[Expr]:
        """Return the symbols that an expression reads, the operands of products included."""
        found: set[Expr] = set()
        for s in expr.free_symbols:
            product = self.trace.products.get(s)
            parts = [] if product is None else [product.operand, *self.trace.concatenations.get(s, ())]
            found |= {s}.union(*map(self.symbols, parts))
        return found

    def text(self, expr: Expr) -> str:
        """Print with spaces around every sign, and identity where the product of two dense terms is meant."""
        text = super().text(self.meant(expr))
        return re.sub(r"(?<=[\w\]\)])(\*\*|\*|/)(?=[\w\(\-])", r" \1 ", text)

    def dense(self, expr: Expr) -> bool:
        """Return whether an expression holds a product of a dense weight that no function was applied to."""
        if expr in self.trace.products:
            return True
        return not expr.is_Function and not expr.is_Piecewise and any(map(self.dense, expr.args))

    def meant(self, expr: Expr) -> Expr:
        if not expr.args:
            return expr
        args = [self.meant(x) for x in expr.args]
        dense = [k for k, x in enumerate(expr.args) if self.dense(x)]
        apart = dense[1:] if expr.is_Mul else dense[:1] if expr.is_Pow else []
        return rebuild(expr, [_IDENTITY(x) if k in apart else x for k, x in enumerate(args)])

    def _print_Mul(self, expr: Expr) -> str:
        """Print ``x / 6`` as it was written, where SymPy has a product with a sixth."""
        parts = [x.is_Rational and x.p == 1 and x.q > 1 for x in expr.args]
        if not any(parts[1:]):
            return super()._print_Mul(expr)
        texts = [self.parenthesize(x, PRECEDENCE["Mul"]) for x in expr.args]
        return texts[0] + "".join(
            f" / {x.q}" if part else f" * {text}" for x, part, text in zip(expr.args[1:], parts[1:], texts[1:], strict=True)
        )

    def _print(self, expr: Expr, **options: Any) -> str:
        kind = NOISE.get(type(expr))
        if kind is None or not kind.once:
            return str(super()._print(expr, **options))
        shown = ", ".join(map(self._print, expr.args[:-1]))
        return f"{kind.name.removesuffix('_once')}({shown}, once=True)"

    def name(self, symbol: Expr) -> str:
        if symbol in self.names:
            return self.names[symbol]
        if symbol in self.edges:
            state, _, edge = self.edges[symbol].rstrip("]").partition("[")
            return f"{state}.{edge}"
        if symbol in self.parameters or symbol in self.clocks:
            return super().name(symbol)
        name, steps = step(symbol, self.trace.delays)
        least = 0 if name in ("e", *(x.name for x in self.trace.inputs)) else 1
        return name if steps == least else f"{name}.ago({steps})"
