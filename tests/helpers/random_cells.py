"""A hypothesis strategy that writes cells: the text of a cell function, in the notation of ``carousel/cells``.

Every text is a cell that ``@cell`` takes; the writer keeps what the notation asks for: sizes agree, a product of two dense
terms says ``identity``, no condition looks at what another ``where`` has chosen. It also keeps numbers moderate, so that
kernels, reference and finite differences can be compared: what is divided by stays away from zero, and what ``exp`` takes
is bounded.
"""

from __future__ import annotations

import json
import keyword
import linecache
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from carousel.equations import Cell, EquationError

STATES = "mhknsp"
GATES = "afgioru"  # between about −1 and 1
LOCALS = GATES + "xyz"
NUMBERS = ("0.5", "2", "-1", "0.1", "3", "0.25", "-0.3", "1.5")
FRACTIONS = ("0.5", "0.1", "-1", "1", "0.25", "-0.3", "0.001", "0")
INPUT, HIDDEN, OUTPUT, NUMBER = "input", "hidden", "output", "number"  # sizes; a number is one for all units
OWN, OWN_UNITS = "own", 4  # the size of a further input that is given to the layer
RATES = ("p.a", "p.d", 'p["in"]')  # of noise
ROWS = ("mu", "nu", "xi")  # names of numbers that the units of a row decide

HEAD = """import numpy as np

from carousel.equations import *


"""


@dataclass(frozen=True)
class Text:
    """An expression. ``dense``: it holds a dense product that no function was applied to. ``chosen``: it holds a ``where``."""

    text: str
    size: str
    dense: bool = False
    chosen: bool = False

    def __str__(self) -> str:
        return self.text


def bare(x: Text) -> str:
    """The text without parentheses around the whole of it."""
    text, open_ = x.text, 0
    for place, letter in enumerate(text):
        open_ += (letter == "(") - (letter == ")")
        if open_ == 0 and place < len(text) - 1:
            return text
    return text[1:-1] if text.startswith("(") else text


def call(function: str, x: Text) -> Text:
    """A function of an expression."""
    return replace(x, text=f"{function}({bare(x)})", dense=False)


class _Writer:
    def __init__(self, draw: Callable[[Any], Any]):
        self.draw = draw
        count = draw(st.integers(1, 3))
        self.states = draw(st.permutations(STATES))[:count]
        sizes = dict.fromkeys(self.states, HIDDEN)
        self.wide = self.maybe(6)  # the input has the states' size
        if count > 1 and self.maybe(4):
            sizes[self.states[0]] = OUTPUT
        elif count > 1 and not self.wide and self.maybe(4):
            sizes[self.states[-1]] = INPUT  # a state that keeps what was read
        self.clock, self.constant, self.mask = self.maybe(2), self.maybe(4), self.maybe(5)
        self.letters = dict(sizes)  # the size of what a letter stands for, in the names of parameters
        self.vectors = {"e": Text("e", HIDDEN if self.wide else INPUT), **{s: Text(s, sizes[s]) for s in self.states}}
        self.raw = {"e", *self.states}  # those that have not been set anew
        self.weights: dict[str, tuple[str, ...]] = {}
        self.sure: dict[str, None] = {}  # weights that states' new values are made with, so that they are learned
        self.biases: dict[str, str] = {}
        self.rows: list[Text] = []  # numbers that the units of a row decide, by name
        self.reduces = self.maybe(2)  # whether anything goes over units
        self.matrix, self.turns = self.maybe(6), self.maybe(5)  # a constant one; dense weights are used transposed, too
        self.remembers = self.maybe(5)  # whether anything is of some steps ago
        self.noisy = "p" not in self.states and self.maybe(4)
        self.heads = self.one(2, 3) if self.maybe(4) else 1
        self.target = ""  # the letter of the line that is written
        self.lines: list[str] = []
        self.inputs = self.further() if self.maybe(3) else {}

    def further(self) -> dict[str, Any]:
        """Further inputs, as the cell takes them: some of a number a row, vectors of each size."""
        hidden = next(s for s, size in self.letters.items() if size == HIDDEN)
        found: dict[str, Any] = {"d": 1, "v": hidden, "l": "e", "q": None}
        found = {n: found[n] for n in self.draw(st.sets(st.sampled_from(sorted(found)), min_size=1))}
        self.rows += [Text("d", NUMBER)] if "d" in found else []
        for name, size in (("v", HIDDEN), ("l", self.vectors["e"].size)):
            if name in found:
                self.vectors[name] = Text(name, size)
                self.raw.add(name)
        if "v" in found:
            self.letters["v"] = HIDDEN
        return found

    # ------------------------------------------------------------------------------------------------ choices

    def maybe(self, of: int) -> bool:
        """True once in so many times."""
        return self.draw(st.integers(0, of - 1)) == of - 1

    def one(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    # ------------------------------------------------------------------------------------------------ the function

    def function(self) -> str:
        for _ in range(self.draw(st.integers(1, 4))):
            self.gate()
            if self.reduces and self.maybe(4) and len(self.rows) < len(ROWS):
                self.row_named()
        for _ in range(self.draw(st.integers(0, 2))):
            self.local()
        self.sure, first = {}, len(self.lines)
        returned = [self.state(s) for s in self.states]
        arguments = [
            "e",
            *self.inputs,
            *self.states,
            *(["t"] if self.clock else []),
            "W",
            "w",
            "b",
            *(["c"] if self.constant or self.matrix else []),
        ]
        arguments += ["p"] if self.noisy and any(rate in "".join(self.lines) for rate in RATES) else []
        options = [f'input_size="{next(s for s, size in self.letters.items() if size == HIDDEN)}"'] if self.wide else []
        if self.inputs:
            options.append(f"inputs={self.inputs}".replace("'", '"'))
        if self.constant:
            options.append('constants={"T": lambda n: 1.0 + np.arange(n) % 3}')
        if self.matrix:
            options.append('matrices={"A": lambda n, m: np.cos(np.arange(n * m)).reshape(n, m) / 2}')
        if self.heads > 1:
            options.append(f"heads={self.heads}")
        squares = [
            w for w in self.sure if len(self.weights[w]) == 2 and f"{self.named('W', w)} @" in "".join(self.lines[first:])
        ]
        if self.mask and squares and self.heads == 1:
            options.append(f'masks={{"W.{self.one(*squares)}": lambda n, m: np.tri(n, m)}}')
        decorator = f"@cell({', '.join(options)})" if options else "@cell"
        lines = [*self.lines, f"return {', '.join(returned)}"]
        return f"{decorator}\ndef random({', '.join(arguments)}):\n" + "\n".join(f"    {line}" for line in lines) + "\n"

    def put(self, name: str, value: Text) -> None:
        if value.text in self.vectors and name.removesuffix("_new") != self.states[-1]:
            value = call("identity", value)  # a name for a state as it was would go on to have the state's letter
        self.lines.append(f"{name} = {bare(value)}")
        self.vectors[name] = replace(value, text=name)
        self.raw.discard(name)

    def free(self, size: str, letters: str = LOCALS) -> str | None:
        """A letter for a new quantity."""
        letters = [x for x in letters if x not in self.vectors and self.letters.get(x, size) == size]
        return self.one(*letters) if letters else None

    def gate(self) -> None:
        name = self.free(HIDDEN, GATES)
        if name is None:
            return
        self.letters[name] = HIDDEN
        self.target = name
        self.put(name, self.small(HIDDEN, 2) if self.maybe(3) else call("logistic", self.sum(HIDDEN)))

    def local(self) -> None:
        size = self.one(HIDDEN, HIDDEN, *{x.size for x in self.vectors.values()})
        again = [x for x in self.vectors if x in LOCALS[len(GATES) :] and self.vectors[x].size == size]
        name = self.one(*again) if again and self.maybe(4) else self.free(size, LOCALS[len(GATES) :])
        if name is None:
            return
        if size != INPUT:
            self.letters.setdefault(name, size)
        self.target = name
        self.put(name, self.moderate(size, 2))

    def state(self, name: str) -> str:
        size = self.vectors[name].size
        self.target = name
        manner = self.one("gated", "squashed", "free", "projected")
        if size == INPUT:
            value = self.one(Text("e", INPUT), self.small(INPUT, 2))
        elif manner == "gated":
            value = self.plus(
                self.times(self.small(size, 1), self.vectors[name]), self.times(self.small(size, 0), self.small(size, 1))
            )
        elif manner == "squashed":
            value = call("tanh", self.moderate(size, 2))
        elif manner == "projected":
            value = self.product(size)
        else:
            value = self.moderate(size, 1)
            if str(value) == name:
                value = Text(f"-{name}", size)
        new = f"{name}_new" if self.maybe(3) else name  # the others go on to see the old value
        self.put(new, value)
        return new

    def row_named(self) -> None:
        """A name for one number a row."""
        name, self.target = ROWS[len(self.rows)], LOCALS[0]
        made = self.row(1)
        self.lines.append(f"{name} = {bare(made)}")
        self.rows.append(replace(made, text=name))

    # ------------------------------------------------------------------------------------------------ expressions

    def row(self, depth: int) -> Text:
        """One number a row, between about −1 and 1: a further input, or of the units of some vector."""
        if self.rows and (not self.reduces or self.maybe(3)):
            return self.one(*self.rows)
        x = self.small(self.one(*sorted({v.size for v in self.vectors.values()})), depth)
        text = self.one("mean({})", "mean({})", "0.1 * total({})", "0.3 * norm({})", "norm(softmax({}))")
        return Text(f"({text.format(bare(x))})", NUMBER, chosen=x.chosen)

    def normal(self, size: str, depth: int) -> Text:
        """A vector that all units decide together."""
        x = self.moderate(size, depth)
        if size == INPUT or self.maybe(3):
            given = self.one("", ", eps=0.1")
        else:
            given = f", {self.named('w', self.into(size) + self.one(*LOCALS))}{self.one('', ', eps=0.1')}"
        kind = self.one("layer_norm", "layer_norm", "rms_norm", "softmax")
        if kind == "layer_norm" and size != INPUT and self.maybe(2):
            given = f", {self.one('1', '2')}, {self.bias(size)}" if self.maybe(2) else f", bias={self.bias(size)}"
        heads = ", heads=True" if self.heads > 1 and self.maybe(2) else ""
        return Text(f"{kind}({bare(x)}{'' if kind == 'softmax' else given}{heads})", size, chosen=x.chosen)

    def vector(self, size: str) -> Text:
        return self.ago(self.one(*(x for x in self.vectors.values() if x.size == size)))

    def ago(self, x: Text) -> Text:
        """The input or a state, perhaps of some steps ago."""
        if not self.remembers or x.text not in self.raw or self.maybe(2):
            return x
        return replace(x, text=f"{x}.ago({self.one(*((1, 2) if x.text == 'e' else (2, 3)))})")

    def has(self, size: str) -> bool:
        return any(x.size == size for x in self.vectors.values())

    def leaf(self, size: str) -> Text:
        if size == INPUT:
            return self.vector(size)
        kind = self.one("vector", "sum", "diagonal", "bias", "constant", *(["gap"] if "d" in self.inputs else []))
        if kind == "gap":
            return self.times(Text(self.named("w", self.into(size) + "d"), size), Text("d", NUMBER))
        if kind == "constant" and self.constant and size == HIDDEN:
            return Text("c.T", size)
        if kind == "bias":
            return self.bias(size)
        if kind == "sum" or not self.has(size):
            return self.sum(size)
        return self.diagonal(size) if kind == "diagonal" else self.vector(size)

    def into(self, size: str) -> str:
        """A letter whose rows have that size: the line's own, or another."""
        if self.letters.get(self.target) == size:
            return self.target
        known = [x for x, s in self.letters.items() if s == size]
        if known:
            return self.one(*known)
        letter = next(x for x in LOCALS if x not in self.letters and x not in self.vectors)
        self.letters[letter] = size
        return letter

    def named(self, space: str, letters: str) -> str:
        return f'{space}["{letters[0]}", "{letters[1]}"]' if keyword.iskeyword(letters) else f"{space}.{letters}"

    def bias(self, size: str) -> Text:
        letters = self.into(size)
        if self.maybe(4):
            letters += self.one(*LOCALS)
        if self.biases.setdefault(letters, size) != size:
            letters = self.into(size)
        return Text(self.named("b", letters), size)

    def diagonal(self, size: str) -> Text:
        x = self.vector(size)
        weight = self.named("w", self.into(size) + x.text[0])
        return self.times(Text(weight, size), x) if self.maybe(2) else self.times(x, Text(weight, size))

    def sum(self, size: str) -> Text:
        """Dense products, and what is added to them."""
        parts = [self.product(size) for _ in range(self.draw(st.integers(1, 3)))]
        if self.maybe(2):
            parts.append(self.bias(size))
        if self.has(size) and self.maybe(3):
            parts.append(self.diagonal(size))
        parts = self.draw(st.permutations(parts))
        text = bare(parts[0]) + "".join(f" {self.one('+', '+', '+', '-')} {bare(p)}" for p in parts[1:])
        return Text(f"({text})", size, True, any(p.chosen for p in parts))

    def turned(self, size: str) -> Text | None:
        """A product with a weight that has been used, transposed."""
        fitting = [
            (w, x) for w, (rows, *of) in self.weights.items() for x in self.vectors.values() if [size] == of and x.size == rows
        ]
        if not fitting:
            return None
        letters, x = self.one(*fitting)
        self.sure[letters] = None
        return Text(f"({self.named('W', letters)}.T @ {self.ago(x)})", size, True)

    def product(self, size: str) -> Text:
        if self.matrix and size == HIDDEN and self.has(HIDDEN) and self.maybe(4):
            return Text(f"(c.A @ {self.vector(HIDDEN)})", size, True)
        if self.turns and self.maybe(3) and (made := self.turned(size)):
            return made
        into = self.into(size)
        if self.maybe(6) and self.heads == 1:
            parts = [self.operand() for _ in range(self.draw(st.integers(2, 3)))]
            letters, operand = into, f"concat({', '.join(p.text for p in parts)})"
        else:
            parts = [self.operand()]
            x = parts[0].text
            letters = into + (x if x in self.raw or x == "q" else self.one(*LOCALS))
            operand = x
        sizes = (size, *(p.size for p in parts))
        if self.weights.setdefault(letters, sizes) != sizes:  # that name multiplies something else: another, or the input
            other = [into + x for x in LOCALS if self.weights.get(into + x, sizes) == sizes and len(parts) == 1]
            if not other or parts[0].text in self.raw or parts[0].size == OWN:
                letters, operand = into + "e", "e"
                self.weights.setdefault(letters, (size, self.vectors["e"].size))
            else:
                letters = other[0]
                self.weights[letters] = sizes
        self.sure[letters] = None
        return Text(f"({self.named('W', letters)} @ {operand})", size, True)

    def operand(self) -> Text:
        x = self.one(*self.vectors.values(), *([Text("q", OWN)] * 2 if "q" in self.inputs else []))
        if x.size == OWN:
            return x
        if not self.maybe(3):
            return self.ago(x)
        made = self.small(x.size, 0) if self.maybe(2) else self.times(self.small(x.size, 0), x)
        return replace(made, text=made.text if made.text.isidentifier() else f"({bare(made)})")

    def small(self, size: str, depth: int) -> Text:
        """Between about −1 and 1."""
        if depth <= 0:
            names = [x for x in self.vectors.values() if x.size == size and x.text in GATES]
            if names and self.maybe(2):
                return call("tanh", self.one(*names)) if self.maybe(3) else self.one(*names)
            return call(self.one("logistic", "tanh"), self.leaf(size))
        d = depth - 1
        kind = self.one(
            "tanh",
            "logistic",
            "less",
            "times",
            "where",
            "where",
            "clipped",
            "bell",
            "ratio",
            "root",
            "detach",
            "ticks",
            "ticks",
            "wave",
            "bounded",
            "bounded",
            *(("normal", "row") if self.reduces else ("row", "row") if self.rows else ()),
            *(("drawn", "drawn") if self.noisy else ()),
        )
        if kind == "drawn":
            x = self.small(size, d)
            return replace(self.drawn(size, x, self.small), dense=False)
        if kind == "normal":
            return call("tanh", self.normal(size, d))
        if kind == "row" and self.heads > 1 and self.maybe(2):
            x, text = self.small(size, d), self.one("mean({}, {})", "0.1 * total({}, {})", "0.3 * norm({}, {})")
            return replace(x, text=f"({text.format(bare(x), 'heads=True')})", dense=False)
        if kind == "row":
            return self.times(self.row(d), self.small(size, d))
        if kind in ("tanh", "logistic"):
            return call(kind, self.moderate(size, d))
        if kind == "less":
            x = self.small(size, d)
            return Text(f"(1 - {x})", size, dense=x.dense, chosen=x.chosen)
        if kind == "times":
            return self.times(self.small(size, d), self.small(size, d))
        if kind == "where":
            return self.where(size, d, self.small, FRACTIONS)
        if kind == "clipped":
            x = self.moderate(size, d)
            return Text(f"minimum(maximum({x}, -1), {self.one('1', '0.5')})", size, chosen=x.chosen)
        if kind == "bounded":
            return self.bounded(size, d)
        if kind == "wave":
            return call(self.one("sin", "cos"), self.moderate(size, d))
        if kind == "detach" and self.maybe(2):
            return call("detach", self.small(size, d))
        if kind == "ticks" and self.clock:
            return self.times(self.ticking(), self.small(size, d))
        x = self.plain(self.moderate(size, d))
        if kind == "bell":
            return Text(f"exp(-{self.one('0.5 * ', '')}({x} * {x}))", size, chosen=x.chosen)
        if kind == "root":
            return Text(f"(1 + {x} * {x}) ** {self.one('-1', '-0.5', '-2')}", size, chosen=x.chosen)
        return Text(f"{x} / (2 + {x} * {x})", size, chosen=x.chosen)

    def moderate(self, size: str, depth: int) -> Text:
        """Grows by no more than a factor from step to step."""
        if depth <= 0:
            return self.leaf(size)
        d = depth - 1
        kind = self.one(
            *("leaf", "sum", "small", "gated", "plus", "minus", "negative", "scaled", "over", "relu", "larger", "exp", "log"),
            *("power", "where", "where", "identity", "raised", "smooth", "smooth", "size"),
            *(("normal", "normal", "row") if self.reduces else ("row", "row") if self.rows else ()),
            *(("drawn", "drawn") if self.noisy else ()),
        )
        if kind == "drawn":
            return self.drawn(size, self.moderate(size, d), self.moderate)
        if kind == "normal":
            return self.normal(size, d)
        if kind == "row":
            x = self.moderate(size, d)
            return self.plus(x, self.row(d)) if self.maybe(2) else self.times(x, self.row(d))
        if kind == "leaf":
            return self.leaf(size)
        if kind == "sum" and size != INPUT:
            return self.sum(size)
        if kind == "gated":
            return self.times(self.small(size, d), self.moderate(size, d))
        if kind == "plus":
            return self.plus(self.moderate(size, d), self.moderate(size, d), self.one("+", "-"))
        if kind == "where":
            return self.where(size, d, self.moderate, NUMBERS)
        if kind in ("exp", "log", "power", "raised"):
            return self.curved(size, d, kind)
        x = self.moderate(size, d)
        same = replace(x, dense=False)
        if kind == "minus":
            left = self.one(*NUMBERS, "")
            return replace(x, text=f"({left} - {x})" if left else f"({x} - {self.one('0.5', '2')})")
        if kind == "negative":
            return replace(x, text=f"(-{x})")
        if kind == "scaled":
            by = self.one(*NUMBERS)
            return replace(x, text=self.one(f"{by} * {x}", f"{x} * {by}", f"{x} / {by}"))
        if kind == "over":
            y = self.plain(self.ticking() if self.clock and self.maybe(2) else self.leaf(size))
            return replace(x, text=f"{x} / ({self.one('1', '2')} + {y} * {y})", chosen=x.chosen or y.chosen)
        if kind == "relu":
            return call("relu", x)
        if kind == "smooth":
            return call(self.one("softplus", "silu", "gelu", "gelu_tanh", "elu"), x)
        if kind == "size":
            return call(self.one("abs", "absolute"), x)
        if kind == "larger":
            y = Text(self.one(*NUMBERS), NUMBER) if self.maybe(2) else self.moderate(size, d)
            return replace(same, text=f"{self.one('maximum', 'minimum')}({x}, {y})", chosen=x.chosen or y.chosen)
        if kind == "identity":
            return call("identity", x)
        return self.small(size, d)

    def drawn(self, size: str, x: Text, other: Callable[[str, int], Text]) -> Text:
        """A value of noise, by a name: written twice, it would be drawn twice, and its square could be negative."""
        rate, name = self.one(*RATES), f"drawn{len(self.lines)}"
        if self.maybe(2):
            text = f"dropout({bare(x)}, {rate}{self.one('', ', once=True')})"
        else:
            text = f"zoneout({bare(x)}, {bare(other(size, 0))}, {rate})"
        self.lines.append(f"{name} = {text}")
        return Text(name, size, chosen=True)

    def bounded(self, size: str, depth: int) -> Text:
        """One of the functions that stay between two numbers."""
        name = self.one("softsign", "hard_sigmoid", "hard_tanh", "erf", "erfc", "sign", "clip", "sqrt")
        x = self.moderate(size, depth)
        if name == "erfc":
            return replace(call(name, x), text=f"({call(name, x)} - 1)")
        if name == "clip" and self.maybe(2):
            return Text(f"clip({bare(x)}, -{self.bound(size)}, {self.bound(size)})", size, chosen=x.chosen)
        if name == "clip":
            return Text(f"clip({bare(x)}, {self.one('-1', '-0.5', '0')}, {self.one('1', '0.5')})", size, chosen=x.chosen)
        if name == "sqrt":
            y = self.small(size, 0)
            return Text(f"sqrt({y} * {self.plain(y)} / 2 + {self.one('0.1', '0.5')})", size, chosen=y.chosen)
        return call(name, x)

    def bound(self, size: str) -> Text:
        """A bound of ``clip`` that differs from unit to unit."""
        y = self.small(size, 0)
        return Text(f"(0.5 + {self.plain(y)} ** 2)", size, chosen=y.chosen)

    def curved(self, size: str, depth: int, kind: str) -> Text:
        x = self.small(size, depth)
        if kind == "exp":
            return call("exp", x)
        if kind == "log":
            y = self.plain(self.moderate(size, depth))
            text, chosen = self.one(
                (f"log(2.5 + {x})", x.chosen), (f"log(1 + {y} * {y})", y.chosen), (f"log(logistic({y}))", y.chosen)
            )
            return Text(text, size, chosen=chosen)
        x = self.plain(x)
        if kind == "power":
            return Text(f"({x}) ** {self.one('2', '3', '4', '5')}", size, chosen=x.chosen)
        return Text(f"(0.5 + {x} * {x}) ** {self.one(f'({x})', '0.5', '1.5', '-3')}", size, chosen=x.chosen)

    def where(self, size: str, depth: int, branch: Callable[[str, int], Text], numbers: tuple[str, ...]) -> Text:
        a = branch(size, depth)
        b = Text(self.one(*numbers), NUMBER) if self.maybe(2) else branch(size, depth)
        pair = (a, b) if self.maybe(2) else (b, a)
        condition = self.condition(size, depth)
        if not self.maybe(3) or condition.size == NUMBER:
            return Text(f"where({condition}, {pair[0]}, {pair[1]})", size, chosen=True)
        return Text(f"where({condition}, {self.one(*numbers)}, {self.one(*numbers)})", size, chosen=True)

    def condition(self, size: str, depth: int) -> Text:
        if self.clock and self.maybe(2):
            period = self.one("2", "3", *(["c.T"] if self.constant and size == HIDDEN else []))
            return Text(self.one(f"t % {period} == {self.one('0', '1')}", "t < 4", "t >= 3"), NUMBER)
        a, b = self.moderate(size, depth), self.leaf(size)
        if self.reduces and self.maybe(4):
            a = self.row(depth)
        if a.chosen:
            a = self.leaf(size)
        if a.chosen:
            a = Text(f"{self.named('W', self.into(HIDDEN) + 'e')} @ e", size) if size != INPUT else Text("e", INPUT)
        if b.chosen or self.maybe(2):
            b = Text(self.one("0", "0.1", "-0.2"), NUMBER)
        return Text(f"{a} {self.one('<', '<=', '>', '>=')} {b}", size)

    def ticking(self) -> Text:
        """A number that the step number decides."""
        return Text(self.one("(1 / (t + 1))", "where(t % 3 == 1, 0.1, 1)", "tanh(t)", "(t % 3)"), NUMBER, chosen=True)

    # ------------------------------------------------------------------------------------------------ what the notation asks

    def times(self, a: Text, b: Text) -> Text:
        if a.dense and b.dense:
            b = call("identity", b)
        right = f"({b})" if " * " in b.text or " / " in b.text or " % " in b.text else str(b)
        return Text(f"{a} * {right}", a.size if b.size == NUMBER else b.size, a.dense or b.dense, a.chosen or b.chosen)

    def plus(self, a: Text, b: Text, sign: str = "+") -> Text:
        return Text(f"({a} {sign} {b})", a.size, a.dense or b.dense, a.chosen or b.chosen)

    def plain(self, x: Text) -> Text:
        """A factor, not dense."""
        if x.dense:
            return call(self.one("identity", "tanh", "relu"), x)
        return x if x.text.isidentifier() else replace(x, text=f"({x})")


@st.composite
def texts(draw: Callable[[Any], Any]) -> str:
    """The text of a cell function."""
    return _Writer(draw).function()


@cache
def made(text: str) -> Cell:
    """The cell of that text, in a module of its own, where pickle and inspect find it."""
    name = f"random_cell_{len(sys.modules)}_{abs(hash(text))}"
    filename, whole = f"<{name}>", HEAD + text
    linecache.cache[filename] = (len(whole), None, whole.splitlines(keepends=True), filename)
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(whole, filename, "exec"), module.__dict__)
    return module.random  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Case:
    """A cell's text and a run of it. ``lengths`` are those of the sequences, longest first."""

    text: str
    sizes: tuple[int, int, int]  # of e, of h, of the output where it has one of its own
    lengths: tuple[int, ...]
    reverse: bool
    resets: bool

    @property
    def cell(self) -> Cell:
        return made(self.text)

    def __post_init__(self) -> None:
        if "heads=" in self.text:  # they share all units
            heads = self.cell.heads
            object.__setattr__(self, "sizes", tuple(-(-n // heads) * heads for n in self.sizes))
        if "input_size=" in self.text:
            size = self.sizes[1] if self.cell.input_is_memory else self.sizes[2]
            object.__setattr__(self, "sizes", (size, *self.sizes[1:]))

    @property
    def every_size(self) -> tuple[int, ...]:
        """The sizes, with those of further inputs that have their own."""
        return *self.sizes, *[OWN_UNITS] * len(self.cell.sized)

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return tuple(sum(n > step for n in self.lengths) for step in range(self.lengths[0]))

    def __repr__(self) -> str:
        return f"Case({self.sizes}, lengths={self.lengths}, reverse={self.reverse}, resets={self.resets}) of\n{self.text}"


REFUSED = (
    "goes over the units of a vector",
    "multiplies one number a row here",
    "and heads part weights from states alone",
    "heads part dense weights from states",
)


def over_vectors(text: str) -> bool:
    """Whether each function over units is given a vector, and heads part a weight from states.

    The writer does not know what the step number alone decides, nor which weights are from states.
    """
    try:
        return bool(made(text))
    except EquationError as error:
        if any(reason in str(error) for reason in REFUSED):
            return False
        raise


def cases() -> st.SearchStrategy[Case]:
    """A random cell, and a random run of it."""
    return st.builds(
        Case,
        text=texts().filter(over_vectors),
        sizes=st.tuples(st.integers(1, 6), st.sampled_from([3, 1, 2, 5, 8, 9, 17]), st.integers(1, 6)),
        lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5).map(lambda x: tuple(sorted(x, reverse=True))),
        reverse=st.booleans(),
        resets=st.booleans(),
    )


STORED = Path(__file__).with_name("random_cells.json")


def stored() -> list[Case]:
    """A hundred cases that ``cases`` drew once, the same in every run; then those that have shown a fault."""
    lists = json.loads(STORED.read_text())
    return [Case(c["text"], tuple(c["sizes"]), tuple(c["lengths"]), c["reverse"], c["resets"]) for c in lists]
