"""Equations as they stand on the slide: plain text and LaTeX, by SymPy's printers with our names for the symbols."""

from __future__ import annotations

import re
from collections.abc import Mapping

import sympy
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from carousel.equations.functions import Function
from carousel.equations.notes import Expr, rebuild
from carousel.equations.trace import Trace
from carousel.equations.words import Words


def plain(trace: Trace) -> str:
    """Print one equation a line: ``hₜ = fₜ ⊙ hₜ₋₁ + iₜ ⊙ tanh(W.he eₜ + W.hm mₜ₋₁ + b.h)``."""
    printer = _Plain(trace)
    return "\n".join(f"{printer.name(s)} = {printer.text(expr)}" for s, expr in shown(trace))


def latex(trace: Trace) -> str:
    """Print the same as a LaTeX ``aligned`` block, weights as on the slides: W^{he}."""
    printer = _Latex(trace)
    lines = [f"{printer.name(s)} &= {printer.text(expr)}" for s, expr in shown(trace)]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def shown(trace: Trace) -> list[tuple[Expr, Expr]]:
    """Return the equations that a reader sees."""
    return [(s, expr) for s, expr in trace.equations if s not in trace.unseen]


ARROWS = {"up": ("↑", r"\uparrow"), "down": ("↓", r"\downarrow"), "left": ("←", r"\leftarrow"), "right": ("→", r"\rightarrow")}
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def step(symbol: Expr, delays: Mapping[Expr, tuple[str, int]]) -> tuple[str, int]:
    """Return the name of a quantity, and how many steps ago it was: h_tm1 is h of one step ago."""
    if symbol in delays:
        return delays[symbol]
    name, _, when = str(symbol).rpartition("_")
    return name, int(when == "tm1")


class _Names:
    """The names of a trace's symbols: a parameter's is its letters, any other's its name and its step."""

    def __init__(self, trace: Trace):
        self.parameters = {p.symbol: p for p in trace.parameters}
        self.clocks = [s.before for s in trace.states if s.size is None]
        self.delays = trace.delays
        self.edges = {s.before: (s.name, s.edge) for s in trace.states if s.edge}

    def plain(self, symbol: Expr) -> str:
        if symbol in self.parameters:
            return self.parameters[symbol].name
        if symbol in self.clocks:
            return str(symbol).removesuffix("_tm1")
        if symbol in self.edges:
            name, edge = self.edges[symbol]
            return f"{name}{ARROWS[edge][0] if edge in ARROWS else f'.{edge}'}"
        name, steps = step(symbol, self.delays)
        return f"{name}ₜ" + (f"₋{steps}".translate(SUBSCRIPTS) if steps else "")

    def latex(self, symbol: Expr) -> str:
        if symbol in self.parameters:
            space, letters, *turned = self.parameters[symbol].name.split(".")
            letter = space.upper() if self.parameters[symbol].is_matrix else f"\\mathbf{{{space}}}"
            text = f"{letter}^{{{_escaped(letters)}}}"
            return f"{{{text}}}^{{\\top}}" if turned else text
        if symbol in self.clocks:
            return str(symbol).removesuffix("_tm1")
        if symbol in self.edges:
            name, edge = self.edges[symbol]
            name = name if len(name) == 1 else f"\\mathrm{{{_escaped(name)}}}"
            return f"\\mathbf{{{name}}}_{{{ARROWS[edge][1] if edge in ARROWS else f'{chr(92)}mathrm{{{edge}}}'}}}"
        name, steps = step(symbol, self.delays)
        name = name if len(name) == 1 else f"\\mathrm{{{_escaped(name)}}}"
        return f"\\mathbf{{{name}}}_{{t{f'-{steps}' if steps else ''}}}"


def _escaped(name: str) -> str:
    return name.replace("_", r"\_")


def visible(trace: Trace, expr: Expr) -> Expr:
    """Return an expression without the later parts of concatenations, which the first part prints."""
    hidden = {s for s, p in trace.products.items() if not p.shown}

    def strip(node: Expr) -> Expr:
        if not node.args:
            return node
        args = [strip(a) for a in node.args if a not in hidden]
        return args[0] if node.is_Add and len(args) == 1 else rebuild(node, args)

    return strip(expr) if hidden else expr


class Text(Words, StrPrinter):
    """SymPy's text, with our functions."""

    def __init__(self) -> None:
        super().__init__({"order": "none", "full_prec": False})

    def words(self, known: Function) -> str:
        return known.name

    def _print_Mul(self, expr: Expr) -> str:
        """Print as SymPy does, which leaves out the parentheses of a sum that begins a denominator of several factors."""
        below = [x for x in expr.args if x.is_Pow and x.exp.is_Number and x.exp < 0]
        if len(below) < 2 or not any(x.base.is_Add for x in below):
            return str(super()._print_Mul(expr))
        factors = [self.parenthesize(x, PRECEDENCE["Mul"]) for x in expr.args if x not in below]
        under = [x.base if x.exp == -1 else sympy.Pow(x.base, -x.exp, evaluate=False) for x in below]
        return f"{'*'.join(factors) or '1'}/({'*'.join(self.parenthesize(x, PRECEDENCE['Mul']) for x in under)})"


class _Plain(Text):
    numbered = False  # uses of noise

    def __init__(self, trace: Trace):
        super().__init__()
        self.trace, self.name = trace, _Names(trace).plain

    def text(self, expr: Expr) -> str:
        text = self.doprint(visible(self.trace, expr)).replace("**", "^").replace("*", " ⊙ ")
        return re.sub(r"(\b\d+(?:\.\d+)?) ⊙ (?=[^\W\d]|\()", r"\1 ", text)

    def _print_Symbol(self, symbol: Expr) -> str:
        product = self.trace.products.get(symbol)
        if product is None:
            return self.name(symbol)
        parts = self.trace.concatenations.get(symbol)
        if parts:
            return f"{product.weight.name} [{'; '.join(self.text(p) for p in parts)}]"
        operand = self.text(product.operand)
        return (
            f"{product.weight.name} {operand if product.operand.is_Symbol or product.operand.is_Function else f'({operand})'}"
        )

    def _print_Equality(self, expr: Expr) -> str:
        return f"{self.doprint(expr.lhs)} = {self.doprint(expr.rhs)}"

    def _print_Mod(self, expr: Expr) -> str:
        return " mod ".join(self.parenthesize(x, PRECEDENCE["Func"]) for x in expr.args)


class _Latex(Words, LatexPrinter):
    language = "latex"

    def __init__(self, trace: Trace):
        super().__init__({"order": "none", "full_prec": False, "mul_symbol": r" \odot "})
        self.trace, self.name = trace, _Names(trace).latex

    def text(self, expr: Expr) -> str:
        return re.sub(r"(\b\d+(?:\.\d+)?) \\odot (?!\d)", r"\1 ", self.doprint(visible(self.trace, expr)))

    def _print_Symbol(self, symbol: Expr, style: str = "plain") -> str:
        product = self.trace.products.get(symbol)
        if product is None:
            return self.name(symbol)
        weight = self.name(product.weight.symbol)
        parts = self.trace.concatenations.get(symbol)
        if parts:
            return f"{weight} [{'; '.join(self.text(p) for p in parts)}]"
        operand = self.text(product.operand)
        return (
            f"{weight} {operand}"
            if product.operand.is_Symbol or product.operand.is_Function
            else f"{weight} \\left({operand}\\right)"
        )

    def words(self, known: Function) -> str | None:
        operands = ", ".join(f"{{{k}}}" for k in range(known.operands))
        called = rf"\operatorname{{{{{_escaped(known.name)}}}}}\left({operands}\right)" if known.own else None
        return known.latex or called

    def _print_Piecewise(self, expr: Expr, exp: str | None = None) -> str:
        text = super()._print_Piecewise(expr)
        return text if exp is None else rf"\left({text}\right)^{{{exp}}}"
